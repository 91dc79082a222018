"""How fast a destination that was down gets what waited for it, while new events keep coming.

    python benchmarks/drain.py [--json] [--rate N] [--outage SECONDS] [--rounds N] [--kind KIND …]

Events are sent at fixed times. A partner answers 503 to everything for a while, then 200. From its first 200 until
less than a second's worth of events waits, the events a second that it took: the drain, as a multiple of the inflow.
Each kind of destination (webhook, function, Actions) is measured on a fresh instance. The first wait before a retry
is two seconds there; with the default of 30 it takes up to a minute longer until a partner that is up again is found
out, which is no part of the drain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import kinds
from aiohttp import web
from end_to_end import send
from instance import free_port, instance

RETRY_BASE_SECONDS = 2
TAIL_SECONDS = 20
_PATIENCE_SECONDS = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rate", type=int, default=300, help="events a second")
    parser.add_argument("--outage", type=int, default=10, help="seconds for which the partner is down")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", nargs="+", default=kinds.installed(), choices=kinds.installed())
    options = parser.parse_args()
    os.environ["MAINSTEM_RETRY_BASE_SECONDS"] = str(RETRY_BASE_SECONDS)
    result = measured(options.rate, options.outage, options.rounds, options.kind)
    print(json.dumps(result) if options.json else "\n".join(f"{key:28} {value}" for key, value in result.items()))


def measured(rate: int, outage: int, rounds: int, chosen: Sequence[str]) -> dict[str, Any]:
    """For each kind the drain over the inflow, the median and the range, and how long until the partner was found
    to be up again."""
    result: dict[str, Any] = {"events_per_second": rate, "outage_seconds": outage, "rounds": rounds}
    drains = {kind: [drain(kind, rate, outage) for _ in range(rounds)] for kind in chosen}
    for kind, found in drains.items():
        ratios = [ratio for ratio, _, _ in found]
        result[f"{kind}_over_inflow"] = round(statistics.median(ratios), 2)
        result[f"{kind}_over_inflow_range"] = [round(min(ratios), 2), round(max(ratios), 2)]
        result[f"{kind}_drained_after_seconds"] = round(statistics.median(took for _, took, _ in found), 1)
        result[f"{kind}_noticed_after_seconds"] = round(statistics.median(noticed for _, _, noticed in found), 1)
    return result


def drain(kind: str, rate: int, outage: int) -> tuple[float, float, float]:
    """The drain over the inflow; seconds from the first answer 200 until it was over; and until that answer."""
    port = free_port()
    context = multiprocessing.get_context("spawn")
    arrivals, is_up = context.Queue(), context.Event()
    sink = context.Process(target=receive, args=(port, arrivals, is_up), daemon=True)
    sink.start()
    try:
        with instance() as running:
            source_id, key = running.source("drain")
            kinds.connect(running, source_id, kind, f"http://127.0.0.1:{port}/")
            up_at = asyncio.run(sent(f"http://{running.tracking}/v1/track", key, rate, outage, is_up))
            taken = collected(arrivals, rate * (outage + TAIL_SECONDS))
    finally:
        sink.terminate()
        sink.join()
    return judged(taken, rate, up_at)


async def sent(url: str, key: str, rate: int, outage: int, is_up: Any) -> float:
    """Send through the outage and for a while after it; when the partner was up again."""

    async def end_outage() -> float:
        await asyncio.sleep(outage)
        is_up.set()
        return time.time()

    ending = asyncio.create_task(end_outage())
    await send(url, key, rate, outage + TAIL_SECONDS)
    return await ending


def collected(arrivals: Any, count: int) -> list[tuple[float, float]]:
    """When each event was sent, and when it was taken for the first time."""
    taken: dict[str, tuple[float, float]] = {}
    while len(taken) < count:
        message_id, sent_at, at = arrivals.get(timeout=_PATIENCE_SECONDS)
        taken.setdefault(message_id, (sent_at, at))
    return list(taken.values())


def judged(taken: Sequence[tuple[float, float]], rate: int, up_at: float) -> tuple[float, float, float]:
    """See `drain`. Walks through sendings and takings in the order of time."""
    first = min(at for _, at in taken)
    moments = sorted([(sent_at, 1) for sent_at, _ in taken] + [(at, -1) for _, at in taken])
    waiting = got = 0
    for at, change in moments:
        waiting += change
        got += change < 0
        if got > rate and waiting < rate:
            seconds = at - first
            return got / seconds / rate, seconds, first - up_at
    raise RuntimeError(f"{waiting} events waited at the end")


def receive(port: int, arrivals: Any, is_up: Any) -> None:
    """The partner's process: of each event that it takes its id, when it was sent, and when it was taken."""

    async def arrived(request: web.Request) -> web.Response:
        if not is_up.is_set():
            return web.Response(status=503)
        event = json.loads(await request.read())
        arrivals.put((event["messageId"], event["properties"]["sent"], time.time()))
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/", arrived)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    sys.exit(main())
