"""What a condition costs an event: our FQL and our triggers beside Segment's own packages in Node.

    python benchmarks/fql.py [--json] [--events N] [--rounds N]

The same conditions on the same events, in FQL and in the trigger language, one process after the other on one core.
Segment publishes no evaluator of FQL: @segment/fql-ts reads it, and @segment/destination-subscriptions judges events
with what it reads. `segment_ns` is what the runner of actions spends on an event, since it reads the trigger anew for
each; `segment_compiled_ns` is with the trigger read once, which it never does. Both judge all events alike, or this
fails. `make test-clients` installs the packages.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mainstem.model import fql, trigger

ROOT = Path(__file__).parents[1]
CASES = (
    ("type = 'track' and event = 'Order Completed'", 'type = "track" and event = "Order Completed"'),
    (
        "type = 'track' and (event = 'Order Completed' or event = 'Order Refunded')",
        'type = "track" and (event = "Order Completed" or event = "Order Refunded")',
    ),
    (
        "type = 'track' and properties.total > 50 and contains(event, 'Order')",
        'type = "track" and properties.total > 50 and contains(event, "Order")',
    ),
    (
        "match(event, 'Order*') and context.library.name = 'analytics.js' and properties.coupon != null",
        'match(event, "Order*") and context.library.name = "analytics.js" and properties.coupon != null',
    ),
)
NAMES = ("Order Completed", "Order Refunded", "Product Viewed", "Cart Viewed")
Judge = Callable[[dict[str, Any]], bool]


def events(count: int) -> list[dict[str, Any]]:
    """Track events of 0.4 KB, every tenth of another type."""
    return [
        {
            "type": "identify" if number % 10 == 9 else "track",
            "event": NAMES[number % len(NAMES)],
            "userId": f"u{number}",
            "messageId": f"m{number}",
            "context": {"library": {"name": "analytics.js", "version": "2"}, "ip": "10.0.0.1", "locale": "en"},
            "properties": {"total": number % 100, "currency": "EUR", "coupon": "X" if number % 3 else None},
        }
        for number in range(count)
    ]


def nanoseconds(judge: Judge, load: Sequence[dict[str, Any]], rounds: int) -> tuple[list[float], int]:
    """Nanoseconds an event in each round, and how many events matched."""
    taken, times = [], 20
    for _ in range(rounds + 1):
        start = time.perf_counter_ns()
        for _ in range(times):
            for event in load:
                judge(event)
        taken.append((time.perf_counter_ns() - start) / (times * len(load)))
    return taken[1:], sum(map(judge, load))  # the first round warms up


def in_node(load: Sequence[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """The same with Segment's packages."""
    node = shutil.which("node")
    assert node, "node is missing: `make test-clients` says what to install"
    question = {"cases": [{"trigger": text, "events": load} for _, text in CASES], "rounds": rounds}
    command = [node, str(ROOT / "benchmarks" / "fql.js")]
    answer = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def measure(count: int, rounds: int) -> dict[str, Any]:
    """One row for each case."""
    load = events(count)
    theirs = in_node(load, rounds)
    rows = []
    for (query, text), node in zip(CASES, theirs["results"], strict=True):
        of_fql, by_fql = nanoseconds(fql.parse(query).matches, load, rounds)
        of_trigger, by_trigger = nanoseconds(trigger.parse(text).matches, load, rounds)
        assert by_fql == by_trigger == node["matched"], f"{text}: the verdicts differ"
        ours, segment = statistics.median(of_trigger), statistics.median(node["each"])
        rows.append(
            {
                "trigger": text,
                "fql_ns": round(statistics.median(of_fql)),
                "trigger_ns": round(ours),
                "segment_ns": round(segment),
                "segment_compiled_ns": round(statistics.median(node["once"])),
                "fql_over_segment": round(statistics.median(of_fql) / segment, 3),
                "trigger_over_segment": round(ours / segment, 3),
            }
        )
    return {
        "cases": rows,
        "worst_fql_over_segment": max(row["fql_over_segment"] for row in rows),
        "worst_trigger_over_segment": max(row["trigger_over_segment"] for row in rows),
        "events": count,
        "rounds": rounds,
        "python": platform.python_version(),
        "node": theirs["node"],
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = measure(options.events, options.rounds)
    if options.json:
        print(json.dumps(result))
        return
    for row in result["cases"]:
        print(row["trigger"])
        print("".join(f"  {key:22} {value}\n" for key, value in row.items() if key != "trigger"), end="")
    print("\n".join(f"{key:24} {value}" for key, value in result.items() if key != "cases"))


if __name__ == "__main__":
    main()
