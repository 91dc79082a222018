"""How many events a second users' functions take, through `Sandbox.invoke`: from Python to Deno and back.

    python benchmarks/functions.py [--json] [--events N] [--rounds N]

0.6 KB track events, one function in one process, 100 invocations in flight; Python and Deno have a core each where
there are two. `sync` returns the event with a property added, `async` awaits before, `fetch` posts the event to a
server on loopback that answers 200 with an empty body, `batch` gives 100 events to onBatch at once. `beside` is
`sync` while another function loops without end, is ended after five seconds, and begins anew; over `sync` of the
same round. Also the time from nothing to the first answer of a function, and what an idle process holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from mainstem.sandbox import Code, Ended, Invocation, Limits, Sandbox

IN_FLIGHT = 100
IN_A_BATCH = 100
SETTINGS = b'{"apiKey":"k","region":"eu"}'
SOURCE = """
const URL_OF_PARTNER = "%s";
function onTrack(event, settings) { event.properties.region = settings.region; return event; }
async function onPage(event, settings) { await null; event.properties.region = settings.region; return event; }
async function onGroup(event) {
  const answer = await fetch(URL_OF_PARTNER, { method: "POST", body: JSON.stringify(event) });
  if (!answer.ok) throw new RetryError("status " + answer.status);
}
async function onBatch(events, settings) {
  for (const event of events) event.properties.region = settings.region;
  return events;
}
"""
LOOP = Code("loop", "1", "DESTINATION", "function onTrack() { for (;;); }")
_names = itertools.count()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    parser.add_argument("--events", type=int, default=40_000, help="events of a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with partner() as port:
        rounds = [asyncio.run(measure(options.events, port)) for _ in range(options.rounds)]
    result = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    result = {name: int(value) if value > 1_000 else value for name, value in result.items()}
    spread: dict[str, Any] = {
        "slowest_sync": int(min(each["sync_per_second"] for each in rounds)),
        "fastest_sync": int(max(each["sync_per_second"] for each in rounds)),
        "rounds": options.rounds, "events_a_round": options.events, "event_bytes": len(event()),
        "python": platform.python_version(),
    }  # fmt: skip
    for name, value in (result | spread).items():
        print(f"{name:>24}  {value}")
    if options.json:
        print(json.dumps(result | spread))
    return 0


async def measure(events: int, port: int) -> dict[str, float]:
    """One round with new processes."""
    async with opened(Limits()) as sandbox:
        code = Code(f"f{next(_names)}", "1", "DESTINATION", SOURCE % f"http://127.0.0.1:{port}/")
        began = time.perf_counter()
        await invoke(sandbox, code, "onTrack", event())
        first = time.perf_counter() - began
        idle = resident_mb(sandbox)
        await rate(sandbox, code, "onTrack", events // 4)
        figures = {
            "sync_per_second": await rate(sandbox, code, "onTrack", events),
            "async_per_second": await rate(sandbox, code, "onPage", events),
            "fetch_per_second": await rate(sandbox, code, "onGroup", events // 10),
            "batch_per_second": await rate(sandbox, code, "onBatch", events, IN_A_BATCH),
        }
        beside = await rate_beside_a_loop(sandbox, code, 5 * events)
    return {
        **figures, "one_at_a_time_ms": await one_at_a_time_ms(), "first_answer_ms": first * 1000,
        "process_resident_mb": idle, "beside_a_loop_over_sync": beside / figures["sync_per_second"],
    }  # fmt: skip


@contextlib.asynccontextmanager
async def opened(limits: Limits) -> AsyncIterator[Sandbox]:
    """A sandbox that may reach loopback."""
    sandbox = Sandbox(limits, allow_private=[ip_network("127.0.0.0/8")])
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def invoke(sandbox: Sandbox, code: Code, handler: str, argument: bytes) -> Ended:
    """One invocation, which must return."""
    ended = await sandbox.invoke(code, Invocation(handler, argument, SETTINGS))
    assert ended.how == "returned", ended
    return ended


async def rate(sandbox: Sandbox, code: Code, handler: str, events: int, in_a_call: int = 1) -> float:
    """Events a second with IN_FLIGHT invocations under way."""
    argument = event() if in_a_call == 1 else b"[" + b",".join([event()] * in_a_call) + b"]"
    width = IN_FLIGHT if in_a_call == 1 else 4
    share = max(events // in_a_call // width, 1)

    async def drive() -> None:
        for _ in range(share):
            await invoke(sandbox, code, handler, argument)

    began = time.perf_counter()
    await asyncio.gather(*(drive() for _ in range(width)))
    return share * width * in_a_call / (time.perf_counter() - began)


async def rate_beside_a_loop(sandbox: Sandbox, code: Code, events: int) -> float:
    """The same as `rate` of onTrack, while another function does nothing but harm."""

    async def harm() -> None:
        while True:
            await sandbox.invoke(LOOP, Invocation("onTrack", event(), SETTINGS))

    harming = asyncio.create_task(harm())
    await asyncio.sleep(0.3)
    figure = await rate(sandbox, code, "onTrack", events)
    harming.cancel()
    return figure


async def one_at_a_time_ms() -> float:
    """Milliseconds of one invocation when no other is under way."""
    async with opened(Limits()) as sandbox:
        code = Code("single", "1", "DESTINATION", SOURCE % "")
        await invoke(sandbox, code, "onTrack", event())
        began = time.perf_counter()
        for _ in range(1_000):
            await invoke(sandbox, code, "onTrack", event())
        return time.perf_counter() - began


def resident_mb(sandbox: Sandbox) -> float:
    """What the only process of a sandbox holds in memory of its own (PSS: what is shared is divided)."""
    (process,) = sandbox._processes  # noqa: SLF001
    lines = Path(f"/proc/{process._pid}/smaps_rollup").read_text().splitlines()  # noqa: SLF001
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def event() -> bytes:
    """A track event of 0.6 KB."""
    context = {"ip": "203.0.113.7", "library": {"name": "analytics.js", "version": "2.1.0"}, "userAgent": "x" * 110}
    properties = {"order_id": "50314b8e", "total": 27.5, "currency": "USD", "products": [{"sku": "a" * 12}] * 3}
    return json.dumps(
        {
            "type": "track", "event": "Order Completed", "messageId": "ajs-next-1700000000000-0123456789",
            "userId": "user-12345", "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895", "context": context,
            "properties": properties, "timestamp": "2026-01-01T00:00:00.000Z",
        }
    ).encode()  # fmt: skip


@contextlib.contextmanager
def partner() -> Iterator[int]:
    """The port of a server in another process that answers everything with 200."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def serve(told: Any) -> None:
    """Answer until terminated."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Answering(asyncio.Protocol):
    """Reads requests with a length, answers each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._unread = transport, b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._unread) < end + 4 + length:
                return
            self._unread = self._unread[end + 4 + length :]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    raise SystemExit(main())
