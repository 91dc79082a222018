"""Sandboxes for tests, and something on loopback that must not be reached."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from mainstem.model.networks import Network
from mainstem.sandbox import Code, Ended, Invocation, Limits, Sandbox

SMALL = Limits(
    seconds=1.0, heap_mb=64, resident_mb=256, output_bytes=256 * 1024, log_bytes=4096, concurrency=20, processes=8,
    idle_seconds=30.0,
)  # fmt: skip
_numbers = itertools.count()


def code(source: str, kind: Any = "DESTINATION") -> Code:
    """A function of its own."""
    return Code(f"fn_{next(_numbers)}", "1", kind, source)


async def call(sandbox: Sandbox, function: Code, argument: Any = None, handler: str = "onTrack") -> Ended:
    """How an invocation ends."""
    return await sandbox.invoke(function, Invocation(handler, json.dumps(argument).encode(), b'{"apiKey":"s3cret"}'))


def value(ended: Ended) -> Any:
    """What it returned."""
    assert ended.how == "returned", ended
    return None if ended.value is None else json.loads(ended.value)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens in a process, of which nothing here is told."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def sandbox(limits: Limits = SMALL, allow_private: Sequence[Network] = ()) -> AsyncIterator[Sandbox]:
    """A sandbox, closed in the end."""
    opened = Sandbox(limits, allow_private=allow_private)
    try:
        yield opened
    finally:
        await opened.close()


class Listener:
    """Listens on loopback, IPv4 and where there is any IPv6, counts who connects, and answers like HTTP; a request
    for /to?URL is redirected there."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Until the end of the block."""
        servers = [await asyncio.start_server(self._serve, "127.0.0.1", 0)]
        self.port = servers[0].sockets[0].getsockname()[1]
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                servers.append(await asyncio.start_server(self._serve, "::1", self.port))
        try:
            yield self
        finally:
            for server in servers:
                server.close()
                await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            target = head.split()[1]
            if target.startswith("/to?"):
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target[4:]}\r\nContent-Length: 0\r\n\r\n".encode())
            elif target != "/never":
                body = head.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            if target == "/never":
                await reader.read()
            await writer.drain()
        writer.close()
