"""Event and batch calls, from each route onto the event log."""

from __future__ import annotations

import json
import re
import time

import pytest

from tracking_api.serving import SOURCE_ID, TRACK, WRITE_KEY, Served, basic

SINGLE = [
    ("/v1/track", "track", "server"),
    ("/v1/identify", "identify", "server"),
    ("/v1/page", "page", "server"),
    ("/v1/screen", "screen", "server"),
    ("/v1/group", "group", "server"),
    ("/v1/alias", "alias", "server"),
    ("/v1/t", "track", "browser"),
    ("/v1/i", "identify", "browser"),
    ("/v1/p", "page", "browser"),
    ("/v1/s", "screen", "browser"),
    ("/v1/g", "group", "browser"),
    ("/v1/a", "alias", "browser"),
]
BATCHES = [("/v1/batch", "server"), ("/v1/import", "server"), ("/v1/b", "browser")]


@pytest.mark.parametrize(("path", "kind", "channel"), SINGLE)
def test_the_path_says_the_type_and_who_sends(served: Served, path: str, kind: str, channel: str) -> None:
    answer = served.post(path, {**TRACK, "type": "whatever"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    received = served.one_received()
    assert (received.kind, received.channel, received.source_id) == (kind, channel, SOURCE_ID)


@pytest.mark.parametrize(("path", "channel"), BATCHES)
def test_a_batch_is_kept_whole(served: Served, path: str, channel: str) -> None:
    body = {"batch": [TRACK, TRACK], "sentAt": "2026-01-01T00:00:00Z"}
    assert served.post(path, body).json() == {"success": True}
    received = served.one_received()
    assert (received.kind, received.channel) == ("batch", channel)
    assert json.loads(received.body) == body


def test_an_answer_is_json(served: Served) -> None:
    answer = served.post("/v1/track")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == b'{"success": true}'


def test_a_body_is_kept_byte_for_byte(served: Served) -> None:
    body = b'{ "event" : "E", "n": 1.50, "big": 123456789012345678901234567890, "a":1, "a":2, "\\u00e9": "\xc3\xa9" }'
    assert served.post("/v1/track", body).status_code == 200
    assert served.one_received().body == body


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=utf-8", "image/png", ""])
def test_the_content_type_does_not_matter(served: Served, content_type: str) -> None:
    body = b'{"event":"E","anonymousId":"a"}'
    headers = {"Content-Type": content_type} if content_type else {}
    answer = served.post("/v1/t?x=1", body, headers={**headers, **basic(WRITE_KEY)})
    assert answer.status_code == 200
    assert served.one_received().body == body


def test_the_time_and_the_address_are_noted(served: Served) -> None:
    before = time.time_ns() // 1_000_000
    served.post("/v1/track")
    received = served.one_received()
    assert before <= received.received_at_ms <= time.time_ns() // 1_000_000
    assert received.ip == "127.0.0.1"


@pytest.mark.parametrize(
    "event",
    [
        {"event": "E"},
        {"userId": 123, "event": "E"},
        {"userId": "u", "event": ""},
        {"userId": "u", "event": "E", "properties": []},
        {"userId": "u", "event": "E", "messageId": "m" * 101},
        {},
    ],
)
def test_what_the_pipeline_will_refuse_is_accepted(served: Served, event: dict[str, object]) -> None:
    assert served.post("/v1/track", event).status_code == 200
    assert json.loads(served.one_received().body) == event


@pytest.mark.parametrize(
    "body",
    [{}, {"batch": []}, {"batch": None}, {"batch": {}}, {"batch": [1, None, "x", []]}, {"batch": [{}] * 2501}],
)
def test_an_odd_batch_is_accepted(served: Served, body: dict[str, object]) -> None:
    assert served.post("/v1/batch", body).status_code == 200
    assert json.loads(served.one_received().body) == body


def test_the_librarys_own_metrics_are_taken_in_and_are_no_events(served: Served) -> None:
    series = {"series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]}
    for body in (series, b"", b"no json"):
        assert served.post("/v1/m", body, headers={}).status_code == 200
    assert served.received() == []


def test_one_connection_serves_many_calls_whatever_they_answer(served: Served) -> None:
    one = b"POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    good = b'{"writeKey":"WriteKeyOfTheSourceThatIsInTests"}'
    calls = [(b"track", good), (b"track", b"{"), (b"nothing", b"{}"), (b"batch", good)]
    with served.raw(b"".join(one % (path, len(body), body) for path, body in calls)) as connection:
        replies = b""
        while replies.count(b"HTTP/1.1 ") < 4 or not replies.endswith(b"}"):
            chunk = connection.recv(65536)
            assert chunk, "the server closed the connection"
            replies += chunk
    assert re.findall(rb"HTTP/1.1 (\d+)", replies) == [b"200", b"400", b"404", b"200"]
    assert len(served.received()) == 2


def test_a_client_that_leaves_halfway_leaves_nothing(served: Served) -> None:
    with served.raw(b'POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"event":'):
        pass
    assert served.client.get("/health").status_code == 200
    assert served.received() == []
