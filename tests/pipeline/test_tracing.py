"""What is written down of a batch: every step that changed an event, every end, every delivery."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.commands.lives import Lives, fates
from mainstem.model.event import Event, dedupe_key
from mainstem.model.ports import Block
from mainstem.model.snapshot import FilterConfig, FunctionUse, TransformationConfig
from mainstem.model.trace import MADE_OF_RECORD, REDRIVEN, Passage, from_bytes, holds, packed, to_bytes
from mainstem.pipeline import digest as digesting
from mainstem.pipeline.digest import digest, digest_again, digest_inserted
from mainstem.pipeline.step import Request
from pipeline.making import around, destination, request, requests, snapshot, source

EVENT = {"type": "track", "event": "E", "userId": "u", "messageId": "m1", "properties": {"a": 1, "b": 2}}
NO_B = FilterConfig("f", "all", ({"type": "DROP_PROPERTIES", "fields": {"properties": ["b"]}},), enabled=True)
DROP_F = FilterConfig("g", "event = 'F'", ({"type": "DROP"},), enabled=True)
RENAME = TransformationConfig("t", "event = 'E'", enabled=True, new_event_name="G")


class Nowhere:
    """An archive that holds the records of one block, and a store that is not asked."""

    def __init__(self, *records: bytes) -> None:
        self.records = records

    def read(self, after, limit_bytes):
        return [Block(7, self.records)] if after < 7 else []


def traced(batch):
    """The one block of a batch, as it comes back from a store."""
    (trace,) = batch.traces
    block = from_bytes(to_bytes(trace.block))
    assert isinstance(block, Passage)
    return trace, block


def passes(batch, config, *records):
    """Everything told of the batch's events, in their order."""
    _, block = traced(batch)
    lives = Lives(None, Nowhere(*records), snapshot(config))
    return [found for message_id in dict.fromkeys(block.message_ids) for found in lives.passes_of(block, message_id)]


def told(one):
    """Fates as tuples."""
    return [(fate.destination_id, fate.subscription_id, fate.stage, fate.reason) for fate in fates(one)]


def test_a_payload_that_no_step_changed_is_written_once_with_what_goes_out():
    config = source("src", destination("d1"), destination("d2"))
    batch = digest(6, 7, requests((EVENT, "track")), around(config))
    _, block = traced(batch)
    assert block.bodies == [batch.deliveries[0].body]
    assert [(each.step, list(each.bodies)) for each in block.changes] == [("normalize", [0])]
    assert [(each.destination_id, list(each.events)) for each in block.queued] == [("d1", [0]), ("d2", [0])]


def test_each_step_that_changed_an_event_is_told_with_what_it_made_of_it():
    config = source("src", destination("d1", "W", NO_B), destination("d2"), transformations=(RENAME,))
    asked = requests((EVENT, "track"))
    batch = digest(6, 7, asked, around(config))
    _, block = traced(batch)
    assert [each.bodies[0] == MADE_OF_RECORD for each in block.changes] == [True, False, False]
    (one,) = passes(batch, config, asked[0].record)
    assert [(each.step, each.payload["event"]) for each in one.changes] == [
        ("normalize", "E"),
        ("transform_at_source", "G"),
    ]
    (changed,) = one.branches["d1"].changes
    assert (changed.step, changed.payload["properties"]) == ("apply_filters", {"a": 1})
    assert one.branches["d2"].changes == []
    assert one.raw == EVENT
    assert told(one) == [("d1", "", "waiting", ""), ("d2", "", "waiting", "")]


def test_without_the_archive_what_normalize_made_is_not_told_and_the_rest_is():
    config = source("src", destination("d1", "W", NO_B))
    (one,) = passes(digest(6, 7, requests((EVENT, "track")), around(config)), config)
    assert (one.raw, one.changes[0].payload) == (None, None)
    assert one.branches["d1"].changes[0].payload["properties"] == {"a": 1}


def test_what_ended_an_event_is_told_with_step_stage_and_reason():
    config = source("src", destination("d1", "W", DROP_F), destination("d2"))
    bodies = [
        ({**EVENT, "event": "F"}, "track"),
        ({**EVENT, "messageId": "m2", "properties": []}, "track"),
        ({**EVENT, "messageId": "m1"}, "track"),
        ({"batch": [7]}, "batch"),
    ]
    batch = digest(6, 7, requests(*bodies), around(config))
    trace, block = traced(batch)
    ends = {(each.step, each.destination_id, each.stage, each.reason) for each in block.ends}
    assert ends == {
        ("apply_filters", "d1", "filtered_at_destination", "FILTERED_BY_RULES"),
        ("validate", "", "failed_on_ingest", "properties_not_object"),
        ("deduplicate", "", "", "duplicate"),
        ("admit", "", "failed_on_ingest", "bad_request"),
    }
    assert set(trace.marks.splitlines()) == {
        "d1 FILTERED_BY_RULES", " properties_not_object", " duplicate", " bad_request"
    }  # fmt: skip


def test_events_are_found_by_their_keys():
    trace, _ = traced(digest(6, 7, requests((EVENT, "track")), around(source("src", destination()))))
    assert holds(trace.keys, [packed([dedupe_key("ws", "m1")])])
    assert not holds(trace.keys, [packed([dedupe_key("ws", "m2")])])


def test_a_failing_step_is_told_with_its_error(monkeypatch):
    def failing(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("mainstem.model.destination_filter.FilterSet.apply", failing)
    drops_nothing = FilterConfig("f", "type = 'alias'", ({"type": "DROP"},), enabled=True)
    config = source("src", destination("dst", "Webhooks", drops_nothing))
    batch = digest(6, 7, requests((EVENT, "track")), around(config))
    (end,) = traced(batch)[1].ends
    assert (end.step, end.destination_id, end.reason) == ("apply_filters", "dst", "INTERNAL")
    assert "ZeroDivisionError" in end.detail


def test_a_request_that_cannot_be_read_at_all_is_told():
    batch = digest(6, 7, [Request(0, "7.0", b"no record")], around(source()))
    (end,) = traced(batch)[1].ends
    assert (end.step, end.stage, end.reason) == ("unpack", "failed_on_ingest", "internal")


def test_a_batch_that_had_to_be_halved_is_told_whole(monkeypatch):
    config = source("src", destination())
    bodies = [({**EVENT, "messageId": f"m{number}"}, "track") for number in range(9)]
    monkeypatch.setattr(digesting, "MAX_BYTES_AT_ONCE", 3 * len(requests(*bodies)[0].record))
    batch = digest(6, 7, requests(*bodies), around(config))
    found = []
    for trace in batch.traces:
        block = from_bytes(to_bytes(trace.block))
        found += [(block.message_ids[p], block.origins[block.requests[p]]) for p in range(len(block.message_ids))]
    assert found == [(f"m{number}", f"7.{number}") for number in range(9)]


def test_what_goes_round_by_a_function_is_queued_for_it_and_comes_back_as_a_pass_of_its_own():
    config = source("src", destination("d1"), insert=FunctionUse("i1", "f1", {}))
    known = around(config)
    batch = digest(6, 7, requests((EVENT, "track")), known)
    (queued,) = traced(batch)[1].queued
    assert queued.destination_id == "insert:i1"
    event = msgspec.json.decode(batch.deliveries[0].body, type=Event)
    event.payload = {**event.payload, "event": "Repaired"}
    event.request = 0
    back = digest_inserted(7, [event], msgspec.structs.replace(known, kind="inserted", origins=["entry.3"]))
    (one,) = passes(back, config)
    assert (one.kind, one.origin) == ("inserted", "entry.3")
    assert [(each.step, each.payload["event"]) for each in one.changes] == [("inserted", "Repaired")]
    assert told(one) == [("d1", "", "waiting", "")]


def test_what_is_re_driven_is_told_as_such():
    config = source("src", destination("d1"))
    event = Event("src", "ws", "track", "E", "", "m1", 5, "u", 1, dict(EVENT))
    known = msgspec.structs.replace(around(config), kind=REDRIVEN, origins=["redriven.4"])
    (one,) = passes(digest_again(7, event, "d1", known), config)
    assert (one.kind, one.origin, told(one)) == ("redriven", "redriven.4", [("d1", "", "waiting", "")])


def replayed(config, *bodies, only_to=""):
    """A batch of replayed requests."""
    known = msgspec.structs.replace(around(config, seen=[]), kind="replay", is_replay=True, only_to=only_to)
    return digest(7, 7, requests(*bodies), known)


def test_a_replay_to_one_destination_names_it_alone_and_keeps_the_consent():
    config = source("src", destination("d1", "Webhooks"), destination("d2", "Webhooks"))
    consent = {"categoryPreferences": {"ads": True}}
    event = {**EVENT, "integrations": {"Webhooks": False, "Other": {"x": 1}}, "context": {"consent": consent}}
    batch = replayed(config, (event, "track"), only_to="d2")
    (delivery,) = batch.deliveries
    payload = json.loads(delivery.body)
    assert delivery.destination_id == "d2"
    assert payload["integrations"] == {"All": False, "Webhooks": True}
    assert payload["context"]["consent"] == consent
    (one,) = passes(batch, config)
    assert [each.step for each in one.branches["d2"].changes] == ["replay"]


def test_a_replay_to_all_keeps_the_integrations_as_they_were():
    config = source("src", destination("d1", "Webhooks"), destination("d2", "Other"))
    batch = replayed(config, ({**EVENT, "integrations": {"Other": False}}, "track"))
    assert [each.destination_id for each in batch.deliveries] == ["d1"]


def test_a_replay_counts_nothing_at_its_source_and_its_filters_at_the_destination():
    config = source("src", destination("d1", "Webhooks", DROP_F))
    bodies = [({**EVENT, "event": "F"}, "track"), ({**EVENT, "messageId": "m2", "properties": []}, "track")]
    batch = replayed(config, *bodies)
    assert [(key.destination_id, key.reason) for key in batch.tallies] == [("d1", "FILTERED_BY_RULES")]
    assert (dict(batch.calls), set(batch.users)) == ({}, set())


def test_a_replay_to_a_destination_that_is_gone_ends_quietly():
    batch = replayed(source("src", destination("d1")), (EVENT, "track"), only_to="gone")
    assert batch.deliveries == []


def test_a_replay_remains_one_when_it_goes_round_by_a_function():
    config = source("src", destination("d1"), insert=FunctionUse("i1", "f1", {}))
    batch = replayed(config, (EVENT, "track"), only_to="d1")
    event = msgspec.json.decode(batch.deliveries[0].body, type=Event)
    assert event.replayed_to == "d1"
    plain = digest(6, 7, requests((EVENT, "track")), around(config))
    assert msgspec.json.decode(plain.deliveries[0].body, type=Event).replayed_to is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(["track", "page", "nonsense"]),
                "messageId": st.sampled_from(["a", "b", "", None]),
            },
            optional={"event": st.sampled_from(["E", "F", 7]), "userId": st.sampled_from(["u", 5, None])},
        ),
        max_size=6,
    ),
    st.lists(st.sampled_from([NO_B, DROP_F]), max_size=2),
    st.booleans(),
)
def test_every_event_of_a_batch_is_told_with_as_many_fates_as_it_has(items, filters, is_transformed):
    config = source(
        "src",
        destination("d1", "W", *filters),
        destination("d2"),
        transformations=(RENAME,) if is_transformed else (),
    )
    asked = [request({"batch": items}, "batch")]
    batch = digest(6, 7, asked, around(config))
    _, block = traced(batch)
    assert len(block.message_ids) == max(1, len(items))
    ended = sum(len(each.events) for each in block.ends)
    queued = sum(len(each.events) for each in block.queued)
    assert queued == len(batch.deliveries)
    at_source = sum(len(each.events) for each in block.ends if not each.destination_id)
    assert ended - at_source + queued == 2 * (len(block.message_ids) - at_source)
    bodies = {(each.message_id, each.destination_id): json.loads(each.body) for each in batch.deliveries}
    for one in passes(batch, config, asked[0].record):
        for branch in one.branches.values():
            last = [*one.changes, *branch.changes][-1]
            if branch.subscriptions:
                assert last.payload == bodies[last.payload["messageId"], branch.destination_id]
