"""The machine dies while it writes: a torn last record is not there, and all that was acknowledged is."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from oracle.trial import trial
from oracle.write_ahead_log import TEARS, lose_unsynced_end, read_log

SEED = 60
LOGS = ("events.db-wal", "flow.db-wal")


def wait_until_written(log: Path) -> None:
    """Requests are acknowledged before the pipeline has written anything of them: a log may still be empty."""
    deadline = time.monotonic() + 60
    while not log.exists() or log.stat().st_size == 0:
        assert time.monotonic() < deadline, f"nothing was written to {log.name}"
        time.sleep(0.02)


def test_a_torn_last_record_hides_nothing_that_was_acknowledged(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    with trial(tmp_path, SEED) as running:
        for tear in TEARS:
            running.generator.wait_for_more(chance.randint(50, 200))
            for name in LOGS:
                wait_until_written(running.server.data / name)
            running.kill_all()
            for name in LOGS:
                log = read_log(running.server.data / name)
                log.overwrite_from_end(tear(log, chance))
            running.server.start_again()
        running.generator.wait_for_more(100)
        report(running.judge())


def test_what_a_power_loss_takes_of_the_queue_is_made_up_from_the_event_log(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    """The queue is not synced with every commit, so its end may be lost, with positions and counts in it."""
    chance = random.Random(SEED + 1)
    with trial(tmp_path, SEED + 1) as running:
        for _ in range(4):
            running.generator.wait_for_more(chance.randint(50, 200))
            wait_until_written(running.server.data / "flow.db-wal")
            running.kill_all()
            left, frames = lose_unsynced_end(running.server.data / "flow.db-wal", chance)
            running.notes.append(f"{left} of {frames} frames of the queue's log left")
            running.server.start_again()
        running.generator.wait_for_more(100)
        report(running.judge())
