"""The other end: four webhooks in one server that logs every arrival, in order, and answers as each is told to.

    healthy   takes everything at once
    flaky     fails now and then: 500, 503, 429, a connection that breaks
    hanging   never answers
    (a fourth, dead, is a port where nobody listens)

Healthy and flaky refuse poison with 400.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from oracle.numbered import POISON, Id, id_of, is_as_sent

HEALTHY, FLAKY, HANGING, DEAD = "healthy", "flaky", "hanging", "dead"
OK, REFUSED, NO_ANSWER = 200, 400, 0
FAILURES = (500, 503, 429, NO_ANSWER)
FAILS_ONE_IN = 8


@dataclass(frozen=True)
class Arrival:
    """One request at one webhook, and the status that it was answered; 0 for none."""

    webhook: str
    id: Id
    status: int
    at: float
    is_as_sent: bool

    @property
    def is_decided(self) -> bool:
        """True when the sink took or refused it; anything else asks for another attempt."""
        return self.status in {OK, REFUSED}


@dataclass(frozen=True)
class Request:
    """A request; `path` without slashes around it, names of headers in lower case, the body as JSON."""

    path: str
    headers: dict[str, str]
    body: Any


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request of a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    return Request(head[0].split()[1].strip("/"), headers, body)


async def write_answer(writer: asyncio.StreamWriter, status: int, body: bytes = b"") -> None:
    """Answer a request; one that comes too often may come again at once."""
    retry_after = "Retry-After: 0\r\n" if status == 429 else ""
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n{kind}{retry_after}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


class Sink:
    """Serves from a thread of its own while it is entered."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._arrivals: list[Arrival] = []
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._serving = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._conversations: set[asyncio.Task[Any]] = set()
        self._closed_port = socket.socket()
        self._url = ""

    def __enter__(self) -> Sink:
        self._closed_port.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        self._thread.start()
        assert self._serving.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._closed_port.close()

    def url(self, webhook: str) -> str:
        """Where a webhook is."""
        if webhook == DEAD:
            return f"http://127.0.0.1:{self._closed_port.getsockname()[1]}/{DEAD}"
        return f"{self._url}/{webhook}"

    def arrivals(self, webhook: str) -> list[Arrival]:
        """What arrived at one webhook so far, in order."""
        return [each for each in tuple(self._arrivals) if each.webhook == webhook]

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, backlog=512)
        self._url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._serving.set()
        await self._ended.wait()
        server.close()
        for each in self._conversations:
            each.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._conversations.add(task)
        try:
            while await self._answered_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the worker was killed, or we end
        finally:
            self._conversations.discard(task)
            writer.transport.abort()

    async def _answered_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False when the connection ends with it."""
        request = await read_request(reader)
        event, webhook = request.body, request.path
        status = self._status(webhook, event["event"])
        which = id_of(event)
        self._arrivals.append(Arrival(webhook, which, status, time.monotonic(), is_as_sent(event, which)))
        if webhook == HANGING:
            await reader.read()  # until the worker gives up
        if status == NO_ANSWER:
            return False
        await write_answer(writer, status)
        return True

    def _status(self, webhook: str, name: str) -> int:
        if webhook == HANGING:
            return NO_ANSWER
        if webhook == FLAKY and self._chance.randrange(FAILS_ONE_IN) == 0:
            return self._chance.choice(FAILURES)
        return REFUSED if name == POISON else OK
