"""Every official client writes the same parameters its own way; all are read alike."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import BadRequest
from mainstem.rest.query import parse_query

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
    assert parse_query(query, objects={"pagination"}) == PAGE


def test_objects_are_read_as_json() -> None:
    query = "pagination=%7B%22count%22%3A%203%2C%20%22cursor%22%3A%20%22Mw%3D%3D%22%7D"
    assert parse_query(query, objects={"pagination"}) == {"pagination": {"count": 3, "cursor": "Mw=="}}


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
    assert parse_query(query, lists={"groupBy"}) == {"groupBy": ["eventName", "eventType"]}


def test_a_comma_in_a_value_that_is_no_dimension_belongs_to_the_value() -> None:
    assert parse_query("eventName=Paid%2C+at+last", lists={"eventName"}) == {"eventName": ["Paid, at last"]}


def test_a_list_of_one_is_a_list() -> None:
    assert parse_query("userIds=a", lists={"userIds"}) == {"userIds": ["a"]}


@pytest.mark.parametrize("query", ["userIds.0=", "userIds=", "userIds[0]="])
def test_a_blank_item_stays_a_blank_item(query: str) -> None:
    assert parse_query(query, lists={"userIds"}) == {"userIds": [""]}


@pytest.mark.parametrize(
    "query",
    [
        "rules.0[type]=TRACK&rules.0[key]=A%20b&rules.0[version]=1",
        "rules[0][type]=TRACK&rules[0][key]=A%20b&rules[0][version]=1",
    ],
)
def test_arrays_of_objects_are_read_from_go_and_typescript(query: str) -> None:
    assert parse_query(query, lists={"rules"}) == {"rules": [{"type": "TRACK", "key": "A b", "version": "1"}]}


def test_arrays_of_objects_are_read_from_python_which_prints_a_literal() -> None:
    query = "rules={'type': 'TRACK', 'key': 'A', 'version': 1}&rules={'type': 'IDENTIFY', 'version': 2}"
    first, second = parse_query(query, lists={"rules"})["rules"]
    assert (first, second) == ({"type": "TRACK", "key": "A", "version": 1}, {"type": "IDENTIFY", "version": 2})


@pytest.mark.parametrize("query", ["filter[eventName].0=a", "filter[eventName][0]=a", 'filter={"eventName": ["a"]}'])
def test_arrays_inside_objects_are_read(query: str) -> None:
    assert parse_query(query, objects={"filter"}) == {"filter": {"eventName": ["a"]}}


def test_a_scalar_that_looks_like_json_stays_text() -> None:
    assert parse_query('message={"a": 1}') == {"message": '{"a": 1}'}


def test_more_than_ten_items_keep_their_order() -> None:
    query = "&".join(f"emails[{index}]={index}" for index in range(12))
    assert parse_query(query, lists={"emails"})["emails"] == [str(index) for index in range(12)]


def test_a_query_that_nests_too_deeply_is_refused() -> None:
    with pytest.raises(BadRequest):
        parse_query("a" + "[b]" * 20 + "=1")


@given(st.text(max_size=200))
def test_no_query_makes_the_reader_fail_in_another_way(query: str) -> None:
    with contextlib.suppress(BadRequest):
        parse_query(query, lists={"rules", "a"}, objects={"pagination"})
