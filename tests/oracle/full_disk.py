"""Two ways to fill the disk under a running server, and to give the space back.

A small filesystem is the real thing (ENOSPC), where the machine lets us mount one. A limit on the size of
files (EFBIG) is the other, stricter way, which needs no privilege: nothing can be written at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from journeys.running import RunningServer

SIZE = "48m"
_CAP_SYS_ADMIN = 1 << 21


@dataclass(frozen=True)
class Disk:
    """`fill` leaves no byte for the server that is given; `free` makes space again."""

    fill: Callable[[RunningServer], None]
    free: Callable[[RunningServer], None]


@contextmanager
def small_filesystem(data: Path) -> Iterator[Disk]:
    """Mount a small filesystem where the server will keep its data."""
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", data], check=True)
    ballast = data / "ballast"
    try:
        yield Disk(lambda _: _write_all_there_is(ballast), lambda _: ballast.unlink())
    finally:
        subprocess.run(["umount", "-l", data], check=True)


@contextmanager
def file_size_limit(_data: Path) -> Iterator[Disk]:
    """Forbid the server's processes, and those that it will start, to write to any file."""
    yield Disk(lambda server: _limit_files(server, 0), lambda server: _limit_files(server, resource.RLIM_INFINITY))


def _write_all_there_is(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _limit_files(server: RunningServer, size_bytes: int) -> None:
    _limit(server.pid, size_bytes)  # first, so that who is started from now on inherits it
    for pid in _children(server.pid):
        with contextlib.suppress(ProcessLookupError):  # ended meanwhile
            _limit(pid, size_bytes)


def _limit(pid: int, size_bytes: int) -> None:
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, most))


def _children(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in table.splitlines()]
    return [child for child, parent in rows if parent == pid]


def _may_mount() -> bool:
    status = Path("/proc/self/status")
    if os.geteuid() != 0 or not status.exists():
        return False
    capabilities = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(capabilities.split()[1], 16) & _CAP_SYS_ADMIN)


DISKS = [
    *([file_size_limit] if hasattr(resource, "prlimit") else []),  # Linux alone can set another process's limits
    *([small_filesystem] if _may_mount() else []),
]
