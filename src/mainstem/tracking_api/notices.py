"""Log lines about what may happen a thousand times a second: at once, then once a minute with a count."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

_log: Final = logging.getLogger("mainstem.tracking_api")


class Notice:
    """One kind of trouble. `happened` is called on the event loop."""

    def __init__(self, what: str, every_seconds: float = 60.0) -> None:
        self._what = what
        self._every_seconds = every_seconds
        self._count = 0
        self._detail = ""
        self._timer: asyncio.TimerHandle | None = None

    def happened(self, detail: str) -> None:
        """Count it. `detail` of the latest goes into the line: never a secret."""
        self._count += 1
        self._detail = detail
        if self._timer is None:
            self._write()

    def _write(self) -> None:
        if self._count == 0:
            self._timer = None
            return
        _log.warning("%s: %d times, the latest %s", self._what, self._count, self._detail)
        self._count = 0
        self._timer = asyncio.get_running_loop().call_later(self._every_seconds, self._write)
