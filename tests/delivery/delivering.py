"""A delivery worker with real partners on loopback: an HTTP server that answers as a test says, a queue of
either engine that tells what was saved, and a configuration that can change."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from mainstem.delivery.deliver import deliver
from mainstem.engines.memory import MemoryDeliveryQueue
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import DeadLetterStore, Delivery, DeliveryQueue, NewDelivery, Processed, Retry, Settled
from mainstem.model.snapshot import Change, DestinationConfig, LiveSnapshot, SourceConfig
from mainstem.settings import Settings

WEBHOOKS = "54521fdc25e721e32a72ef04"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
RECEIVED_AT_MS = 1_780_000_000_000
PATIENCE_SECONDS = 60  # how long a test waits for what must come; nothing waits this long when all is well


@dataclass
class Arrival:
    """One request as the partner got it."""

    path: str
    headers: dict[str, str]
    body: bytes
    request: web.Request

    @property
    def message_id(self) -> str:
        return str(json.loads(self.body)["messageId"])


Answer = Callable[[Arrival], web.StreamResponse | int | Awaitable[web.StreamResponse | int]]


class Partner:
    """An HTTP server; `answer` decides what each request gets."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.answer: Answer = lambda arrival: 200
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Partner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        arrival = Arrival(request.path, dict(request.headers), await request.read(), request)
        self.arrivals.append(arrival)
        async with self._changed:
            self._changed.notify_all()
        answer = self.answer(arrival)
        if isinstance(answer, Awaitable):
            answer = await answer
        return web.Response(status=answer) if isinstance(answer, int) else answer

    async def until(self, number: int) -> None:
        """Return when this many requests have arrived."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.arrivals) >= number)

    def message_ids(self) -> list[str]:
        return [each.message_id for each in self.arrivals]


class Configuration:
    """A SnapshotStore that tests write to: one source with these destinations."""

    def __init__(self) -> None:
        self._version = 0
        self._source: SourceConfig | None = None
        self._destinations: dict[str, DestinationConfig] = {}

    def put(self, id: str, settings: dict[str, Any], *, enabled: bool = True, metadata_id: str = WEBHOOKS) -> None:
        self._destinations[id] = DestinationConfig(id, metadata_id, "Webhooks", enabled, settings)
        self._publish()

    def delete(self, id: str) -> None:
        del self._destinations[id]
        self._publish()

    def _publish(self) -> None:
        destinations = tuple(self._destinations.values())
        self._source = SourceConfig("s1", "w1", "s", "S", "m", "server", True, ("k",), {}, destinations)
        self._version += 1

    def changes(self, after: int) -> tuple[int, list[Change]]:
        return self._version, [Change("s1", self._source)] if after < self._version else []


class ToldQueue:
    """A DeliveryQueue that passes everything on and tells the test what was saved."""

    def __init__(self, queue: DeliveryQueue) -> None:
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Condition()
        self.settled: list[Settled] = []
        self.retries: list[Retry] = []
        self.refusals = 0  # how often `settle` still fails
        self.refused = 0
        self.largest_page = 0
        self.taken_after: list[int] = []

    def destinations(self) -> Sequence[str]:
        return self._queue.destinations()

    def take(self, destination_id: str, after: int, limit: int, share: tuple[int, int]) -> Sequence[Delivery]:
        self.largest_page = max(self.largest_page, limit)
        self.taken_after.append(after)
        return self._queue.take(destination_id, after, limit, share)

    def newest(self) -> int:
        return self._queue.newest()

    def get(self, ids: Sequence[int]) -> Sequence[Delivery]:
        return self._queue.get(ids)

    def settle(self, settled: Sequence[Settled], retries: Sequence[Retry]) -> None:
        if self.refusals:
            self.refusals -= 1
            self.refused += 1
            raise EngineUnavailable("the disk is full")
        self._queue.settle(settled, retries)
        self.settled.extend(settled)
        self.retries.extend(retries)
        asyncio.run_coroutine_threadsafe(self._tell(), self._loop)

    def wait(self, timeout_seconds: float) -> None:
        self._queue.wait(timeout_seconds)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Return when `claim` holds; it is looked at after every save."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(claim)


def quick(**changes: Any) -> Settings:
    """Settings whose waits are over at once."""
    short = Settings(allow_private=LOOPBACK, retry_base_seconds=0.01, retry_cap_seconds=0.02, retry_hours=1)
    return msgspec.structs.replace(short, **changes)


@dataclass
class World:
    """Queue, configuration and settings of one test."""

    queue: ToldQueue
    append: Callable[[Sequence[NewDelivery]], None]
    dead_letters: DeadLetterStore
    second_queue: ToldQueue  # the same deliveries, as another process sees them
    configuration: Configuration = field(default_factory=Configuration)
    settings: Settings = field(default_factory=quick)

    def outcomes(self) -> dict[tuple[str, str], int]:
        """How many deliveries ended how."""
        return dict(Counter((each.key.stage.value, each.key.reason) for each in self.queue.settled))

    async def until_settled(self, number: int) -> None:
        """Return when this many deliveries are saved as settled."""
        await self.queue.until(lambda: len(self.queue.settled) >= number)

    def working(self, **options: Any) -> Working:
        """A worker that runs while the context is open."""
        return Working(self, options)


class Working:
    """Runs `deliver` inside `async with`; a fault of the worker fails the test."""

    def __init__(self, world: World, options: dict[str, Any]) -> None:
        self._world = world
        self._options = {"jitter": lambda: 1.0, "poll_seconds": 0.02, **options}
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Working:
        snapshot = LiveSnapshot(self._world.configuration)
        options = {"queue": self._world.queue, **self._options}
        work = deliver(snapshot=snapshot, settings=self._world.settings, stop=self._stop, **options)
        self._task = asyncio.create_task(work)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        assert self._task is not None
        await self._task


def memory_world() -> World:
    queue = MemoryDeliveryQueue()
    return World(ToldQueue(queue), queue.append, queue.dead_letters, ToldQueue(queue))


def sqlite_world(folder: Path) -> tuple[World, Callable[[], None]]:
    """A world on disk, and how to close it."""
    flow, second = SqliteFlow(folder), SqliteFlow(folder)

    def append(deliveries: Sequence[NewDelivery]) -> None:
        position = flow.pipeline.position()
        flow.pipeline.save(Processed(position, position + 1, deliveries=deliveries), RECEIVED_AT_MS)

    def close() -> None:
        flow.close()
        second.close()

    return World(ToldQueue(flow.queue), append, flow.dead_letters, ToldQueue(second.queue)), close


def event(
    message_id: str, *, user: str = "u1", to: str = "d1", received_at_ms: int = RECEIVED_AT_MS, type: str = "track"
) -> NewDelivery:
    """A queued event; deliveries of one user have one lane."""
    payload = {"type": type, "messageId": message_id, "userId": user, "event": "Order Completed"}
    lane = zlib.crc32(user.encode())
    return NewDelivery(
        to, lane, "s1", message_id, type, "Order Completed", "1.2", received_at_ms, json.dumps(payload).encode()
    )  # fmt: skip


def webhook(*urls: str, **others: Any) -> dict[str, Any]:
    """Settings of a Webhooks destination with these URLs."""
    return {"hooks": [{"hook": url} for url in urls], **others}
