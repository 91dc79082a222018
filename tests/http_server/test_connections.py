"""What an application is told of a request, on which terms. tests/tracking_api/test_connections.py has what is the
same on all terms: pieces, order, silence, and bytes that are no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
import uvloop

from http_server.serving import Running, until_closed
from mainstem import http_server
from mainstem.http_server import Answer, Request, Terms
from mainstem.settings import Address

LIMIT = 1000
TERMS = Terms(max_body_bytes=LIMIT, max_ignored_bytes=20_000_000, max_waiting_requests=1)


class Told:
    """An application that remembers what it was told, and answers how long the body was."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        said = b"too long" if request.is_too_long else b"%d bytes" % len(request.body)
        return Answer(200, said, (("content-type", "text/plain"),))

    @property
    def only(self) -> Request:
        (request,) = self.requests
        return request


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def running(told: Told) -> Iterator[Running]:
    with Running(told, TERMS) as server:
        yield server


def post(body: bytes, *headers: bytes, declared: int | None = None) -> bytes:
    length = b"Content-Length: %d" % (len(body) if declared is None else declared)
    return b"\r\n".join([b"POST /p HTTP/1.1", b"Host: x", length, *headers, b"", body])


def bodies(replies: bytes) -> list[bytes]:
    return re.findall(rb"\r\n\r\n(too long|\d+ bytes)", replies)


def test_every_header_is_told_in_order_and_as_often_as_it_came(running: Running, told: Told) -> None:
    running.reply(b"GET / HTTP/1.1\r\nHost: x\r\nB: 1\r\nAccept: a\r\nb: 2\r\nACCEPT: c\r\n\r\n")
    assert told.only.headers == [("host", "x"), ("b", "1"), ("accept", "a"), ("b", "2"), ("accept", "c")]


def test_headers_that_the_terms_leave_out_are_not_told(told: Told) -> None:
    terms = Terms(LIMIT, LIMIT, 1, kept_headers=frozenset({b"b"}), all_headers_under=b"/all/")
    with Running(told, terms) as server:
        server.reply(b"GET /some HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\nGET /all/ HTTP/1.1\r\nHost: x\r\nB: 1\r\n\r\n")
    assert [each.headers for each in told.requests] == [[("b", "1")], [("host", "x"), ("b", "1")]]


def test_path_and_query_are_told_as_they_came(running: Running, told: Told) -> None:
    running.reply(b"GET /labels/a%2Fb/%2564?x=%20&y HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (told.only.path, told.only.query) == ("/labels/a%2Fb/%2564", "x=%20&y")


def test_head_is_answered_without_a_body_and_with_its_length(running: Running) -> None:
    reply = running.reply(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\ncontent-length: 7\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")


def test_an_answer_that_is_made_anew_is_not_taken_for_one_before(running: Running) -> None:
    assert bodies(running.reply(post(b"a") + post(b"ab"))) == [b"1 bytes", b"2 bytes"]


def test_a_body_of_the_limit_is_told_and_a_longer_one_is_not(running: Running, told: Told) -> None:
    assert bodies(running.reply(post(b"a" * LIMIT) + post(b"a" * (LIMIT + 1)) + post(b"a"))) == [
        b"1000 bytes",
        b"too long",
        b"1 bytes",
    ]
    assert told.requests[1].body == b""


def test_a_client_that_sends_all_before_it_reads_sees_that_it_was_too_much(running: Running) -> None:
    with running.raw(post(b"a" * 8_000_000, b"Connection: close")) as connection:
        assert bodies(until_closed(connection)) == [b"too long"]


def test_a_body_without_end_is_answered_once_and_given_up(told: Told) -> None:
    with Running(told, Terms(LIMIT, 10_000, 1)) as server, server.raw(b"") as connection:
        head, chunk = post(b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b""), b"a" * 1000
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(head)
            while True:
                connection.sendall(b"3e8\r\n%s\r\n" % chunk)
    assert told.only.is_too_long


@pytest.mark.parametrize(
    "request_",
    [
        post(b"{}", declared=3),
        post(b"2\r\n{}\r\n", b"Transfer-Encoding: chunked").replace(b"Content-Length: 7\r\n", b""),
        post(b"2\r\n{}\r\n0\r\n", b"Transfer-Encoding: chunked").replace(b"Content-Length: 10\r\n", b""),
        post(b"a" * (LIMIT + 1), declared=LIMIT + 2),
        b"POST /p HTTP/1.1\r\nHost: x\r\n",
    ],
)
def test_a_request_that_was_cut_short_is_never_told(running: Running, told: Told, request_: bytes) -> None:
    assert running.reply(request_) == b""
    assert told.requests == []


def test_who_asks_before_sending_too_much_is_refused_at_once(running: Running) -> None:
    too_much = post(b"", b"Expect: 100-continue", declared=LIMIT + 1)
    with running.raw(too_much) as connection:
        reply = until_closed(connection)
    assert (bodies(reply), b"100 Continue" in reply) == ([b"too long"], False)


def test_what_was_sent_after_all_is_no_request(running: Running, told: Told) -> None:
    too_much = post(b"a" * (LIMIT + 1), b"Expect: 100-continue")
    with running.raw(too_much + post(b"b")) as connection:
        assert bodies(until_closed(connection)) == [b"too long"]
    assert told.only.is_too_long


def test_who_asks_before_sending_enough_is_told_to_go_on(running: Running) -> None:
    with running.raw(post(b"", b"Expect: 100-Continue", declared=2)) as connection:
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        connection.shutdown(socket.SHUT_WR)
        assert bodies(until_closed(connection)) == [b"2 bytes"]


async def broken(_: Request) -> Answer:
    raise RuntimeError("made for the test")


def test_a_request_that_brings_the_application_down_ends_the_connection_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Running(broken, TERMS) as server:
        for _ in range(2):
            with server.raw(post(b"a")) as connection, contextlib.suppress(ConnectionResetError):
                assert until_closed(connection) == b""
    assert caplog.text.count("a request was not answered") == 2


def test_several_servers_can_share_an_address(told: Told) -> None:
    other = Told()
    with (
        Running(told, TERMS, shares_address=True) as first,
        Running(other, TERMS, port=first.port, shares_address=True) as second,
    ):
        while not (told.requests and other.requests):
            assert bodies(second.reply(post(b"a"))) == [b"1 bytes"]


def test_an_address_that_another_has_for_itself_is_refused(running: Running, told: Told) -> None:
    stopped = asyncio.Event()
    stopped.set()
    with pytest.raises(OSError, match="address already in use"):
        uvloop.run(http_server.serve(told, TERMS, Address("127.0.0.1", running.port), stopped))
