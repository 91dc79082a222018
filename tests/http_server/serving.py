"""An application as it is served: on a free port of loopback, by an event loop in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType

import uvloop

from mainstem import http_server
from mainstem.http_server import App, Terms
from mainstem.settings import Address

PATIENCE_SECONDS = 60  # how long a test waits for what must come; nothing waits this long when all is well


class Running:
    """A server with one application, for the length of a `with` block. Its event loop is `loop`, in `thread`."""

    def __init__(self, app: App, terms: Terms, *, port: int = 0, shares_address: bool = False) -> None:
        self._app, self._terms, self._shares_address = app, terms, shares_address
        self.port = port or free_port()
        self.thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    def __enter__(self) -> Running:
        self.thread.start()
        while not self._answers():
            assert self.thread.is_alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.thread.is_alive():
            self.stop()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        address = Address("127.0.0.1", self.port)
        await http_server.serve(self._app, self._terms, address, self._stop, shares_address=self._shares_address)

    def _answers(self) -> bool:
        try:
            self.raw(b"").close()
        except ConnectionRefusedError:
            return False
        return True

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def raw(self, request: bytes) -> socket.socket:
        """A connection on which these bytes were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)
        connection.sendall(request)
        return connection

    def reply(self, request: bytes) -> bytes:
        """All that comes until the server closes, after the client has closed its half."""
        with self.raw(request) as connection:
            connection.shutdown(socket.SHUT_WR)
            return until_closed(connection)


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
