"""How many deliveries a second one worker on one core makes: queue reads, requests, answers, saved outcomes.

    python benchmarks/delivery.py [--json] [--deliveries N] [--rounds N]

One Webhooks destination, 0.6 KB events of 20,000 users, the queue on disk in a temporary folder. The partner is
a bare HTTP/1.1 server in another process, on another core where there are two, that answers 200 with an empty
body; `sink_per_second` is what it takes from a raw client that does nothing else, so that it is seen not to be
the limit. Also: a worker with three quarters of the deliveries for destinations that are dead or hang.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import multiprocessing
import os
import platform
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from mainstem.delivery.deliver import deliver
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.model.ports import NewDelivery, Processed, Retry, Settled
from mainstem.model.snapshot import Change, DestinationConfig, LiveSnapshot, SourceConfig
from mainstem.settings import Settings

USERS = 20_000
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
WEBHOOKS = "54521fdc25e721e32a72ef04"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Partner(asyncio.Protocol):
    """Answers every request, or on a hanging port none."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        unread = self._unread + data
        while (end := unread.find(b"\r\n\r\n")) >= 0:
            length_at = unread.lower().index(b"content-length:", 0, end) + len("content-length:")
            whole = end + 4 + int(unread[length_at : unread.index(b"\r\n", length_at)])
            if len(unread) < whole:
                break
            unread = unread[whole:]
            if not self._hangs:
                self._transport.write(ANSWER)  # type: ignore[attr-defined]
        self._unread = unread


def serve(ports: Connection, core: int | None) -> None:
    """The partner's process: one port that answers and one that hangs."""
    pin(core)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        well = await loop.create_server(lambda: Partner(hangs=False), "127.0.0.1", 0, backlog=1024)
        hangs = await loop.create_server(lambda: Partner(hangs=True), "127.0.0.1", 0, backlog=1024)
        ports.send([each.sockets[0].getsockname()[1] for each in (well, hangs)])
        await asyncio.Event().wait()

    asyncio.run(main())


def pin(core: int | None) -> None:
    """Stay on one core, where the system can do that."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def partner(core: int | None) -> Iterator[list[int]]:
    """The ports of a partner that runs inside the context."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, core), daemon=True)
    process.start()
    yield ours.recv()
    process.kill()
    process.join()


class CountingQueue:
    """The queue of a flow, which sets `done` when this many deliveries to `to` are settled."""

    def __init__(self, flow: SqliteFlow, to: str, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done = asyncio.Event()
        self._queue, self._to, self._left, self._loop = flow.queue, to, number, loop
        self.destinations, self.take = flow.queue.destinations, flow.queue.take
        self.get, self.wait, self.newest = flow.queue.get, flow.queue.wait, flow.queue.newest

    def settle(self, settled: Sequence[Settled], retries: Sequence[Retry]) -> None:
        self._queue.settle(settled, retries)
        self._left -= sum(each.key.destination_id == self._to for each in settled)
        if self._left <= 0:
            self._loop.call_soon_threadsafe(self.done.set)


class FixedSnapshot:
    """One source, published once."""

    def __init__(self, destinations: tuple[DestinationConfig, ...]) -> None:
        self._source = SourceConfig("src", "ws", "s", "S", "m", "server", True, ("k",), {}, destinations)

    def changes(self, after: int) -> tuple[int, list[Change]]:
        return 1, [Change("src", self._source)] if after < 1 else []


def event(number: int, to: str, chance: random.Random) -> NewDelivery:
    """A track call of about 0.6 KB, as the pipeline queues it."""
    user = f"user-{chance.randrange(USERS)}"
    now_ms = int(time.time() * 1000)
    payload = {
        "type": "track",
        "event": "Order Step",
        "messageId": f"node-next-{number}-{chance.getrandbits(64):016x}",
        "userId": user,
        "timestamp": "2026-11-23T06:38:00.123Z",
        "properties": {
            "order_id": f"o-{number}",
            "total": chance.randrange(1, 300) / 2,
            "currency": "EUR",
            "products": [{"sku": "a-1", "price": 12.5, "quantity": 1}, {"sku": "b-2", "price": 3, "quantity": 2}],
        },
        "context": {
            "library": {"name": "@segment/analytics-node", "version": "3.1.0"},
            "page": {"url": "https://shop.example/checkout/step", "path": "/checkout/step", "title": "Checkout"},
        },
        "integrations": {},
        "receivedAt": "2026-11-23T06:38:00.200Z",
    }
    body = msgspec.json.encode(payload)
    return NewDelivery(to, zlib.crc32(user.encode()), "src", f"m{number}", "track", "Order Step", "", now_ms, body)


def webhook(id: str, port: int, *, is_signed: bool) -> DestinationConfig:
    """A Webhooks destination on loopback."""
    settings = {"hooks": [{"hook": f"http://127.0.0.1:{port}/hook"}], "sharedSecret": "s" if is_signed else ""}
    return DestinationConfig(id, WEBHOOKS, "Webhooks", True, settings)


def one_round(number: int, ports: list[int], *, is_signed: bool, is_beside_trouble: bool) -> tuple[float, float]:
    """Wall and CPU seconds for `number` deliveries to the partner that answers."""
    chance = random.Random(7)
    destinations = [webhook("well", ports[0], is_signed=is_signed)]
    deliveries = [event(each, "well", chance) for each in range(number)]
    if is_beside_trouble:
        destinations += [
            webhook("dead", 1, is_signed=False),
            *(webhook(f"h{n}", ports[1], is_signed=False) for n in (1, 2)),
        ]
        for each in range(number):
            deliveries += [event(each, to, chance) for to in ("dead", "h1", "h2")]
        chance.shuffle(deliveries)
    with tempfile.TemporaryDirectory() as folder:
        flow = SqliteFlow(Path(folder))
        for first in range(0, len(deliveries), 5_000):
            position = flow.pipeline.position()
            page = deliveries[first : first + 5_000]
            flow.pipeline.save(Processed(position, position + 1, deliveries=page), int(time.time() * 1000))
        spent = asyncio.run(delivered(flow, tuple(destinations), number))
        flow.close()
    return spent


async def delivered(
    flow: SqliteFlow, destinations: tuple[DestinationConfig, ...], number: int
) -> tuple[float, float]:
    """Deliver `number` to "well" and return the wall and CPU seconds that took."""
    queue = CountingQueue(flow, "well", number, asyncio.get_running_loop())
    stop = asyncio.Event()
    wall, cpu = time.perf_counter(), time.process_time()
    snapshot = LiveSnapshot(FixedSnapshot(destinations))
    work = asyncio.create_task(deliver(queue, snapshot, Settings(allow_private=LOOPBACK), stop))
    await asyncio.wait({work, asyncio.create_task(queue.done.wait())}, return_when=asyncio.FIRST_COMPLETED)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    stop.set()
    await work
    return spent


async def raw_rate(port: int, number: int) -> float:
    """Requests per second that the partner answers a client which writes ready bytes on 64 connections."""
    request = b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\n\r\n" + b"x" * 600

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(number // 64):
            writer.write(request)
            await reader.readexactly(len(ANSWER))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(64)))
    return number // 64 * 64 / (time.perf_counter() - began)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure; medians, and the spread of the main one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    number = options.deliveries
    with partner(cores[1] if len(cores) > 1 else None) as ports:
        pin(cores[0] if cores else None)
        raw = asyncio.run(raw_rate(ports[0], number))
        one_round(number // 5, ports, is_signed=False, is_beside_trouble=False)
        plain = [one_round(number, ports, is_signed=False, is_beside_trouble=False) for _ in range(options.rounds)]
        signed = [one_round(number, ports, is_signed=True, is_beside_trouble=False) for _ in range(options.rounds)]
        beside = [one_round(number, ports, is_signed=False, is_beside_trouble=True) for _ in range(options.rounds)]
    rates = sorted(number / wall for wall, _ in plain)
    return {
        "deliveries_per_second": round(statistics.median(rates)),
        "slowest": round(rates[0]),
        "fastest": round(rates[-1]),
        "deliveries_per_cpu_second": round(statistics.median(number / cpu for _, cpu in plain)),
        "signed_per_second": round(statistics.median(number / wall for wall, _ in signed)),
        "beside_dead_and_hanging_per_second": round(statistics.median(number / wall for wall, _ in beside)),
        "sink_per_second": round(raw),
        "event_bytes": len(event(0, "well", random.Random(7)).body),
        "deliveries": number,
        "rounds": options.rounds,
        "python": platform.python_version(),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = measured(options)
    print(json.dumps(result) if options.json else "\n".join(f"{key:36} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
