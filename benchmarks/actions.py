"""How many events a second one worker delivers through Segment's open-source Webhook destination.

    python benchmarks/actions.py [--json] [--deliveries N] [--rounds N] [--packages DIR]

Worker, runner (a Deno process) and partner share all cores. Single: a request for each event. Batched: up to a
thousand events in a request. 0.6 KB events of 20,000 users, the queue on disk in a temporary folder. Needs
`mainstem destinations install --packages DIR` (default: .packages). Beside events a second, which depend on what
else the machine does, it tells the processor time that worker, runner and partner took for an event, in
microseconds; where there is no /proc, the worker's alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from delivery import LOOPBACK, CountingQueue, FixedSnapshot, event, partner
from mainstem.delivery.deliver import deliver
from mainstem.delivery.equipment import runner_processes
from mainstem.destinations.actions.runner import Runner
from mainstem.destinations.connecting import Connectors
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.model.ports import Processed
from mainstem.model.snapshot import DestinationConfig, LiveSnapshot, SubscriptionConfig
from mainstem.settings import Settings

WEBHOOK = "614a3c7d791c91c41bae7599"
WARM_SECONDS = 10.0
PACKAGES = Path(__file__).parents[1] / ".packages"


class NoAuthorization:
    """The destination measured needs none."""

    def auth(self, _config: DestinationConfig) -> None:
        return None

    def refreshed(self, _config: DestinationConfig, _tokens: dict[str, Any]) -> None:
        raise AssertionError("nothing to refresh")


def destination(port: int, *, batched: bool) -> DestinationConfig:
    """The Webhook destination with one mapping to loopback."""
    mapping = {
        "url": f"http://127.0.0.1:{port}/hook",
        "method": "POST",
        "data": {"@path": "$."},
        "enable_batching": batched,
        "batch_keys": ["url", "method", "headers"],
    }
    subscription = SubscriptionConfig("sub", "M", "send", 'type = "track"', True, mapping, can_batch=True)
    return DestinationConfig("well", WEBHOOK, "Webhook", True, {}, subscriptions=(subscription,))


class Spent(msgspec.Struct, frozen=True):
    """Seconds: of the clock, and of processors by those that used them."""

    wall: float
    worker: float
    runner: float
    partner: float


def spent_until_now() -> Spent:
    """The runner's and the partner's processes are children of this one, which is the worker."""
    (partner_process,) = multiprocessing.active_children()
    others = [pid for pid in children() if pid != partner_process.pid]
    runner = sum(processor_seconds(pid) for pid in others)
    partner_seconds = processor_seconds(partner_process.pid or 0)
    return Spent(time.perf_counter(), time.process_time(), runner, partner_seconds)


def children() -> list[int]:
    """Of this process."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
    except OSError:
        return []
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def processor_seconds(pid: int) -> float:
    """What all threads of a process used; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def delivered(flow: SqliteFlow, config: DestinationConfig, number: int, runner: Runner) -> Spent:
    """What `number` deliveries took."""
    queue = CountingQueue(flow, "well", number, asyncio.get_running_loop())
    stop, snapshot = asyncio.Event(), LiveSnapshot(FixedSnapshot((config,)))
    connectors = Connectors(runner=runner, authorized=NoAuthorization())
    before = spent_until_now()
    settings = Settings(allow_private=LOOPBACK)
    work = asyncio.create_task(deliver(queue, snapshot, settings, stop, connectors=connectors))
    await asyncio.wait({work, asyncio.create_task(queue.done.wait())}, return_when=asyncio.FIRST_COMPLETED)
    after = spent_until_now()
    stop.set()
    await work
    return Spent(*(getattr(after, each) - getattr(before, each) for each in Spent.__struct_fields__))


async def one_round(config: DestinationConfig, number: int, runner: Runner) -> Spent:
    """Queue `number` deliveries in a fresh file, and measure them."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        flow = SqliteFlow(Path(folder))
        for first in range(0, number, 5_000):
            position = flow.pipeline.position()
            page = [
                msgspec.structs.replace(event(each, "well", chance), subscription_id="sub")
                for each in range(first, min(first + 5_000, number))
            ]
            flow.pipeline.save(Processed(position, position + 1, deliveries=page), int(time.time() * 1000))
        spent = await delivered(flow, config, number, runner)
        flow.close()
    return spent


async def rounds(config: DestinationConfig, number: int, count: int, packages: Path) -> list[Spent]:
    """What each round took, one runner for all of them; those before it has all of its processes are not counted."""
    runner = Runner(packages, processes=runner_processes(1), allow_private=LOOPBACK)
    warm = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < warm:
        await one_round(config, number, runner)
    found = [await one_round(config, number, runner) for _ in range(count)]
    await runner.close()
    return found


def figures(name: str, number: int, found: list[Spent]) -> dict[str, Any]:
    """Medians, and the spread of the rate."""
    rates = sorted(number / each.wall for each in found)
    result = {
        f"{name}_per_second": round(statistics.median(rates)),
        f"{name}_slowest": round(rates[0]),
        f"{name}_fastest": round(rates[-1]),
    }
    for who in ("worker", "runner", "partner"):
        seconds = statistics.median(getattr(each, who) for each in found)
        result[f"{name}_{who}_us"] = round(seconds / number * 1e6, 1)
    return result


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure."""
    result: dict[str, Any] = {}
    with partner(None) as ports:
        for name, batched, number in (
            ("single", False, options.deliveries),
            ("batched", True, 10 * options.deliveries),
        ):
            config = destination(ports[0], batched=batched)
            found = asyncio.run(rounds(config, number, options.rounds, options.packages))
            result |= figures(name, number, found)
    return {**result, "deliveries": options.deliveries, "rounds": options.rounds}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--deliveries", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packages", type=Path, default=PACKAGES)
    options = parser.parse_args()
    result = measured(options)
    print(json.dumps(result) if options.json else "\n".join(f"{key:36} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
