"""Reads JavaScript without running it, for whoever saves a function: in a process that has no permission, and that
ends when it is not used for a while. Blocks, so it belongs in a thread; any number of threads may call.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from mainstem.errors import SandboxUnavailable
from mainstem.sandbox.code import Fault
from mainstem.sandbox.deno import ENVIRONMENT, command
from mainstem.sandbox.usage import confine

_SECONDS: Final = 2.0
_START_SECONDS: Final = 30.0
_IDLE_SECONDS: Final = 60.0
_HEAP_MB: Final = 128
_DATA_BYTES: Final = 1024 * 1024 * 1024
_ANSWER_BYTES: Final = 64 * 1024


class _Answer(msgspec.Struct, frozen=True):
    fault: Fault | None
    handlers: tuple[str, ...]


def check(source: str) -> Fault | None:
    """The first syntax error of this code, or None. Code that is not read within 2 seconds or 128 MB is at fault
    for that, at its first line. Raises SandboxUnavailable when Deno cannot be started."""
    return _parser.read(source).fault


def handlers(source: str) -> Sequence[str]:
    """The names of HANDLERS that this code declares at its top level, in their order; none when it does not
    parse. Raises SandboxUnavailable when Deno cannot be started."""
    return _parser.read(source).handlers


class _Parser:
    """The process, while it is used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None

    def read(self, source: str) -> _Answer:
        """Both answers about this code."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._process is not None and self._process.poll() is not None:
                self._end()  # by somebody else, since the last question
            process = self._process or self._start()
            answer = _ask(process, source, _SECONDS)
            if answer is None:
                self._end()
                return _Answer(Fault("It cannot be read within 2 seconds and 128 MB of memory", 1, 1), ())
            self._timer = threading.Timer(_IDLE_SECONDS, self.end)
            self._timer.daemon = True
            self._timer.start()
            return answer

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(  # noqa: S603  # our own command; what users wrote goes down the pipe
                command("parser.js", _HEAP_MB), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=dict(ENVIRONMENT), cwd="/", process_group=0, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            raise SandboxUnavailable(f"Deno does not start: {error}") from None
        confine(process.pid, _DATA_BYTES)
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        if _ask(process, "", _START_SECONDS) is None:
            self._end()
            raise SandboxUnavailable("Deno does not start: it ended, or did not answer in time")
        return process

    def end(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _ask(process: subprocess.Popen[bytes], source: str, seconds: float) -> _Answer | None:
    """Its answer; None when it takes too long, or ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    question = memoryview(msgspec.json.encode(source.encode(errors="replace").decode()) + b"\n")
    ends_at, answer = time.monotonic() + seconds, b""
    while not answer.endswith(b"\n"):
        left = ends_at - time.monotonic()
        may_read, may_write, _ = select.select(
            [process.stdout], [process.stdin] if question else [], [], max(left, 0)
        )
        if left <= 0 or len(answer) > _ANSWER_BYTES:
            return None
        try:
            if may_write:
                question = question[os.write(process.stdin.fileno(), question) :]
            if may_read:
                answer += (part := os.read(process.stdout.fileno(), _ANSWER_BYTES))
                if not part:
                    return None
        except BrokenPipeError:
            return None
    return msgspec.json.decode(answer, type=_Answer)


_parser: Final = _Parser()
atexit.register(_parser.end)
