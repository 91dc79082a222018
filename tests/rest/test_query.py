"""Every official client writes the same parameters its own way; all are read alike."""

import contextlib
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import BadRequest
from mainstem.rest.query import Kinds, parse_query

PAGINATION = Kinds(objects=frozenset({"pagination"}))
FILTER = Kinds(objects=frozenset({"filter"}), lists=frozenset({"filter.eventName"}))
GROUP_BY = Kinds(lists=frozenset({"groupBy"}), comma_separated=frozenset({"groupBy"}))
RULES = Kinds(lists=frozenset({"rules"}), records=frozenset({"rules"}))
EMAILS = Kinds(lists=frozenset({"emails"}))
PAGE = {"pagination": {"count": "3", "cursor": "Mw=="}}


@pytest.mark.parametrize(
    "query",
    [
        "pagination.count=3&pagination.cursor=Mw%3D%3D",
        "pagination[count]=3&pagination[cursor]=Mw==",
        "pagination%5Bcount%5D=3&pagination%5Bcursor%5D=Mw%3D%3D",
    ],
)
def test_objects_are_read_dotted_and_bracketed(query: str) -> None:
    assert parse_query(query, PAGINATION) == PAGE


def test_objects_are_read_as_json() -> None:
    query = "pagination=%7B%22count%22%3A%203%2C%20%22cursor%22%3A%20%22Mw%3D%3D%22%7D"
    assert parse_query(query, PAGINATION) == {"pagination": {"count": 3, "cursor": "Mw=="}}


@pytest.mark.parametrize(
    "query",
    [
        "groupBy.0=eventName&groupBy.1=eventType",
        "groupBy[0]=eventName&groupBy[1]=eventType",
        "groupBy%5B1%5D=eventType&groupBy%5B0%5D=eventName",
        "groupBy[]=eventName&groupBy[]=eventType",
        "groupBy=eventName&groupBy=eventType",
        "groupBy=eventName,eventType",
        "groupBy=eventName%2CeventType",
    ],
)
def test_arrays_are_read_in_every_encoding(query: str) -> None:
    assert parse_query(query, GROUP_BY) == {"groupBy": ["eventName", "eventType"]}


def test_a_list_of_one_is_a_list() -> None:
    assert parse_query("userIds=a", Kinds(lists=frozenset({"userIds"}))) == {"userIds": ["a"]}


@pytest.mark.parametrize("query", ["userIds.0=", "userIds=", "userIds[0]="])
def test_a_blank_item_stays_a_blank_item(query: str) -> None:
    assert parse_query(query, Kinds(lists=frozenset({"userIds"}))) == {"userIds": [""]}


@pytest.mark.parametrize(
    "query",
    [
        "rules.0[type]=TRACK&rules.0[key]=A%20b&rules.0[version]=1",
        "rules[0][type]=TRACK&rules[0][key]=A%20b&rules[0][version]=1",
    ],
)
def test_arrays_of_objects_are_read_from_go_and_typescript(query: str) -> None:
    assert parse_query(query, RULES) == {"rules": [{"type": "TRACK", "key": "A b", "version": "1"}]}


def test_arrays_of_objects_are_read_from_python_which_prints_a_literal() -> None:
    query = "rules={'type': 'TRACK', 'key': 'A', 'version': 1}&rules={'type': 'IDENTIFY', 'version': 2}"
    first, second = parse_query(query, RULES)["rules"]
    assert (first, second) == ({"type": "TRACK", "key": "A", "version": 1}, {"type": "IDENTIFY", "version": 2})


@given(st.lists(st.tuples(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_arrays_of_objects_are_read_from_python_models_which_print_themselves(rules: list[tuple[str, float]]) -> None:
    printed = [f"type='TRACK' key={key!r} version={version!r}" for key, version in rules]
    query = "&".join(f"rules={quote(each)}" for each in printed)
    expected = [{"type": "TRACK", "key": key, "version": version} for key, version in rules]
    assert parse_query(query, RULES) == {"rules": expected}


def test_a_printed_model_without_a_key_has_none() -> None:
    printed = "type='IDENTIFY' key=None version=2.0"
    assert parse_query(f"rules={quote(printed)}", RULES) == {
        "rules": [{"type": "IDENTIFY", "key": None, "version": 2.0}]
    }


@pytest.mark.parametrize("name", ["[1]", '{"a": 1}', "{}", "a='b'", "[Amplitude] Start", "1", "a,b", "x.y[z]", ""])
@pytest.mark.parametrize("field", ["rules[0][key]", "rules.0[key]", "rules[0].key"])
def test_a_field_of_an_object_in_an_array_is_text_whatever_it_looks_like(name: str, field: str) -> None:
    assert parse_query(f"{field}={quote(name)}", RULES) == {"rules": [{"key": name}]}


@pytest.mark.parametrize("text", ["type='TRACK'key='A'", "type='TRACK", "type=TRACK'", "type", "=1", "a=b c"])
def test_what_no_python_model_prints_stays_text(text: str) -> None:
    assert parse_query(f"rules={quote(text)}", RULES) == {"rules": [text]}


@pytest.mark.parametrize(
    "query",
    [
        "filter[eventName].0=a,b",
        "filter[eventName][0]=a,b",
        "filter.eventName=a,b",
        "filter.eventName.0=a,b",
        'filter={"eventName": ["a,b"]}',
        "filter={'eventName': ['a,b']}",
    ],
)
def test_arrays_inside_objects_are_read(query: str) -> None:
    assert parse_query(query, FILTER) == {"filter": {"eventName": ["a,b"]}}


def test_a_scalar_that_looks_like_json_stays_text() -> None:
    assert parse_query('message={"a": 1}', Kinds()) == {"message": '{"a": 1}'}


def test_more_than_ten_items_keep_their_order() -> None:
    query = "&".join(f"emails[{index}]={index}" for index in range(12))
    assert parse_query(query, EMAILS)["emails"] == [str(index) for index in range(12)]


def test_names_with_a_comma_are_not_taken_apart() -> None:
    assert parse_query("emails=Smith%2C+John", EMAILS) == {"emails": ["Smith, John"]}


@pytest.mark.parametrize(
    "query",
    ["pagination[cursor]=Mw==&pagination={%22count%22: 3}", "pagination={%22count%22: 3}&pagination.cursor=Mw=="],
)
def test_encodings_may_be_mixed_within_an_object(query: str) -> None:
    assert parse_query(query, PAGINATION) == {"pagination": {"count": 3, "cursor": "Mw=="}}


@pytest.mark.parametrize(
    "text",
    [
        "{'a': '\\ud800'}", "{[]: 1}", "{{}}", "{'a': 1j}", "{'a': ...}", "{'a': " + "-" * 50_000 + "1}",
        "{'a': " + "[" * 50_000, "{'a': __import__('os')}", "{'a': 1} if 1 else 2", "{'a': '\0'}", "{'a': 1e999}",
        "{" + "'a': {" * 300 + "}" * 301, "[" * 100_000,
    ],
)  # fmt: skip
def test_a_literal_that_json_could_not_hold_stays_text(text: str) -> None:
    value = parse_query(f"rules={quote(text)}", RULES)["rules"]
    assert json.loads(json.dumps(value)) == value
    assert value == [text] or "1e999" in text


def test_an_index_of_thousands_of_digits_is_a_name() -> None:
    name = "9" * 5000
    assert parse_query(f"emails[{name}]=a", EMAILS) == {"emails": [{name: "a"}]}


def test_a_parameter_whose_name_is_a_number_is_an_unknown_one() -> None:
    assert parse_query("0=a&1=b", RULES) == {"0": "a", "1": "b"}


def test_a_query_that_nests_too_deeply_is_refused() -> None:
    with pytest.raises(BadRequest):
        parse_query("a" + "[b]" * 20 + "=1", Kinds())


@given(st.text(max_size=200))
def test_no_query_makes_the_reader_fail_in_another_way(query: str) -> None:
    with contextlib.suppress(BadRequest):
        parse_query(query, Kinds(frozenset({"rules", "a", "f.b"}), frozenset({"pagination", "f"}), frozenset({"a"})))
