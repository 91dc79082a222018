"""The rules of a plan: what is one rule, what replaces, adds and removes it, and what is refused."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.proves import proves
from mainstem.errors import Conflict
from mainstem.public_api.tracking_plans.rules import RuleType, Stored, UpsertedRule, upserted
from public_api.client import Api

# As the product's editor writes it, with keys of no meaning to JSON Schema, in an order of its own.
EDITED = {
    "type": "object",
    "$schema": "http://json-schema.org/draft-07/schema#",
    "labels": {"team": "checkout", "": "€"},
    "description": "",
    "id": "/",
    "properties": {
        "traits": {},
        "context": {},
        "properties": {
            "type": "object",
            "required": ["total"],
            "properties": {
                "total": {
                    "type": ["number", "null"],
                    "id": "/properties/properties/properties/total",
                    "minimum": 0.0,
                },
                "at": {"type": ["string"], "format": "date-time", "$id": "any thing"},
                "products": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"sku": {"pattern": "^\\w+$"}}},
                },
            },
        },
    },
    "required": ["properties"],
}
STRANGE = ["A b, \"c\" 'd' & é 日=[x] {y} +%", "[1]", '{"a": 1}', "a='b'", "  ", "\\", "x.y[z]", "#?/", "a\nb"]


def rule(key: str = "", version: float = 1, type: str = "TRACK", schema: Any = None, **more: Any) -> dict[str, Any]:
    """A rule as it is sent; "" is no key."""
    return {
        "type": type,
        **({"key": key} if key else {}),
        "version": version,
        "jsonSchema": {} if schema is None else schema,
        **more,
    }


def put(api: Api, url: str, *rules: dict[str, Any]) -> None:
    assert api.put(f"{url}/rules", {"rules": list(rules)}).data == {"status": "SUCCESS"}


def patch(api: Api, url: str, *rules: dict[str, Any]) -> None:
    assert api.patch(f"{url}/rules", {"rules": list(rules)}).data == {"status": "SUCCESS"}


def rules_of(api: Api, url: str) -> list[dict[str, Any]]:
    """What is listed, without the moments."""
    listed = api.get(f"{url}/rules?pagination.count=1000").data["rules"]
    return [{key: value for key, value in each.items() if not key.endswith("At")} for each in listed]


def as_go(rules: list[dict[str, Any]]) -> str:
    return urlencode([(f"rules.{index}[{name}]", each[name]) for index, each in enumerate(rules) for name in each])


def as_typescript(rules: list[dict[str, Any]]) -> str:
    pairs = [(f"rules[{index}][{name}]", each[name]) for index, each in enumerate(rules) for name in each]
    return "&".join(f"{quote(name, safe='')}={quote(str(value), safe='')}" for name, value in pairs)


def as_python_dicts(rules: list[dict[str, Any]]) -> str:
    return "&".join(f"rules={quote(str(each))}" for each in rules)


def as_python_models(rules: list[dict[str, Any]]) -> str:
    printed = [" ".join(f"{name}={each.get(name)!r}" for name in ("type", "key", "version")) for each in rules]
    return "&".join(f"rules={quote(each)}" for each in printed)


def as_json(rules: list[dict[str, Any]]) -> str:
    return f"rules={quote(json.dumps(rules))}"


@proves("replaceRulesInTrackingPlan", "listRulesFromTrackingPlan", level=3)
def test_a_schema_comes_back_as_it_was_sent_key_for_key(api: Api, url: str) -> None:
    put(api, url, rule("Order Completed", schema=EDITED))
    (listed,) = api.get(f"{url}/rules").data["rules"]
    assert listed == {
        "type": "TRACK",
        "key": "Order Completed",
        "version": 1,
        "jsonSchema": EDITED,
        "createdAt": "2026-03-10T12:00:00.000Z",
        "updatedAt": "2026-03-10T12:00:00.000Z",
        "deprecatedAt": "0001-01-01T00:00:00.000Z",
    }
    assert json.dumps(listed["jsonSchema"]) == json.dumps(EDITED)


@pytest.mark.parametrize("type", ["COMMON", "GROUP", "IDENTIFY", "PAGE", "SCREEN"])
@pytest.mark.parametrize("key", [{}, {"key": None}, {"key": ""}])
def test_a_rule_for_all_events_of_a_type_shows_no_key(api: Api, url: str, type: str, key: dict[str, Any]) -> None:
    put(api, url, rule(type=type, **key))
    assert rules_of(api, url) == [rule(type=type)]


@pytest.mark.parametrize("version", [0, 1, 2.5, 1_000_000])
def test_a_version_is_a_number(api: Api, url: str, version: float) -> None:
    put(api, url, rule("A", version))
    listed = rules_of(api, url)[0]["version"]
    assert (listed, type(listed)) == (version, type(version))


def test_rules_differ_by_type_key_or_version(api: Api, url: str) -> None:
    several = [rule("A"), rule("A", 2), rule("a"), rule("A ", 1), rule("A", type="PAGE"), rule(type="PAGE")]
    put(api, url, *several)
    assert rules_of(api, url) == several


def test_a_replacement_leaves_nothing_of_what_was_there(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("B"))
    put(api, url, rule("C"), rule("B", schema={"type": "object"}))
    assert rules_of(api, url) == [rule("C"), rule("B", schema={"type": "object"})]
    put(api, url)
    assert rules_of(api, url) == []


def test_a_rule_keeps_its_age_when_it_is_written_again(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("B"))
    api.pass_time(minutes=1)
    put(api, url, rule("B"), rule("C"))
    patch(api, url, rule("B", newKey="D"))
    moments = [
        (each["key"], each["createdAt"][14:16], each["updatedAt"][14:16])
        for each in api.get(f"{url}/rules").data["rules"]
    ]
    assert moments == [("D", "00", "01"), ("C", "01", "01")]
    assert api.get(url).data["trackingPlan"]["updatedAt"] == "2026-03-10T12:01:00.000Z"


@proves("updateRulesInTrackingPlan", level=3)
def test_an_update_writes_over_the_rule_it_names_and_adds_the_others_at_the_end(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("B"))
    patch(api, url, rule("A", 2), rule("A", schema={"type": "object"}))
    assert rules_of(api, url) == [rule("A", schema={"type": "object"}), rule("B"), rule("A", 2)]
    patch(api, url)
    assert len(rules_of(api, url)) == 3


def test_a_new_key_renames_a_rule_in_its_place(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("A", 2), rule("B"))
    patch(api, url, rule("A", schema={"type": "object"}, newKey="C"))
    assert rules_of(api, url) == [rule("C", schema={"type": "object"}), rule("A", 2), rule("B")]
    patch(api, url, rule("C", newKey="C"), rule("new", newKey="newer"))
    assert [each["key"] for each in rules_of(api, url)] == ["C", "A", "B", "newer"]


def test_names_may_be_exchanged_in_one_update(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("B", schema={"type": "object"}))
    patch(
        api,
        url,
        rule("A", newKey="T"),
        rule("B", schema={"type": "object"}, newKey="A"),
        rule("T", newKey="B"),
    )
    assert rules_of(api, url) == [rule("B"), rule("A", schema={"type": "object"})]


def test_a_rule_does_not_take_the_name_of_another(api: Api, url: str) -> None:
    put(api, url, rule("A"), rule("B"))
    reply = api.patch(f"{url}/rules", {"rules": [rule("C"), rule("A", newKey="B")]})
    assert (reply.status, reply.fields) == (409, ["rules[1].newKey"])
    assert rules_of(api, url) == [rule("A"), rule("B")]


@proves("removeRulesFromTrackingPlan", level=3)
@pytest.mark.parametrize("encode", [as_go, as_typescript, as_python_dicts, as_python_models, as_json])
def test_rules_are_removed_in_the_query_encoding_of_every_client(api: Api, url: str, encode: Any) -> None:
    kept = [rule("kept"), rule("A", 2), rule(type="PAGE")]
    gone = [*(rule(key) for key in STRANGE), rule("A"), rule("A", 1.5), rule("P", type="PAGE"), rule(type="IDENTIFY")]
    put(api, url, *gone, *kept)
    names = [{name: each[name] for name in ("type", "key", "version") if name in each} for each in gone]
    assert api.delete(f"{url}/rules?{encode(names)}").data == {"status": "SUCCESS"}
    assert rules_of(api, url) == kept


def test_a_removal_names_what_is_not_there_and_removes_nothing(api: Api, plan: dict[str, Any], url: str) -> None:
    put(api, url, rule("A"))
    reply = api.delete(f"{url}/rules?{as_go([{'type': 'TRACK', 'key': key, 'version': 1} for key in 'AB'])}")
    assert (reply.status, reply.messages) == (
        404,
        [f"TRACK rule 'B' (version 1) not found in tracking plan '{plan['id']}'."],
    )
    assert rules_of(api, url) == [rule("A")]


def test_a_removal_must_name_rules(api: Api, url: str) -> None:
    assert api.delete(f"{url}/rules").fields == ["rules"]
    reply = api.delete(f"{url}/rules?rules.0[type]=track&rules.0[version]=one")
    assert (reply.status, reply.fields) == (422, ["rules[0].type", "rules[0].version"])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_call_carries_at_most_200_rules(api: Api, url: str, method: str) -> None:
    put(api, url, rule("kept"))
    several = [rule(f"Event {number}") for number in range(201)]
    query = "?" + as_go([{"type": "TRACK", "key": each["key"], "version": 1} for each in several])
    target = f"{method} {url}/rules{query if method == 'DELETE' else ''}"
    reply = api.call(target, None if method == "DELETE" else {"rules": several})
    assert (reply.status, reply.messages) == (422, ['"rules" must contain less than or equal to 200 items'])
    assert rules_of(api, url) == [rule("kept")]


def test_a_plan_holds_2000_rules_and_lists_them_in_order(api: Api, url: str) -> None:
    several = [rule(f"Event {number}", schema=EDITED) for number in range(2000)]
    for start in range(0, 2000, 200):
        patch(api, url, *several[start : start + 200])
    reply = api.patch(f"{url}/rules", {"rules": [rule("One more")]})
    assert (reply.status, reply.messages) == (400, ["A tracking plan has at most 2000 rules."])
    patch(api, url, rule("Event 7", schema={}, newKey="Event seven"))
    listed: list[Any] = []
    cursor = "MA=="
    while cursor:
        page = api.get(f"{url}/rules?pagination.count=300&pagination.cursor={cursor}").data
        listed += [each["key"] for each in page["rules"]]
        cursor = page["pagination"].get("next", "")
    expected = [each["key"] for each in several]
    expected[7] = "Event seven"
    assert (listed, page["pagination"]["totalEntries"]) == (expected, 2000)


@pytest.mark.parametrize("write", ["put", "patch"])
def test_a_schema_that_cannot_be_used_is_named_with_its_rule_and_changes_nothing(
    api: Api, url: str, write: str
) -> None:
    put(api, url, rule("A", schema=EDITED))
    faulty = {"properties": {"properties": {"properties": {"a": {"type": "any"}, "b": {"pattern": "(?=x)"}}}}}
    reply = getattr(api, write)(f"{url}/rules", {"rules": [rule("A"), rule("B", 2, schema=faulty)]})
    field = "rules[1].jsonSchema.properties.properties.properties.a.type"
    assert (reply.status, reply.fields) == (400, [field])
    assert reply.messages[0].startswith(f"TRACK rule 'B' (version 2): \"{field}\" must be array, boolean")
    assert rules_of(api, url) == [rule("A", schema=EDITED)]
    api.delete(url)  # what a tool does after its second call failed
    assert api.get(url).status == 404


def test_all_schemas_that_cannot_be_used_are_named(api: Api, url: str) -> None:
    reply = api.put(
        f"{url}/rules", {"rules": [rule("A", schema={"pattern": "("}), rule("B", schema={"minLength": -1})]}
    )
    assert (reply.status, reply.fields) == (400, ["rules[0].jsonSchema.pattern", "rules[1].jsonSchema.minLength"])


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        (rule(), ["rules[0].key"]),
        (rule(key=None), ["rules[0].key"]),
        (rule("A", type="IDENTIFY"), ["rules[0].key"]),
        (rule("A", type="COMMON", newKey="B"), ["rules[0].key", "rules[0].newKey"]),
        (rule("A", type="track"), ["rules[0].type"]),
        (rule("A", -1), ["rules[0].version"]),
        (rule("A") | {"version": "1"}, ["rules[0].version"]),
        (rule("A") | {"jsonSchema": True}, ["rules[0].jsonSchema"]),
        ({"type": "TRACK", "key": "A"}, ["rules[0].version", "rules[0].jsonSchema"]),
        (rule("A" * 1025), ["rules[0].key"]),
    ],
)
def test_a_rule_that_is_none_is_refused(api: Api, url: str, sent: dict[str, Any], fields: list[str]) -> None:
    reply = api.patch(f"{url}/rules", {"rules": [sent]})
    assert (reply.status, sorted(reply.fields)) == (422, sorted(fields))
    assert rules_of(api, url) == []


def test_a_replacement_holds_no_rule_twice(api: Api, url: str) -> None:
    reply = api.put(f"{url}/rules", {"rules": [rule("A"), rule("B"), rule("A", schema={"type": "object"})]})
    assert (reply.status, reply.fields) == (422, ["rules[2]"])


def test_of_a_rule_that_stands_twice_in_an_update_the_last_counts(api: Api, url: str) -> None:
    patch(api, url, rule("A"), rule("A", schema={"type": "object"}))
    assert rules_of(api, url) == [rule("A", schema={"type": "object"})]


def test_the_schemas_of_a_plan_have_a_size_together(api: Api, url: str) -> None:
    large = {"description": "d" * 120_000}
    for start in range(0, 120, 60):
        patch(api, url, *(rule(f"E{number}", schema=large) for number in range(start, start + 60)))
    reply = api.patch(f"{url}/rules", {"rules": [rule(f"F{number}", schema=large) for number in range(60)]})
    assert (reply.status, reply.messages) == (
        400,
        ["The schemas of a tracking plan have at most 16777216 characters."],
    )
    patch(api, url, *(rule(f"E{number}", schema=large | {"type": "object"}) for number in range(60)))
    assert len(rules_of(api, url)) == 120


def test_each_plan_has_its_own_rules(api: Api, url: str) -> None:
    other = api.post("/tracking-plans", {"name": "Other", "type": "LIVE"}).data["trackingPlan"]["id"]
    put(api, url, rule("A"))
    put(api, f"/tracking-plans/{other}", rule("A", schema={"type": "object"}))
    api.delete(f"/tracking-plans/{other}")
    assert rules_of(api, url) == [rule("A")]


KEYS = st.sampled_from(["A", "B", "C", "D"])
VERSIONS = st.sampled_from([1.0, 2.0])
CHANGES = st.lists(
    st.builds(
        UpsertedRule,
        type=st.just(RuleType.TRACK),
        key=KEYS,
        version=VERSIONS,
        json_schema=st.fixed_dictionaries({"title": st.text(max_size=2)}),
        new_key=st.none() | KEYS,
    ),
    max_size=8,
)


@given(st.sets(st.tuples(KEYS, VERSIONS)), CHANGES)
def test_an_update_does_what_its_rules_would_do_one_after_the_other(
    there: set[tuple[str, float]], changes: list[UpsertedRule]
) -> None:
    before = {("TRACK", key, version): Stored(seq, None, 0) for seq, (key, version) in enumerate(sorted(there), 1)}
    expected: dict[Any, Any] = {identity: (stored.seq, None) for identity, stored in before.items()}
    try:
        for change in changes:
            if change.new_identity != change.identity and change.new_identity in expected:
                raise LookupError
            seq, _ = expected.pop(change.identity, (None, None))
            expected[change.new_identity] = (seq, change.json_schema)
    except LookupError:
        with pytest.raises(Conflict):
            upserted(before, changes)
        return
    written = upserted(before, changes)
    touched = {change.identity for change in changes} | written.keys()
    after: dict[Any, Any] = {
        identity: (kept.seq, None) for identity, kept in before.items() if identity not in touched
    }
    after |= {
        identity: (stored.seq if stored else None, change.json_schema)
        for identity, (stored, change) in written.items()
    }
    assert after == expected
