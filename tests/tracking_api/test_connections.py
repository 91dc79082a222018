"""HTTP/1.1 as it comes over the wire: whole, in pieces, one after another, and wrong."""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.http_server import server
from tracking_api.serving import PATIENCE_SECONDS, WRITE_KEY, Served

BODY = b'{"userId":"u","event":"E","writeKey":"%s"}' % WRITE_KEY.encode()
POST = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def statuses(replies: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", replies)]


def answers(connection: socket.socket, count: int) -> bytes:
    """What comes until `count` answers with a JSON body are whole."""
    received = b""
    while received.count(b"}") < count:
        chunk = connection.recv(65536)
        assert chunk, "the server closed the connection"
        received += chunk
    return received


def sent_until_blocked(connection: socket.socket, data: bytes) -> int:
    """Send without reading until the other side takes no more; returns how much it took."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 1_000_000_000:
            sent += connection.send(data)
    return sent


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a little every few milliseconds, until the other side closes the connection."""
    connection.settimeout(0.005)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while not is_closed(connection):
            connection.sendall(data)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False


def reply_and_close(served: Served, request: bytes) -> bytes:
    with served.raw(request) as connection:
        return until_closed(connection)


def test_an_answer_has_what_http_asks_for(served: Served) -> None:
    reply = reply_and_close(served, POST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", head + b"\r\n")


def test_a_request_may_come_in_pieces(served: Served) -> None:
    with served.raw(b"") as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in range(len(POST)):
            connection.sendall(POST[byte : byte + 1])
        assert statuses(answers(connection, 1)) == [200]
    assert served.one_received().body == BODY


def test_many_requests_at_once_are_answered_in_their_order(served: Served) -> None:
    requests = [POST if number % 3 else b"POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                for number in range(300)]  # fmt: skip
    with served.raw(b"".join(requests)) as connection:
        replies = answers(connection, 300)
    assert statuses(replies) == [200 if number % 3 else 404 for number in range(300)]
    assert len(served.received()) == 200


def test_an_old_client_is_answered_and_left(served: Served) -> None:
    request = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(reply_and_close(served, request)) == [200]


def test_what_follows_the_last_request_of_a_connection_is_not_read(served: Served) -> None:
    last = POST.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert statuses(reply_and_close(served, last + POST)) == [200]
    assert len(served.received()) == 1


def test_a_client_that_waits_for_continue_is_told_so(served: Served) -> None:
    head, _, body = POST.partition(b"\r\n\r\n")
    with served.raw(head + b"\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert statuses(answers(connection, 1)) == [200]


def test_a_client_that_closed_its_half_gets_its_answers(served: Served) -> None:
    with served.raw(POST + POST) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(connection)) == [200, 200]


def test_half_a_request_and_a_closed_half_are_the_end(served: Served) -> None:
    with served.raw(POST[:-1]) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection) == b""
    assert served.received() == []


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_made_but_the_request_is_answered(served: Served, upgrade: bytes) -> None:
    asked = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: " + upgrade
    assert statuses(reply_and_close(served, HEALTH.replace(b"Host: x", asked))) == [200]


def test_a_whole_url_is_as_good_as_its_path(served: Served) -> None:
    request = POST.replace(b"/v1/track", b"http://events.example/v1/page?x=1")
    with served.raw(request) as connection:
        assert statuses(answers(connection, 1)) == [200]
    assert served.one_received().kind == "page"


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"no http at all\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_clean_http_is_refused_and_the_connection_closed(served: Served, request_: bytes) -> None:
    assert statuses(reply_and_close(served, request_)) == [400]
    assert served.received() == []


@pytest.mark.parametrize("endless", [b"GET /" + b"x" * 200_000, b"GET / HTTP/1.1\r\n" + b"A: bbbbbbbb\r\n" * 20_000])
def test_headers_without_end_are_refused(served: Served, endless: bytes) -> None:
    assert statuses(reply_and_close(served, endless)) == [431]


def test_an_event_is_kept_when_its_client_leaves_before_the_answer(serve: Callable[..., Served]) -> None:
    served = serve()
    served.post("/v1/track")
    with sqlite3.connect(served.database, isolation_level=None) as holding:
        holding.execute("BEGIN IMMEDIATE")
        with served.raw(POST):
            assert served.client.get("/health").status_code == 200, "so the request before was read"
        assert served.client.get("/health").status_code == 200
        holding.execute("ROLLBACK")
    assert served.post("/v1/track").status_code == 200
    assert len(served.received()) == 3


def test_a_client_that_reads_no_answers_is_no_longer_listened_to(served: Served) -> None:
    with served.raw(b"") as connection:
        connection.settimeout(0.3)
        assert sent_until_blocked(connection, HEALTH * 1000) < 100_000_000
        assert served.client.get("/health").status_code == 200, "others are served"


@pytest.mark.parametrize("said", [b"", POST[:20], POST[:-1], POST])
def test_a_silent_connection_is_closed(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.01)
    with serve().raw(said) as connection:
        replies = b""
        try:
            replies = until_closed(connection)
        except ConnectionResetError:
            assert said != POST
    assert statuses(replies) == ([200] if said == POST else [])


def test_a_request_that_takes_for_ever_is_given_up(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.01)
    with serve().raw(b"POST /v1/track HTTP/1.1\r\n") as connection:
        drip(connection, b"A: b\r\n")


def test_stopping_finishes_what_was_asked_and_takes_nothing_more(serve: Callable[..., Served]) -> None:
    served = serve()
    served.post("/v1/track")
    holding = sqlite3.connect(served.database, isolation_level=None, check_same_thread=False)
    holding.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool, served.raw(b"") as idle:
        answer = pool.submit(served.post, "/v1/track")
        while not served.is_busy():
            pass
        served.stop()
        assert idle.recv(1) == b"", "an idle connection is closed at once"
        holding.execute("ROLLBACK")
        assert answer.result(PATIENCE_SECONDS).headers["connection"] == "close"
        assert answer.result().status_code == 200
        served.wait_until_stopped()
        with pytest.raises(ConnectionRefusedError):
            served.raw(b"")
    holding.close()
    assert len(served.received()) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda noise: POST[:40] + noise + POST[40:]))
def test_no_bytes_bring_the_server_down(served: Served, noise: bytes) -> None:
    with served.raw(noise) as connection:
        connection.shutdown(socket.SHUT_WR)
        try:
            until_closed(connection)
        except ConnectionResetError:
            return
    assert served.client.get("/health").status_code == 200
