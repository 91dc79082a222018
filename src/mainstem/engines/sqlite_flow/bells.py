"""Waking the delivery workers: each process that waits has a doorbell of its own, and a save rings them all."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from mainstem.engines.doorbell import Doorbell
from mainstem.errors import EngineUnavailable

_SUFFIX: Final = ".bell"
_SETTLED_NS: Final = 1_000_000_000


class Bells:
    """The doorbells in a folder, each named after the process that listens to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine: Doorbell | None = None
        self._others: dict[str, Doorbell] = {}
        self._read_at = 0

    def ring(self) -> None:
        """Wake every process that waits. Never fails: who is not woken looks again after its timeout."""
        with contextlib.suppress(OSError, EngineUnavailable):
            self._read_folder()
            for bell in self._others.values():
                bell.ring()

    def wait(self, timeout_seconds: float) -> bool:
        """Sleep until somebody rings. The first call puts up the bell and returns at once, so that the caller
        looks for what came before there was one."""
        if self._mine is None:
            self._mine = self._put_up()
            return True
        return self._mine.wait(timeout_seconds)

    def close(self) -> None:
        """Take down the own bell."""
        if self._mine is not None:
            self._mine.close()
            self._mine = None
            self._path(os.getpid()).unlink(missing_ok=True)
        self._let_go()

    def _put_up(self) -> Doorbell:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for path in self._folder.glob(f"*{_SUFFIX}"):
                if not _is_alive(path.stem):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise EngineUnavailable(f"the doorbells cannot be put up: {error.strerror}") from error
        return Doorbell(self._path(os.getpid()))

    def _read_folder(self) -> None:
        """Open the bells that are there, when the folder may have changed since last time."""
        changed_at = self._folder.stat().st_mtime_ns
        if changed_at == self._read_at:
            return
        self._let_go()
        self._others = {path.name: Doorbell(path) for path in self._folder.glob(f"*{_SUFFIX}")}
        # Folders tell their changes to some milliseconds: one that changed just now may change unseen.
        self._read_at = changed_at if time.time_ns() - changed_at > _SETTLED_NS else 0

    def _let_go(self) -> None:
        for bell in self._others.values():
            bell.close()
        self._others = {}
        self._read_at = 0

    def _path(self, process_id: int) -> Path:
        return self._folder / f"{process_id}{_SUFFIX}"


def _is_alive(process_id: str) -> bool:
    try:
        os.kill(int(process_id), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True
