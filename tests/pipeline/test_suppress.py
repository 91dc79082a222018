"""Events of suppressed users."""

from __future__ import annotations

import msgspec

from mainstem.model.snapshot import SUPPRESSED_PREFIX, Change, FunctionUse, SchemaControls, Snapshot, SuppressedConfig
from mainstem.pipeline.digest import Surroundings, digest, digest_inserted
from mainstem.pipeline.step import Event
from model.plans import plan
from model.test_suppression import lists
from pipeline.making import around, destination, from_source, request, scope, source

EVENT = {"type": "track", "event": "E", "userId": "gone", "messageId": "m"}


def suppressing(known: Snapshot, *users: tuple[str, str]) -> Snapshot:
    changes = [Change(SUPPRESSED_PREFIX + part, SuppressedConfig(each)) for part, each in lists(*users).items()]
    return known.with_changes(2, changes)


def surroundings(*configs, users=(("ws", "gone"),)) -> Surroundings:
    known = around(*configs)
    return msgspec.structs.replace(known, snapshot=suppressing(known.snapshot, *users))


def test_an_event_of_a_suppressed_user_vanishes_uncounted_and_unseen():
    batch = digest(0, 1, [request(EVENT)], surroundings(source("src", destination())))
    assert (batch.deliveries, batch.tallies, dict(batch.calls), list(batch.seen)) == ([], {}, {}, [])
    assert not batch.users
    assert not batch.traces


def test_an_invalid_event_of_a_suppressed_user_vanishes_too():
    batch = digest(0, 1, [request({**EVENT, "properties": 7})], surroundings(source()))
    assert (batch.tallies, batch.traces) == ({}, [])


def test_each_item_of_a_batch_is_judged_alone():
    items = [EVENT, {**EVENT, "userId": "here", "messageId": "m2"}, {**EVENT, "userId": None, "anonymousId": "gone"}]
    known = scope()
    known = msgspec.structs.replace(known, snapshot=suppressing(known.snapshot, ("ws", "gone")))
    verdicts = from_source({"batch": items}, "batch", scope=known)
    assert [event.number for event in verdicts.kept] == [1, 2]


def test_users_of_a_sources_own_list_pass_at_other_sources():
    known = surroundings(source("src"), source("other"), users=[("src", "gone")])
    both = [request(EVENT, source_id="src"), request(EVENT, index=1, source_id="other")]
    batch = digest(0, 1, both, known)
    assert {key.source_id for key in batch.tallies} == {"other"}


def test_of_a_replay_or_of_what_a_function_emitted_no_record_is_kept():
    beside = request({**EVENT, "userId": "here", "messageId": "m2"}, index=1)
    known = msgspec.structs.replace(surroundings(source("src", destination())), kind="replay", is_replay=True)
    batch = digest(0, 1, [request(EVENT), beside], known)
    (trace,) = batch.traces
    assert [bool(each) for each in trace.block.records] == [False, True]
    assert trace.block.users == ["here"]


def test_a_function_that_names_a_suppressed_user_is_no_way_round_the_list():
    config = source("src", destination(), insert=FunctionUse("i", "f", {}))
    known = surroundings(config)
    queued = digest(0, 1, [request({**EVENT, "userId": "here"})], known).deliveries
    event = msgspec.json.decode(queued[0].body, type=Event)
    event.payload = {**event.payload, "userId": "gone"}
    batch = digest_inserted(1, [event], msgspec.structs.replace(known, kind="inserted", origins=["entry.1"]))
    assert batch.deliveries == []
    assert [key.stage for key in batch.tallies] == ["filtered_at_source"]


def test_what_is_blocked_is_not_forwarded_to_a_source_that_suppresses_its_user():
    controls = SchemaControls(allow_unplanned_events=False, forwarding_blocked_events_to="other")
    first = source("src", tracking_plan_id="tp_1", schema=controls)
    known = surroundings(first, source("other"), users=[("other", "gone")])
    known = msgspec.structs.replace(known, snapshot=known.snapshot.with_changes(3, [Change("tp_1", plan())]))
    batch = digest(0, 1, [request(EVENT)], known)
    assert {key.source_id for key in batch.tallies} == {"src"}


def test_nobody_is_looked_up_where_there_is_no_list():
    assert len(from_source(EVENT).kept) == 1
