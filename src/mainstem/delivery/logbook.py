"""What functions left in their logs, gathered here and written by a thread, so that no event waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from mainstem.errors import EngineUnavailable
from mainstem.model.ports import FunctionLog, FunctionLogEntry

log = logging.getLogger(__name__)

MAX_GATHERED: Final = 1_000
_WRITE_EVERY_SECONDS: Final = 0.5
_TIDY_EVERY_SECONDS: Final = 3_600.0


class Logbook:
    """Holds at most a thousand entries between two writes; the oldest give way. Losing some is no loss of events."""

    def __init__(self, store: FunctionLog) -> None:
        self._store = store
        self._gathered: deque[FunctionLogEntry] = deque(maxlen=MAX_GATHERED)
        self._tidy_at = 0.0
        self._is_available = True

    def keep(self, entries: Sequence[FunctionLogEntry]) -> None:
        """Write these soon."""
        self._gathered.extend(entries)

    async def run(self) -> None:
        """Write what gathers, until cancelled; then the rest."""
        try:
            while True:
                await asyncio.sleep(_WRITE_EVERY_SECONDS)
                await asyncio.to_thread(self._write)
        finally:
            self._write()

    def _write(self) -> None:
        entries = [self._gathered.popleft() for _ in range(len(self._gathered))]
        try:
            if entries:
                self._store.append(entries)
            if time.monotonic() >= self._tidy_at:
                self._store.tidy(time.time_ns() // 1_000_000)
                self._tidy_at = time.monotonic() + _TIDY_EVERY_SECONDS
            self._is_available = True
        except EngineUnavailable as error:
            if self._is_available:
                log.warning("the logs of functions cannot be written now: %s", error)
            self._is_available = False
