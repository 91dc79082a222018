"""Events by image."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.tracking_api.answers import Refused
from mainstem.tracking_api.pixel import nest, read_query
from tracking_api.serving import SOURCE_ID, UNKNOWN_KEY, WRITE_KEY, Served, basic

EVENT = {"event": "Opened ??>>~~", "userId": "u", "writeKey": WRITE_KEY, "properties": {"subject": "S"}}


def encoded(event: object) -> str:
    return base64.b64encode(json.dumps(event).encode()).decode()


def assert_image(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert len(answer.content) < 50


@pytest.mark.parametrize("kind", ["identify", "group", "alias", "page", "screen", "track"])
def test_base64_json_becomes_an_event_of_the_path(served: Served, kind: str) -> None:
    assert_image(served.client.get(f"/v1/pixel/{kind}", params={"data": encoded(EVENT)}))
    received = served.one_received()
    assert (received.kind, received.channel, received.source_id) == (kind, "browser", SOURCE_ID)
    assert received.ip == "127.0.0.1"
    assert json.loads(received.body) == EVENT


@pytest.mark.parametrize(
    "data",
    [
        quote(encoded(EVENT), safe=""),
        encoded(EVENT),  # + of the standard alphabet, unescaped
        encoded(EVENT).rstrip("="),
        base64.urlsafe_b64encode(json.dumps(EVENT).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(EVENT).encode()).decode().rstrip("="),
    ],
)
def test_both_alphabets_with_and_without_padding_are_read(served: Served, data: str) -> None:
    assert_image(served.client.get(f"/v1/pixel/track?data={data}"))
    assert json.loads(served.one_received().body) == EVENT


def test_plain_parameters_nest_at_dots_and_stay_strings(served: Served) -> None:
    query = f"userId=u&event=E&properties.subject=S+T&properties.n=7&context.page.url=a%26b&writeKey={WRITE_KEY}"
    assert_image(served.client.get(f"/v1/pixel/track?{query}"))
    assert json.loads(served.one_received().body) == {
        "userId": "u",
        "event": "E",
        "properties": {"subject": "S T", "n": "7"},
        "context": {"page": {"url": "a&b"}},
        "writeKey": WRITE_KEY,
    }


def test_the_key_may_stand_beside_the_data_or_in_the_header(served: Served) -> None:
    data = encoded({"event": "E", "userId": "u"})
    assert_image(served.client.get("/v1/pixel/track", params={"data": data, "writeKey": WRITE_KEY}))
    assert_image(served.client.get("/v1/pixel/track", params={"data": data}, headers=basic(WRITE_KEY)))
    assert len(served.received()) == 2


@pytest.mark.parametrize(
    "query",
    [
        "",
        "data=",
        "data=%%%",
        "data=not-base64!",
        "data=abc%00",
        "data=" + encoded("no object"),
        "data=" + encoded([EVENT]),
        "data=" + base64.b64encode(b'{"event":').decode(),
        "data=" + encoded({"event": "no key"}),
        "data=" + encoded({**EVENT, "writeKey": "short"}),
        "data=" + encoded({**EVENT, "writeKey": UNKNOWN_KEY}),
        "event=E&userId=u",
        "data=" + encoded({**EVENT, "x": "x" * 33_000}),
        f"writeKey={WRITE_KEY}&x=" + "x" * 33_000,
        "&".join(["a=1"] * 10_001),
        "%ff=%fe",
    ],
)
def test_whatever_is_wrong_the_answer_is_an_image_and_nothing_is_recorded(served: Served, query: str) -> None:
    assert_image(served.client.get(f"/v1/pixel/track?{query}"))
    assert served.received() == []


def test_deep_names_do_not_nest_without_end(served: Served) -> None:
    assert_image(served.client.get(f"/v1/pixel/track?{'a.' * 10_000}a=1&writeKey={WRITE_KEY}"))
    body = served.one_received().body
    assert body.count(b"{") < 50


def test_head_is_answered_without_the_image(served: Served) -> None:
    answer = served.client.head("/v1/pixel/track", params={"data": encoded(EVENT)})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a", "1"), ("a", "2")], {"a": "2"}),
        ([("a", "1"), ("a.b", "2")], {"a": {"b": "2"}}),
        ([("a.b", "1"), ("a", "2")], {"a": "2"}),
        ([("a.b", "1"), ("a.c", "2")], {"a": {"b": "1", "c": "2"}}),
        ([("a.", "1"), (".b", "2"), ("", "3")], {"a": {"": "1"}, "": "3"}),
    ],
)
def test_of_names_that_meet_the_later_wins_and_objects_join(
    pairs: list[tuple[str, str]], expected: dict[str, Any]
) -> None:
    assert nest(pairs) == expected


@given(st.text(max_size=200) | st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9))).map(urlencode))
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        body, _ = read_query(query)
    except Refused:
        return
    assert isinstance(json.loads(body), dict)
