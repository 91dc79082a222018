"""A full disk: 503 instead of a 200 that would be lost, and business as usual as soon as there is space."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

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
