"""Whether the memory of any process grows while functions and Actions destinations work for long.

    python benchmarks/memory.py [--json] [--minutes N] [--rate N] [--kind KIND …]

Each event goes to a destination of each kind at one partner, which refuses one in fifty with 503 and one in a hundred
with 400, so that retries and samples are part of it. Memory (PSS, in MB) of each process is looked at once a minute;
printed are the medians of the second tenth of the time, of its middle and of its last tenth, and how many events the
partner took. The first tenth warms up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import kinds
from aiohttp import web
from end_to_end import send
from instance import Instance, free_port, instance

_LOOK_EVERY_SECONDS = 60
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=30, help="events a second")
    parser.add_argument("--kind", nargs="+", default=kinds.installed(), choices=kinds.installed())
    options = parser.parse_args()
    result = measured(options.minutes, options.rate, options.kind)
    print(json.dumps(result) if options.json else "\n".join(f"{key:28} {value}" for key, value in result.items()))


def measured(minutes: int, rate: int, chosen: list[str]) -> dict[str, Any]:
    """Megabytes of each process early, in the middle and late."""
    port = free_port()
    taken = multiprocessing.get_context("spawn").Value("q", 0)
    partner = multiprocessing.get_context("spawn").Process(target=receive, args=(port, taken), daemon=True)
    partner.start()
    try:
        with instance() as running:
            source_id, key = running.source("memory")
            for kind in chosen:
                kinds.connect(running, source_id, kind, f"http://127.0.0.1:{port}/{kind}")
            looks = asyncio.run(_looked_at(running, key, minutes, rate))
    finally:
        partner.terminate()
        partner.join()
    return {"minutes": minutes, "events_per_second": rate, "requests_taken": taken.value} | _medians(looks)


async def _looked_at(running: Instance, key: str, minutes: int, rate: int) -> list[dict[str, float]]:
    looks: list[dict[str, float]] = []
    sending = asyncio.create_task(send(f"http://{running.tracking}/v1/track", key, rate, minutes * 60))
    while not sending.done():
        await asyncio.wait([sending], timeout=_LOOK_EVERY_SECONDS)
        looks.append(await asyncio.to_thread(memory_of, running.process.pid))
    await sending
    return looks


def _medians(looks: list[dict[str, float]]) -> dict[str, list[float]]:
    """Of each process that was there throughout; one that came or went in between is named with its last memory."""
    tenth = max(1, len(looks) // 10)
    parts = (looks[tenth : 2 * tenth], looks[len(looks) // 2 : len(looks) // 2 + tenth], looks[-tenth:])
    names = dict.fromkeys(itertools.chain.from_iterable(looks))
    return {
        name: [round(statistics.median(each[name] for each in part if name in each), 1) for part in parts]
        if all(name in each for part in parts for each in part)
        else [each[name] for each in looks if name in each][-1:]
        for name in names
    }


def memory_of(supervisor: int) -> dict[str, float]:
    """Megabytes (PSS) of the supervisor and everything it started, by program and process id."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    family, found = {supervisor}, {}
    for pid, parent, program in sorted((int(pid), int(parent), program) for pid, parent, program in rows):
        if pid in family or parent in family:
            family.add(pid)
            try:
                size = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
            except OSError:
                continue  # it ended meanwhile
            if size is not None:
                found[f"{program} {pid}"] = round(int(size[1]) / 1024, 1)
    return found


def receive(port: int, taken: Any) -> None:
    """The partner's process."""
    numbers = itertools.count(1)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        number = next(numbers)
        taken.value = number
        return web.Response(status=503 if number % 50 == 0 else 400 if number % 100 == 1 else 200)

    app = web.Application()
    app.add_routes([web.post("/{kind}", answer)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    sys.exit(main())
