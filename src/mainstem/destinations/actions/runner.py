"""Calls of Segment's open-source destinations, in a pool of Deno processes.

    call ─→ slot ─→ process: one line out, one line back
              ├ replaced when it does not answer, has grown, or has done its share; what was given to it is finished
              │ by it, or comes back as retryable when it ends before
              └ one more while all that there are use a core each, up to the most that there may be

A call is one subscription for one event or batch, and always has an answer: what a destination throws, what a
partner refuses, and what happens to a process are results. OAuth accounts always meet the first process, so that a
token is refreshed once.
Source: retryable are 408, 423, 429, 5xx but 501, and network errors ("Retries between Segment and destinations");
limits of time and size are judgements, but for the package's own 10 seconds a request.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.destinations.actions.process import Line, Process, Setup
from mainstem.destinations.base import Exchange
from mainstem.errors import SandboxUnavailable
from mainstem.model.networks import Network
from mainstem.sandbox.deno import find_deno

log = logging.getLogger(__name__)

CALL_SECONDS: Final = 30.0
PING_SECONDS: Final = 1.0
SILENT_PINGS: Final = 15
"""So many pings without an answer, and a process is replaced: it does nothing else for that long either."""
BUSY_CORES: Final = 0.7
BUSY_PINGS: Final = 3
"""When every process used so much between so many pings, one more is started."""
IDLE_CORES: Final = 0.5
IDLE_PINGS: Final = 60
"""When all together used less than this for each but the last between so many pings, the last is let go."""
PROCESS_CALLS: Final = 1_000_000
PROCESS_BYTES: Final = 600 * 1024 * 1024
RESTART_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 4.0
"""Waited for what is in flight when the pool is closed; the rest comes back as retryable."""

RETRYABLE_STATUSES: Final = frozenset({408, 423, 429})
NOT_INSTALLED: Final = "NOT_INSTALLED"
PROCESS_ENDED: Final = "PROCESS_ENDED"
"""Its process ended by itself, or had to be ended: by this call, or by one beside it."""
_NETWORK_REASONS: Final[Mapping[str, str]] = {
    "ECONNREFUSED": "EREFUSED", "EHOSTUNREACH": "EREFUSED", "ENETUNREACH": "EREFUSED", "EADDRNOTAVAIL": "EREFUSED",
    "ETIMEDOUT": "ETIMEDOUT", "ESOCKETTIMEDOUT": "ETIMEDOUT",
    "ENOTFOUND": "ENOTFOUND", "EAI_AGAIN": "ENOTFOUND", "EAI_NONAME": "ENOTFOUND",
}  # fmt: skip
_TO_RETRY: Final = frozenset({"RETRYABLE_ERROR", "RUNNER_UNAVAILABLE", NOT_INSTALLED})


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription for one event, or for a batch of them.

    `events` are JSON objects; the trigger has matched all of them. `mapping` and `settings` as they are stored.
    `auth` for OAuth: access_token, refresh_token, clientId, clientSecret, refresh_token_url, as far as known.
    With `is_batch` they go in one request if the action can; otherwise one after the other.
    """

    metadata_id: str
    action: str
    mapping: dict[str, Any]
    settings: dict[str, Any]
    events: Sequence[bytes]
    is_batch: bool = False
    auth: dict[str, Any] | None = None


class Result(msgspec.Struct, frozen=True):
    """What became of one event.

    `status` is the partner's, or what the destination says in its place; 0 when there was none. `code` is "" for
    a delivery, else the destination's error code (PAYLOAD_VALIDATION_FAILED) or the network's (ECONNREFUSED).
    `message` is for people and names no secret.
    """

    status: int
    code: str = ""
    message: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_delivered(self) -> bool:
        """True when the action was executed and the partner took the event."""
        return not self.code and 200 <= self.status < 300


class Answer(msgspec.Struct, frozen=True):
    """What came of a call: a result for each event in order, at most five exchanges, and new OAuth tokens
    ({"accessToken", "refreshToken"?}) that the caller must keep, if the old ones were refused."""

    results: Sequence[Result]
    exchanges: Sequence[Exchange] = ()
    refreshed: dict[str, Any] | None = None


def discard(result: Result) -> tuple[bool, str]:
    """Whether a failed result may be tried again, and its published reason (outcome.py, DELIVERY_REASONS).

    An address that the network policy refuses is final, because the policy lasts until the operator changes it;
    so is a failure of the destination's own code, which would fail again.
    """
    status, code = result.status, result.code
    if code == "INVALID_SETTINGS":
        return False, code
    if status:
        return status in RETRYABLE_STATUSES or (500 <= status < 600 and status != 501), str(status)
    if code in _TO_RETRY:
        return True, "RETRY"
    if code == PROCESS_ENDED:
        return True, "ECONNRESET"
    if code == "EREFUSED":
        return False, code
    if code in _NETWORK_REASONS:
        return True, _NETWORK_REASONS[code]
    is_of_network = code.startswith(
        ("ERR_TLS", "ERR_SSL", "ERR_SOCKET", "CERT_", "UNABLE_TO_", "SELF_SIGNED", "DEPTH_")
    )
    if is_of_network or (code.startswith("E") and code.isalpha()):
        return True, "ECONNRESET"
    return False, "INTERNAL"


class _Pending:
    """A call that was given to a process."""

    __slots__ = ("answer", "count", "refreshed")

    def __init__(self, count: int) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.count = count
        self.refreshed: dict[str, Any] | None = None

    def settle(self, line: Line) -> None:
        """Take the answer of the process."""
        if self.answer.done():
            return
        if isinstance(line.r, int):
            results = [_taken(line.r)] * self.count
        else:
            results = [Result(*each) for each in line.r[: self.count]]
            results += [results[-1] if results else _NO_RESULT] * (self.count - len(results))
        self.answer.set_result(Answer(results, [Exchange(*each) for each in line.x], self.refreshed))

    def fail(self, result: Result) -> None:
        """Give up on the process: every event has this result."""
        if not self.answer.done():
            self.answer.set_result(Answer([result] * self.count, (), self.refreshed))


_NO_RESULT: Final = Result(0, "NO_RESULT", "the destination gave no result for this event")
_ENDED: Final = Result(0, PROCESS_ENDED, "the process that runs the destination did not survive")
_KILLED: Final = Result(0, "ECONNRESET", "the process that runs the destination was killed before it had answered")
_LATE: Final = Result(0, "ETIMEDOUT", f"the destination did not finish within {CALL_SECONDS:.0f} seconds")
_TAKEN: Final = {status: Result(status) for status in range(200, 300)}


def _taken(status: int) -> Result:
    return _TAKEN.get(status) or Result(status)


class _Worker:
    """A process with the calls that it was given."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.pending: dict[int, _Pending] = {}
        self.calls = 0
        self.is_retiring = False

    def heard(self, line: Line | None) -> None:
        """A line of the process, or its end."""
        if line is None:
            self.is_retiring = True
            was_killed = self.process is not None and self.process.was_killed_by_others
            for each in self.pending.values():
                each.fail(_KILLED if was_killed else _ENDED)
            self.pending.clear()
        elif line.refresh is not None:
            if line.id in self.pending:
                self.pending[line.id].refreshed = line.refresh
        elif line.id in self.pending:
            self.pending.pop(line.id).settle(line)
            self.finish_retiring()

    def retire(self) -> None:
        """Take no more calls, and end after those that are there."""
        self.is_retiring = True
        self.finish_retiring()

    def finish_retiring(self) -> None:
        """End the process if it was to end and has nothing left to do."""
        if self.is_retiring and not self.pending and self.process is not None:
            self.process.retire()

    @property
    def is_used_up(self) -> bool:
        """True when it should be replaced, before what it keeps becomes too much."""
        assert self.process is not None
        return self.calls >= PROCESS_CALLS or self.process.rss_bytes >= PROCESS_BYTES


class Runner:
    """Runs calls in up to `processes` Deno processes: one from the first call on, others while those are busy.

    `packages` is where the destinations are installed; `allow_private` are private networks that may be reached;
    with `divert_to` every request goes to that URL instead of the partner, its own in the header
    Mainstem-Original-Url, and nowhere else. `environment` is where variables that begin with ACTIONS_ come from; by
    default this process's own.
    """

    def __init__(
        self,
        packages: Path,
        *,
        processes: int = 1,
        allow_private: Sequence[Network] = (),
        divert_to: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._packages = packages
        self._network = tuple(allow_private), divert_to
        self._variables = dict(os.environ if environment is None else environment)
        self._slots: list[asyncio.Future[_Worker] | None] = [None] * processes
        self._workers: set[_Worker] = set()
        self._ids = 0
        self._busy_pings = self._idle_pings = 0
        self._watch: asyncio.Task[None] | None = None
        self._is_closed = False
        self._alone = asyncio.Lock()

    async def call(self, call: Call) -> Answer:
        """Run a call. What the destination, the partner or a process does is in the results, never raised."""
        try:
            worker = await self._worker(self._slot_of(call))
        except (OSError, SandboxUnavailable) as error:
            return _not_run(call, error)
        return await self._given(worker, call)

    async def call_alone(self, call: Call) -> Answer:
        """Run a call in a process of its own, one such call at a time: when that ends, this call is at fault."""
        async with self._alone:
            try:
                if self._is_closed:
                    raise OSError("the pool is closed")
                worker = await self._opened()
            except (OSError, SandboxUnavailable) as error:
                return _not_run(call, error)
            try:
                return await self._given(worker, call)
            finally:
                worker.retire()

    async def _given(self, worker: _Worker, call: Call) -> Answer:
        self._ids += 1
        number, pending = self._ids, _Pending(len(call.events))
        worker.pending[number] = pending
        worker.calls += 1
        assert worker.process is not None
        worker.process.write(_line_of(number, call))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await pending.answer
        except TimeoutError:
            return Answer([_LATE] * pending.count, (), pending.refreshed)
        finally:
            if worker.pending.pop(number, None) is not None:
                worker.process.write(b'{"cancel":%d}\n' % number)
                worker.finish_retiring()

    def _slot_of(self, call: Call) -> int:
        auth = call.auth or {}
        if auth.get("refresh_token") or auth.get("access_token"):
            return 0
        return min((slot for slot in range(len(self._slots)) if not slot or self._started(slot)), key=self._load_of)

    def _load_of(self, slot: int) -> int:
        worker = self._started(slot)
        return len(worker.pending) if worker is not None else 0

    def _started(self, slot: int) -> _Worker | None:
        started = self._slots[slot]
        if started is None or not started.done() or started.cancelled() or started.exception():
            return None
        return started.result()

    async def _worker(self, slot: int) -> _Worker:
        while True:
            if self._is_closed:
                raise OSError("the pool is closed")
            started = self._slots[slot]
            if started is None:
                started = self._slots[slot] = asyncio.ensure_future(self._start(slot))
            worker = await asyncio.shield(started)
            if worker.is_retiring or worker.is_used_up:
                self._replace(slot, worker)
                continue
            return worker

    def _replace(self, slot: int, worker: _Worker) -> None:
        worker.retire()
        started = self._slots[slot]
        if started is not None and started.done() and not started.exception() and started.result() is worker:
            self._slots[slot] = None

    async def _start(self, slot: int) -> _Worker:
        try:
            return await self._opened()
        except (OSError, SandboxUnavailable) as error:
            log.warning("destinations cannot run: %s", error)
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._forget, slot)
            raise

    async def _opened(self) -> _Worker:
        worker = _Worker()
        worker.process = await Process.start(self._setup(), worker.heard)
        self._workers = {each for each in self._workers if each.process and not each.process.has_ended} | {worker}
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watch())
        return worker

    def _forget(self, slot: int) -> None:
        self._slots[slot] = None

    def _setup(self) -> Setup:
        folder = self._packages / "destinations"
        if not (folder / "catalogue" / "index.json").is_file():
            raise FileNotFoundError("destinations are not installed: run `mainstem destinations install`")
        allow_private, divert_to = self._network
        return Setup(
            deno=find_deno(),
            folder=folder.resolve(),  # an installation that comes later is another folder
            allow_private=allow_private,
            divert_to=divert_to,
            variables=self._variables,
        )

    async def _keep_watch(self) -> None:
        """Ping every process; end those that are silent."""
        number = 0
        while True:
            number += 1
            for worker in self._workers:
                process = worker.process
                if process is None or process.has_ended:
                    continue
                process.pongs = process.pongs or number - 1
                if number - process.pongs > SILENT_PINGS:
                    log.warning("a process that runs destinations does not answer, and is replaced")
                    process.kill()
                process.ping(number)
            self._fit()
            await asyncio.sleep(PING_SECONDS)

    def _fit(self) -> None:
        """Start one process more when those that are there are busy, or let the last go when fewer would do."""
        started = {slot: worker for slot in range(len(self._slots)) if (worker := self._started(slot)) is not None}
        there = {slot: worker for slot, worker in started.items() if not worker.is_retiring}
        busy = [worker.process.busy for worker in there.values() if worker.process is not None]
        self._busy_pings = self._busy_pings + 1 if busy and min(busy) > BUSY_CORES else 0
        self._idle_pings = self._idle_pings + 1 if sum(busy) < IDLE_CORES * (len(busy) - 1) else 0
        free = self._slots.index(None) if None in self._slots else 0
        if self._busy_pings >= BUSY_PINGS and free:
            self._busy_pings = 0
            self._slots[free] = asyncio.ensure_future(self._start(free))
        last = max(there, default=0)
        if self._idle_pings >= IDLE_PINGS and last:
            self._idle_pings = 0
            self._replace(last, there[last])

    async def close(self) -> None:
        """Take no more calls, let what is in flight finish for a few seconds, then end the processes."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        for started in self._slots:
            if started is not None and not started.done():
                started.cancel()
        waiting = [each.answer for worker in self._workers for each in worker.pending.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
        processes = [each.process for each in self._workers if each.process and not each.process.has_ended]
        for process in processes:
            process.retire()
        await asyncio.gather(*(each.wait() for each in processes))


def _not_run(call: Call, error: Exception) -> Answer:
    code = NOT_INSTALLED if isinstance(error, FileNotFoundError) else "RUNNER_UNAVAILABLE"
    return Answer([Result(0, code, str(error))] * len(call.events))


def _line_of(number: int, call: Call) -> bytes:
    """The line of a call. Events are put in as they are; a newline in one of them could only be a blank."""
    head = msgspec.json.encode(
        {
            "id": number, "d": call.metadata_id, "a": call.action, "b": call.is_batch,
            "m": call.mapping, "s": call.settings, "o": call.auth,
        }
    )  # fmt: skip
    events = b",".join(call.events)
    if b"\n" in events:
        events = events.replace(b"\n", b" ")
    return b'%b,"e":[%b]}\n' % (head[:-1], events)
