"""What a tracking plan forwards, and what sources learn, through a real store."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from delivery.test_process import Failing, ListLog, Published, run
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.model.event import to_record
from mainstem.model.learned import JsonType
from mainstem.model.outcome import Stage
from mainstem.model.ports import OutcomeQuery
from mainstem.model.snapshot import SchemaControls
from model.plans import declaring, plan, rule
from pipeline.making import RECEIVED_AT_MS, destination, received, source

MINUTE = RECEIVED_AT_MS // 60_000
DAY = RECEIVED_AT_MS // 86_400_000
PLAN = plan(rule("TRACK", "Planned", declaring({"a": {"type": "string"}, "b": {"type": "string"}})))
CONTROLS = SchemaControls(
    allow_unplanned_events=False, forwarding_blocked_events_to="blocked", forwarding_violations_to="violations"
)
PLANNED = source("src", destination("dst"), tracking_plan_id=PLAN.id, schema=CONTROLS)
# Were they judged as well, everything would be blocked, and go round and round.
BLOCKED = source("blocked", destination("d-blocked"), tracking_plan_id=PLAN.id, schema=CONTROLS)
VIOLATIONS = source("violations", destination("d-violations"), tracking_plan_id=PLAN.id, schema=CONTROLS)


@pytest.fixture
def flow(tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        yield flow


def track(event, message_id, user="u1", **properties):
    body = {"userId": user, "event": event, "messageId": message_id, "properties": properties}
    return to_record(received(body))


def process(flow, *records, store=None):
    run(ListLog(list(records)), flow, Published(PLANNED, BLOCKED, VIOLATIONS, PLAN), store=store)


def queued(flow, to):
    return [msgspec.json.decode(each.new.body) for each in flow.queue.take(to, 0, 100, (0, 1))]


def received_by(flow, source_id, stage=Stage.SUCCESSFULLY_RECEIVED):
    query = OutcomeQuery([source_id], [stage], 0, MINUTE + 1, 1)
    return sum(each.count for each in flow.outcomes.counts(query))


def users(flow, source_id):
    return [each.identified for each in flow.outcomes.tracked_users([source_id], DAY, DAY) if each.source_id]


EVENTS = (
    track("Other", "m1", x=1),
    track("Planned", "m2", "u2", a=1, b=2),
    track("Planned", "m3", "u3", a="ok"),
)


def test_blocked_events_and_violations_arrive_in_the_sources_they_are_forwarded_to(flow):
    process(flow, *EVENTS)
    assert [each["messageId"] for each in queued(flow, "dst")] == ["m2", "m3"]
    assert [each["event"] for each in queued(flow, "d-blocked")] == ["Other"]
    assert [each["properties"]["eventMessageID"] for each in queued(flow, "d-violations")] == ["m2", "m2"]


def test_they_count_there_as_received_as_calls_and_for_mtu(flow):
    process(flow, *EVENTS)
    assert [received_by(flow, each) for each in ("src", "blocked", "violations")] == [3, 1, 2]
    assert received_by(flow, "src", Stage.FILTERED_AT_SOURCE) == 1
    assert flow.outcomes.api_calls(["src", "blocked", "violations"], DAY, DAY) == {
        ("src", DAY): 2, ("blocked", DAY): 1, ("violations", DAY): 2,
    }  # fmt: skip
    assert [users(flow, each) for each in ("src", "blocked", "violations")] == [[2], [1], [1]]


@pytest.mark.parametrize("failures", [["before"] * 4, ["after"] * 4, [None, None, None, None, "after"]])
def test_a_batch_that_has_to_be_processed_again_forwards_once_and_forgets_nothing_that_it_learned(flow, failures):
    process(flow, *EVENTS, store=Failing(flow.pipeline, failures))
    assert len(queued(flow, "d-blocked")) == 1
    assert len(queued(flow, "d-violations")) == 2
    assert received_by(flow, "violations") == 2
    assert [each.event_name for each in flow.learned.events("src")] == ["Other", "Planned"]


def test_what_a_source_was_sent_is_learned_and_what_was_forwarded_to_another_too_but_for_violations(flow):
    process(flow, *EVENTS)
    assert {each.path: each.types for each in flow.learned.fields("src", "track", "Planned")} == {
        "a": JsonType.INTEGER | JsonType.STRING, "b": JsonType.INTEGER,
    }  # fmt: skip
    assert [each.event_name for each in flow.learned.events("blocked")] == ["Other"]
    assert flow.learned.events("violations") == []
