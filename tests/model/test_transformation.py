import base64
import copy
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model.snapshot import SourceConfig, TransformationConfig
from mainstem.model.transformation import (
    MISSING,
    TransformationSet,
    Withheld,
    faults,
    find_algorithm,
    subject,
    transformations_of,
    value_at,
)
from model.json_values import objects

TRACK: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "context": {"ip": "8.8.8.8"},
    "properties": {"revenue": 5, "order": {"id": "o-1", "lines": 2}, "email": "Ann@Shop.example", "a.b": 1},
}
IDENTIFY: dict[str, Any] = {"type": "identify", "userId": "u-1", "traits": {"email": "a@b.example", "age": 7}}


def one(condition: str = "all", id: str = "t", **parts: Any) -> TransformationConfig:
    return TransformationConfig(id, condition, enabled=parts.pop("enabled", True), **parts)


def hashing(*paths: str, algorithm: str = "SHA256", **more: str) -> TransformationConfig:
    return one(hash_properties={"algorithm": algorithm, "paths": list(paths), **more})


def run(event: dict[str, Any], *configs: TransformationConfig) -> Any:
    """What comes of the event; it is the same as before, whatever comes."""
    before = copy.deepcopy(event)
    result = TransformationSet(configs).apply(event)
    assert event == before
    return result


def properties(*configs: TransformationConfig, **given: Any) -> Any:
    return run({**TRACK, "properties": given}, *configs)["properties"]


# ---- which events


def test_without_transformations_an_event_is_itself() -> None:
    assert run(TRACK) is TRACK


def test_what_does_not_match_or_is_disabled_changes_nothing() -> None:
    assert run(TRACK, one("type = 'page'", drop=True), one(drop=True, enabled=False)) is TRACK


def test_every_condition_is_asked_before_anything_is_changed() -> None:
    there = one("event = 'A'", new_event_name="B")
    back = one("event = 'B'", new_event_name="A")
    assert run({**TRACK, "event": "A"}, there, back)["event"] == "B"
    assert run({**TRACK, "event": "B"}, there, back)["event"] == "A"


def test_those_that_match_run_in_order_of_creation() -> None:
    first = one(property_value_transformations=((("properties.x",), "first"),))
    second = one(property_value_transformations=((("properties.x",), "second"),))
    assert properties(first, second) == {"x": "second"}
    assert properties(second, first) == {"x": "first"}


@pytest.mark.parametrize(
    ("event", "setters"),
    [
        ("A", ["all", "event = 'A'", "type = 'track'", "'A' = event", "event != 'B'"]),
        ("B", ["all", "type = 'track'", "event = 'B'"]),
        ("C", ["all", "type = 'track'", "event != 'B'"]),
    ],
)
def test_those_of_one_event_and_those_of_any_run_in_order_of_creation_too(event: str, setters: list[str]) -> None:
    conditions = ["all", "event = 'A'", "type = 'track'", "event = 'B'", "'A' = event", "event != 'B'"]
    values = [one(each, property_value_transformations=((("properties.x",), each),)) for each in conditions]
    for count in range(1, len(conditions) + 1):
        last = [each for each in conditions[:count] if each in setters][-1]
        assert run({**TRACK, "event": event, "properties": {}}, *values[:count])["properties"] == {"x": last}


@pytest.mark.parametrize("odd", [None, 5, [], {"a": 1}])
def test_an_event_whose_name_is_odd_is_asked_about_too(odd: Any) -> None:
    configs = one("event = 'A'", drop=True), one("type = 'page'", property_value_transformations=((("x",), "v"),))
    assert run({"type": "page", "event": odd}, *configs)["x"] == "v"


def test_a_source_has_its_own_and_those_for_types_of_destinations() -> None:
    here, there = one(drop=True, id="here"), one(drop=True, id="there", destination_metadata_id="m1")
    source = SourceConfig("s", "w", "s", "s", "m", "web", True, (), {}, transformations=(there, here))
    assert transformations_of(source).apply(TRACK) == Withheld("here", "dropped")
    assert transformations_of(source, "m1").apply(TRACK) == Withheld("there", "dropped")
    assert transformations_of(source, "m2").apply(TRACK) is TRACK


# ---- drop and the event's name


def test_drop_ignores_everything_else() -> None:
    assert run(TRACK, one(drop=True, new_event_name="X", allow_properties=("a",))) == Withheld("t", "dropped")


def test_only_a_track_event_gets_a_new_name() -> None:
    renamed = one(new_event_name="Paid")
    assert run(TRACK, renamed) == {**TRACK, "event": "Paid"}
    page = {"type": "page", "event": "odd", "name": "Start"}
    assert run(page, renamed) == page
    assert run(IDENTIFY, renamed) == IDENTIFY


# ---- renames


@pytest.mark.parametrize(
    ("renames", "before", "after"),
    [
        ([("revenue", "total")], {"revenue": 5}, {"total": 5}),
        ([("properties.revenue", "total")], {"revenue": 5}, {"total": 5}),
        ([("order.id", "order_id")], {"order": {"id": 1, "n": 2}}, {"order": {"n": 2}, "order_id": 1}),
        ([("order_id", "order.id")], {"order_id": 1, "order": {"n": 2}}, {"order": {"n": 2, "id": 1}}),
        ([("order_id", "order.id")], {"order_id": 1}, {"order": {"id": 1}}),
        ([("a\\.b", "c\\.d")], {"a.b": 1, "a": {"b": 2}}, {"c.d": 1, "a": {"b": 2}}),
        ([("a", "b"), ("b", "a")], {"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ([("a.b", "x"), ("a", "y")], {"a": {"b": 1, "c": 2}}, {"x": 1, "y": {"c": 2}}),
        ([("a", "y"), ("a.b", "x")], {"a": {"b": 1, "c": 2}}, {"x": 1, "y": {"c": 2}}),
        ([("a", "x.y"), ("b", "x")], {"a": 1, "b": {"z": 2}}, {"x": {"z": 2, "y": 1}}),
        ([("a", "a.b")], {"a": 1}, {"a": {"b": 1}}),
        ([("a.b", "a")], {"a": {"b": 1, "c": 2}}, {"a": 1}),
        ([("a", "b")], {"a": None}, {"b": None}),
        ([("a", "b")], {"a": 1, "b": 2}, {"b": 1}),
        ([("gone", "b")], {"b": 2}, {"b": 2}),
        ([("a.b.c", "x")], {"a": {"b": 7}}, {"a": {"b": 7}}),
        ([("a", "b.c")], {"a": 1, "b": "text"}, {"a": 1, "b": "text"}),
        ([("a", "b.c")], {"a": 1, "b": [{}]}, {"a": 1, "b": [{}]}),
        ([("products.sku", "x")], {"products": [{"sku": 1}]}, {"products": [{"sku": 1}]}),
        (
            [("a.b.c.d", "e.f.g.h")],
            {"a": {"b": {"c": {"d": 1}}}},
            {"a": {"b": {"c": {}}}, "e": {"f": {"g": {"h": 1}}}},
        ),
    ],
)
def test_a_property_moves_with_all_that_lies_in_it(
    renames: list[tuple[str, str]], before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert properties(one(property_renames=tuple(renames)), **before) == after


def test_the_order_of_renames_says_nothing() -> None:
    renames = (("a", "b"), ("b", "c.d"), ("c", "a"))
    given = {"a": 1, "b": 2, "c": {"d": 3}}
    there = properties(one(property_renames=renames), **given)
    assert there == properties(one(property_renames=renames[::-1]), **given)
    assert there == {"a": {"d": 3}, "b": 1, "c": {"d": 2}}


def test_a_name_without_its_object_is_a_trait_in_identify_and_group_calls() -> None:
    renamed = run(IDENTIFY, one(property_renames=(("email", "mail"),)))
    assert renamed["traits"] == {"age": 7, "mail": "a@b.example"}
    moved = run(TRACK, one(property_renames=(("email", "traits.email"),)))
    assert "email" not in moved["properties"]
    assert moved["traits"] == {"email": "Ann@Shop.example"}


# ---- values


def test_a_text_is_set_at_the_top_in_the_context_and_in_properties() -> None:
    paths = ("channelName", "context.app.name", "properties.currency", "properties.order.state")
    event = run(TRACK, one(property_value_transformations=((paths, "USD"),)))
    assert event["channelName"] == "USD"
    assert event["context"] == {"ip": "8.8.8.8", "app": {"name": "USD"}}
    assert event["properties"]["currency"] == "USD"
    assert event["properties"]["order"] == {"id": "o-1", "lines": 2, "state": "USD"}


def test_a_text_is_not_set_inside_what_is_no_object() -> None:
    paths = ("properties.revenue.x", "properties.list.x")
    assert properties(one(property_value_transformations=((paths, "v"),)), revenue=5, list=[{}]) == {
        "revenue": 5,
        "list": [{}],
    }


# ---- properties defined in FQL


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("lowercase(properties.email)", "ann@shop.example"),
        ("properties.order", {"id": "o-1", "lines": 2}),
        ("properties.revenue > 3", True),
        ("'constant'", "constant"),
        ("properties.missing", MISSING),
        ("lowercase(properties.missing)", MISSING),
        ("lowercase(properties.revenue)", MISSING),
    ],
)
def test_a_property_is_computed_or_left_as_it_is(expression: str, value: Any) -> None:
    event = run(TRACK, one(fql_defined_properties=((expression, "new.name"),)))
    assert value_at(event, ("properties", "new", "name")) == value


def test_a_trait_is_computed_in_an_identify_call() -> None:
    event = run(IDENTIFY, one(fql_defined_properties=(("uppercase(traits.email)", "shout"),)))
    assert event["traits"]["shout"] == "A@B.EXAMPLE"


# ---- allowed properties


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        (("revenue",), {"revenue": 5}),
        (("properties.revenue", "order.id"), {"revenue": 5, "order": {"id": "o-1"}}),
        (("order.id", "order"), {"order": {"id": "o-1", "lines": 2}}),
        (("order", "order.id"), {"order": {"id": "o-1", "lines": 2}}),
        (("order.gone", "revenue.x", "traits.email"), {}),
        (("a\\.b",), {"a.b": 1}),
    ],
)
def test_only_what_is_listed_stays(allowed: tuple[str, ...], left: dict[str, Any]) -> None:
    event = run(TRACK, one(allow_properties=allowed))
    assert event == {**TRACK, "properties": left}


def test_an_empty_list_of_allowed_properties_does_nothing() -> None:
    assert run(TRACK, one(allow_properties=())) is TRACK


def test_what_is_allowed_are_the_new_names() -> None:
    kept = properties(one(property_renames=(("a", "b"),), allow_properties=("b",)), a=1, c=2)
    assert kept == {"b": 1}


# ---- hashing


def test_a_value_is_replaced_by_its_hash() -> None:
    event = run(TRACK, hashing("email", "context.ip"))
    assert event["properties"]["email"] == hashlib.sha256(b"Ann@Shop.example").hexdigest()
    assert event["context"]["ip"] == hashlib.sha256(b"8.8.8.8").hexdigest()
    assert run(IDENTIFY, hashing("email"))["traits"]["email"] == hashlib.sha256(b"a@b.example").hexdigest()


@pytest.mark.parametrize("name", ["MD5", "SHA1", "SHA256", "SHA384", "SHA512"])
def test_every_algorithm_goes_with_and_without_a_key(name: str) -> None:
    plain = properties(hashing("x", algorithm=name), x="v")["x"]
    keyed = properties(hashing("x", algorithm=name, key="k"), x="v")["x"]
    assert plain == hashlib.new(name.lower(), b"v").hexdigest()
    assert keyed == hmac.digest(b"k", b"v", name.lower()).hex()


def test_a_hash_is_written_in_the_encoding_that_is_asked_for() -> None:
    digest = hashlib.sha256(b"subject").digest()
    encoded = {
        "HEX": digest.hex(),
        "BASE16": digest.hex().upper(),
        "BASE64": base64.b64encode(digest).decode(),
        "BASE64URL": base64.urlsafe_b64encode(digest).decode(),
    }
    assert properties(hashing("x"), x="subject")["x"] == encoded["HEX"]
    for name, text in encoded.items():
        assert properties(hashing("x", encoding=name), x="subject")["x"] == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (5.0, "5"), (True, "true"), ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'), ("", ""), ("ア", "ア")],
)
def test_what_is_no_text_is_hashed_as_json(value: Any, text: str) -> None:
    assert properties(hashing("x"), x=value)["x"] == hashlib.sha256(text.encode()).hexdigest()


def test_null_and_what_is_not_there_is_not_hashed() -> None:
    assert properties(hashing("x", "y", "list.z"), x=None, list=[{"z": 1}]) == {"x": None, "list": [{"z": 1}]}


def test_an_event_with_a_value_that_cannot_be_hashed_goes_no_further() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    event = {**TRACK, "properties": {"x": deep}}
    assert TransformationSet([hashing("x")]).apply(event) == Withheld("t", "not_judged")


@pytest.mark.parametrize(
    ("name", "found"), [("sha-256", "sha256"), ("Sha_256", "sha256"), ("md5", "md5"), ("crc32", None), ("", None)]
)
def test_an_algorithm_is_known_under_its_usual_spellings(name: str, found: str | None) -> None:
    assert find_algorithm(name) == found


# ---- what cannot be read or judged

UNREADABLE = "event = 'open"
NOT_JUDGED = "length(properties) > 1"
SHAPING: list[dict[str, Any]] = [
    {"property_renames": (("a", "b"),)},
    {"new_event_name": "X"},
    {"property_value_transformations": ((("properties.x",), "v"),)},
    {"fql_defined_properties": (("'v'", "x"),)},
]
PROTECTING: list[dict[str, Any]] = [
    {"drop": True},
    {"allow_properties": ("a",)},
    {"hash_properties": {"algorithm": "MD5", "paths": ["x"]}},
]


@pytest.mark.parametrize("condition", [UNREADABLE, NOT_JUDGED])
@pytest.mark.parametrize("parts", SHAPING)
def test_what_only_shapes_is_left_out_when_it_cannot_be_judged(condition: str, parts: dict[str, Any]) -> None:
    assert run(TRACK, one(condition, **parts)) is TRACK


@pytest.mark.parametrize(("condition", "cause"), [(UNREADABLE, "unreadable"), (NOT_JUDGED, "not_judged")])
@pytest.mark.parametrize("parts", PROTECTING)
def test_what_protects_fails_closed(condition: str, cause: Any, parts: dict[str, Any]) -> None:
    assert run(TRACK, one(condition, **parts)) == Withheld("t", cause)


def test_an_algorithm_that_this_version_does_not_know_fails_closed() -> None:
    assert run(TRACK, hashing("x", algorithm="SHA3")) == Withheld("t", "unreadable")


# ---- whatever the event

names = st.sampled_from(["a", "b", "a.b", "a\\.b", "properties.a", "traits.a.b", "context.a", "ア", "a b.c"])
configs = st.builds(
    TransformationConfig,
    id=st.just("t"),
    condition=st.sampled_from(["all", "type = 'track'", "event = 'a'", "contains(a, 'b')", "false"]),
    enabled=st.booleans(),
    drop=st.sampled_from([False, False, False, True]),
    new_event_name=st.sampled_from(["", "New"]),
    property_renames=st.lists(st.tuples(names, names), max_size=4).map(tuple),
    property_value_transformations=st.lists(st.tuples(st.lists(names, max_size=3).map(tuple), names), max_size=2).map(
        tuple
    ),
    fql_defined_properties=st.lists(
        st.tuples(st.sampled_from(["a", "properties.a", "lowercase(event)"]), names), max_size=1
    ).map(tuple),
    allow_properties=st.none() | st.lists(names, max_size=4).map(tuple),
    hash_properties=st.none()
    | st.fixed_dictionaries({"algorithm": st.just("MD5"), "paths": st.lists(names, max_size=3)}),
)
events = objects.flatmap(
    lambda base: st.sampled_from(["track", "identify", "page", "alias"]).map(lambda kind: {**base, "type": kind})
)


@settings(max_examples=300, deadline=None)
@given(events, st.lists(configs, max_size=3))
def test_no_event_is_changed_and_none_is_too_odd(event: dict[str, Any], given: list[TransformationConfig]) -> None:
    before = copy.deepcopy(event)
    result = TransformationSet(given).apply(event)
    assert event == before
    assert isinstance(result, dict | Withheld)
    if isinstance(result, dict):
        assert result["type"] == event["type"]
        assert result.get("userId") == event.get("userId")


@settings(max_examples=200, deadline=None)
@given(events, st.lists(names, min_size=1, max_size=4))
def test_what_does_not_name_something_leaves_it_alone(event: dict[str, Any], paths: list[str]) -> None:
    result = run(event, one(allow_properties=tuple(paths)))
    own = "traits" if event["type"] == "identify" else "properties"
    assert {key: value for key, value in result.items() if key != own} == {
        key: value for key, value in event.items() if key != own
    }


@settings(max_examples=200, deadline=None)
@given(events, st.lists(names, min_size=1, max_size=4))
def test_allowing_twice_is_allowing_once(event: dict[str, Any], paths: list[str]) -> None:
    allow = one(allow_properties=tuple(paths))
    assert run(event, allow, allow) == run(event, allow)


# ---- what is refused


def fields(condition: str = "event = 'X'", **parts: Any) -> list[str]:
    return [field for field, _ in faults(one(condition, **parts))]


def values(*paths: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    return ((paths, "v"),)


def test_a_transformation_of_every_kind_has_no_fault() -> None:
    assert fields("all") == []
    assert (
        fields(
            new_event_name="Y",
            property_renames=(("a", "b.c.d.e"), ("properties.x", "traits.y")),
            property_value_transformations=values("top", "context.a.b.c.d", "properties.currency"),
            allow_properties=("b", "properties.currency"),
            hash_properties={"algorithm": "sha-512", "paths": ["b", "context.ip"], "key": "k"},
        )
        == []
    )
    assert fields(fql_defined_properties=(("lowercase(properties.a)", "b"),), allow_properties=("b",)) == []


def test_faults_of_fql_say_where() -> None:
    found = faults(one("type =", fql_defined_properties=(("(", "a"),)))
    assert [field for field, _ in found] == ["if", "fqlDefinedProperties[0].fql"]
    assert all("line 1, column" in message for _, message in found)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"property_renames": (("a", "b"),)}, "propertyRenames"),
        ({"property_value_transformations": values("properties.a")}, "propertyValueTransformations"),
        ({"new_event_name": "Y"}, "newEventName"),
    ],
)
def test_a_property_defined_in_fql_stands_apart_from(parts: dict[str, Any], name: str) -> None:
    found = faults(one("event = 'X'", fql_defined_properties=(("'v'", "x"),), **parts))
    assert found == [("fqlDefinedProperties", f'"fqlDefinedProperties" must not be combined with "{name}"')]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a..b",
        "products.$.sku",
        "$.a",
        "$",
        "a.b.c.d.e",
        "properties.a.b.c.d.e",
        "userId",
        "anonymousId",
        "groupId",
    ],
)
def test_a_path_is_refused_wherever_it_stands(path: str) -> None:
    assert fields(property_renames=((path, "x"),)) == ["propertyRenames[0].oldName"]
    assert fields(property_renames=(("x", path),)) == ["propertyRenames[0].newName"]
    assert fields(property_value_transformations=values("top", path)) == [
        "propertyValueTransformations[0].propertyPaths[1]"
    ]
    assert fields(fql_defined_properties=(("'v'", path),)) == ["fqlDefinedProperties[0].propertyName"]
    assert fields(allow_properties=("x", path)) == ["allowProperties[1]"]
    assert fields(hash_properties={"algorithm": "MD5", "paths": [path]}) == ["hashPropertiesConfiguration.paths[0]"]


def test_a_property_that_has_the_name_of_an_id_is_written_with_its_object() -> None:
    assert fields(property_renames=(("properties.userId", "properties.customer"),)) == []


def test_a_rename_stays_inside_properties_and_traits() -> None:
    renames = (("context.ip", "ip"), ("a", "context.a"))
    assert fields(property_renames=renames) == ["propertyRenames[0].oldName", "propertyRenames[1].newName"]


@pytest.mark.parametrize("path", ["type", "event", "properties", "traits", "context", "integrations.All"])
def test_what_an_event_is_made_of_is_not_set(path: str) -> None:
    assert fields(property_value_transformations=values(path)) == ["propertyValueTransformations[0].propertyPaths[0]"]


def test_nothing_is_renamed_or_set_twice() -> None:
    assert fields(property_renames=(("a", "b"), ("properties.a", "c"))) == ["propertyRenames[1].oldName"]
    assert fields(property_renames=(("a", "c"), ("b", "properties.c"))) == ["propertyRenames[1].newName"]
    assert fields(property_renames=(("a", "properties.a"),)) == ["propertyRenames[0].newName"]
    twice = (*values("top"), *values("x", "top"))
    assert fields(property_value_transformations=twice) == ["propertyValueTransformations[1].propertyPaths[1]"]


@pytest.mark.parametrize(
    ("condition", "path"),
    [("event = 'X'", "properties.a"), ("event = 'X'", "properties.b"), ("type = 'group'", "traits.a")],
)
def test_what_is_renamed_is_not_set_as_well(condition: str, path: str) -> None:
    found = fields(condition, property_renames=(("a", "b"),), property_value_transformations=values(path))
    assert found == ["propertyValueTransformations[0].propertyPaths[0]"]


def test_an_event_name_is_for_track_events() -> None:
    assert fields("type = 'identify'", new_event_name="X") == ["newEventName"]
    assert fields("type = 'group'", new_event_name="X") == ["newEventName"]
    assert fields("type = 'track' and event = 'A'", new_event_name="X") == []
    assert fields("all", new_event_name="X") == []


def test_more_than_a_transformation_may_hold_is_a_fault() -> None:
    ten = tuple(f"properties.p{n}" for n in range(11))
    assert fields(property_value_transformations=values(*ten)) == ["propertyValueTransformations[0].propertyPaths"]
    eleven = tuple(((f"properties.p{n}",), "v") for n in range(11))
    assert fields(property_value_transformations=eleven) == ["propertyValueTransformations"]
    assert fields(fql_defined_properties=(("'v'", "a"), ("'v'", "b"))) == ["fqlDefinedProperties"]
    many = tuple(f"p{n}" for n in range(501))
    assert fields(allow_properties=many) == ["allowProperties"]
    assert fields(property_renames=tuple((each, f"{each}x") for each in many)) == ["propertyRenames"]


def test_an_unknown_algorithm_is_refused_with_those_that_are_known() -> None:
    ((field, message),) = faults(hashing("x", algorithm="ROT13"))
    assert field == "hashPropertiesConfiguration.algorithm"
    assert "MD5, SHA1, SHA256, SHA384, SHA512" in message


@pytest.mark.parametrize(
    ("condition", "picked"),
    [
        ("event='X'", ("track", "X")),
        ("'X' = event", ("track", "X")),
        ('type = "track" and event = "X"', ("track", "X")),
        ("( event = 'X' )", ("track", "X")),
        ("type = 'identify'", ("identify", "")),
        ("type='track'", ("track", "")),
    ],
)
def test_what_a_standard_matcher_picks(condition: str, picked: tuple[str, str]) -> None:
    assert subject(condition) == picked


@pytest.mark.parametrize(
    "condition", ["all", "event != 'X'", "event = 'X' and event = 'Y'", "event = 'X' or type = 'page'", "event = 5"]
)
def test_any_other_condition_is_known_by_its_tree(condition: str) -> None:
    assert subject(condition)[0] == ""
    assert subject(condition) == subject(condition.replace(" ", "  ").replace("'", '"'))
    assert subject(condition) != subject("type = 'x' or type = 'y'")
