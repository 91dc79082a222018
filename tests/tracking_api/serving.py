"""The Tracking API as it is served: on a free port of loopback, a real event log, sources at will."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import uvloop

from mainstem import http_server, tracking_api
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.errors import EngineUnavailable
from mainstem.model.event import Received, from_record
from mainstem.model.snapshot import Change, LiveSnapshot, SourceConfig
from mainstem.settings import Address, Settings

WRITE_KEY = "WriteKeyOfTheSourceThatIsInTests"
SECOND_KEY = "AnotherWriteKeyOfTheSameSource00"
UNKNOWN_KEY = "WriteKeyThatBelongsToNoSource000"
SOURCE_ID = "source-in-tests"
TRACK = {"event": "Signed Up", "userId": "u-1"}
PATIENCE_SECONDS = 60  # how long a test waits for what must come; nothing waits this long when all is well
_EVERYTHING = 1 << 40


def source(id: str, *write_keys: str, enabled: bool = True) -> SourceConfig:
    return SourceConfig(id, "w", id, id, "m", "server", enabled, write_keys, {})


def basic(write_key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()}


class MemorySnapshots:
    """SnapshotStore in memory; `is_broken` makes it unavailable."""

    def __init__(self) -> None:
        self.is_broken = False
        self._changes: list[tuple[int, Change]] = []

    def publish(self, config: SourceConfig) -> None:
        self.publish_change(Change(config.id, config))

    def publish_change(self, change: Change) -> None:
        self._changes.append((len(self._changes) + 1, change))

    def changes(self, after: int) -> tuple[int, list[Change]]:
        if self.is_broken:
            raise EngineUnavailable("the configuration cannot be read")
        return len(self._changes), [change for version, change in self._changes if version > after]


class Served:
    """A running Tracking API with one source; `received` is what came onto its event log since `forget`."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None, **settings: Any) -> None:
        self.database = folder / "events.db"
        self.snapshots = MemorySnapshots()
        self.snapshots.publish(source(SOURCE_ID, WRITE_KEY, SECOND_KEY))
        self._log = SqliteEventLog(self.database)
        self._forgotten = 0
        app = tracking_api.build(Settings(**settings), LiveSnapshot(self.snapshots), self._log)
        self._tls = http_server.tls_context(*certificate) if certificate else None
        self.port = _free_port()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve(app)))
        self._thread.start()
        self._wait_until_it_listens()
        self.host = f"127.0.0.1:{self.port}"
        trusted = ssl.create_default_context(cafile=certificate[0]) if certificate else True
        scheme = "https" if certificate else "http"
        self.client = httpx.Client(base_url=f"{scheme}://{self.host}", timeout=PATIENCE_SECONDS, verify=trusted)

    async def _serve(self, app: tracking_api.TrackingApi) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await http_server.serve(app, tracking_api.TERMS, Address("127.0.0.1", self.port), self._stop, tls=self._tls)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.raw(b"").close()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.001)

    def post(self, path: str, body: Any = TRACK, **more: Any) -> httpx.Response:
        """POST with the write key in the header; `body` is JSON, or bytes as they are."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.client.post(path, **{"headers": basic(WRITE_KEY), **content, **more})

    def refreshed(self) -> None:
        """Have it read the newest configuration at once: it does so before it takes a key for unknown."""
        self.client.post("/v1/track", json=TRACK, headers=basic(UNKNOWN_KEY))

    def forget(self) -> None:
        self._forgotten = self._log.newest()

    def received(self) -> list[Received]:
        blocks = self._log.read(self._forgotten, _EVERYTHING)
        return [from_record(record) for block in blocks for record in block.records]

    def one_received(self) -> Received:
        (only,) = self.received()
        return only

    def raw(self, request: bytes) -> socket.socket:
        """A connection on which these bytes were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)
        connection.sendall(request)
        return connection

    def is_busy(self) -> bool:
        """True while a record waits for the disk."""
        return self._log._waiting_bytes > 0

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def wait_until_stopped(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.client.close()
        if self._thread.is_alive():
            self.stop()
        self.wait_until_stopped()
        self._log.close()


def eventually(ask: Callable[[], httpx.Response], met: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Ask again and again until the answer meets the condition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not met(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.01)
    return answer


def _free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
