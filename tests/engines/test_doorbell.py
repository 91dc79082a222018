"""The doorbell: rings are heard by who waits, and by who waits later."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mainstem.engines.doorbell import Doorbell
from mainstem.errors import EngineUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.bell"


def test_a_ring_before_the_wait_is_heard(path: Path) -> None:
    bell = Doorbell(path)
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)
    bell.close()


def test_rings_add_up_to_one(path: Path) -> None:
    bell = Doorbell(path)
    for _ in range(200_000):  # more than a pipe holds: ringing never blocks
        bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)
    bell.close()


def test_whoever_opens_the_same_path_rings_the_same_bell(path: Path) -> None:
    mine, other = Doorbell(path), Doorbell(path)
    heard: list[bool] = []
    waiting = threading.Thread(target=lambda: heard.append(mine.wait(60)))
    waiting.start()
    other.ring()
    waiting.join(10)
    assert heard == [True]
    mine.close()
    other.close()


def test_silence_lasts_until_the_timeout(path: Path) -> None:
    bell = Doorbell(path)
    assert not bell.wait(0.01)
    bell.close()


def test_something_else_in_its_place_is_an_error(path: Path) -> None:
    path.write_text("no pipe")
    with pytest.raises(EngineUnavailable, match=r"work\.bell is in the way"):
        Doorbell(path)


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        Doorbell(tmp_path / "missing" / "work.bell")
