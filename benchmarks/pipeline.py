"""How many events a second one core takes from the log to the queue: every step, counted and saved.

    python benchmarks/pipeline.py [--json] [--events N] [--batch N] [--rounds N]

One source with a tracking plan of 200 rules and a common one, two transformations, and one destination that has
three filters; 0.6 KB track events of 20,000 users, 50 event names, all of which keep the plan;
the log is in memory, the stores are flow.db and traces.db on disk in a temporary folder. One process, one thread;
the median and the spread of the rounds. Time is CPU and wall; the figure is events per second of wall time.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import json
import platform
import pstats
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mainstem.delivery.process import process
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.engines.sqlite_traces import SqliteTraces
from mainstem.model.event import Received, to_record
from mainstem.model.ports import Block
from mainstem.model.snapshot import (
    Change,
    DestinationConfig,
    FilterConfig,
    LiveSnapshot,
    PlanConfig,
    RuleConfig,
    SchemaControls,
    SourceConfig,
    TransformationConfig,
)
from mainstem.vault import Vault

USERS = 20_000
NAMES = 50
RECORDS_IN_A_BLOCK = 200_000  # bytes

FILTERS = (
    FilterConfig("f1", "type = 'track' and match(event, 'Debug *')", ({"type": "DROP"},), enabled=True),
    FilterConfig(
        "f2",
        "properties.total > 10 and contains(context.page.url, 'checkout')",
        ({"type": "DROP_PROPERTIES", "fields": {"properties": ["coupon"]}},),
        enabled=True,
    ),
    FilterConfig(
        "f3",
        "length(userId) < 1 or context.locale = 'xx-XX'",
        ({"type": "SAMPLE", "percent": 0.1, "path": "userId"},),
        enabled=True,
    ),
)


def _declaring(names: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The schema of a rule, as the plan editor writes it."""
    inside = {"type": "object", "properties": names, "required": required}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"context": {}, "traits": {}, "properties": inside},
        "required": ["properties"],
    }


STEP: dict[str, Any] = _declaring(
    {
        "order_id": {"type": ["string"], "pattern": "^o-[0-9]+$"},
        "total": {"type": ["number", "null"], "minimum": 0},
        "currency": {"type": ["string"], "enum": ["EUR", "USD"]},
        "coupon": {"type": ["string", "null"]},
        "products": {
            "type": ["array"],
            "items": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string"},
                    "price": {"type": "number"},
                    "quantity": {"type": "integer"},
                },
                "required": ["sku"],
            },
        },
    },
    ["order_id", "total"],
)
COMMON: dict[str, Any] = {
    "type": "object",
    "properties": {"context": {"type": "object", "required": ["library"]}, "userId": {"type": "string"}},
    "required": ["userId", "context"],
}
PLAN = PlanConfig(
    "tp_1",
    "Shop",
    (
        *(RuleConfig("TRACK", f"Order Step {number}", 1.0, STEP) for number in range(200)),
        RuleConfig("COMMON", "", 1.0, COMMON),
    ),
)
CONTROLS = SchemaControls(
    allow_unplanned_events=False,
    allow_unplanned_event_properties=False,
    allow_properties_on_violations=False,
    track_common="BLOCK",
)
TRANSFORMATIONS = (
    TransformationConfig("t1", "event = 'Order Step 1'", True, new_event_name="Order Started"),
    TransformationConfig("t2", "type = 'track'", True, property_renames=(("order_id", "orderId"),)),
)


class MemoryLog:
    """Blocks in memory, and a call when all are read."""

    def __init__(self, blocks: Sequence[Block], when_read: threading.Event) -> None:
        self._blocks = blocks
        self._when_read = when_read

    def read(self, after: int, limit_bytes: int) -> Sequence[Block]:
        found = []
        for block in itertools.islice(self._blocks, after, None):
            found.append(block)
            limit_bytes -= sum(map(len, block.records))
            if limit_bytes <= 0:
                break
        return found

    def wait(self, _timeout_seconds: float) -> None:
        self._when_read.set()


class FixedSnapshot:
    """What is published once."""

    def __init__(self, *published: SourceConfig | PlanConfig) -> None:
        self._published = published

    def changes(self, after: int) -> tuple[int, list[Change]]:
        return 1, [Change(each.id, each) for each in self._published] if after < 1 else []


def event(number: int, chance: random.Random) -> dict[str, Any]:
    """A track call of about 0.6 KB, as a server library sends it."""
    user = chance.randrange(USERS)
    return {
        "type": "track",
        "event": f"Order Step {chance.randrange(NAMES)}",
        "messageId": f"node-next-{1_700_000_000_000 + number}-{chance.getrandbits(64):016x}",
        "userId": f"user-{user}",
        "anonymousId": f"{user:08x}-4b1d-4f6e-9d3c-0f0e5a7c1b2a",
        "timestamp": "2026-11-23T06:38:00.123Z",
        "properties": {
            "order_id": f"o-{number}",
            "total": chance.randrange(1, 300) / 2,
            "currency": "EUR",
            "coupon": "WELCOME",
            "products": [{"sku": "a-1", "price": 12.5, "quantity": 1}, {"sku": "b-2", "price": 3, "quantity": 2}],
        },
        "context": {
            "library": {"name": "@segment/analytics-node", "version": "3.1.0"},
            "page": {"url": "https://shop.example/checkout/step", "path": "/checkout/step", "title": "Checkout"},
            "locale": "de-DE",
            "app": {"name": "shop", "version": "1.4.2"},
        },
        "integrations": {},
    }


def blocks(events: int, batch: int, received_at_ms: int) -> tuple[list[Block], int]:
    """Blocks of batch requests as the Tracking API would append them, and the bytes of an event."""
    chance = random.Random(7)
    records, made, size = [], [], 0
    for first in range(0, events, batch):
        items = [event(number, chance) for number in range(first, min(first + batch, events))]
        if batch == 1:
            kind, body = "track", msgspec.json.encode(items[0])
        else:
            kind = "batch"
            body = msgspec.json.encode({"batch": items, "sentAt": "2026-11-23T06:38:01.000Z", "writeKey": "k"})
        size += len(body)
        records.append(to_record(Received(received_at_ms + first, "src", kind, "", "server", body)))
        if sum(map(len, records)) >= RECORDS_IN_A_BLOCK:
            made.append(Block(len(made) + 1, records))
            records = []
    if records:
        made.append(Block(len(made) + 1, records))
    return made, size // events


def one_round(load: list[Block], profile: cProfile.Profile | None, *, traced: bool) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds, and the bytes of flow.db after the load."""
    destination = DestinationConfig("dst", "54521fdc25e721e32a72ef04", "Webhooks", True, {}, FILTERS)
    source = SourceConfig(
        "src", "ws", "shop", "Shop", "m", "server", True, ("k",), {}, (destination,), PLAN.id, CONTROLS,
        TRANSFORMATIONS,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        flow, stop = SqliteFlow(Path(folder)), threading.Event()
        traces = SqliteTraces(Path(folder) / "traces.db", Vault(bytes(32))) if traced else None
        work = (MemoryLog(load, stop), flow.pipeline, LiveSnapshot(FixedSnapshot(source, PLAN)), stop, time.time)
        wall, cpu = time.perf_counter(), time.process_time()
        if profile:
            profile.runcall(process, *work, traces=traces)  # type: ignore[arg-type]
        else:
            process(*work, traces=traces)  # type: ignore[arg-type]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        queued = len(flow.queue.take("dst", 0, 10_000_000, (0, 1)))
        counted = sum(flow.outcomes.waiting("dst").values())
        assert queued == counted > 0, "what was queued is there"
        size = sum(path.stat().st_size for path in Path(folder).glob("flow.db*"))
        if traces is not None:
            traces.close()
        flow.close()
    return wall, cpu, size


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100, help="events in a request")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--untraced", action="store_true", help="without traces.db")
    parser.add_argument("--profile", action="store_true", help="one more round under cProfile")
    options = parser.parse_args()
    load, event_bytes = blocks(options.events, options.batch, int(time.time() * 1000))
    traced = not options.untraced
    rounds = [one_round(load, None, traced=traced) for _ in range(options.rounds)]
    rates = sorted(options.events / wall for wall, _, _ in rounds)
    result = {
        "events_per_second": round(statistics.median(rates)),
        "slowest": round(rates[0]),
        "fastest": round(rates[-1]),
        "events_per_cpu_second": round(statistics.median(options.events / cpu for _, cpu, _ in rounds)),
        "flow_bytes_per_event": round(rounds[-1][2] / options.events),
        "event_bytes": event_bytes,
        "events": options.events,
        "batch": options.batch,
        "rounds": options.rounds,
        "python": platform.python_version(),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key:24} {value}" for key, value in result.items()))
    if options.profile:
        profile = cProfile.Profile()
        one_round(load, profile, traced=traced)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
