"""How many names a source is counted under."""

from __future__ import annotations

import msgspec

from mainstem.model.outcome import Stage
from mainstem.pipeline.digest import digest
from mainstem.pipeline.names import Names
from pipeline.making import RECEIVED_AT_MS, around, destination, request, source


def batch(surroundings, names, **fields):
    items = [{"type": "track", "userId": "u", "event": name} for name in names]
    return digest(6, 7, [request({"batch": items}, "batch", **fields)], surroundings)


def names_of(processed):
    return {k.event_name: tally.count for k, tally in processed.tallies.items() if k.stage is not Stage.ENVELOPE}


def bounded(*sources):
    return msgspec.structs.replace(around(*sources), names=Names(2))


def test_beyond_the_bound_events_are_counted_without_name_and_version():
    result = batch(bounded(source("src", destination("d"))), ["a", "b", "c", "a", "d"])
    assert names_of(result) == {"a": 2, "b": 1, "": 2}
    assert [new.event_name for new in result.deliveries] == ["a", "b", "", "a", ""]
    assert [msgspec.json.decode(new.body)["event"] for new in result.deliveries] == ["a", "b", "c", "a", "d"]


def test_names_of_events_that_fail_are_bounded_too():
    result = batch(bounded(source(enabled=False)), ["a", "b", "c", "d"])
    assert names_of(result) == {"a": 1, "b": 1, "": 2}
    assert {key.stage for key in result.tallies} == {Stage.FAILED_ON_INGEST, Stage.ENVELOPE}


def test_each_source_and_each_hour_has_its_own():
    surroundings = bounded(source("one"), source("two"))
    assert names_of(batch(surroundings, ["a", "b"], source_id="one")) == {"a": 1, "b": 1}
    assert names_of(batch(surroundings, ["c", "d"], source_id="two")) == {"c": 1, "d": 1}
    assert names_of(batch(surroundings, ["e"], source_id="one")) == {"": 1}
    later = RECEIVED_AT_MS + 3_600_000
    assert names_of(batch(surroundings, ["e"], source_id="one", at_ms=later)) == {"e": 1}
