"""Scorecard figure 8: what nine healthy destinations feel of a tenth that is down, or that hangs.

    python benchmarks/isolation.py [--json] [--rate N] [--seconds N] [--rounds N] [--kind KIND …]

Time from a request's sending to its arrival at each healthy webhook. The tenth is a webhook, a function or an Actions
destination. A round measures nine healthy webhooks beside a tenth that is well, then beside one whose partner does
not listen, then beside one whose partner never answers (a function loops instead), each on a fresh instance; the
ratio is that of a round's p99 to the p99 beside the one that is well, the median over the rounds. Events are sent at
fixed times, whether or not earlier ones were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import kinds
from aiohttp import web
from end_to_end import send
from instance import free_port, instance

HEALTHY = 9
TROUBLES = ("none", "down", "hanging")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rate", type=int, default=50, help="events a second, for each of the ten destinations")
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", nargs="+", default=kinds.installed(), choices=kinds.installed())
    options = parser.parse_args()
    result = measured(options.rate, options.seconds, options.rounds, options.kind)
    print(json.dumps(result) if options.json else "\n".join(f"{key:28} {value}" for key, value in result.items()))


def measured(rate: int, seconds: int, rounds: int, chosen: Sequence[str]) -> dict[str, Any]:
    """p99 in milliseconds beside each trouble of each kind, and its ratio to that beside none; medians, and the
    ratios' range."""
    result: dict[str, Any] = {"events_per_second": rate, "destinations": HEALTHY + 1}
    for kind in chosen:
        p99s: dict[str, list[float]] = {trouble: [] for trouble in TROUBLES}
        for _ in range(rounds):
            for trouble in TROUBLES:
                p99s[trouble].append(p99_beside(kind, trouble, rate, seconds))
        for trouble in TROUBLES:
            result[f"{kind}_{trouble}_p99_ms"] = round(statistics.median(p99s[trouble]) * 1000, 1)
        for trouble in TROUBLES[1:]:
            ratios = [ill / well for ill, well in zip(p99s[trouble], p99s["none"], strict=True)]
            result[f"{kind}_{trouble}_over_none"] = round(statistics.median(ratios), 2)
            result[f"{kind}_{trouble}_over_none_range"] = [round(min(ratios), 2), round(max(ratios), 2)]
    return {**result, "rounds": rounds, "seconds": seconds}


def p99_beside(kind: str, trouble: str, rate: int, seconds: int) -> float:
    """Seconds, over all healthy destinations; the first second warms up."""
    port = free_port()
    latencies = multiprocessing.get_context("spawn").Queue()
    sink = multiprocessing.get_context("spawn").Process(target=receive, args=(port, latencies), daemon=True)
    sink.start()
    tenth = {
        "none": f"http://127.0.0.1:{port}/tenth",
        "down": f"http://127.0.0.1:{free_port()}/",
        "hanging": "loop" if kind == kinds.FUNCTION else f"http://127.0.0.1:{port}/hanging",
    }[trouble]
    healthy = [f"http://127.0.0.1:{port}/{number}" for number in range(HEALTHY)]
    try:
        with instance() as running:
            source_id, key = running.source("isolation", *healthy)
            kinds.connect(running, source_id, kind, tenth)
            asyncio.run(send(f"http://{running.tracking}/v1/track", key, rate, seconds))
            arrived = [latencies.get(timeout=60) for _ in range(rate * seconds * HEALTHY)]
    finally:
        sink.terminate()
        sink.join()
    return statistics.quantiles([taken for sent, taken in arrived if sent >= 1], n=100)[98]


def receive(port: int, latencies: Any) -> None:
    """The sink's process: of each event at a healthy webhook, when in its round it was sent and how long it took."""

    async def healthy(request: web.Request) -> web.Response:
        properties = json.loads(await request.read())["properties"]
        latencies.put((properties["offset"], time.time() - properties["sent"]))
        return web.Response()

    async def tenth(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    async def hanging(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")

    app = web.Application()
    app.add_routes([web.post("/tenth", tenth), web.post("/hanging", hanging), web.post("/{number}", healthy)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    sys.exit(main())
