"""`mainstem serve`: one command that starts every process, keeps them running, and stops them in order.

    supervisor ── public-api      the Public API
               ├─ tracking-api    the Tracking API and the event log
               ├─ pipeline        events to deliveries
               └─ delivery-N      deliveries to destinations

The supervisor forks its children after everything is imported, so they share its memory, and does nothing
itself but wait. A child that dies is started again. SIGTERM or SIGINT stops intake first, then the pipeline,
then delivery. Children hold the folder's lock too, and end at once when the supervisor is killed, so no second
supervisor ever runs beside the children of a first. When a part cannot start at all, `serve` stops the others
and ends with an error. `processes.json` in the data folder tells which process
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import msgspec

from mainstem.errors import FolderInUse, SettingsError, StartFailed
from mainstem.settings import Address

log: Final = logging.getLogger("mainstem.serve")

STOP_SECONDS: Final = (2.0, 1.5, 5.5)  # for each wave; SIGTERM to end in less than 10 seconds
QUICK_DEATH_SECONDS: Final = 2.0
MOST_WAIT_SECONDS: Final = 5.0
LOCK_WAIT_SECONDS: Final = 3.0
START_SECONDS: Final = 20.0  # until everything answers; a loaded laptop needs two
MOST_QUICK_DEATHS_AT_START: Final = 3
_LOOK_SECONDS: Final = 0.02
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
        self._file = (folder / "serve.lock").open("ab+", buffering=0)
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not self._taken():
            self._file.seek(0)
            holder = self._file.read().decode(errors="replace").strip() or "unknown"
            if _alive(holder) or time.monotonic() > deadline:
                self._file.close()
                raise FolderInUse(f"{folder} is in use by another mainstem serve (process {holder})")
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # on a full disk the lock does not tell who has it
            self._file.truncate(0)
            self._file.write(str(os.getpid()).encode())

    def release(self) -> None:
        """Let go of it; children that still run hold on."""
        self._file.close()

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


def free_addresses(wanted: Mapping[str, Address]) -> list[Address]:
    """Each address, with its host looked up and its port chosen if it is 0. `wanted` goes by the flag's name.
    Raises SettingsError naming the flag whose address cannot be listened on."""
    with contextlib.ExitStack() as probes:  # all at once, so that no two get the same port
        return [_free_address(address, flag, probes) for flag, address in wanted.items()]


def _free_address(address: Address, flag: str, probes: contextlib.ExitStack) -> Address:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, place = min(found, key=lambda each: each[0] is not socket.AF_INET)
        probe = probes.enter_context(socket.socket(family, kind))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
        probe.listen(1)
    except OSError as error:
        raise SettingsError(f"{flag} {address}: {error.strerror}") from None
    return Address(str(place[0]), probe.getsockname()[1])


class Supervisor:
    """Runs parts until it is told to stop."""

    def __init__(self, parts: Sequence[Part], folder: Path) -> None:
        self._parts = parts
        self._processes = folder / PROCESSES_FILE
        self._stopping = False
        self._lifeline: tuple[int, int] = os.pipe()  # children see its end when the supervisor is gone
        self._wakeup: tuple[int, int] = os.pipe()

    def run(self, answers: Callable[[], bool], announce: Callable[[], None]) -> None:
        """Start every part, call `announce` once everything `answers`, keep all running until SIGTERM, SIGINT
        or SIGHUP, and stop them in order. Raises StartFailed, after stopping them, when one cannot start."""
        self._listen_to_signals()
        gc.collect()
        gc.freeze()
        try:
            for part in self._parts:
                self._start(part)
            self._await_answers(answers)
            if not self._stopping:
                announce()
            while not self._stopping:
                self._wait()
                self._reap()
                self._restart()
        finally:
            self._stopping = True
            self._stop_all()

    def _listen_to_signals(self) -> None:
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup mainstem serve` outlives its terminal
            numbers.append(signal.SIGHUP)
        for number in numbers:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        os.set_blocking(self._wakeup[1], False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _await_answers(self, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            self._wait(_LOOK_SECONDS)
            self._reap()
            failing = [part.name for part in self._parts if part.quick_deaths >= MOST_QUICK_DEATHS_AT_START]
            if failing:
                raise StartFailed(f"{', '.join(failing)} cannot start; what was logged before says why")
            if all(part.pid for part in self._parts) and answers():
                return
            if time.monotonic() > deadline:
                raise StartFailed(f"no answer {START_SECONDS:.0f} seconds after the start")
            self._restart()

    def _wait(self, at_most: float | None = None) -> None:
        now = time.monotonic()
        due = [max(0.0, part.restart_at - now) for part in self._parts if not part.pid]
        timeout = min([*due, *([] if at_most is None else [at_most])], default=None)
        if select.select([self._wakeup[0]], [], [], timeout)[0]:
            os.read(self._wakeup[0], 4096)

    def _start(self, part: Part) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        part.started_at = time.monotonic()
        # A child takes SIGTERM from its own queue of blocked signals, so that none is lost before it is ready.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            part.pid = os.fork()
            if part.pid == 0:
                self._become(part)
        except OSError as error:  # no memory or no process ids left
            log.warning("%s cannot be started now: %s", part.name, error.strerror)
            self._put_off(part)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
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
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP):  # the terminal's: the supervisor stops us in order
                signal.signal(number, signal.SIG_IGN)
            os.close(self._lifeline[1])
            stop = threading.Event()
            for target, arguments in ((self._await_stop, (stop,)), (self._end_with_supervisor, ())):
                threading.Thread(target=target, args=arguments, daemon=True).start()
            part.run(stop)
            code = 0
        except Exception:  # the edge of a process: its end is logged, and the supervisor starts a new one
            log.exception("%s failed", part.name)
        finally:
            logging.shutdown()
            os._exit(code)

    @staticmethod
    def _await_stop(stop: threading.Event) -> None:
        signal.sigwait({signal.SIGTERM})
        stop.set()

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
        part.pid = 0
        if time.monotonic() - part.started_at < QUICK_DEATH_SECONDS:
            self._put_off(part)
        else:
            part.quick_deaths, part.restart_at = 0, 0.0
        if not self._stopping:
            code = os.waitstatus_to_exitcode(status)
            cause = f"signal {-code}" if code < 0 else f"exit code {code}"
            log.warning("%s ended (%s); starting it again", part.name, cause)

    @staticmethod
    def _put_off(part: Part) -> None:
        part.quick_deaths += 1
        part.restart_at = time.monotonic() + min(MOST_WAIT_SECONDS, 0.1 * 2**part.quick_deaths)

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
