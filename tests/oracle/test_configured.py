"""Functions and Actions destinations fail at random while processes die: every event has one outcome at each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from oracle.configured import PACKAGES, RUNNER, SANDBOX, ConfiguredTrial, configured_trial
from oracle.trial import SUPERVISOR

PROCESSES = ("pipeline", "delivery-0", "delivery-1", SUPERVISOR, SANDBOX)
SEED = 80


def kill_in_turn(running: ConfiguredTrial, count: int, processes: Sequence[str]) -> None:
    """Kill each in turn, in an order that changes from round to round, at moments counted in acknowledged events."""
    chance = random.Random(running.seed)
    for number in range(count):
        if number % len(processes) == 0:
            order = chance.sample(processes, len(processes))
        running.generator.wait_for_more(chance.randint(30, 120))
        running.kill(order[number % len(processes)])
    running.generator.wait_for_more(100)


def test_functions_that_fail_at_random_leave_no_event_without_an_outcome(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    with configured_trial(tmp_path, SEED, has_actions=False) as running:
        kill_in_turn(running, 5, PROCESSES)
        report(running.judge())


@pytest.mark.destinations
def test_actions_destinations_that_fail_at_random_leave_no_event_without_an_outcome(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    with configured_trial(tmp_path, SEED + 1, has_actions=True) as running:
        kill_in_turn(running, 7, (*PROCESSES, RUNNER, RUNNER))
        report(running.judge())


@pytest.mark.soak
def test_what_is_configured_outlives_50_kills(tmp_path: Path, report: Callable[[str], None]) -> None:
    """With Actions destinations where they are installed."""
    has_actions = (PACKAGES / "destinations").is_dir()
    processes = (*PROCESSES, RUNNER) if has_actions else PROCESSES
    with configured_trial(tmp_path, SEED + 2, has_actions=has_actions, hangs=6, drain_seconds=900) as running:
        kill_in_turn(running, 50, processes)
        report(running.judge())
