"""Tracking plans at work in the pipeline: what they block and trim, and what is forwarded elsewhere."""

from __future__ import annotations

import msgspec
import pytest

from mainstem.model.outcome import SOURCE_REASONS, Stage
from mainstem.model.rule_schema import faults
from mainstem.model.snapshot import SchemaControls
from mainstem.pipeline.digest import digest
from model.plans import declaring, plan, rule
from pipeline.making import RECEIVED_AT_MS, around, destination, requests, source

PLAN = plan(
    rule("TRACK", "Subscription Cancelled", declaring({"plan": {"type": "string"}, "months": {"type": "integer"}})),
    rule("TRACK", "Strict", declaring({"a": {"type": "string"}, "b": {"type": "string"}}, "a", "b")),
    rule("IDENTIFY", "", declaring({"email": {"type": "string"}}, container="traits")),
    name="Shop",
)
DAY = RECEIVED_AT_MS // 86_400_000
NO_UNPLANNED = {"allow_unplanned_events": False}
CANCELLED = {"type": "track", "userId": "u", "event": "Subscription Cancelled"}
UNPLANNED = {"type": "track", "userId": "u", "event": "subscription_cancelled"}


def planned(**controls):
    """A source under the plan, with a destination of its own."""
    return source("src", destination("dst"), tracking_plan_id="tp_1", schema=SchemaControls(**controls))


def other(**fields):
    """A source that things are forwarded to."""
    return source("other", destination("d2"), **fields)


def process(*events, by=None, config=PLAN, to=()):
    """One request with these events."""
    return digest(6, 7, requests(({"batch": list(events)}, "batch")), around(by or planned(), config, *to))


def delivered(batch, to="dst"):
    return [msgspec.json.decode(each.body) for each in batch.deliveries if each.destination_id == to]


def counted(batch, source_id="src"):
    """How many events of a source reached each stage, and why."""
    found = {}
    for key, tally in batch.tallies.items():
        if key.source_id == source_id and not key.destination_id:
            group = (key.stage, key.reason)
            found[group] = found.get(group, 0) + tally.count
    return found


def test_an_event_under_another_spelling_of_its_name_is_blocked_and_counts_neither_as_call_nor_for_mtu():
    batch = process(UNPLANNED, by=planned(**NO_UNPLANNED))
    assert delivered(batch) == []
    assert counted(batch) == {(Stage.SUCCESSFULLY_RECEIVED, ""): 1, (Stage.FILTERED_AT_SOURCE, "unplanned"): 1}
    assert not batch.calls
    assert not batch.users
    assert "unplanned" in SOURCE_REASONS


def test_an_event_that_is_planned_goes_on_beside_one_that_is_not():
    batch = process(UNPLANNED, CANCELLED, by=planned(**NO_UNPLANNED))
    assert [each["event"] for each in delivered(batch)] == ["Subscription Cancelled"]
    assert batch.calls == {("src", DAY): 1}


def test_a_blocked_event_is_received_and_counted_by_the_source_it_is_forwarded_to():
    by = planned(**NO_UNPLANNED, forwarding_blocked_events_to="other")
    batch = process({**UNPLANNED, "messageId": "m"}, by=by, to=[other()])
    copied = delivered(batch, "d2")[0]
    assert delivered(batch) == []
    assert counted(batch, "other") == {(Stage.SUCCESSFULLY_RECEIVED, ""): 1}
    assert batch.calls == {("other", DAY): 1}
    assert [(user.source_id, user.user_id) for user in batch.users] == [("other", "u")]
    assert (copied["event"], copied["userId"], copied["projectId"]) == ("subscription_cancelled", "u", "other")
    assert copied["messageId"] != "m"
    assert copied["context"]["protocols"]["sourceId"] == "src"


def test_a_forwarded_event_is_not_blocked_a_second_time():
    by = planned(**NO_UNPLANNED, forwarding_blocked_events_to="other")
    controls = SchemaControls(**NO_UNPLANNED, forwarding_blocked_events_to="src", forwarding_violations_to="src")
    batch = process(UNPLANNED, by=by, to=[other(tracking_plan_id="tp_1", schema=controls)])
    assert len(delivered(batch, "d2")) == 1
    assert delivered(batch) == []


def test_the_same_batch_forwards_the_same_when_it_is_processed_again():
    by = planned(**NO_UNPLANNED, forwarding_blocked_events_to="other", forwarding_violations_to="other")
    first, second = (process(UNPLANNED, {**CANCELLED, "properties": {"plan": 1}}, by=by, to=[other()]) for _ in "12")
    assert first.deliveries == second.deliveries
    assert len({each.message_id for each in first.deliveries}) == 3


def test_nothing_is_forwarded_to_a_source_that_is_gone_or_disabled():
    by = planned(**NO_UNPLANNED, forwarding_blocked_events_to="other", forwarding_violations_to="gone")
    batch = process(UNPLANNED, {**CANCELLED, "properties": {"plan": 1}}, by=by, to=[other(enabled=False)])
    assert [each.destination_id for each in batch.deliveries] == ["dst"]


def test_an_unplanned_property_is_omitted_and_the_event_is_not_forwarded_as_blocked():
    by = planned(allow_unplanned_event_properties=False, forwarding_blocked_events_to="other")
    batch = process({**CANCELLED, "properties": {"plan": "x", "extra": 1}}, by=by, to=[other()])
    arrived = delivered(batch)[0]
    assert arrived["properties"] == {"plan": "x"}
    assert arrived["context"]["protocols"]["omitted"] == ["extra"]
    assert delivered(batch, "d2") == []


def test_a_missing_required_property_cannot_be_omitted_so_the_event_passes_with_the_violation():
    batch = process({**CANCELLED, "event": "Strict"}, by=planned(allow_properties_on_violations=False))
    fields = [each["field"] for each in delivered(batch)[0]["context"]["protocols"]["violations"]]
    assert fields == ["properties"], "the object that holds both is missing itself"
    batch = process(
        {**CANCELLED, "event": "Strict", "properties": {"a": "x"}}, by=planned(allow_properties_on_violations=False)
    )
    assert delivered(batch)[0]["properties"] == {"a": "x"}
    assert delivered(batch)[0]["context"]["protocols"]["violations"] == [
        {"type": "Required", "field": "properties.b", "description": "properties.b is required"}
    ]


def test_each_violation_is_forwarded_as_an_event_of_one_and_the_same_user():
    by = planned(forwarding_violations_to="other")
    batch = process({**CANCELLED, "properties": {"plan": 1, "months": "x"}}, by=by, to=[other()])
    told = delivered(batch, "d2")
    assert [each["properties"]["violationField"] for each in told] == ["properties.plan", "properties.months"]
    assert {each["userId"] for each in told} == {"schema-violations"}
    assert len(delivered(batch)) == 1
    assert batch.calls == {("src", DAY): 1, ("other", DAY): 2}
    assert [user.user_id for user in batch.users if user.source_id == "other"] == ["schema-violations"]


def test_a_forwarded_violation_has_the_published_shape():
    by = planned(forwarding_violations_to="other")
    sent = {
        **CANCELLED, "messageId": "m1", "sentAt": "2025-11-24T15:59:59.000Z", "properties": {"plan": 1},
        "timestamp": "2025-11-24T15:59:58.000Z",
        "context": {"app": {"version": "1.2"}, "library": {"name": "analytics-node"}, "ip": "1.2.3.4"},
    }  # fmt: skip
    told = delivered(digest(6, 7, requests((sent, "track")), around(by, PLAN, other())), "d2")[0]
    assert told.pop("messageId").startswith("sch-")
    assert told == {
        "type": "track",
        "event": "Violation Generated",
        "userId": "schema-violations",
        "integrations": {},
        "forwardedFromProject": "src",
        "context": {"app": {"version": "1.2"}, "library": {"name": "analytics-node"}},
        "properties": {
            "appVersion": "1.2",
            "eventMessageID": "m1",
            "eventName": "Subscription Cancelled",
            "eventSentAt": "2025-11-24T15:59:59.000Z",
            "eventTimestamp": "2025-11-24T15:59:59.000Z",
            "eventType": "track",
            "sourceID": "src",
            "sourceName": "src",
            "sourceSlug": "src",
            "trackingPlanID": "tp_1",
            "trackingPlanName": "Shop",
            "violationDescription": "Invalid type. Expected: string, given: integer",
            "violationField": "properties.plan",
            "violationType": "Invalid Type",
        },
        "timestamp": "2025-11-24T16:00:00.000Z",
        "originalTimestamp": "2025-11-24T16:00:00.000Z",
        "receivedAt": "2025-11-24T16:00:00.000Z",
        "version": 2,
        "channel": "server",
        "projectId": "other",
    }


def test_what_an_event_does_not_have_is_told_as_text_all_the_same():
    by = planned(forwarding_violations_to="other")
    sent = {
        "type": "identify",
        "userId": "u",
        "traits": {"email": 1},
        "sentAt": 7,
        "context": {"app": {"version": 7}},
    }
    told = delivered(process(sent, by=by, to=[other()]), "d2")[0]
    assert told["context"] == {"app": {"version": 7}, "library": None}
    assert {key: told["properties"][key] for key in ("appVersion", "eventName", "eventSentAt", "eventType")} == {
        "appVersion": "", "eventName": "", "eventSentAt": "0001-01-01T00:00:00Z", "eventType": "identify",
    }  # fmt: skip


def test_an_event_version_that_is_no_integer_means_the_oldest_version():
    config = plan(
        rule("TRACK", "E", declaring({"a": {"type": "string"}}), 1),
        rule("TRACK", "E", declaring({"a": {"type": "boolean"}}), 2),
    )
    sent = {"type": "track", "userId": "u", "event": "E", "properties": {"a": 1}}
    sent["context"] = {"protocols": {"event_version": "2"}}
    found = delivered(process(sent, config=config))[0]["context"]["protocols"]
    assert found["event_version"] == "2"
    assert "Expected: string" in found["violations"][0]["description"]


def test_a_page_passes_with_a_violation_where_a_track_call_with_the_same_fault_is_blocked():
    config = plan(rule("COMMON", "", declaring({"shop": {"type": "string"}}, "shop")))
    page = {"type": "page", "userId": "u", "properties": {"shop": 7}}
    track = {**page, "type": "track", "event": "E"}
    batch = process(page, track, by=planned(track_common="BLOCK"), config=config)
    assert [each["type"] for each in delivered(batch)] == ["page"]
    assert delivered(batch)[0]["properties"] == {"shop": 7}
    assert len(delivered(batch)[0]["context"]["protocols"]["violations"]) == 1
    assert counted(batch)[Stage.FILTERED_AT_SOURCE, "common_schema_violation"] == 1


def test_a_pattern_with_look_ahead_is_refused_at_write():
    schema = declaring({"a": {"type": "string", "pattern": "^(?!x)"}})
    assert [path for path, _ in faults(schema)] == ["properties.properties.properties.a.pattern"]


def test_identify_is_never_blocked_for_an_unplanned_trait_only_trimmed():
    controls = {
        name: False for name, value in msgspec.structs.asdict(SchemaControls()).items() if value is True
    }  # fmt: skip
    sent = {"type": "identify", "userId": "u", "traits": {"email": "e", "extra": 1}}
    arrived = delivered(process(sent, by=planned(**controls)))[0]
    assert arrived["traits"] == {"email": "e"}
    assert arrived["context"]["protocols"]["omitted"] == ["extra"]


@pytest.mark.parametrize("type_", ["track", "identify", "group", "page", "screen", "alias"])
def test_what_keeps_the_plan_arrives_untouched(type_):
    sent = {"type": type_, "userId": "u", "groupId": "g", "previousId": "p", "event": "Subscription Cancelled"}
    with_plan, without = process(sent), process(sent, by=source("src", destination("dst")))
    assert with_plan.deliveries == without.deliveries


def test_a_plan_that_changes_is_obeyed_from_the_next_batch_on():
    surroundings = around(planned(**NO_UNPLANNED), PLAN)
    assert not digest(6, 7, requests((UNPLANNED, "track")), surroundings).deliveries
    wider = plan(*PLAN.rules, rule("TRACK", "subscription_cancelled", {}))
    changed = msgspec.structs.replace(surroundings, snapshot=around(planned(**NO_UNPLANNED), wider).snapshot)
    assert len(digest(7, 8, requests((UNPLANNED, "track")), changed).deliveries) == 1
