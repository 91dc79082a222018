"""A batch of requests, whole: what is queued, counted, remembered and set aside."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import EngineUnavailable
from mainstem.model.event import Event, from_record
from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import TrackedUser
from mainstem.model.snapshot import FilterConfig
from mainstem.pipeline import digest as digesting
from mainstem.pipeline.digest import Filters, digest, digest_again
from mainstem.pipeline.step import Request
from pipeline.making import RECEIVED_AT_MS, around, destination, request, requests, source

EVENT = {"type": "track", "event": "E", "userId": "u"}
DAY = RECEIVED_AT_MS // 86_400_000


def counted(batch, *fields):
    """Counts by some fields of their keys."""
    sums = {}
    for key, tally in batch.tallies.items():
        group = tuple(getattr(key, field) for field in fields)
        sums[group] = sums.get(group, 0) + tally.count
    return sums


def test_an_event_is_queued_for_every_enabled_destination():
    config = source("src", destination("d1"), destination("d2"), destination("d3", enabled=False))
    batch = digest(6, 7, requests((EVENT, "track")), around(config))
    assert [new.destination_id for new in batch.deliveries] == ["d1", "d2"]
    assert (batch.after, batch.position) == (6, 7)
    assert counted(batch, "stage", "destination_id") == {(Stage.SUCCESSFULLY_RECEIVED, ""): 1}


def test_a_disabled_destination_counts_nothing():
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=True)
    batch = digest(
        6, 7, requests((EVENT, "track")), around(source("src", destination("d", "W", drop, enabled=False)))
    )
    assert counted(batch, "stage") == {(Stage.SUCCESSFULLY_RECEIVED,): 1}


def test_a_source_without_destinations_is_counted_all_the_same():
    batch = digest(6, 7, requests((EVENT, "track")), around(source()))
    assert not batch.deliveries
    assert list(batch.tallies) == [
        OutcomeKey(RECEIVED_AT_MS // 60_000, "src", "", Stage.SUCCESSFULLY_RECEIVED, "", "track", "E", "")
    ]


def test_a_batch_with_a_bad_item_is_noted_beside_the_counts():
    batch = digest(6, 7, requests(({"batch": [EVENT, {"type": "track", "event": "E"}, EVENT]}, "batch")), around())
    assert counted(batch, "stage", "reason") == {
        (Stage.SUCCESSFULLY_RECEIVED, ""): 2,
        (Stage.FAILED_ON_INGEST, "no_user_anon_id"): 1,
        (Stage.ENVELOPE, "multi_user_error"): 1,
    }


def test_a_batch_of_bad_items_is_noted_as_such():
    batch = digest(6, 7, requests(({"batch": [{"type": "track"}, 7]}, "batch")), around())
    assert counted(batch, "stage", "reason") == {
        (Stage.FAILED_ON_INGEST, "no_user_anon_id"): 1,
        (Stage.FAILED_ON_INGEST, "bad_request"): 1,
        (Stage.ENVELOPE, "empty_batch_result"): 1,
    }


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [({"batch": []}, "batch", "empty_batch"), ({"event": "E"}, "track", "no_user_anon_id")],
)
def test_an_empty_batch_and_a_single_call_have_no_note(body, kind, reason):
    batch = digest(6, 7, requests((body, kind)), around())
    assert counted(batch, "stage", "reason") == {(Stage.FAILED_ON_INGEST, reason): 1}


def test_a_batch_of_50_is_50_api_calls():
    batch = digest(6, 7, requests(({"batch": [EVENT] * 50}, "batch"), ({"event": "E"}, "track")), around())
    assert batch.calls == {("src", DAY): 50}
    assert counted(batch, "stage")[Stage.SUCCESSFULLY_RECEIVED,] == 50


def test_users_are_tracked_by_the_ids_seen_together():
    items = [
        {**EVENT, "anonymousId": "a"},
        {**EVENT, "anonymousId": "a", "event": "other"},
        {"type": "page", "anonymousId": "b"},
        {"type": "page", "anonymousId": 7},
    ]
    batch = digest(6, 7, requests(({"batch": items}, "batch")), around())
    assert batch.users == {TrackedUser(DAY, "src", "u", "a"), TrackedUser(DAY, "src", "", "b")}


def test_only_what_was_received_is_remembered_for_deduplication():
    first = digest(6, 7, requests(({**EVENT, "messageId": "m"}, "track"), ({"event": "E"}, "track")), around())
    assert len(first.seen) == 1
    again = digest(7, 8, requests(({**EVENT, "messageId": "m"}, "track")), around(seen=first.seen))
    assert (again.seen, again.deliveries, again.tallies, again.calls) == ([], [], {}, {})


def test_processing_again_gives_the_same():
    batch = requests(({"batch": [EVENT, {"type": "page", "anonymousId": "a"}, 7]}, "batch"), (EVENT, "track"))
    surroundings = around(source("src", destination("d")))
    assert digest(6, 7, batch, surroundings) == digest(6, 7, batch, surroundings)


def test_filters_are_compiled_once_and_again_when_published_anew():
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=True)
    one, same_again = destination("d", "W", drop), destination("d", "W", drop)
    filters = Filters()
    compiled = filters.of(one)
    assert filters.of(one) is compiled
    assert filters.of(same_again) is not compiled
    kept = filters.of(same_again)
    filters.forget_others(around(source("src", same_again)).snapshot)
    assert filters.of(same_again) is kept
    filters.forget_others(around(source("src")).snapshot)
    assert filters.of(same_again) is not kept


# ---- what fails is set aside


@pytest.fixture
def poison(monkeypatch):
    """A step on the way to a destination, and one from the source, that fail on what says so."""

    def break_(tuple_name, at):
        steps = list(getattr(digesting, tuple_name))
        step = steps[at]

        def apply(batch, scope):
            from mainstem.pipeline.step import each  # lifted as the real ones are

            def fail_on_poison(event, _scope):
                """Fail on what is poisoned."""
                if isinstance(event.payload, dict) and event.payload.get("poison"):
                    raise ValueError("secret")
                return event

            checked = each(fail_on_poison).apply(batch, scope)
            result = step.apply(checked.kept, scope)
            result.failed = result.failed + checked.failed
            return result

        steps[at] = msgspec.structs.replace(step, apply=apply, when=lambda _scope: True)
        monkeypatch.setattr(digesting, tuple_name, tuple(steps))

    return break_


POISONED = {**EVENT, "messageId": "bad", "poison": True}


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_event_that_breaks_a_step_is_set_aside_and_the_others_go_on(poison, at):
    poison("FROM_SOURCE", at)
    sent = {"context": {"locale": "de"}, "batch": [EVENT, POISONED, EVENT]}
    batch = digest(6, 7, requests((sent, "batch")), around(source("src", destination("d"))))
    assert len(batch.deliveries) == 2
    (aside,) = batch.dead
    assert (aside.letter.message_id, aside.letter.where) == ("bad", "fail_on_poison")
    assert (aside.letter.source_id, aside.letter.destination_id) == ("src", "")
    assert aside.letter.at_ms == RECEIVED_AT_MS + 5
    assert "secret" not in aside.letter.error
    assert msgspec.json.decode(aside.letter.body)["poison"] is True
    assert (aside.key.stage, aside.key.reason) == (Stage.FAILED_ON_INGEST, "internal")
    assert batch.tallies[aside.key].count == 1


def test_what_was_set_aside_goes_the_whole_way_when_it_is_sent_back(poison, monkeypatch):
    with monkeypatch.context():
        poison("FROM_SOURCE", 3)
        sent = {"context": {"locale": "de"}, "batch": [EVENT, POISONED]}
        (aside,) = digest(6, 7, [request(sent, "batch", ip="203.0.113.7", channel="mobile")], around()).dead
        monkeypatch.undo()
    assert from_record(aside.entry).received_at_ms == RECEIVED_AT_MS
    again = digest(7, 7, [Request(0, "redriven.1", aside.entry)], around(source("src", destination("d"))))
    payload = msgspec.json.decode(again.deliveries[0].body)
    assert payload["messageId"] == "bad"
    assert payload["context"] == {"locale": "de", "ip": "203.0.113.7"}
    assert again.tallies.keys() == {msgspec.structs.replace(aside.key, stage=Stage.SUCCESSFULLY_RECEIVED, reason="")}


def test_an_event_that_breaks_a_step_to_one_destination_goes_to_the_others(poison, monkeypatch):
    config = source("src", destination("d1"), destination("d2", "Other"))
    with monkeypatch.context():
        poison("TO_DESTINATION", 2)
        sent = {**POISONED, "integrations": {"Other": False}, "big": 2**70}
        batch = digest(6, 7, requests((sent, "track"), (EVENT, "track")), around(config))
        monkeypatch.undo()
    assert [aside.letter.destination_id for aside in batch.dead] == ["d1", "d2"]
    assert {aside.key.reason for aside in batch.dead} == {"INTERNAL"}
    assert {aside.key.stage for aside in batch.dead} == {Stage.FILTERED_AT_DESTINATION}
    event = msgspec.json.decode(batch.dead[0].entry, type=Event)
    again = digest_again(7, event, "d1", around(config))
    assert [(new.destination_id, new.message_id) for new in again.deliveries] == [("d1", "bad")]
    assert (again.tallies, again.calls, again.seen) == ({}, {}, ())
    filtered = digest_again(7, event, "d2", around(config))
    assert counted(filtered, "destination_id", "reason") == {("d2", "FILTERED_BY_INTEGRATIONS_OBJECT"): 1}


def test_an_event_sent_back_to_a_destination_that_is_gone_ends_uncounted():
    event = Event("src", "ws", "track", "E", "", "m", 1, "u", RECEIVED_AT_MS, {"event": "E"})
    for config in (source("src"), source("other"), source("src", destination("d1", enabled=False))):
        again = digest_again(7, event, "d1", around(config))
        assert (again.deliveries, again.tallies, again.dead) == ([], {}, [])


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_record_that_cannot_be_read_is_set_aside(record):
    batch = digest(6, 7, [Request(0, "7.0", record), *requests((EVENT, "track"))][:1], around())
    (aside,) = batch.dead
    assert (aside.entry, aside.letter.body, aside.letter.where) == (record, record, "unpack")
    assert counted(batch, "stage", "reason") == {(Stage.FAILED_ON_INGEST, "internal"): 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff", b"[" * 30_000])
def test_a_body_that_cannot_be_read_is_set_aside_and_counted_at_its_source(body):
    batch = digest(6, 7, [request(body, "batch"), *requests((EVENT, "track"))][:2], around())
    (aside,) = batch.dead
    assert aside.letter.body == body
    assert counted(batch, "source_id", "reason") == {("src", "internal"): 1, ("src", ""): 1}


class Unusable(Filters):
    """Filters that cannot be made, for whatever reason."""

    def of(self, destination):
        raise RecursionError


def test_whatever_else_fails_the_requests_at_fault_are_set_aside_and_the_others_go_on():
    config = around(source("good"), source("bad", destination("d")))
    surroundings = msgspec.structs.replace(config, filters=Unusable())
    batch = [
        request({**EVENT, "messageId": message_id}, index=index, source_id=source_id)
        for index, (source_id, message_id) in enumerate(
            [("good", "a"), ("bad", "b"), ("good", "c"), ("good", "a"), ("good", "d"), ("bad", "e"), ("good", "c")]
        )
    ]
    result = digest(6, 7, batch, surroundings)
    assert counted(result, "source_id", "stage", "reason") == {
        ("good", Stage.SUCCESSFULLY_RECEIVED, ""): 3,
        ("bad", Stage.FAILED_ON_INGEST, "internal"): 2,
    }
    assert [aside.letter.where for aside in result.dead] == ["digest", "digest"]
    assert [aside.entry for aside in result.dead] == [batch[1].record, batch[5].record]
    assert (result.after, result.position, result.calls) == (6, 7, {("good", DAY): 3})
    assert len(result.seen) == 3


def test_what_is_sent_back_and_fails_on_something_else_is_set_aside_again():
    event = Event("src", "ws", "track", "E", "", "m", 1, "u", RECEIVED_AT_MS, {"event": "E"})
    surroundings = msgspec.structs.replace(around(source("src", destination("d"))), filters=Unusable())
    again = digest_again(7, event, "d", surroundings)
    assert [(aside.letter.where, aside.letter.message_id) for aside in again.dead] == [("digest", "m")]
    assert counted(again, "reason") == {("INTERNAL",): 1}


def test_many_requests_are_opened_some_at_a_time_and_come_out_as_if_together(monkeypatch):
    bodies = [({**EVENT, "messageId": f"m{number % 8}", "n": number}, "track") for number in range(10)]
    config = source("src", destination())
    together = digest(1, 2, requests(*bodies), around(config))
    opened = []
    real = digesting._digest
    monkeypatch.setattr(digesting, "_digest", lambda *given: opened.append(len(given[2])) or real(*given))
    monkeypatch.setattr(digesting, "MAX_BYTES_AT_ONCE", 3 * len(requests(*bodies)[0].record))
    apart = digest(1, 2, requests(*bodies), around(config))
    assert max(opened) <= 3
    assert sum(opened) == 10
    assert [each.message_id for each in apart.deliveries] == [f"m{number}" for number in range(8)]
    assert msgspec.structs.replace(apart, traces=()) == msgspec.structs.replace(together, traces=())
    assert sum(len(each.block.message_ids) for each in apart.traces) == 10


def test_a_store_that_cannot_answer_fails_the_whole_batch():
    def unavailable(_ids):
        raise EngineUnavailable("full")

    with pytest.raises(EngineUnavailable):
        digest(6, 7, requests((EVENT, "track")), msgspec.structs.replace(around(), already_seen=unavailable))


# ---- sums agree

USERS = st.sampled_from([{"userId": "u"}, {"anonymousId": "a"}, {"userId": 7}, {}])
NAMES = st.sampled_from([{"event": "A"}, {"event": "B"}, {"event": 7}, {}])
MORE = st.sampled_from(
    [
        {},
        {"messageId": "same"},
        {"integrations": {"All": False, "Two": True}},
        {"_metadata": {"bundled": ["One"]}},
        {"properties": {"a": 1}},
        {"properties": []},
        {"context": {"app": {"version": "2"}}},
    ]
)
ITEMS = st.tuples(st.sampled_from(["track", "identify", "page", "odd"]), USERS, NAMES, MORE).map(
    lambda parts: {"type": parts[0], **parts[1], **parts[2], **parts[3]}
) | st.sampled_from([None, 7, {}])
FILTERS = st.lists(
    st.sampled_from(
        [
            FilterConfig("drop", "event = 'A'", ({"type": "DROP"},), enabled=True),
            FilterConfig(
                "strip", "all", ({"type": "DROP_PROPERTIES", "fields": {"properties": ["a"]}},), enabled=True
            ),
            FilterConfig("sample", "all", ({"type": "SAMPLE", "percent": 0.5, "path": "userId"},), enabled=True),
            FilterConfig("broken", "event = ", ({"type": "DROP"},), enabled=True),
        ]
    ),
    max_size=2,
)
DESTINATIONS = st.lists(
    st.builds(
        lambda filters, enabled, types: (filters, enabled, types),
        FILTERS,
        st.booleans(),
        st.sampled_from([frozenset({"track"}), frozenset({"track", "page", "identify"})]),
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(ITEMS, max_size=6), min_size=1, max_size=4), DESTINATIONS, st.booleans())
def test_what_came_in_is_the_sum_of_the_outcomes(batches, destinations, enabled):
    config = source(
        "src",
        *(
            destination(f"d{number}", ["One", "Two", "Three"][number], *filters, enabled=on, event_types=types)
            for number, (filters, on, types) in enumerate(destinations)
        ),
        enabled=enabled,
    )
    sent = [({"batch": items}, "batch") for items in batches]
    batch = digest(6, 7, requests(*sent), around(config))
    stages = counted(batch, "stage")
    received = stages.get((Stage.SUCCESSFULLY_RECEIVED,), 0)
    failed = stages.get((Stage.FAILED_ON_INGEST,), 0)
    duplicates = sum(len(items) or 1 for items in batches) - received - failed
    same = sum(item.get("messageId") == "same" for items in batches for item in items if isinstance(item, dict))
    assert 0 <= duplicates <= max(0, same - 1)
    assert batch.calls.get(("src", DAY), 0) == received == len(batch.seen)
    for each in config.destinations:
        filtered = counted(batch, "destination_id", "stage").get((each.id, Stage.FILTERED_AT_DESTINATION), 0)
        queued = sum(new.destination_id == each.id for new in batch.deliveries)
        assert filtered + queued == (received if each.enabled else 0)
    assert not batch.dead
