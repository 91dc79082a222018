"""Every process is killed with SIGKILL at random moments under load; nothing that was acknowledged is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from oracle.trial import SUPERVISOR, Trial, trial

PROCESSES = ("tracking-api", "pipeline", "delivery-0", "delivery-1", "public-api", SUPERVISOR)
SEED = 20


def kill_in_turn(running: Trial, count: int) -> None:
    """Kill each process in turn, in an order that changes from round to round. The moments are random, and
    counted in acknowledged events: so there is load at each of them, however slow the machine."""
    chance = random.Random(running.seed)
    for number in range(count):
        if number % len(PROCESSES) == 0:
            order = chance.sample(PROCESSES, len(PROCESSES))
        running.generator.wait_for_more(chance.randint(1, 150))
        running.kill(order[number % len(PROCESSES)])
    running.generator.wait_for_more(100)


def test_nothing_acknowledged_is_lost_over_20_kills(tmp_path: Path, report: Callable[[str], None]) -> None:
    with trial(tmp_path, SEED) as running:
        kill_in_turn(running, 20)
        report(running.judge())


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_over_100_kills(tmp_path: Path, report: Callable[[str], None]) -> None:
    with trial(tmp_path, SEED + 1, clients=8, pause_seconds=0.08) as running:
        kill_in_turn(running, 100)
        report(running.judge())


def test_without_a_kill_every_event_arrives_exactly_once(tmp_path: Path, report: Callable[[str], None]) -> None:
    with trial(tmp_path, SEED + 2) as running:
        running.generator.wait_for_more(1000)
        report(running.judge())


def test_order_is_kept_and_nothing_is_sent_twice_while_the_number_of_workers_changes(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    with trial(tmp_path, SEED + 3) as running:
        for workers in ("3", "1"):
            running.generator.wait_for_more(150)
            assert running.server.stop() == 0
            running.server.start_again(MAINSTEM_WORKERS=workers)
        running.generator.wait_for_more(150)
        report(running.judge())
