"""A doorbell between processes: one rings when there is work, another sleeps until it does.

It is a named pipe in the data folder, so that waiting costs no polling and nobody has to know anybody's
process id. Each waiting process needs a doorbell of its own: a ring is heard once.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
from pathlib import Path
from typing import Final

from mainstem.errors import EngineUnavailable

_PIPE_BYTES: Final = 64 * 1024  # what a pipe holds on Linux; a full pipe means that somebody is already called


class Doorbell:
    """One named pipe, made when it is not there. Rings add up: one `wait` answers all rings before it."""

    def __init__(self, path: Path) -> None:
        """Raises EngineUnavailable when `path` cannot be made or is something else than a named pipe."""
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise EngineUnavailable(f"{path.name} is in the way: a named pipe is expected there")
            # Open for both directions: never waits for the other side, and rings survive until heard.
            self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EngineUnavailable(f"the doorbell {path.name} cannot be opened: {error.strerror}") from error
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def ring(self) -> None:
        """Wake who waits, or whoever waits next. Never blocks."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._pipe, b"\0")

    def wait(self, timeout_seconds: float) -> bool:
        """Sleep until somebody rings; True when it rang since the last wait, False after the timeout."""
        if not self._poll.poll(max(0.0, timeout_seconds) * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._pipe, _PIPE_BYTES)) == _PIPE_BYTES:
                pass
        return True

    def close(self) -> None:
        """Let go of the pipe; the file stays for the others."""
        os.close(self._pipe)
