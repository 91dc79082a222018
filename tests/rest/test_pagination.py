"""Pages: every entry once, `next` and `previous` only where there is something, and cursors that clients keep."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import InputInvalid
from mainstem.public_api import FAMILIES
from mainstem.rest.operation import Operation
from mainstem.rest.pagination import Page, PageInput, slice_of
from mainstem.rest.wire import decode
from public_api.client import Api

PAGED = [
    operation
    for family in FAMILIES
    for operation in family.operations
    if operation.query is not None and "pagination" in operation.query.__struct_fields__
]
BAD_COUNTS = ["0", "-1", "1001", "1.5", "abc", "", "1e9", "null"]
BAD_CURSORS = ["MA", "MA===", "LTE=", "Mi41", "4pyT", "zz!", "QA==", "MEBh", "OTk5OTk5OTk5OTk5OTk5OTk5", "\u2713"]


def page(count: int, cursor: str | None = None) -> Page:
    return decode({"count": count} | ({"cursor": cursor} if cursor is not None else {}), Page)


def at(operation: Operation, query: str) -> str:
    """A route of this operation with something in place of its path parameters."""
    path = "/".join("x" if part.startswith("{") else part for part in operation.path.split("/"))
    return f"{operation.method} {path}?{query}"


@given(st.integers(0, 30), st.integers(1, 12))
def test_following_next_shows_every_entry_once_and_previous_leads_back(total: int, count: int) -> None:
    items, seen, current = list(range(total)), [], page(count)
    while True:
        shown, pages = slice_of(items, current)
        seen += shown
        assert pages.total_entries == total
        assert (pages.previous is msgspec.UNSET) == (current.start == 0)
        if pages.next is msgspec.UNSET:
            break
        back = slice_of(items, page(count, slice_of(items, page(count, pages.next))[1].previous))
        assert back[0] == shown
        current = page(count, pages.next)
    assert seen == items


def test_an_absent_next_is_absent_on_the_wire_and_never_null() -> None:
    assert msgspec.json.encode(slice_of([1], page(1))[1]) == b'{"current":"MA==","totalEntries":1}'


def test_the_cursor_that_clients_hard_code_is_the_first_page() -> None:
    assert slice_of([1, 2, 3], page(2, "MA==")) == slice_of([1, 2, 3], page(2))
    assert page(2, "").start == 0


def test_cursors_are_the_offset_in_base64() -> None:
    _, pages = slice_of([1, 2, 3, 4, 5], page(2, "Mg=="))
    assert (pages.current, pages.next, pages.previous) == ("Mg==", "NA==", "MA==")


def test_a_cursor_past_the_end_is_an_empty_page_without_next() -> None:
    shown, pages = slice_of([1, 2], page(10, "OTk="))
    assert shown == []
    assert pages.next is msgspec.UNSET


@pytest.mark.parametrize("text", BAD_CURSORS)
def test_a_damaged_cursor_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        decode({"pagination": {"cursor": text}}, PageInput)
    assert [fault.field for fault in caught.value.faults] == ["pagination.cursor"]


def test_without_pagination_a_page_has_200_entries() -> None:
    shown, pages = slice_of(list(range(300)), decode({}, PageInput).pagination)
    assert (len(shown), pages.next) == (200, "MjAw")


def test_lists_that_are_paged_are_known() -> None:
    assert {"listSources", "listAuditEvents", "listSubscriptions"} & {each.id for each in PAGED}
    assert len(PAGED) >= 12


@pytest.mark.parametrize("operation", PAGED, ids=lambda operation: operation.id)
def test_every_list_refuses_a_bad_count_and_a_damaged_cursor_in_one_answer(api: Api, operation: Operation) -> None:
    for count in BAD_COUNTS:
        reply = api.call(at(operation, f"pagination.count={count}"))
        assert (reply.status, "pagination.count" in reply.fields) == (422, True), count
    for cursor in BAD_CURSORS:
        reply = api.call(at(operation, f"pagination.count=0&pagination.cursor={quote(cursor)}"))
        assert reply.status == 422
        assert {"pagination.count", "pagination.cursor"} <= set(reply.fields), cursor


@pytest.mark.parametrize(
    "query",
    [
        "pagination.count=1&pagination.cursor=MA%3D%3D",
        "pagination%5Bcount%5D=1&pagination%5Bcursor%5D=MA%3D%3D",
        "pagination[count]=1&pagination[cursor]=MA%3D%3D",
        "pagination=%7B%22count%22%3A%201%7D",
        "pagination=%7B%27count%27%3A%201%7D",
        "pagination.count=1",
    ],
)
def test_every_client_s_encoding_gets_the_same_first_page(api: Api, query: str) -> None:
    for slug in ("one", "two"):
        api.post("/sources", {"slug": slug, "enabled": True, "metadataId": "IqDTy1TpoU"})
    first = api.get(f"/sources?{query}").data
    assert [source["slug"] for source in first["sources"]] == ["one"]
    assert first["pagination"] == {"current": "MA==", "next": "MQ==", "totalEntries": 2}
    last = api.get("/sources?pagination.count=1&pagination.cursor=MQ==").data
    assert [source["slug"] for source in last["sources"]] == ["two"]
    assert last["pagination"] == {"current": "MQ==", "previous": "MA==", "totalEntries": 2}


def test_a_page_may_be_asked_for_in_a_json_body_and_the_query_wins(api: Api) -> None:
    for slug in ("one", "two"):
        api.post("/sources", {"slug": slug, "enabled": True, "metadataId": "IqDTy1TpoU"})
    assert len(api.get("/sources", body={"pagination": {"count": 1}}).data["sources"]) == 1
    assert len(api.get("/sources?pagination.count=2", body={"pagination": {"count": 1}}).data["sources"]) == 2
    assert api.get("/sources", body={"pagination": {"count": 0}}).fields == ["pagination.count"]
    assert api.get("/sources", raw=b'{"pagination":').status == 400
