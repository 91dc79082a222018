"""flow.db: the promises of LearnedSchemas."""

from __future__ import annotations

import contextlib

import pytest

from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.errors import EngineUnavailable
from mainstem.model.learned import KEEP_DAYS, MAX_EVENTS, MAX_FIELDS, JsonType, LearnedEvent, LearnedField, Seen
from mainstem.model.ports import Processed

DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS


@pytest.fixture
def flow(tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        yield flow


def save(flow, *news):
    after = flow.pipeline.position()
    flow.pipeline.save(Processed(after, after + 1, learned=news), NOW_MS)


def seen(path=None, types=0, *, name="E", source_id="src", at_ms=NOW_MS):
    return Seen(source_id, "track", name, path, int(types), at_ms)


def test_what_was_seen_is_kept_with_the_moment_of_first_and_the_day_of_last(flow):
    save(flow, seen(), seen("a", JsonType.STRING))
    save(flow, seen(at_ms=NOW_MS + DAY_MS), seen("a", JsonType.NULL, at_ms=NOW_MS + DAY_MS), seen("b", JsonType.NULL))
    assert flow.learned.events("src") == [LearnedEvent("track", "E", NOW_MS, 20_001, 2)]
    assert flow.learned.fields("src", "track", "E") == [
        LearnedField("a", JsonType.STRING | JsonType.NULL, NOW_MS, 20_001),
        LearnedField("b", JsonType.NULL, NOW_MS, 20_000),
    ]


def test_what_comes_late_does_not_set_the_last_day_back(flow):
    save(flow, seen())
    save(flow, seen(at_ms=NOW_MS - DAY_MS))
    assert flow.learned.events("src")[0].last_day == 20_000


def test_sources_are_kept_apart(flow):
    save(flow, seen(), seen("a"), seen(source_id="other", name="F"))
    assert [each.event_name for each in flow.learned.events("src")] == ["E"]
    assert flow.learned.fields("other", "track", "E") == []


def test_a_source_that_is_full_learns_no_more_events_but_goes_on_with_those_it_has(flow):
    save(flow, *(seen(name=f"E{number}") for number in range(MAX_EVENTS - 1)))
    save(flow, seen(name="last"), seen(name="one too many"), seen("a", name="one too many"))
    save(flow, seen(name="E0", at_ms=NOW_MS + DAY_MS), seen("a", name="E0"))
    events = {each.event_name: each for each in flow.learned.events("src")}
    assert len(events) == MAX_EVENTS
    assert "last" in events
    assert (events["E0"].last_day, events["E0"].fields) == (20_001, 1)
    assert flow.learned.fields("src", "track", "one too many") == []


def test_an_event_that_is_full_learns_no_more_fields(flow):
    save(flow, seen(), *(seen(f"p{number}") for number in range(MAX_FIELDS + 5)))
    save(flow, seen("another"), seen("p0", JsonType.NULL))
    fields = flow.learned.fields("src", "track", "E")
    assert len(fields) == MAX_FIELDS
    assert {each.path: each.types for each in fields}["p0"] == JsonType.NULL


def test_what_was_not_seen_for_over_a_year_is_forgotten(flow):
    save(flow, seen(), seen("a"), seen("old"), seen(name="old"))
    later = NOW_MS + KEEP_DAYS * DAY_MS
    save(flow, seen(at_ms=later), seen("a", at_ms=later))
    flow.pipeline.tidy(later + DAY_MS)
    assert [each.event_name for each in flow.learned.events("src")] == ["E"]
    assert [each.path for each in flow.learned.fields("src", "track", "E")] == ["a"]


def test_nothing_is_learned_of_a_batch_that_is_not_saved(flow):
    with pytest.raises(EngineUnavailable):
        flow.pipeline.save(Processed(7, 8, learned=[seen()]), NOW_MS)
    assert flow.learned.events("src") == []
