"""A small HTTP load generator: keep-alive connections, at full speed or at a given rate.

    python benchmarks/load.py URL BODIES SECONDS CONNECTIONS [RATE] [AUTHORIZATION]

BODIES is a file with one body a line, sent in turn. At a rate the latency counts from the moment a request was
due, so that a server that stalls is charged for all that had to wait. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

TICK_SECONDS = 0.001


def requests(url: str, bodies: list[bytes], authorization: str) -> list[bytes]:
    """Whole requests, ready to be written."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    if authorization:
        head += f"Authorization: {authorization}\r\n"
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


class Load:
    """The requests of one run: who sends next, what came back."""

    def __init__(self, requests: list[bytes], seconds: float, rate: float) -> None:
        self.latencies: list[float] = []
        self.refused = 0
        self._requests = requests
        self._sent = 0
        self._rate = rate
        self._seconds = seconds
        self._idle: list[Connection] = []
        self._late: collections.deque[float] = collections.deque()
        self._ends_at = float("inf")

    async def run(self, host: str, port: int, connections: int) -> None:
        """Open the connections, send for the time of the run, close."""
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(lambda: Connection(self), host, port) for _ in range(connections)]
        began = time.perf_counter()
        self._ends_at = began + self._seconds
        for _, connection in opened:
            self.is_free(connection)
        if self._rate:
            await self._pace(began)
        else:
            await asyncio.sleep(self._seconds)
        await asyncio.sleep(0.2)
        for transport, _ in opened:
            transport.close()

    def is_free(self, connection: Connection) -> None:
        """Give the connection its next request, or let it wait for one that is due."""
        now = time.perf_counter()
        if now >= self._ends_at:
            return
        if self._late:
            self._send(connection, self._late.popleft())
        elif self._rate:
            self._idle.append(connection)
        else:
            self._send(connection, now)

    async def _pace(self, began: float) -> None:
        due = 0
        while (now := time.perf_counter()) < self._ends_at:
            while due < (now - began) * self._rate:
                due_at = began + due / self._rate
                due += 1
                if self._idle:
                    self._send(self._idle.pop(), due_at)
                else:
                    self._late.append(due_at)
            await asyncio.sleep(TICK_SECONDS)

    def _send(self, connection: Connection, due_at: float) -> None:
        self._sent += 1
        connection.send(self._requests[self._sent % len(self._requests)], due_at)


class Connection(asyncio.Protocol):
    """One request at a time. Answers are short and end in a brace or, from a constant server, in "ok"."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._due_at = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, due_at: float) -> None:
        """Write a request that was due at this moment."""
        self._due_at = due_at
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith((b"}", b"ok")):
            return
        self._load.latencies.append(time.perf_counter() - self._due_at)
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self._load.refused += 1
        self._answer = b""
        self._load.is_free(self)


def main() -> None:
    """Run and print."""
    url, bodies, seconds, connections, *rest = sys.argv[1:]
    rate = float(rest[0]) if rest else 0.0
    lines = Path(bodies).read_bytes().splitlines()
    load = Load(requests(url, lines, rest[1] if len(rest) > 1 else ""), float(seconds), rate)
    parts = urlsplit(url)
    asyncio.run(load.run(parts.hostname or "", parts.port or 80, int(connections)))
    ordered = sorted(load.latencies) or [0.0]
    result = {
        "requests_per_second": round(len(ordered) / float(seconds), 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "refused": load.refused,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
