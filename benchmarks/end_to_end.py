"""Scorecard figure 7: from a request's sending to the webhook's arrival, at a steady rate.

The load and the sink are processes of their own on the same machine; clocks are the same. Events are sent at
fixed times whether or not earlier ones were answered, so a stall shows (no coordinated omission).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import time
from typing import Any

import aiohttp
from aiohttp import web
from instance import free_port, instance


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seconds", type=int, default=10, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = measured(options.rate, options.seconds, options.rounds)
    print(json.dumps(result) if options.json else "\n".join(f"{key:28} {value}" for key, value in result.items()))


def measured(rate: int, seconds: int, rounds: int) -> dict[str, Any]:
    """p50 and p99 in milliseconds, medians over the rounds; the first second of a round warms up."""
    port = free_port()
    latencies = multiprocessing.get_context("spawn").Queue()
    sink = multiprocessing.get_context("spawn").Process(target=receive, args=(port, latencies), daemon=True)
    sink.start()
    p50s, p99s, answer_p99s, lost = [], [], [], 0
    with instance() as running:
        _, key = running.source("bench", f"http://127.0.0.1:{port}/")
        for _ in range(rounds):
            answers = asyncio.run(send(f"http://{running.tracking}/v1/track", key, rate, seconds))
            arrived = [latencies.get(timeout=30) for _ in range(rate * seconds)]
            lost += rate * seconds - len(arrived)
            steady = [each for sent, each in arrived if sent >= 1]
            p50s.append(statistics.median(steady))
            p99s.append(statistics.quantiles(steady, n=100)[98])
            answer_p99s.append(statistics.quantiles(answers, n=100)[98])
    sink.terminate()
    return {
        "events_per_second": rate,
        "delivered_p50_ms": round(statistics.median(p50s) * 1000, 1),
        "delivered_p99_ms": round(statistics.median(p99s) * 1000, 1),
        "delivered_p99_worst_round_ms": round(max(p99s) * 1000, 1),
        "answer_p99_ms": round(statistics.median(answer_p99s) * 1000, 1),
        "not_delivered": lost,
        "rounds": rounds,
        "seconds": seconds,
    }


async def send(url: str, key: str, rate: int, seconds: int) -> list[float]:
    """Send at fixed times; returns how long each answer took."""
    answers: list[float] = []
    headers = {"Authorization": aiohttp.encode_basic_auth(key, ""), "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=200)) as session:
        begin = time.time() + 0.1

        async def one(number: int) -> None:
            event = {
                "userId": f"user-{number % 500}",
                "event": "Order Completed",
                "properties": {
                    "sent": time.time(),
                    "offset": number / rate,
                    "products": [{"sku": "a", "price": 9.5}] * 4,
                },
            }
            began = time.perf_counter()
            async with session.post(url, data=json.dumps(event)) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            answers.append(time.perf_counter() - began)

        async with asyncio.TaskGroup() as sending:
            for number in range(rate * seconds):
                wait = begin + number / rate - time.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                sending.create_task(one(number))
    return answers


def receive(port: int, latencies: Any) -> None:
    """The sink's process: says of each event when in its round it was sent, and how long it took."""

    async def arrived(request: web.Request) -> web.Response:
        properties = json.loads(await request.read())["properties"]
        latencies.put((properties["offset"], time.time() - properties["sent"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", arrived)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    sys.exit(main())
