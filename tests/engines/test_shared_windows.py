"""Windows of rate limits that several processes share."""

from __future__ import annotations

import os

from mainstem.engines.shared_windows import SharedWindows
from mainstem.rest.limits import Limiter, LocalWindows, per_minute

NOW = 1_700_000_000.0


def test_several_processes_count_in_one_window() -> None:
    windows = SharedWindows()
    child = os.fork()
    if child == 0:
        for _ in range(500):
            windows.count("t", "createLabel", NOW, 60)
        os._exit(0)
    for _ in range(500):
        windows.count("t", "createLabel", NOW, 60)
    assert os.waitpid(child, 0)[1] == 0
    assert windows.count("t", "createLabel", NOW + 59, 60) == (NOW, 1001)


def test_a_window_ends_and_another_token_or_operation_has_its_own() -> None:
    windows = SharedWindows()
    assert [windows.count("t", "a", NOW, 60), windows.count("t", "b", NOW, 60), windows.count("u", "a", NOW, 60)] == [
        (NOW, 1)
    ] * 3
    assert windows.count("t", "a", NOW + 60, 60) == (NOW + 60, 1)


def test_a_clock_set_back_begins_a_window() -> None:
    windows = SharedWindows()
    windows.count("t", "a", NOW, 60)
    assert windows.count("t", "a", NOW - 100, 60) == (NOW - 100, 1)


def test_a_request_that_was_overtaken_on_its_way_belongs_to_the_window() -> None:
    for windows in (SharedWindows(), LocalWindows()):
        windows.count("t", "a", NOW, 60)
        assert windows.count("t", "a", NOW - 0.5, 60) == (NOW, 2)


def test_a_process_that_dies_while_it_counts_holds_up_nobody() -> None:
    windows = SharedWindows()
    child = os.fork()
    if child == 0:
        windows._alone().__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert windows.count("t", "a", NOW, 60) == (NOW, 1)


def test_more_windows_than_there_is_room_for_forget_the_stalest() -> None:
    windows = SharedWindows()
    for number in range(80_000):
        windows.count(f"t{number}", "a", NOW + number / 1000, 1_000_000)
    assert windows.count("t79999", "a", NOW + 100, 1_000_000)[1] == 2


def test_the_limiter_refuses_by_what_others_counted_too() -> None:
    windows = SharedWindows()
    limiters = [Limiter(1000, {}, enforced=True, windows=windows) for _ in range(2)]
    consumed = [limiter.consume("t", "a", per_minute(5), NOW).consumed for limiter in limiters * 2]
    assert consumed == [1, 2, 3, 4]
