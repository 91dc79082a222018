"""Scorecard figures 10 and 12 (part): start, memory, idle processor time, size of an installation.

Memory is the proportional set size (PSS): pages that processes share are counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from instance import Instance, instance

ROUNDS = 5
IDLE_SECONDS = 10.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measured()
    print(json.dumps(result) if options.json else "\n".join(f"{key:28} {value}" for key, value in result.items()))


def measured() -> dict[str, Any]:
    """Every figure, medians of five starts."""
    starts, memories = [], []
    for number in range(ROUNDS):
        with instance() as running:
            starts.append(running.started_seconds)
            time.sleep(2)
            memories.append(pss_mb(running))
            idle = idle_percent(running) if number == ROUNDS - 1 else 0.0
            processes = len(running.pids())
    return {
        "start_to_first_answer_seconds": round(statistics.median(starts), 2),
        "slowest_start_seconds": round(max(starts), 2),
        "idle_memory_mb": round(statistics.median(memories), 1),
        "idle_cpu_percent": round(idle, 2),
        "processes": processes,
        "installed_mb": round(installed_mb(), 1),
    }


def pss_mb(running: Instance) -> float:
    """Memory of all processes."""
    total = 0
    for pid in running.pids():
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    return total / 1024


def idle_percent(running: Instance) -> float:
    """Processor time of all processes while nothing happens, in percent of one core."""
    before = cpu_seconds(running)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(running) - before) / IDLE_SECONDS * 100


def cpu_seconds(running: Instance) -> float:
    """Processor time so far."""
    ticks = 0
    for pid in running.pids():
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def installed_mb() -> float:
    """What `pip install mainstem` brings: the packages it depends on, and itself."""
    import importlib.metadata as metadata

    names, todo, total = set(), ["mainstem"], 0
    while todo:
        name = todo.pop().split(";")[0].split("[")[0].strip()
        for mark in "<>=!~ (":
            name = name.split(mark)[0]
        if name.lower() in names:
            continue
        names.add(name.lower())
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        todo += [each for each in package.requires or [] if "extra ==" not in each]
        total += sum(size_of(Path(str(file.locate()))) for file in package.files or [])
    source = Path(__file__).parents[1] / "src" / "mainstem"
    return (total + sum(size_of(path) for path in source.rglob("*.*"))) / 1e6


def size_of(path: Path) -> int:
    """Bytes of a file; compiled Python is left out, since it is made later."""
    return path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0


if __name__ == "__main__":
    sys.exit(main())
