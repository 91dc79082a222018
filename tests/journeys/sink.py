"""The other end of a webhook: an HTTP server on loopback that keeps what arrives and answers as told."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ARRIVAL_SECONDS = 60


@dataclass(frozen=True)
class Arrival:
    """One request, with the status that it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        """The body as JSON."""
        event: dict[str, Any] = json.loads(self.body)
        return event

    def is_signed_with(self, secret: str) -> bool:
        """True when X-Signature is the HMAC-SHA1 of the body, in hex."""
        expected = hmac.new(secret.encode(), self.body, hashlib.sha1).hexdigest()
        return hmac.compare_digest(self.headers.get("x-signature", ""), expected)


class Sink:
    """Records every request. `answer_next` queues statuses; when none is left it answers 200."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._arrivals: list[Arrival] = []
        self._statuses: list[int] = []
        self.delay_seconds = 0.0
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer_next(self, statuses: Iterable[int]) -> None:
        """Answer the next requests with these statuses, in this order."""
        with self._arrived:
            self._statuses.extend(statuses)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep a request and return the status that answers it."""
        time.sleep(self.delay_seconds)
        with self._arrived:
            status = self._statuses.pop(0) if self._statuses else 200
            self._arrivals.append(Arrival(path, headers, body, status))
            self._arrived.notify_all()
            return status

    def arrivals(self, path: str | None = None) -> list[Arrival]:
        """What has arrived so far, in order; of one path when given."""
        with self._arrived:
            return [each for each in self._arrivals if path is None or each.path == path]

    def wait_for(self, count: int, *, path: str | None = None) -> list[Arrival]:
        """Return the arrivals once there are `count` of them, answered below 300; fail when they do not come."""
        return self.wait_until(lambda taken: len(taken) >= count, f"{count} events", path=path)

    def wait_until(
        self, met: Callable[[list[Arrival]], bool], what: str, *, path: str | None = None
    ) -> list[Arrival]:
        """Return the arrivals answered below 300 once they meet a condition."""

        def taken() -> list[Arrival]:
            return [each for each in self._arrivals if each.status < 300 and path in (None, each.path)]

        with self._arrived:
            if not self._arrived.wait_for(lambda: met(taken()), ARRIVAL_SECONDS):
                shown = [(each.status, each.path, each.body[:300]) for each in self._arrivals]
                raise AssertionError(f"{what} did not arrive in {ARRIVAL_SECONDS} s, but these did: {shown}")
            return taken()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.sink.take(self.path, headers, body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the arrivals are the log."""
