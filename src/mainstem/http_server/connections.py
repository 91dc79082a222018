"""One HTTP/1.1 connection: bytes in, requests to the application one after the other, answers out in order.

The parser is llhttp, which refuses ambiguous lengths and other ways to smuggle requests, and tells of a request only
when it is whole. What is here beside it are bounds: on headers, on bodies, on what waits, on time. Source: RFC 9112,
"HTTP/1.1".
"""

from __future__ import annotations

import asyncio
import collections
import functools
import http
import logging
from typing import Final, cast

import httptools

from mainstem.http_server.messages import Answer, App, Request, Terms

_log: Final = logging.getLogger("mainstem.http_server")
MAX_HEAD_BYTES: Final = 128 * 1024  # an event by image is up to 32 KB, three times as much when escaped
_WITHOUT_BODY: Final = frozenset({http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED})
_REASONS: Final = {status.value: status.phrase for status in http.HTTPStatus}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Clock:
    """What all connections share: the time and the Date header, renewed once a second by the server."""

    def __init__(self) -> None:
        self.now = 0.0
        self.date = b""
        self.is_stopping = False
        self.connections: set[Connection] = set()
        self.all_gone = asyncio.Event()

    def forget(self, connection: Connection) -> None:
        """A connection is closed; after `is_stopping`, `all_gone` tells when the last one is."""
        self.connections.discard(connection)
        if self.is_stopping and not self.connections:
            self.all_gone.set()


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 with one client. `heard_at` and `asked_at` tell the server whom to hang up on."""

    def __init__(self, app: App, terms: Terms, clock: Clock, scheme: str) -> None:
        self.heard_at = clock.now
        self.asked_at: float | None = None  # since when a request is coming in that is not whole yet
        self._app = app
        self._terms = terms
        self._clock = clock
        self._scheme = scheme
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: collections.deque[tuple[Request, bool]] = collections.deque()
        self._answering: asyncio.Task[Answer] | None = None
        self._is_reading = True
        self._answers_head = self._keeps_alive = self._has_left = False
        self._is_last = False  # the connection ends after the answers that are due
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._is_in_head = True
        self._awaits_continue = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        peer = transport.get_extra_info("peername")
        self._peer: str = peer[0] if isinstance(peer, tuple) else ""
        self._clock.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._clock.forget(self)
        self._waiting.clear()  # the request that is being answered goes on: it may be on disk already
        self._is_last = True

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._clock.now
        if self._is_last:
            self._ignore(len(data))
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_last = True  # nobody here speaks another protocol: answered as if it had not been asked for
        except httptools.HttpParserError:
            self._refuse(400)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431)
        if self._body_bytes > self._terms.max_body_bytes + self._terms.max_ignored_bytes:
            self._is_last = True
            self._add_request(is_too_long=True)
        if self._answering is None and (self._waiting or self._is_last):
            self._answer_next()

    def _ignore(self, size: int) -> None:
        """Nothing after the last request is looked at, and it must end at some time."""
        self._body_bytes += size
        if self._body_bytes > self._terms.max_ignored_bytes:
            self._transport.abort()

    def eof_received(self) -> bool:
        """A client may close its half and still read: what it asked for is answered."""
        self._is_last = True
        return self._answering is not None and not self._transport.is_closing()

    def pause_writing(self) -> None:
        """The client does not read its answers: it is not listened to either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._is_reading:
            self._transport.resume_reading()

    # What the parser calls

    def on_message_begin(self) -> None:
        self.asked_at = self._clock.now

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        terms = self._terms
        if name not in terms.kept_headers and not self._url.startswith(terms.all_headers_under):
            return
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))
        if name == b"expect":
            self._awaits_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if not self._awaits_continue:
            return
        if self._declared_bytes() <= self._terms.max_body_bytes:
            self._transport.write(_CONTINUE)
        elif not self._is_last:  # it asked before it sends, so it need not send
            self._add_request(is_too_long=True)
            self._is_last = True

    def on_body(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)
        if self._body_bytes <= self._terms.max_body_bytes:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if not self._is_last:  # it is when this request was refused before its body came
            self._add_request(is_too_long=self._body_bytes > self._terms.max_body_bytes)

    # From requests to answers

    def _add_request(self, *, is_too_long: bool) -> None:
        self.asked_at = None
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):
            path = _path_of_whole_url(path)
        request = Request(
            self._parser.get_method().decode(),
            path.decode("latin-1"),
            query.decode("latin-1"),
            self._headers,
            self._peer,
            self._scheme,
            b"" if is_too_long else self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks),
            is_too_long,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if len(self._waiting) > self._terms.max_waiting_requests and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()
        self._begin()

    def _declared_bytes(self) -> int:
        """What the body was announced with, as far as that header is kept; 0 when it was not."""
        return next((int(value) for name, value in self._headers if name == "content-length"), 0)

    def _answer_next(self) -> None:
        if not self._waiting:
            if self._is_last or self._clock.is_stopping:
                self._leave()
            return
        request, keep_alive = self._waiting.popleft()
        self._answering = self._loop.create_task(self._app(request))
        self._answers_head, self._keeps_alive = request.method == "HEAD", keep_alive
        self._answering.add_done_callback(self._answer)

    def _answer(self, answering: asyncio.Task[Answer]) -> None:
        self._answering = None
        if self._transport.is_closing() or answering.cancelled():
            return
        if (failure := answering.exception()) is not None:  # which no application should: nobody waits for ever
            _log.error("a request was not answered", exc_info=failure)
            self._transport.abort()
            return
        if self._clock.is_stopping or not self._keeps_alive:
            self._is_last = True
            self._waiting.clear()
        stays_open = not self._is_last or bool(self._waiting)
        answer = answering.result()
        head, body = (_remembered if answer.is_reused else _rendered)(answer, stays_open)
        self._transport.write(b"".join((head, self._clock.date, b"" if self._answers_head else body)))
        if not self._is_reading and not self._waiting:
            self._is_reading = True
            self._transport.resume_reading()
        self._answer_next()

    def _refuse(self, status: int) -> None:
        """What came is no HTTP, or has no end. Requests before it still get their answers, then it ends."""
        if self._answering is None and not self._waiting and not self._is_last:
            reason = _REASONS[status].encode()
            self._transport.write(
                b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % (status, reason)
            )
        self._is_last = True

    def _leave(self) -> None:
        """Say that this was all, and close when the client does so or takes too long: closing at once while it
        still sends would throw away the answer that it has not read."""
        if self._clock.is_stopping or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._has_left:
            self._has_left = True
            self.asked_at = self._clock.now
            self._transport.write_eof()

    def abort_if_silent(self, quiet_seconds: float, request_seconds: float) -> None:
        """Hang up on a client that says nothing, or takes for ever to say it."""
        now = self._clock.now
        is_idle = self._answering is None and now - self.heard_at > quiet_seconds
        is_slow = self.asked_at is not None and now - self.asked_at > request_seconds
        if is_idle or is_slow:
            self._transport.abort()

    def stop(self) -> None:
        """Close as soon as no answer is due."""
        if self._answering is None:
            self._transport.close()


def _rendered(answer: Answer, stays_open: bool) -> tuple[bytes, bytes]:
    """Status line and headers up to the date, and what follows the date."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.status not in _WITHOUT_BODY:
        lines.append(f"content-length: {len(answer.body)}")
    if not stays_open:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\ndate: ").encode(), answer.body


_remembered: Final = functools.lru_cache(maxsize=1024)(_rendered)


def _path_of_whole_url(url: bytes) -> bytes:
    """Proxies may ask for a whole URL instead of its path."""
    try:
        return httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        return url
