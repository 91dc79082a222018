"""A full disk: 503 instead of a 200 that would be lost, and business as usual as soon as there is space."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from journeys.running import MAINSTEM, clean_environment
from oracle.full_disk import DISKS, Disk
from oracle.trial import trial

SEED = 40
FULL_DISKS = pytest.mark.parametrize("mounted", DISKS, ids=lambda each: each.__name__)


@FULL_DISKS
def test_a_full_disk_answers_503_and_loses_nothing(
    tmp_path: Path, mounted: Callable[[Path], AbstractContextManager[Disk]], report: Callable[[str], None]
) -> None:
    with mounted(tmp_path / "data") as disk, trial(tmp_path, SEED) as running:
        for _ in range(2):
            running.generator.wait_for_more(150)
            disk.fill(running.server)
            running.generator.wait_for_status("503", 25)
            disk.free(running.server)
            freed_at = time.monotonic()
            running.generator.wait_for_more(150)
            back_at = running.generator.first_acknowledged_after(freed_at)
            report(f"acknowledges again {back_at - freed_at:.2f} s after there is space")
        report(running.judge())


@FULL_DISKS
def test_processes_that_are_killed_while_the_disk_is_full_come_back_by_themselves(
    tmp_path: Path, mounted: Callable[[Path], AbstractContextManager[Disk]], report: Callable[[str], None]
) -> None:
    with mounted(tmp_path / "data") as disk, trial(tmp_path, SEED + 1) as running:
        running.generator.wait_for_more(150)
        disk.fill(running.server)
        running.generator.wait_for_status("503", 5)
        for name in ("pipeline", "delivery-0", "delivery-1", "public-api", "tracking-api"):
            running.kill(name)
        running.generator.wait_for_status("503", 5)
        disk.free(running.server)
        freed_at = time.monotonic()
        running.generator.wait_for_more(150)
        back_at = running.generator.first_acknowledged_after(freed_at)
        report(f"acknowledges again {back_at - freed_at:.2f} s after there is space")
        report(running.judge())


def test_a_start_on_a_disk_that_takes_nothing_says_so_in_one_line(tmp_path: Path) -> None:
    subprocess.run(
        [MAINSTEM, "migrate", "--data", tmp_path], env=clean_environment({}), check=True, capture_output=True
    )
    start = subprocess.run(
        [MAINSTEM, "serve", "--data", tmp_path, "--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0"],
        env=clean_environment({}),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert start.returncode == 1
    (line,) = start.stderr.splitlines()
    assert line.startswith("mainstem: the control database: ")
