"""What a tracking plan does to an event."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model.enforcement import MAX_VIOLATIONS, Enforcers, Rule
from mainstem.model.snapshot import Change, RuleConfig, SchemaControls, Snapshot, SourceConfig
from model.json_values import values
from model.plans import declaring, judge, plan, protocols, rule, told, track

INTEGER = {"type": "integer"}
STRING = {"type": "string"}
PLAN = plan(
    rule("TRACK", "E", declaring({"a": INTEGER, "b": STRING}, "a")),
    rule("IDENTIFY", "", declaring({"email": STRING}, container="traits")),
    rule("GROUP", "", declaring({"seats": INTEGER}, container="traits")),
)
COMMON = rule("COMMON", "", declaring({"shop": STRING}, "shop"))
COMMON_TRAITS = rule("COMMON", "", declaring({"shop": STRING}, container="traits"))
NO_UNPLANNED = {"allow_unplanned_event_properties": False}
NO_VIOLATING = {"allow_properties_on_violations": False}
EVERYTHING_OFF = {
    name: False if isinstance(value, bool) else "BLOCK"
    for name, value in msgspec.structs.asdict(SchemaControls()).items()
    if isinstance(value, bool) or value == "ALLOW"
}


def test_an_event_that_keeps_the_plan_goes_on_as_it_is():
    assert judge(PLAN, track(properties={"a": 1}), **EVERYTHING_OFF) is None


def test_everything_is_allowed_at_first_and_what_is_found_is_told():
    sent = track(properties={"a": "x", "more": 1}, context={"app": {"version": "1"}})
    judged = judge(PLAN, sent)
    assert judged is not None
    assert judged.reason == ""
    assert judged.payload["properties"] == sent["properties"]
    assert judged.payload["context"] == {
        "app": {"version": "1"},
        "protocols": {
            "sourceId": "src",
            "omitted": [],
            "omitted_on_violation": [],
            "violations": [
                {
                    "type": "Invalid Type",
                    "field": "properties.a",
                    "description": "Invalid type. Expected: integer, given: string",
                }
            ],
        },
    }


def test_an_unplanned_event_that_is_allowed_is_no_violation():
    assert judge(PLAN, track("Other", properties={"x": 1})) is None


@pytest.mark.parametrize("name", ["e", "E ", "", 7, None, ["E"], {"E": 1}])
def test_an_event_is_planned_under_its_exact_name(name):
    judged = judge(PLAN, track(name), allow_unplanned_events=False)
    assert judged is not None
    assert judged.reason == "unplanned"


def test_an_unplanned_event_that_breaks_the_common_rule_is_blocked_for_both():
    config = plan(COMMON)
    judged = judge(config, track(properties={"shop": 1}), allow_unplanned_events=False)
    assert judged is not None
    assert judged.reason == "unplanned_and_schema_violation"
    assert told(judged) == [("Invalid Type", "properties.shop", "Invalid type. Expected: string, given: integer")]


def test_an_event_that_breaks_its_rule_is_blocked():
    judged = judge(PLAN, track(properties={"a": "x"}), allow_event_on_violations=False)
    assert judged is not None
    assert judged.reason == "schema_violation"


def test_blocking_beats_omitting():
    judged = judge(PLAN, track(properties={"a": "x"}), allow_event_on_violations=False, **NO_VIOLATING)
    assert judged is not None
    assert judged.reason == "schema_violation"
    assert judged.payload["properties"] == {"a": "x"}


def test_unplanned_properties_are_taken_out_before_violating_ones():
    judged = judge(PLAN, track(properties={"a": "x", "b": "y", "c": 1}), **NO_UNPLANNED, **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["properties"] == {"b": "y"}
    assert protocols(judged)["omitted"] == ["c"]
    assert protocols(judged)["omitted_on_violation"] == ["a"]


def test_what_is_forbidden_by_name_is_taken_out_once():
    strict = declaring({"a": INTEGER})
    strict["properties"]["properties"]["additionalProperties"] = False
    judged = judge(
        plan(rule("TRACK", "E", strict)), track(properties={"a": 1, "c": 1}), **NO_UNPLANNED, **NO_VIOLATING
    )
    assert judged is not None
    assert judged.payload["properties"] == {"a": 1}
    assert (protocols(judged)["omitted"], protocols(judged)["omitted_on_violation"]) == (["c"], [])
    judged = judge(plan(rule("TRACK", "E", strict)), track(properties={"a": 1, "c": 1}), **NO_VIOLATING)
    assert protocols(judged)["omitted_on_violation"] == ["c"]


def test_an_event_that_the_common_rule_blocks_is_whole_whatever_was_taken_out_before():
    config = plan(rule("TRACK", "E", declaring({"a": INTEGER})), COMMON)
    judged = judge(config, track(properties={"a": 1, "shop": 7}), **NO_UNPLANNED, track_common="BLOCK")
    assert judged is not None
    assert judged.reason == "common_schema_violation"
    assert judged.payload["properties"] == {"a": 1, "shop": 7}
    assert protocols(judged)["omitted"] == []


@pytest.mark.parametrize(
    ("schema", "value", "left", "names"),
    [
        ({"properties": {"zip": STRING}}, {"zip": 5, "city": "x"}, {"city": "x"}, ["x.zip"]),
        ({"items": {"properties": {"sku": STRING}}}, [{"sku": 1}, {"sku": "a"}], [{}, {"sku": "a"}], ["x.$.sku"]),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1, "c": 2}, {"c": 2}, ["x.ab"]),
        ({"items": {"items": {"properties": {"y": STRING}}}}, [[{"y": 1}]], [[{}]], ["x.$.$.y"]),
    ],
)
def test_what_violates_deeper_is_taken_out_there(schema, value, left, names):
    config = plan(rule("TRACK", "E", declaring({"x": schema})))
    judged = judge(config, track(properties={"x": value}), **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["properties"] == {"x": left}
    assert protocols(judged)["omitted_on_violation"] == names


def test_of_a_list_with_a_violating_item_the_property_is_taken_out():
    config = plan(rule("TRACK", "E", declaring({"tags": {"items": STRING}})))
    judged = judge(config, track(properties={"tags": ["a", 1], "b": 1}), **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["properties"] == {"b": 1}
    assert protocols(judged)["omitted_on_violation"] == ["tags"]


def test_what_only_violates_when_something_was_taken_out_is_taken_out_too():
    schema = {"properties": {"k": STRING}, "minProperties": 2}
    config = plan(rule("TRACK", "E", declaring({"x": schema})))
    judged = judge(config, track(properties={"x": {"k": 1, "l": 1}}), **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["properties"] == {}
    assert [each["field"] for each in protocols(judged)["violations"]] == ["properties.x.k"]


def test_only_properties_are_ever_taken_out():
    schema = declaring({"a": INTEGER}) | {"anyOf": [False], "required": ["groupId"]}
    schema["properties"] |= {"context": {"properties": {"locale": INTEGER}}, "userId": INTEGER}
    sent = track(properties={"a": "x"}, context={"locale": "de"})
    judged = judge(plan(rule("TRACK", "E", schema)), sent, **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["context"]["locale"] == "de"
    assert judged.payload["userId"] == "u"
    assert judged.payload["properties"] == {}


@pytest.mark.parametrize(
    ("type_", "prefix", "planned"), [("identify", "identify", {"email": "e"}), ("group", "group", {"seats": 1})]
)
def test_traits_are_trimmed_and_their_call_goes_on(type_, prefix, planned):
    sent = {"type": type_, "userId": "u", "groupId": "g", "traits": {**planned, "more": 1}}
    judged = judge(PLAN, sent, **{f"allow_unplanned_{prefix}_traits": False})
    assert judged is not None
    assert (judged.reason, judged.payload["traits"]) == ("", planned)
    other = "group" if prefix == "identify" else "identify"
    assert judge(PLAN, sent, **{f"allow_unplanned_{other}_traits": False}, **NO_UNPLANNED) is None
    name = next(iter(planned))
    judged = judge(PLAN, {**sent, "traits": {name: []}}, **{f"allow_{prefix}_traits_on_violations": False})
    assert judged is not None
    assert judged.payload["traits"] == {}


@pytest.mark.parametrize("type_", ["identify", "group"])
@pytest.mark.parametrize(("action", "reason", "left"), [
    ("ALLOW", "", {"shop": 1}), ("BLOCK", "common_schema_violation", {"shop": 1}), ("OMIT_TRAITS", "", {}),
])  # fmt: skip
def test_the_common_rule_has_a_control_for_each_type_of_call(type_, action, reason, left):
    sent = {"type": type_, "userId": "u", "groupId": "g", "traits": {"shop": 1}}
    judged = judge(plan(COMMON_TRAITS), sent, **{f"{type_}_common": action}, track_common="BLOCK")
    assert judged is not None
    assert (judged.reason, judged.payload["traits"]) == (reason, left)
    assert len(judged.violations) == 1


def test_the_common_rule_is_asked_of_what_the_rule_of_the_event_left():
    config = plan(rule("TRACK", "E", declaring({"a": INTEGER})), COMMON)
    judged = judge(config, track(properties={"a": 1, "shop": 7}), **NO_UNPLANNED, track_common="ALLOW")
    assert [field for _, field, _ in told(judged)] == ["properties.shop"]
    assert told(judged)[0][0] == "Required", "as the property was unplanned, and is gone"


def test_with_an_otherwise_empty_plan_every_property_is_unplanned_and_goes_first():
    config = plan(rule("COMMON", "", declaring({"shop": STRING})))
    judged = judge(config, track(properties={"shop": 7, "a": 1}), **NO_UNPLANNED, track_common="BLOCK")
    assert judged is not None
    assert (judged.reason, judged.payload["properties"], judged.violations) == ("", {}, [])


def test_common_violations_are_omitted_from_properties():
    judged = judge(plan(COMMON), track(properties={"shop": 7, "a": 1}), track_common="OMIT_PROPERTIES")
    assert judged is not None
    assert judged.payload["properties"] == {"a": 1}


VIEWS = plan(
    rule("PAGE", "Home", declaring({"home": STRING})),
    rule("PAGE", "", declaring({"any": STRING})),
    rule("TRACK", "Page Viewed", declaring({"viewed": STRING})),
    rule("SCREEN", "", declaring({"screen": STRING})),
    rule("TRACK", "Screen Viewed", declaring({"viewed": STRING})),
)


@pytest.mark.parametrize(
    ("type_", "name", "fields"),
    [
        ("page", "Home", ["home", "any", "viewed"]),
        ("page", "Other", ["any", "viewed"]),
        ("page", None, ["any", "viewed"]),
        ("page", "", ["any", "viewed"]),
        ("screen", "Home", ["screen", "viewed"]),
    ],
)
def test_a_page_is_looked_at_by_the_rules_of_its_name_of_all_pages_and_of_page_viewed(type_, name, fields):
    wrong = dict.fromkeys(("home", "any", "viewed", "screen"), 1)
    judged = judge(VIEWS, {"type": type_, "name": name, "properties": wrong}, **EVERYTHING_OFF)
    assert judged is not None
    assert [field.removeprefix("properties.") for _, field, _ in told(judged)] == fields
    assert (judged.reason, judged.payload["properties"]) == ("", wrong)


def test_alias_is_never_looked_at():
    assert judge(plan(COMMON), {"type": "alias", "userId": "u", "previousId": "p"}, **EVERYTHING_OFF) is None


VERSIONED = plan(
    rule("TRACK", "E", declaring({"a": STRING}), 2),
    rule("TRACK", "E", declaring({"a": INTEGER}), 1),
    rule("TRACK", "E", declaring({"a": {"type": "null"}}), 3),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(1, "integer"), (2, "string"), (3, "null"), (4, "integer"), ("2", "integer"), (True, "integer"),
     (None, "integer"), ([], "integer"), ({}, "integer"), (2.5, "integer"), (10**40, "integer")],
)  # fmt: skip
def test_an_event_is_judged_by_the_version_it_names_else_by_the_oldest(wanted, expected):
    judged = judge(VERSIONED, track(properties={"a": False}, context={"protocols": {"event_version": wanted}}))
    assert f"Expected: {expected}," in told(judged)[0][2]
    assert protocols(judged)["event_version"] == wanted


@pytest.mark.parametrize("context", [None, {}, {"protocols": "odd"}, {"protocols": None}])
def test_what_was_found_is_told_whatever_the_context_held(context):
    judged = judge(PLAN, track(context=context, properties={}))
    assert [each["field"] for each in protocols(judged)["violations"]] == ["properties.a"]


@pytest.mark.parametrize("context", ["text", 7, [{}]])
def test_a_context_that_is_no_object_stays(context):
    judged = judge(PLAN, track(context=context, properties={"a": "x"}), **NO_VIOLATING)
    assert judged is not None
    assert judged.payload == track(context=context, properties={})


def test_a_bounded_number_of_violations_is_told_but_all_that_violates_goes():
    config = plan(rule("TRACK", "E", declaring({f"p{number}": STRING for number in range(300)})))
    judged = judge(config, track(properties={f"p{number}": 1 for number in range(300)}), **NO_VIOLATING)
    assert judged is not None
    assert len(judged.violations) == len(protocols(judged)["violations"]) == MAX_VIOLATIONS
    assert judged.payload["properties"] == {}
    assert len(protocols(judged)["omitted_on_violation"]) == 300


def test_an_event_that_nests_deeper_than_can_be_quoted_is_judged():
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    judged = judge(PLAN, track(properties={"b": 1, "deep": deep}), **NO_VIOLATING)
    assert [field for _, field, _ in told(judged)] == ["properties.a", "properties.b"]
    assert judged is not None
    assert judged.payload["properties"]["deep"] is deep


# ---- whatever is sent


def encodable(value):
    """The pipeline lets no half surrogate pairs in, and no numbers beyond what it can write."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(each) for key, each in value.items()}
    return [encodable(each) for each in value] if isinstance(value, list) else value


SCHEMAS = st.sampled_from(
    [
        {}, INTEGER, STRING, {"type": ["string", "null"]}, {"enum": [1, "a", None]}, {"minimum": 3},
        {"pattern": "^a"},
        {"format": "date-time"}, {"minItems": 2}, {"uniqueItems": True}, {"items": STRING}, {"maxLength": 2}, False,
        {"properties": {"a": INTEGER, "b": {"properties": {"a": STRING}}}, "required": ["a"]},
        {"properties": {"a": {}}, "additionalProperties": False}, {"items": {"properties": {"a": INTEGER}}},
        {"propertyNames": {"maxLength": 1}}, {"allOf": [{"type": "object"}, {"minProperties": 1}]},
        {"if": {"type": "object"}, "then": {"required": ["b"]}, "else": STRING}, {"not": {"type": "array"}},
    ]
)  # fmt: skip
NAMES = ["a", "b", "a b", "a.b", "", "ア", "\0"]
ENCODABLE = values.map(encodable)
PROPERTIES = st.dictionaries(st.sampled_from(NAMES), ENCODABLE, max_size=6)
PLANS = st.dictionaries(st.sampled_from(NAMES), SCHEMAS, max_size=5).flatmap(
    lambda names: st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(
        lambda required: declaring(names, *required)
    )
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "page", "identify", "group", "screen", "alias"])},
    optional={"event": st.just("E") | ENCODABLE, "properties": PROPERTIES | ENCODABLE, "traits": PROPERTIES,
              "name": ENCODABLE, "context": ENCODABLE},
)  # fmt: skip
CONTROLS = st.fixed_dictionaries(
    {name: st.booleans() for name, value in msgspec.structs.asdict(SchemaControls()).items() if value is True}
    | {"track_common": st.sampled_from(["ALLOW", "BLOCK", "OMIT_PROPERTIES"])}
    | dict.fromkeys(("identify_common", "group_common"), st.sampled_from(["ALLOW", "BLOCK", "OMIT_TRAITS"]))
)


@settings(max_examples=300, deadline=None)
@given(PLANS, PLANS, EVENTS, CONTROLS)
def test_no_event_is_changed_in_place_and_none_fails(standard, common, sent, controls):
    config = plan(rule("TRACK", "E", standard), rule("IDENTIFY", "", common), rule("COMMON", "", common))
    before = copy.deepcopy(sent)
    judged = judge(config, sent, **controls)
    assert sent == before
    if judged is not None:
        trimmed = {"properties", "traits", "context"}
        assert sent.keys() <= judged.payload.keys() <= sent.keys() | {"context"}
        assert all(judged.payload[key] == sent[key] for key in sent.keys() - trimmed)
        assert not judged.reason or all(judged.payload[key] == sent[key] for key in sent.keys() - {"context"})


@settings(max_examples=300, deadline=None)
@given(PLANS, EVENTS)
def test_an_event_that_was_trimmed_is_not_trimmed_further(standard, sent):
    config = plan(rule("TRACK", "E", standard))
    controls = {**NO_UNPLANNED, **NO_VIOLATING}
    once = judge(config, sent, **controls)
    twice = judge(config, once.payload, **controls) if once else None
    if twice is not None:
        assert once is not None
        assert twice.payload.get("properties") == once.payload.get("properties")
        assert twice.payload.get("traits") == once.payload.get("traits")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5), ENCODABLE, max_size=5))
def test_odd_json_survives(odd):
    sent = track(properties={"a": 1, **{f"x{key}": value for key, value in odd.items()}}, extra=odd)
    judged = judge(plan(rule("TRACK", "E", declaring({"a": STRING}))), sent, **NO_VIOLATING)
    assert judged is not None
    assert judged.payload["extra"] == odd
    assert judged.payload["properties"] == {f"x{key}": value for key, value in odd.items()}


# ---- what is kept ready


def source(**fields):
    return SourceConfig("src", "ws", "s", "s", "m", "server", True, (), {}, (), **fields)


def test_a_plan_is_made_ready_once_and_again_when_it_or_its_source_changes():
    enforcers, config, at = Enforcers(), plan(), source(tracking_plan_id="tp_1")
    first = Snapshot().with_changes(1, [Change("src", at), Change("tp_1", config)])
    enforcer = enforcers.of(at, first)
    assert enforcer is not None
    assert enforcers.of(at, first) is enforcer
    stricter = source(tracking_plan_id="tp_1", schema=SchemaControls(allow_unplanned_events=False))
    changed = enforcers.of(stricter, first)
    assert changed is not None
    assert changed is not enforcer
    assert changed.plan is enforcer.plan
    renewed = first.with_changes(2, [Change("tp_1", plan(COMMON))])
    again = enforcers.of(stricter, renewed)
    assert again is not None
    assert again.plan is not enforcer.plan


def test_what_is_gone_is_forgotten():
    enforcers, at = Enforcers(), source(tracking_plan_id="tp_1")
    snapshot = Snapshot().with_changes(1, [Change("src", at), Change("tp_1", plan())])
    assert enforcers.of(at, snapshot) is not None
    enforcers.forget_others(Snapshot())
    assert not enforcers._enforcers
    assert not enforcers._plans


def test_a_source_without_a_plan_has_none():
    assert Enforcers().of(source(), Snapshot()) is None
    assert Enforcers().of(source(tracking_plan_id="tp_gone"), Snapshot()) is None


def test_of_a_rule_that_refers_back_the_upper_hundred_levels_are_told() -> None:
    schema = {"properties": {"in": {"$ref": "#"}}, "required": ["id"]}
    payload: dict[str, Any] = {}
    for _ in range(300):
        payload = {"in": payload}
    assert len(Rule(RuleConfig("COMMON", "", 1.0, schema)).faults(payload)) == 100
