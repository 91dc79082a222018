"""`make bench`: every benchmark in turn, each in a process of its own, printed and written to docs/performance.md
(the figures with a target) and docs/performance.json (every number).

Timings are ratios against something that runs beside them in the same run where they can be (nginx answering a
constant), and medians over at least five rounds with their spread. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
NUMBERS = PAGE.with_suffix(".json")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BENCHMARKS = (
    "ingest", "pipeline", "delivery", "end_to_end", "isolation", "drain", "functions", "actions", "fql",
    "control_plane", "footprint",
)  # fmt: skip
Results = Mapping[str, Any]


def main() -> int:
    """Run the benchmarks named (default: all) and rewrite the page when all of them ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)}")
    options = parser.parse_args()
    names = options.names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    load = os.getloadavg()[0]
    if load > 0.7:
        sys.stderr.write(f"bench: the machine is busy (load {load:.1f}); figures will be worse than they are\n")
    results = {name: run(name) for name in names}
    section = f"{heading(load)}\n{scorecard(results)}"
    numbers = json.dumps(results, indent=1) + "\n"
    sys.stdout.write(f"{section}\n{numbers}")
    if tuple(names) == BENCHMARKS:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{section}\n{END}{after}", encoding="utf-8")
        NUMBERS.write_text(numbers, encoding="utf-8")
        sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)} and {NUMBERS.relative_to(ROOT)}\n")
    return 0


def run(name: str) -> Results:
    """The JSON that a benchmark prints last; nothing when it fails, which is told."""
    sys.stderr.write(f"bench: {name} …\n")
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - began
    if ran.returncode:  # the others are worth having all the same
        sys.stderr.write(f"bench: {name} failed after {took:.0f} s\n")
        return {}
    sys.stderr.write(f"bench: {name} took {took:.0f} s\n")
    result: Results = json.loads(ran.stdout.strip().splitlines()[-1])
    return result


def heading(load: float) -> str:
    """What was measured, where and when."""
    changed = git("status", "--porcelain", "--", "src")
    state = git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} with `make bench` at commit {state}: {os.cpu_count()} cores "
        f"({processor()}), {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, Python "
        f"{platform.python_version()}; load before the run {load:.1f}.\n"
    )


def git(*arguments: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def scorecard(results: Mapping[str, Results]) -> str:
    """The figures with a target, as a table."""
    rows = ["| # | Figure | Target | Measured |", "| --- | --- | --- | --- |"]
    for number, figure, target, benchmark, read in FIGURES:
        if benchmark in results:
            try:
                measured = read(results[benchmark])
            except KeyError:
                measured = "not measured: it failed, or something that it needs is not installed"
            rows.append(f"| {number} | {figure} | {target} | {measured} |")
    return "\n".join(rows) + "\n"


Row = tuple[str, str, str, str, Callable[[Results], str]]


def spread(result: Results, name: str) -> str:
    """A median of the ingest benchmark with its range."""
    low, high = result["range"][name]
    return f"{result[name]:,g} ({low:,g} to {high:,g})"


def actions(result: Results, name: str) -> str:
    """A rate of the actions benchmark with its range, and what an event took of each process."""
    low, high = result[f"{name}_slowest"], result[f"{name}_fastest"]
    worker, runner = result[f"{name}_worker_us"], result[f"{name}_runner_us"]
    return f"{result[f'{name}_per_second']:,} ({low:,} to {high:,}); worker {worker:g} µs, runner {runner:g} µs"


def control_plane(result: Results) -> str:
    """What came of one rate of requests."""
    served, cost = result["requests_per_second"], result["server_cpu_ms_per_request"]
    return f"{served:g}, {result['p50_ms']:g} / {result['p99_ms']:g}, {cost:g}"


FIGURES: tuple[Row, ...] = (
    ("5", "durable requests/s over nginx answering a constant, batch 1", "≥ 0.35", "ingest",
     lambda r: spread(r, "batch_1_share_of_nginx")),
    ("5", "requests/s a core, batch 1 (nginx beside it)", "≥ 12,000", "ingest",
     lambda r: f"{spread(r, 'batch_1_requests_per_second')}; nginx {r['nginx_requests_per_second']:,g}"),
    ("5", "events/s a core, batch 10", "", "ingest", lambda r: spread(r, "batch_10_events_per_second")),
    ("5", "events/s a core, batch 100", "≥ 150,000", "ingest", lambda r: spread(r, "batch_100_events_per_second")),
    ("6", "answer at half load, batch 1, p50 / p99 ms", "≤ 5 / ≤ 25", "ingest",
     lambda r: f"{r['batch_1_p50_ms_at_half']:g} / {r['batch_1_p99_ms_at_half']:g}"),
    ("7", "request in to webhook received, p50 / p99 ms, at 1,000 events/s", "p99 ≤ 250", "end_to_end",
     lambda r: f"{r['delivered_p50_ms']:g} / {r['delivered_p99_ms']:g}"),
    ("10", "start to first answer, s; processes", "≤ 2; 1 started by the user", "footprint",
     lambda r: f"{r['start_to_first_answer_seconds']:g}; {r['processes']} under one command"),
    ("10", "idle memory, MB (PSS); idle processor time, %", "≤ 150; ≤ 0.5", "footprint",
     lambda r: f"{r['idle_memory_mb']:g}; {r['idle_cpu_percent']:g}"),
    ("10", "installed size, MB", "≤ 200", "footprint", lambda r: f"{r['installed_mb']:g}"),
    ("12", "event log, disk bytes over payload bytes", "≤ 1.5", "ingest",
     lambda r: f"{r['disk_bytes_per_payload_byte']:g}"),
    ("13", "pipeline, events/s a core: 200 rules, 3 filters, 2 transformations, traces", "≥ 15,000", "pipeline",
     lambda r: f"{r['events_per_second']:,} ({r['slowest']:,} to {r['fastest']:,})"),
    ("-", "functions, events/s: sync; async; to onBatch", "≥ 10,000 sync", "functions",
     lambda r: f"{r['sync_per_second']:,} ({r['slowest_sync']:,} to {r['fastest_sync']:,}); "
               f"{r['async_per_second']:,}; {r['batch_per_second']:,}"),
    ("-", "functions, events/s with a fetch each", "", "functions", lambda r: f"{r['fetch_per_second']:,}"),
    ("-", "functions: rate beside one that loops, over alone", "≥ 0.9", "functions",
     lambda r: f"{r['beside_a_loop_over_sync']:g}"),
    ("-", "Actions webhook, events/s: a request each", "≥ 2,000", "actions", lambda r: actions(r, "single")),
    ("-", "Actions webhook, events/s: in batches", "≥ 40,000", "actions", lambda r: actions(r, "batched")),
    ("-", "a condition over Segment's own way of judging it, worst case: FQL; trigger", "≤ 1", "fql",
     lambda r: f"{r['worst_fql_over_segment']:g}; {r['worst_trigger_over_segment']:g}"),
    ("-", "Public API over 10,000 sources, requests/s with a p99 within 20 ms", "500", "control_plane",
     lambda r: f"{r['carried']}"),
    ("-", "the same at 100 and at 500 requests/s: served; p50 / p99 ms; processor ms a request", "", "control_plane",
     lambda r: "; ".join(map(control_plane, (r["at_100"], r["at_500"])))),
    ("-", "the same: share of answers that are not 5xx", "≥ 0.9999", "control_plane", lambda r: f"{r['not_5xx']:g}"),
    ("-", "the same: last page of a list over the first (sources; destinations)", "about 1", "control_plane",
     lambda r: f"{r['last_page_over_first_sources']:g}; {r['last_page_over_first_destinations']:g}"),
    ("-", "webhook deliveries/s a core, unsigned", "≥ 2,000", "delivery",
     lambda r: f"{r['deliveries_per_second']:,} ({r['slowest']:,} to {r['fastest']:,})"),
    ("8", "p99 of nine healthy destinations beside a webhook that is down, and one that hangs, over none", "≤ 1.1",
     "isolation", lambda r: f"{r['webhook_down_over_none']:g}; {r['webhook_hanging_over_none']:g}"),
    ("8", "the same beside a function", "≤ 1.1", "isolation",
     lambda r: f"{r['function_down_over_none']:g}; {r['function_hanging_over_none']:g}"),
    ("8", "the same beside an Actions destination", "≤ 1.1", "isolation",
     lambda r: f"{r['actions_down_over_none']:g}; {r['actions_hanging_over_none']:g}"),
    ("-", "drain after an outage over the inflow: webhook; function; Actions", "≥ 3", "drain",
     lambda r: "; ".join(f"{r[f'{each}_over_inflow']:g}" for each in ("webhook", "function", "actions"))),
    ("8", "webhook deliveries/s beside a dead and a hanging destination", "", "delivery",
     lambda r: f"{r['beside_dead_and_hanging_per_second']:,}"),
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
