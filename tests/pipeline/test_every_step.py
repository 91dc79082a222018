"""What holds for every step of both tuples, whatever it does."""

from __future__ import annotations

import copy

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import EngineUnavailable
from mainstem.model.event import EVENT_TYPES
from mainstem.model.outcome import DESTINATION_REASONS, INGEST_REASONS, SOURCE_REASONS, Stage
from mainstem.model.snapshot import FilterConfig, SchemaControls, TransformationConfig
from mainstem.pipeline import AT_SOURCE, FROM_SOURCE, TO_DESTINATION, UNDER_PLAN, run
from mainstem.pipeline.step import Dropped, Event, Step, Verdicts, each, spread, whole
from model.plans import declaring, plan, rule
from pipeline.making import destination, destination_scope, request, scope, source

FILTERS = (
    FilterConfig("f1", "contains(event, 'a') or length(traits.x) > 1", ({"type": "DROP"},), enabled=True),
    FilterConfig(
        "f2",
        "properties.a != null",
        ({"type": "DROP_PROPERTIES", "fields": {"properties": ["a"], "context.device": ["id"]}},),
        enabled=True,
    ),
)
DESTINATION = destination("dst", "Webhooks", *FILTERS, consent_categories=("ad",))
EVERY_STEP = [*FROM_SOURCE, *UNDER_PLAN, *AT_SOURCE, *TO_DESTINATION]
PLAN = plan(
    rule("TRACK", "E", declaring({"a": {"type": ["null", "object"], "properties": {"a": {"type": "array"}}}}, "a")),
    rule("IDENTIFY", "", declaring({"a": {"type": "string"}}, container="traits")),
    rule("PAGE", "", declaring({"a": {"type": "string"}})),
    rule("COMMON", "", declaring({"b": {"minLength": 3}})),
)
UNDER_CONTROL = SchemaControls(
    allow_unplanned_event_properties=False,
    allow_properties_on_violations=False,
    track_common="BLOCK",
    allow_unplanned_identify_traits=False,
    group_common="OMIT_TRAITS",
    forwarding_violations_to="src",
    forwarding_blocked_events_to="src",
)
SWITCHES = SchemaControls(events_off={"page": ("E",), "track": ("a",)}, traits_off={"identify": ("a",)})
TRANSFORMATIONS = (
    TransformationConfig("t1", "contains(event, 'b') or length(traits.y) > 1", enabled=True, drop=True),
    TransformationConfig(
        "t2",
        "all",
        enabled=True,
        new_event_name="New",
        property_renames=(("a", "b"), ("b.a", "traits.a")),
        property_value_transformations=((("context.app.id", "extra"), "x"),),
        hash_properties={"algorithm": "SHA256", "paths": ["a.a", "c", "context.device"]},
    ),
    TransformationConfig("t3", "type = 'track'", enabled=True, allow_properties=("a", "b.a")),
)
REASONS = {
    Stage.FAILED_ON_INGEST: INGEST_REASONS,
    Stage.FILTERED_AT_SOURCE: SOURCE_REASONS,
    Stage.FILTERED_AT_DESTINATION: DESTINATION_REASONS,
}

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
odd = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        "",
        "E",
        "\0",
        "ア",
        [],
        ["a"],
        [[{}]],
        {},
        {"a": None},
        {"a": {"a": [1, {"id": 2}]}},
    ]
)
ids = st.sampled_from(["u", "", None, 7, []]) | st.text(min_size=1, max_size=5)
fields = {
    "type": st.sampled_from([*EVENT_TYPES, "odd", 7, None]),
    "userId": ids,
    "anonymousId": ids,
    "messageId": ids | st.text(min_size=99, max_size=102),
    "groupId": ids,
    "previousId": ids,
    "event": odd,
    "name": odd,
    "properties": odd,
    "traits": odd,
    "context": odd
    | st.fixed_dictionaries({}, optional=dict.fromkeys(("app", "device", "consent", "library", "ip"), odd)),
    "integrations": odd | st.dictionaries(st.sampled_from(["All", "all", "Webhooks"]), odd),
    "timestamp": odd | st.just("2012-12-02T00:30:08Z"),
    "sentAt": odd | st.just("2012-12-02T00:30:09Z"),
    "_metadata": odd | st.fixed_dictionaries({"bundled": odd | st.lists(st.sampled_from(["Webhooks", "X"]))}),
}
likely = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(EVENT_TYPES)), "userId": st.just("u"), "event": st.text(min_size=1)}
)
payloads = (
    json
    | st.fixed_dictionaries({}, optional=fields)
    | likely.flatmap(lambda base: st.fixed_dictionaries({}, optional=fields).map(lambda more: {**more, **base}))
)
batches = st.fixed_dictionaries(
    {"batch": st.lists(payloads, max_size=6)},
    optional={key: fields[key] for key in ("context", "integrations", "sentAt")},
)
bodies = st.tuples(
    payloads.filter(lambda each: isinstance(each, dict)), st.sampled_from(sorted(EVENT_TYPES))
) | st.tuples(batches, st.just("batch"))


def scope_of(step):
    if step in TO_DESTINATION:
        return destination_scope(DESTINATION, TRANSFORMATIONS)
    if step.name == "enforce_tracking_plan":
        return scope(source("src", tracking_plan_id=PLAN.id, schema=UNDER_CONTROL), PLAN)
    return scope(source("src", DESTINATION, transformations=TRANSFORMATIONS, schema=SWITCHES))


def snapshot_of(batch):
    """A deep copy of all that a step may see of its input."""
    return [copy.deepcopy(each) for each in batch]


@settings(max_examples=80, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=3))
def test_no_step_changes_its_input_fails_or_loses_an_event(sent):
    batch = [request(body, kind, index=index, origin=f"7.{index}") for index, (body, kind) in enumerate(sent)]
    for step in EVERY_STEP:
        before = snapshot_of(batch)
        verdicts = step.apply(batch, scope_of(step))
        assert batch == before, step.name
        assert not verdicts.failed, step.name
        if not step.spreads:
            assert len(verdicts.kept) + len(verdicts.dropped) == len(batch), step.name
        for each_dropped in verdicts.dropped:
            assert each_dropped.stage is None or each_dropped.reason in REASONS[each_dropped.stage]
        batch = verdicts.kept


@settings(max_examples=80, deadline=None)
@given(st.lists(bodies, min_size=1, max_size=3))
def test_a_step_that_is_passed_over_would_have_left_every_event_as_it_is(sent):
    batch = [request(body, kind, index=index, origin=f"7.{index}") for index, (body, kind) in enumerate(sent)]
    passed_over = set()
    for steps in (FROM_SOURCE, UNDER_PLAN, AT_SOURCE, TO_DESTINATION):
        its_scope = destination_scope() if steps is TO_DESTINATION else scope()
        for step in steps:
            verdicts = step.apply(batch, its_scope)
            if not step.when(its_scope):
                passed_over.add(step.name)
                assert verdicts == Verdicts(kept=batch), step.name
            batch = verdicts.kept
    assert {"suppress", "obey_consent", "apply_filters", "transform_for_destination"} <= passed_over


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key not in fields), json, max_size=5))
def test_odd_json_arrives_as_it_was_sent(odd):
    sent = {"userId": "u", "event": "E", "properties": odd, "extra": odd, **odd}
    kept = run(FROM_SOURCE, [request(sent, "track")], scope()).kept
    delivery = run(TO_DESTINATION, kept, destination_scope()).kept[0]
    arrived = msgspec.json.decode(delivery.body)
    written_by_the_server = {
        "writeKey", "originalTimestamp", "receivedAt", "version", "channel", "projectId",
    }  # fmt: skip
    for key in sent.keys() - written_by_the_server:
        assert arrived[key] == msgspec.json.decode(msgspec.json.encode(sent[key])), key


def test_an_event_nested_as_deep_as_json_may_be_goes_through():
    deep = "[" * 400 + "]" * 400
    body = b'{"userId":"u","event":"E","properties":{"deep":' + deep.encode() + b"}}"
    kept = run(FROM_SOURCE, [request(body)], scope()).kept
    assert deep.encode() in run(TO_DESTINATION, kept, destination_scope()).kept[0].body


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: step.name)
def test_every_step_says_what_it_does_in_a_sentence(step):
    assert step.does.endswith(".")


# ---- the lifts


def sort_out(event, _scope):
    """Say what the number wants."""
    if event == 13:
        raise ValueError("a user's data")
    return Dropped(event, None, "odd") if event % 2 else event * 10


def ask(batch, _scope):
    """Fail on 13."""
    if 13 in batch:
        raise ValueError("a user's data")
    return Verdicts(kept=list(batch))


@pytest.mark.parametrize("step", [each(sort_out), whole(ask)], ids=lambda step: step.name)
def test_an_event_on_which_a_step_fails_stands_alone(step):
    verdicts = step.apply([2, 13, 4, 13, 6], None)
    assert len(verdicts.kept) == 3
    assert [failed.what for failed in verdicts.failed] == [13, 13]
    assert {failed.where for failed in verdicts.failed} == {step.name}


def test_what_is_said_of_a_failure_names_the_place_and_no_data():
    error = each(sort_out).apply([13], None).failed[0].error
    assert error.startswith("ValueError at test_every_step.py:")
    assert "user" not in error


def test_a_step_that_spreads_fails_for_one_alone():
    def halves(number, _scope):
        """Make two of one."""
        return [number // 2, number // 2] if number != 13 else 1 / 0

    verdicts = spread(halves).apply([4, 13, 6], None)
    assert verdicts.kept == [2, 2, 3, 3]
    assert [failed.what for failed in verdicts.failed] == [13]


def test_a_store_that_cannot_answer_is_no_fault_of_the_events():
    def unavailable(_batch, _scope):
        """Never answer."""
        raise EngineUnavailable("full")

    with pytest.raises(EngineUnavailable):
        whole(unavailable).apply([1, 2], None)


def test_run_notices_a_step_that_loses_an_event():
    loses = Step("loses", "", lambda batch, _scope: Verdicts(kept=list(batch[1:])))
    with pytest.raises(AssertionError, match="loses lost an event"):
        run([loses], [Event("s", "w", "track", "", "", "m", 1, "u", 1, {})], None)
