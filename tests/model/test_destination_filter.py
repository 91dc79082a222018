import copy
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model import fql
from mainstem.model.destination_filter import (
    FilteredOut,
    FilterSet,
    faults,
    preview,
    read_actions,
    sampling_hash,
    split_path,
    wire_actions,
)
from mainstem.model.snapshot import FilterConfig
from model.json_values import NAMES, objects, values

DROP = {"type": "DROP"}
TRACK: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "context": {"ip": "8.8.8.8", "device": {"id": "d", "type": "ios"}},
    "properties": {
        "email": "ann@example.com",
        "total": 12.5,
        "products": [{"sku": "a", "price": 1}, {"sku": "b", "price": 2}, "loose", {"sku": "c"}],
    },
}


def drop_properties(**fields: list[str]) -> dict[str, Any]:
    return {"type": "DROP_PROPERTIES", "fields": fields}


def allow_properties(**fields: list[str]) -> dict[str, Any]:
    return {"type": "ALLOW_PROPERTIES", "fields": fields}


def fields_action(kind: str, fields: dict[str, list[str]]) -> dict[str, Any]:
    return {"type": kind, "fields": fields}


def sample(percent: float, path: str | None = None) -> dict[str, Any]:
    return {"type": "SAMPLE", "percent": percent} | ({} if path is None else {"path": path})


def configured(condition: str, *actions: dict[str, Any], id: str = "f", enabled: bool = True) -> FilterConfig:
    return FilterConfig(id, condition, actions, enabled)


def never() -> float:
    raise AssertionError("chance was asked where none is needed")


def run(event: dict[str, Any], *filters: FilterConfig, chance: float | None = None) -> Any:
    """What the filters make of the event: the event left, or the FilteredOut."""
    before = copy.deepcopy(event)
    result = FilterSet(filters).apply(event, never if chance is None else lambda: chance)
    assert event == before
    return result


# ---- the actions


def test_an_event_without_filters_is_itself() -> None:
    assert run(TRACK) is TRACK


def test_an_event_that_no_filter_matches_is_itself() -> None:
    assert (
        run(TRACK, configured("type = 'page'", DROP), configured("false", drop_properties(properties=["x"]))) is TRACK
    )


def test_a_matching_drop_filters_the_event_out_and_says_by_which_filter() -> None:
    assert run(TRACK, configured("type = 'track'", DROP, id="f-1")) == FilteredOut("f-1", "dropped")


def test_an_event_without_user_id_is_dropped_by_its_length() -> None:
    only_users = configured("length( userId ) < 1", DROP)
    assert run({"type": "track"}, only_users) == FilteredOut("f", "dropped")
    assert run(TRACK, only_users) is TRACK


def test_a_disabled_filter_does_nothing_even_if_it_cannot_be_read() -> None:
    assert run(TRACK, configured("all", DROP, enabled=False), configured("((", DROP, enabled=False)) is TRACK


def test_drop_properties_removes_keys_and_leaves_the_rest() -> None:
    result = run(
        TRACK,
        configured("all", fields_action("DROP_PROPERTIES", {"properties": ["email"], "context.device": ["id"]})),
    )
    assert result["properties"] == {"total": 12.5, "products": TRACK["properties"]["products"]}
    assert result["context"] == {"ip": "8.8.8.8", "device": {"type": "ios"}}


def test_drop_properties_copies_only_along_the_path() -> None:
    result = run(TRACK, configured("all", drop_properties(properties=["email"])))
    assert result is not TRACK
    assert result["context"] is TRACK["context"]
    assert result["properties"]["products"] is TRACK["properties"]["products"]


def test_drop_properties_that_finds_nothing_changes_nothing() -> None:
    nothing = {"properties": ["missing"], "traits": ["email"], "event": ["x"], "properties.total": ["y"], "": ["z"]}
    assert run(TRACK, configured("all", fields_action("DROP_PROPERTIES", nothing))) is TRACK


def test_the_empty_path_is_the_event_itself() -> None:
    result = run(TRACK, configured("all", fields_action("DROP_PROPERTIES", {"": ["userId"]})))
    assert "userId" not in result
    assert result.keys() == TRACK.keys() - {"userId"}


def test_a_path_to_an_array_removes_the_key_from_every_element() -> None:
    result = run(TRACK, configured("all", fields_action("DROP_PROPERTIES", {"properties.products": ["price"]})))
    assert result["properties"]["products"] == [{"sku": "a"}, {"sku": "b"}, "loose", {"sku": "c"}]


def test_a_path_through_an_array_reaches_every_element() -> None:
    event = {"orders": [{"items": [{"sku": 1, "price": 2}]}, {"items": {"price": 3}}, 5]}
    result = run(event, configured("all", fields_action("DROP_PROPERTIES", {"orders.items": ["price"]})))
    assert result == {"orders": [{"items": [{"sku": 1}]}, {"items": {}}, 5]}


def test_a_path_to_an_array_of_arrays_reaches_every_object() -> None:
    event = {"rows": [[{"price": 1, "sku": "a"}], [[{"price": 2}]], "loose"]}
    dropped = run(event, configured("all", drop_properties(rows=["price"])))
    assert dropped == {"rows": [[{"sku": "a"}], [[{}]], "loose"]}
    allowed = run(event, configured("all", allow_properties(rows=["price"])))
    assert allowed == {"rows": [[{"price": 1}], [[{"price": 2}]], "loose"]}


def test_a_whole_array_can_be_removed() -> None:
    result = run(TRACK, configured("all", drop_properties(properties=["products"])))
    assert result["properties"] == {"email": "ann@example.com", "total": 12.5}


def test_a_key_with_a_dot_is_one_key_and_a_path_escapes_it() -> None:
    event = {"properties": {"a.b": {"c": 1, "d": 2}, "a": {"b": 3}}}
    dropped = run(event, configured("all", drop_properties(properties=["a.b"])))
    assert dropped == {"properties": {"a": {"b": 3}}}
    reached = run(event, configured("all", fields_action("DROP_PROPERTIES", {r"properties.a\.b": ["c"]})))
    assert reached == {"properties": {"a.b": {"d": 2}, "a": {"b": 3}}}


def test_allow_properties_keeps_only_the_named_keys_of_the_named_paths() -> None:
    result = run(
        TRACK, configured("all", fields_action("ALLOW_PROPERTIES", {"properties": ["total"], "context": ["device"]}))
    )
    assert result == TRACK | {"properties": {"total": 12.5}, "context": {"device": TRACK["context"]["device"]}}


def test_allow_properties_of_traits_leaves_the_properties_of_a_track_untouched() -> None:
    assert run(TRACK, configured("all", allow_properties(traits=["email"]))) is TRACK


def test_allow_properties_keeps_the_named_keys_of_every_element_of_an_array() -> None:
    result = run(TRACK, configured("all", fields_action("ALLOW_PROPERTIES", {"properties.products": ["sku"]})))
    assert result["properties"]["products"] == [{"sku": "a"}, {"sku": "b"}, "loose", {"sku": "c"}]


def test_allow_properties_with_no_keys_keeps_none() -> None:
    assert run(TRACK, configured("all", allow_properties(properties=[])))["properties"] == {}


# ---- sampling


def test_sampling_without_a_path_is_by_chance() -> None:
    quarter = configured("all", sample(0.25))
    assert run(TRACK, quarter, chance=0.2499) is TRACK
    assert run(TRACK, quarter, chance=0.25) == FilteredOut("f", "sampled_out")


def test_an_empty_path_is_no_path() -> None:
    assert run(TRACK, configured("all", sample(0.5, "")), chance=0.4) is TRACK


@pytest.mark.parametrize("path", [None, "userId", "missing"])
def test_a_percent_of_0_keeps_nothing_and_of_1_all(path: str | None) -> None:
    for chance in (0.0, 0.5, 0.9999999):
        assert run(TRACK, configured("all", sample(1, path)), chance=chance) is TRACK
        assert run(TRACK, configured("all", sample(1.5, path)), chance=chance) is TRACK
        assert run(TRACK, configured("all", sample(0, path)), chance=chance) == FilteredOut("f", "sampled_out")
        assert run(TRACK, configured("all", sample(-1, path)), chance=chance) == FilteredOut("f", "sampled_out")


def test_an_event_that_does_not_match_is_not_sampled() -> None:
    assert run(TRACK, configured("type = 'page'", sample(0))) is TRACK


def test_sampling_by_path_keeps_its_share_of_users_with_all_their_events() -> None:
    filters = FilterSet([configured("all", sample(0.25, "userId"))])
    users = [f"user-{number}" for number in range(10_000)]
    first, second = ([user for user in users if kept(filters, {"userId": user, "n": n})] for n in (1, 2))
    assert first == second
    assert abs(len(first) - 2_500) < 5 * 43.3  # five standard deviations of 10,000 draws


def kept(filters: FilterSet, event: dict[str, Any]) -> bool:
    return not isinstance(filters.apply(event, never), FilteredOut)


def test_sampling_by_chance_keeps_its_share() -> None:
    filters = FilterSet([configured("all", sample(0.05))])
    chance = random.Random(20260301).random
    count = sum(not isinstance(filters.apply(TRACK, chance), FilteredOut) for _ in range(20_000))
    assert abs(count - 1_000) < 5 * 31


def test_a_larger_share_holds_the_smaller_one() -> None:
    users = [{"userId": str(number)} for number in range(500)]
    tenth, half = (FilterSet([configured("all", sample(percent, "userId"))]) for percent in (0.1, 0.5))
    assert all(kept(half, user) for user in users if kept(tenth, user))


def test_the_sampling_hash_is_the_first_8_bytes_of_the_md5() -> None:
    assert sampling_hash("") == 0xD41D8CD98F00B204
    assert sampling_hash("hello") == 0x5D41402ABC4B2A76


def test_a_value_that_is_no_string_is_hashed_by_its_json() -> None:
    assert sampling_hash(5) == sampling_hash(5.0) == sampling_hash("5")
    assert sampling_hash(True) == sampling_hash("true")
    assert sampling_hash({"b": [1, "é"], "a": None}) == sampling_hash('{"a":null,"b":[1,"é"]}')


def test_a_missing_path_is_hashed_as_null() -> None:
    for percent in (0.1, 0.9):
        filters = FilterSet([configured("all", sample(percent, "properties.user"))])
        expected = sampling_hash("null") < percent * 2**64
        assert {kept(filters, event) for event in ({}, {"properties": 5}, {"properties": {"user": None}})} == {
            expected
        }


def test_a_sampling_path_goes_down_and_escapes() -> None:
    for path, event in {"context.device.id": TRACK, r"a\.b": {"a.b": "d"}, "a b": {"a b": "d"}}.items():
        for percent in (0.2, 0.4, 0.6, 0.8):
            expected = sampling_hash("d") < percent * 2**64
            assert kept(FilterSet([configured("all", sample(percent, path))]), event) is expected


# ---- order


def test_the_kinds_of_action_run_in_the_documented_order_whatever_the_order_of_filters() -> None:
    allow = configured("properties.email = null", allow_properties(properties=["total"]), id="allow")
    remove = configured("all", drop_properties(properties=["email"]), id="remove")
    result = run(TRACK, allow, remove)
    assert result["properties"] == {"total": 12.5}


def test_sampling_comes_before_dropping() -> None:
    assert (
        run(TRACK, configured("all", DROP, id="d"), configured("all", sample(0), id="s"), chance=0.5).filter_id == "s"
    )


def test_dropping_sees_the_event_before_properties_are_removed() -> None:
    remove = configured("all", drop_properties(properties=["email"]))
    drop = configured("properties.email != null", DROP, id="drop")
    assert run(TRACK, remove, drop) == FilteredOut("drop", "dropped")


def test_filters_with_the_same_action_run_in_their_order() -> None:
    first = configured("properties.email != null", drop_properties(properties=["email"]))
    second = configured("properties.email != null", drop_properties(properties=["total"]))
    assert "total" in run(TRACK, first, second)["properties"]
    assert "total" not in run(TRACK, configured("true", drop_properties(x=[])), second, first)["properties"]


def test_a_filter_is_not_turned_off_by_what_it_removed_itself() -> None:
    both = configured(
        "properties.email != null",
        drop_properties(properties=["email"]),
        drop_properties(context=["ip"]),
        allow_properties(properties=["total"]),
    )
    result = run(TRACK, both)
    assert result["properties"] == {"total": 12.5}
    assert "ip" not in result["context"]


def test_two_only_send_filters_must_both_hold() -> None:
    only_orders = configured("!match(event, 'Order *')", DROP, id="orders")
    only_large = configured("!(properties.total > 100)", DROP, id="large")
    assert run(TRACK, only_orders, only_large) == FilteredOut("large", "dropped")
    large = TRACK | {"properties": {"total": 200}}
    assert run(large, only_orders, only_large) is large
    assert run(large | {"event": "Other"}, only_orders, only_large) == FilteredOut("orders", "dropped")


def test_two_contradicting_only_send_filters_drop_everything() -> None:
    filters = configured("type != 'track'", DROP), configured("type != 'page'", DROP)
    assert isinstance(run(TRACK, *filters), FilteredOut)
    assert isinstance(run(TRACK | {"type": "page"}, *filters), FilteredOut)


# ---- fail closed


def test_an_unreadable_condition_lets_nothing_through() -> None:
    broken = configured('userId = oops"', drop_properties(properties=["email"]), id="broken")
    for filters in ([broken], [configured("false", DROP), broken], [broken, configured("all", DROP)]):
        assert run(TRACK, *filters) == FilteredOut("broken", "filter_unreadable")


@pytest.mark.parametrize(
    "action",
    [{}, {"type": "HIDE"}, {"type": "SAMPLE"}, {"type": "SAMPLE", "percent": "0.5"},
     {"type": "SAMPLE", "percent": True}, {"type": "DROP_PROPERTIES"},
     {"type": "ALLOW_PROPERTIES", "fields": {"a": "b"}}],
    ids=str,
)  # fmt: skip
def test_an_unreadable_action_lets_nothing_through(action: dict[str, Any]) -> None:
    assert run(TRACK, configured("false", action)) == FilteredOut("f", "filter_unreadable")


def test_an_event_that_a_condition_cannot_judge_is_not_sent() -> None:
    guard = configured("lowercase(properties.email) = 'x'", drop_properties(properties=["email"]), id="guard")
    assert run(TRACK, guard) is TRACK
    assert run({"properties": {"email": 5}}, guard) == FilteredOut("guard", "event_not_judged")


def test_an_event_nested_deeper_than_the_stack_is_not_sent_by_a_filter_that_reaches_for_it() -> None:
    deep: dict[str, Any] = {}
    for _ in range(3_000):
        deep = {"a": deep}
    reach = configured("all", fields_action("DROP_PROPERTIES", {".".join(["a"] * 2_999): ["a"]}), id="reach")
    assert FilterSet([reach]).apply(deep, never) == FilteredOut("reach", "event_not_judged")
    shallow = configured("all", drop_properties(a=["b"]))
    assert FilterSet([shallow]).apply(deep, never) is deep


# ---- reading and refusing actions


def test_types_are_read_in_any_case_and_shown_in_capitals() -> None:
    given = [
        {"type": "drop"},
        {"type": "Sample", "percent": 0.05},
        {"type": "drop_properties", "fields": {"": ["a"]}},
    ]
    assert [each["type"] for each in wire_actions(read_actions(given))] == ["DROP", "SAMPLE", "DROP_PROPERTIES"]


def test_a_drop_comes_back_without_any_other_key() -> None:
    given = [{"type": "DROP", "fields": {}, "percent": 0, "path": None}]
    assert wire_actions(read_actions(given)) == [{"type": "DROP"}]


@pytest.mark.parametrize(
    "action",
    [DROP, sample(0.05), sample(0.123456, "userId"), sample(1, ""), allow_properties(properties=["a"], context=[]),
     fields_action("DROP_PROPERTIES", {"": ["userId"], "context.device": ["id"]})],
    ids=str,
)  # fmt: skip
def test_an_action_comes_back_as_it_was_given(action: dict[str, Any]) -> None:
    assert faults([action]) == []
    assert wire_actions(read_actions([action])) == [action]


ONE_OF = "must be one of [ALLOW_PROPERTIES, DROP, DROP_PROPERTIES, SAMPLE]"
FAULTS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "no list": ({"type": "DROP"}, [("actions", '"actions" must be an array')]),
    "null": (None, [("actions", '"actions" must be an array')]),
    "no actions": ([], [("actions", '"actions" must contain at least 1 items')]),
    "no object": (["DROP"], [("actions[0]", '"actions[0]" must be of type object')]),
    "no type": ([{}], [("actions[0].type", '"actions[0].type" is required')]),
    "an unknown type": ([DROP | {"type": "drop_event"}], [("actions[0].type", f'"actions[0].type" {ONE_OF}')]),
    "a type that is no string": ([{"type": ["DROP"]}], [("actions[0].type", f'"actions[0].type" {ONE_OF}')]),
    "drop is not alone": ([DROP, sample(0.5)], [("actions", '"actions" must contain DROP alone')]),
    "drop twice": ([DROP, {"type": "drop"}], [("actions", '"actions" must contain DROP alone')]),
    "no percent": ([{"type": "SAMPLE"}], [("actions[0].percent", '"actions[0].percent" is required')]),
    "a null percent": (
        [{"type": "SAMPLE", "percent": None}], [("actions[0].percent", '"actions[0].percent" is required')],
    ),
    "a percent in words": (
        [{"type": "SAMPLE", "percent": "0.5"}], [("actions[0].percent", '"actions[0].percent" must be a number')],
    ),
    "a boolean percent": ([sample(True)], [("actions[0].percent", '"actions[0].percent" must be a number')]),
    "a negative percent": (
        [sample(-0.1)], [("actions[0].percent", '"actions[0].percent" must be greater than or equal to 0')],
    ),
    "a percent over 1": (
        [sample(25)], [("actions[0].percent", '"actions[0].percent" must be less than or equal to 1')],
    ),
    "a path that is no string": (
        [sample(0.5) | {"path": ["userId"]}], [("actions[0].path", '"actions[0].path" must be a string')],
    ),
    "no fields": ([{"type": "DROP_PROPERTIES"}], [("actions[0].fields", '"actions[0].fields" is required')]),
    "fields are a list": (
        [{"type": "ALLOW_PROPERTIES", "fields": ["a"]}],
        [("actions[0].fields", '"actions[0].fields" must be of type object')],
    ),
    "keys are no list": (
        [{"type": "ALLOW_PROPERTIES", "fields": {"traits": "email"}}],
        [("actions[0].fields.traits", '"actions[0].fields.traits" must be an array')],
    ),
    "a key is no string": (
        [{"type": "DROP_PROPERTIES", "fields": {"traits": ["email", 5]}}],
        [("actions[0].fields.traits[1]", '"actions[0].fields.traits[1]" must be a string')],
    ),
    "several at once": (
        [sample(2), {"type": "DROP_PROPERTIES"}, 5],
        [
            ("actions[0].percent", '"actions[0].percent" must be less than or equal to 1'),
            ("actions[1].fields", '"actions[1].fields" is required'),
            ("actions[2]", '"actions[2]" must be of type object'),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("actions", "found"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_name_the_field_and_the_rule(actions: Any, found: list[tuple[str, str]]) -> None:
    assert faults(actions) == found


def test_several_actions_of_one_filter_are_fine_without_drop() -> None:
    assert faults([sample(0.5), drop_properties(a=["b"]), allow_properties(c=["d"])]) == []


def test_paths_split_at_dots_unless_escaped() -> None:
    paths = {
        "": (),
        "a": ("a",),
        "a.b": ("a", "b"),
        r"a\.b.c": ("a.b", "c"),
        "a b.c": ("a b", "c"),
        r"a\\.b": ("a\\", "b"),
    }
    assert {path: split_path(path) for path in paths} == paths


# ---- preview


def test_a_preview_of_a_filter_that_drops_is_none() -> None:
    assert preview("type = 'track'", [DROP], TRACK, never) is None


def test_a_preview_shows_what_is_left_and_leaves_the_payload() -> None:
    payload = {"type": "track", "event": "Order Completed", "product": {"name": "Hat", "requestedFrom": "/checkout"}}
    before = copy.deepcopy(payload)
    action = allow_properties(product=["event", "requestedFrom"])
    result = preview('type = "track" AND event = "Order Completed"', [action], payload, never)
    assert result == {"type": "track", "event": "Order Completed", "product": {"requestedFrom": "/checkout"}}
    assert payload == before


def test_a_preview_of_a_condition_that_does_not_match_is_the_payload() -> None:
    assert preview("type = 'page'", [DROP], TRACK, never) == TRACK


def test_a_preview_of_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(fql.FqlError):
        preview("type = ", [DROP], TRACK, never)
    with pytest.raises(msgspec.ValidationError):
        preview("all", [{"type": "SAMPLE"}], TRACK, never)


# ---- whatever the filters and the event

names = st.sampled_from(NAMES)
field_maps = st.dictionaries(st.lists(names, max_size=3).map(".".join), st.lists(names, max_size=3), max_size=3)
actions = st.one_of(
    st.just(DROP),
    st.builds(sample, st.floats(-0.5, 1.5), st.none() | names),
    st.builds(fields_action, st.sampled_from(["DROP_PROPERTIES", "ALLOW_PROPERTIES"]), field_maps),
)
conditions = st.sampled_from(["all", "a = b", "length(a) > 0", "properties.a", "'x' in b", "type != null", "a ="])
filters = st.builds(FilterConfig, st.just("f"), conditions, st.lists(actions, max_size=3).map(tuple), st.booleans())


@settings(max_examples=200)
@given(objects, st.lists(filters, max_size=4), st.floats(0, 1, exclude_max=True))
def test_any_filters_take_any_event_without_changing_it(
    event: Any, several: list[FilterConfig], chance: float
) -> None:
    before = copy.deepcopy(event)
    result = FilterSet(several).apply(event, lambda: chance)
    assert isinstance(result, dict | FilteredOut)
    assert event == before


@given(objects, field_maps)
def test_dropped_keys_are_gone_wherever_the_path_leads(event: Any, fields: dict[str, list[str]]) -> None:
    result = FilterSet([configured("all", fields_action("DROP_PROPERTIES", fields))]).apply(event, never)
    assert all(
        not set(keys) & found.keys() for path, keys in fields.items() for found in at(result, split_path(path))
    )


@given(objects, field_maps)
def test_only_allowed_keys_are_left_wherever_the_path_leads(event: Any, fields: dict[str, list[str]]) -> None:
    result = FilterSet([configured("all", fields_action("ALLOW_PROPERTIES", fields))]).apply(event, never)
    assert all(found.keys() <= set(keys) for path, keys in fields.items() for found in at(result, split_path(path)))


def at(value: Any, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every object that a path leads to, elements of lists included."""
    if isinstance(value, list):
        return [found for each in value for found in at(each, path)]
    if not isinstance(value, dict):
        return []
    return at(value.get(path[0]), path[1:]) if path else [value]


odd_actions = st.dictionaries(
    st.sampled_from(["type", "percent", "path", "fields"]), values | st.sampled_from(["DROP", "sample"]) | field_maps
)


@given(st.lists(odd_actions | actions, max_size=3) | values)
def test_actions_without_faults_can_be_read_and_faults_name_their_place(given: Any) -> None:
    found = faults(given)
    assert all(field.startswith("actions") and message.startswith('"actions') for field, message in found)
    if not found:
        assert faults(wire_actions(read_actions(given))) == []
