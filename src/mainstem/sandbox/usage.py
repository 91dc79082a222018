"""What a process uses, as the system counts it, and what the system lets it use at most."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from typing import Final

import msgspec

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CPU_AHEAD_SECONDS: Final = 30
_NICENESS: Final = 5  # functions get what the rest of the machine leaves


class Usage(msgspec.Struct, frozen=True):
    """Resident memory in bytes, and processor time since the process began, in seconds."""

    resident: int = 0
    processor: float = 0.0


def read_usage(pid: int) -> Usage:
    """What this process uses now; nothing for one that ended, and on systems without /proc, where only the heap
    limit of V8 bounds memory."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return Usage()
    return Usage(int(fields[21]) * _PAGE, (int(fields[11]) + int(fields[12])) / _TICKS)


def confine(pid: int, data_bytes: int) -> None:
    """Bound what a process may allocate between two looks at it, forbid it to write files and to leave core
    dumps, and put it behind the others. Where the system has no such call, nothing happens."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
    _limit(pid, "RLIMIT_DATA", data_bytes)
    _limit(pid, "RLIMIT_CORE", 0)
    _limit(pid, "RLIMIT_FSIZE", 0)
    extend_processor_time(pid, 0.0)


def demote(pid: int) -> None:
    """Let a process that keeps a core to itself have only what nobody else wants. A low priority would not do:
    others that wait for each other lose their place on the core each time they wait."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def extend_processor_time(pid: int, used_seconds: float) -> None:
    """Let a process use a while more of processor time. One that nobody extends ends by itself, so that none
    runs on when its parent was killed."""
    _limit(pid, "RLIMIT_CPU", int(used_seconds) + _CPU_AHEAD_SECONDS)


def _limit(pid: int, name: str, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            hard = resource.prlimit(pid, getattr(resource, name))[1]
            resource.prlimit(pid, getattr(resource, name), (value, hard))
