"""`mainstem serve`: one command that starts every process, keeps them running, and stops them in order.

    supervisor ── public-api      the Public API
               ├─ tracking-api    the Tracking API and the event log
               ├─ pipeline        events to deliveries
               └─ delivery-N      deliveries to destinations

The supervisor forks its children after everything is imported, so they share its memory, and does nothing
itself but wait. A child that dies is started again. SIGTERM or SIGINT stops intake first, then the pipeline,
then delivery. Children hold the folder's lock too, and end at once when the supervisor is killed, so no second
supervisor ever runs beside the children of a first. `processes.json` in the data folder tells which process
is which, by name, for an operator who wants to look at one.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import msgspec

from mainstem.errors import FolderInUse, SettingsError
from mainstem.settings import Address

log: Final = logging.getLogger("mainstem.serve")

STOP_SECONDS: Final = (2.0, 1.5, 5.5)  # for each wave; SIGTERM to end in less than 10 seconds
QUICK_DEATH_SECONDS: Final = 2.0
MOST_WAIT_SECONDS: Final = 5.0
LOCK_WAIT_SECONDS: Final = 3.0
PROCESSES_FILE: Final = "processes.json"


class Part(msgspec.Struct):
    """A child process: `run` returns when its stop event is set. `wave` says when it is stopped: 0 first."""

    name: str
    wave: int
    run: Callable[[threading.Event], None]
    pid: int = 0
    started_at: float = 0.0
    quick_deaths: int = 0
    restart_at: float = 0.0


class FolderLock:
    """Held while a serve, or any child of one, runs on a data folder."""

    def __init__(self, folder: Path) -> None:
        """Raises FolderInUse naming the process that has it."""
        self._file = (folder / "serve.lock").open("a+")
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not self._taken():
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            if _alive(holder) or time.monotonic() > deadline:
                raise FolderInUse(f"{folder} is in use by another mainstem serve (process {holder})")
            time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def chosen(address: Address, shown: str) -> Address:
    """The address with its port chosen if it is 0. Raises SettingsError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise SettingsError(f"{shown} {address}: {error.strerror}") from None
        return Address(address.host, probe.getsockname()[1])


class Supervisor:
    """Runs parts until it is told to stop."""

    def __init__(self, parts: Sequence[Part], folder: Path) -> None:
        self._parts = parts
        self._processes = folder / PROCESSES_FILE
        self._stopping = False
        self._lifeline: tuple[int, int] = os.pipe()  # children see its end when the supervisor is gone
        self._wakeup: tuple[int, int] = os.pipe()

    def run(self, ready: Callable[[], None]) -> None:
        """Start every part, call `ready`, keep them running until SIGTERM or SIGINT, stop them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        os.set_blocking(self._wakeup[1], False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        for part in self._parts:
            self._start(part)
        ready()
        while not self._stopping:
            self._wait()
            self._reap()
            self._restart()
        self._stop_all()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _wait(self) -> None:
        due = [part.restart_at for part in self._parts if not part.pid]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        if select.select([self._wakeup[0]], [], [], timeout)[0]:
            os.read(self._wakeup[0], 4096)

    def _start(self, part: Part) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        part.started_at = time.monotonic()
        part.pid = os.fork()
        if part.pid == 0:
            self._become(part)
        self._tell_processes()

    def _tell_processes(self) -> None:
        """Write the process ids by name, whole or not at all; on a full disk the former list stays."""
        ids = {"serve": os.getpid()} | {part.name: part.pid for part in self._parts if part.pid}
        draft = self._processes.with_suffix(".new")
        with contextlib.suppress(OSError):
            draft.write_bytes(msgspec.json.encode(ids) + b"\n")
            draft.replace(self._processes)

    def _become(self, part: Part) -> NoReturn:
        """The life of a child, from fork to exit."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C: the supervisor stops us in order
            stop = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            os.close(self._lifeline[1])
            threading.Thread(target=self._end_with_supervisor, daemon=True).start()
            part.run(stop)
            code = 0
        except Exception:  # the edge of a process: its end is logged, and the supervisor starts a new one
            log.exception("%s failed", part.name)
        finally:
            logging.shutdown()
            os._exit(code)

    def _end_with_supervisor(self) -> None:
        os.read(self._lifeline[0], 1)  # returns only when the supervisor's end is closed
        os._exit(1)

    def _reap(self) -> None:
        for part in self._parts:
            if not part.pid:
                continue
            pid, status = os.waitpid(part.pid, os.WNOHANG)
            if pid:
                self._died(part, status)

    def _died(self, part: Part, status: int) -> None:
        now = time.monotonic()
        quick = now - part.started_at < QUICK_DEATH_SECONDS
        part.quick_deaths = part.quick_deaths + 1 if quick else 0
        wait = min(MOST_WAIT_SECONDS, 0.1 * 2**part.quick_deaths) if quick else 0.0
        part.pid, part.restart_at = 0, now + wait
        if not self._stopping:
            code = os.waitstatus_to_exitcode(status)
            cause = f"signal {-code}" if code < 0 else f"exit code {code}"
            log.warning("%s ended (%s); starting it again", part.name, cause)

    def _restart(self) -> None:
        for part in self._parts:
            if not part.pid and not self._stopping and time.monotonic() >= part.restart_at:
                self._start(part)

    def _stop_all(self) -> None:
        for wave in sorted({part.wave for part in self._parts}):
            running = [part for part in self._parts if part.wave == wave and part.pid]
            for part in running:
                os.kill(part.pid, signal.SIGTERM)
            self._await_end(running, time.monotonic() + STOP_SECONDS[wave])

    def _await_end(self, running: Sequence[Part], deadline: float) -> None:
        for part in running:
            while part.pid:
                if os.waitpid(part.pid, os.WNOHANG)[0]:
                    part.pid = 0
                elif time.monotonic() > deadline:
                    log.warning("%s did not stop in time and was killed", part.name)
                    os.kill(part.pid, signal.SIGKILL)
                    os.waitpid(part.pid, 0)
                    part.pid = 0
                else:
                    time.sleep(0.01)
