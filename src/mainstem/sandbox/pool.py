"""The processes of all functions: made on demand, shared by the invocations of one version of one function, ended
when they are not used, and never more than `Limits.processes`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mainstem.errors import SandboxUnavailable
from mainstem.model.networks import Network
from mainstem.sandbox.code import Code, Ended, Invocation, Limits
from mainstem.sandbox.libraries import Libraries
from mainstem.sandbox.outgoing import Outgoing
from mainstem.sandbox.process import FAULT_SECONDS, Call, Process, Verdict

_LOOK_SECONDS: Final = 0.1
_TURN_SECONDS: Final = 1.0  # that a process is left alone while others wait for its place
_RERUNS_MAX: Final = 3  # of an invocation whose process others brought down


class Sandbox:
    """A process for each function and version in use. Belongs to one event loop; `close` it there."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        allow_private: Sequence[Network] = (),
        libraries: Path | None = None,
    ) -> None:
        """`allow_private` are networks that functions may reach though they are not public; `libraries` is the
        folder that `bundle_libraries` wrote."""
        self.limits = limits or Limits()
        self.libraries = Libraries(libraries)
        self.outgoing = Outgoing(allow_private, self.limits.seconds)
        self._functions: dict[tuple[str, str], _Function] = {}
        self._processes: dict[Process, None] = {}  # alive, in the order of their birth
        self._without: dict[_Function, None] = {}  # functions that wait for a process, in order
        self._starts: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._is_closed = False

    async def invoke(self, code: Code, invocation: Invocation) -> Ended:
        """Run one invocation to its end. Never raises for what the code does.

        It may have begun more than once: an invocation that shared a process with one that brought it down is
        run again. It waits for its turn without limit; each run takes `Limits.seconds` at most.
        Raises SandboxUnavailable when Deno cannot be started, or the sandbox is closed.
        """
        if self._is_closed:
            raise SandboxUnavailable("the sandbox is closed")
        key = (code.id, code.version)
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = _Function(self, code)
        call = Call(invocation, asyncio.get_running_loop().create_future())
        function.add(call)
        return await call.future

    async def close(self) -> None:
        """End every process. Invocations that wait or run end as killed."""
        self._is_closed = True
        verdict = Verdict("killed", "the sandbox was closed")
        if self._watch is not None:
            self._watch.cancel()
        alive = list(self._processes)
        for process in alive:
            process.kill(verdict)
        await asyncio.gather(*self._starts)
        await asyncio.gather(*(process.wait() for process in alive))
        for function in self._functions.values():
            function.close(Ended("killed", message=verdict.message))
        await self.outgoing.close()

    def open_process(self, function: _Function, width: int) -> Process | None:
        """A new process; None when there are too many, and then `function` is asked to pump later."""
        if self._is_closed:
            return None
        if len(self._processes) >= self.limits.processes:
            self._without[function] = None
            self._make_room()
            return None
        return self._start(function, width)

    def _start(self, function: _Function, width: int) -> Process:
        libraries = self.libraries.used_by(function.code.source)
        process = Process(function.code, self.limits, libraries, self.outgoing, function, width)
        self._processes[process] = None
        start = asyncio.get_running_loop().create_task(process.start())
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look())
        return process

    def _make_room(self) -> None:
        """End the process that was unused for longest; if all are used, let the one that had its turn for longest
        finish what it has begun."""
        if any(process.is_closing for process in self._processes):
            return
        idle = [process for process in self._processes if process.is_idle]
        if idle:
            min(idle, key=lambda process: process.used).retire()
            return
        oldest = next(iter(self._processes))
        if asyncio.get_running_loop().time() - oldest.born > _TURN_SECONDS:
            oldest.retire()

    def process_gone(self, process: Process) -> None:
        """There is room for another."""
        self._processes.pop(process, None)
        for function in list(self._without)[: self.limits.processes - len(self._processes)]:
            del self._without[function]
            function.pump()

    async def _look(self) -> None:
        interval = min(_LOOK_SECONDS, self.limits.seconds / 5)
        while self._processes or self._functions:
            await asyncio.sleep(interval)
            now = asyncio.get_running_loop().time()
            for process in list(self._processes):
                process.look(now)
                if process.is_idle and now - process.used > self.limits.idle_seconds:
                    process.retire()
                if process.is_closing:
                    process.owner.pump()
            if self._without:
                self._make_room()
            self._forget(now)

    def _forget(self, now: float) -> None:
        unused = [key for key, each in self._functions.items() if each.is_unused(now - self.limits.idle_seconds)]
        for key in unused:
            del self._functions[key]


class _Function:
    """One version of one function: what waits to be run, and the processes that run it.

    Suspects have a process of their own, where each of them is alone.
    """

    def __init__(self, sandbox: Sandbox, code: Code) -> None:
        self.code = code
        self._sandbox = sandbox
        self._used = asyncio.get_running_loop().time()
        self._waiting: deque[Call] = deque()
        self._suspects: deque[Call] = deque()
        self._process: Process | None = None
        self._ward: Process | None = None
        self._fault: Ended | None = None  # it does not load
        self._fault_until = 0.0

    def add(self, call: Call) -> None:
        """Run this as soon as may be."""
        self._used = asyncio.get_running_loop().time()
        if self._fault is not None and self._used < self._fault_until:
            call.end(self._fault)
            return
        self._waiting.append(call)
        self.pump()

    def is_unused(self, since: float) -> bool:
        """True when nothing was asked of it since, and nothing is under way."""
        has_process = self._process is not None or self._ward is not None
        return self._used < since and not (has_process or self._waiting or self._suspects)

    def pump(self) -> None:
        """Give processes what they have room for, and ask for those that are needed."""
        self._process = self._fill(self._process, self._waiting, self._sandbox.limits.concurrency)
        self._ward = self._fill(self._ward, self._suspects, 1)
        if self._ward is not None and self._ward.is_idle and not self._suspects:
            self._ward.retire()

    def _fill(self, process: Process | None, calls: deque[Call], width: int) -> Process | None:
        if process is not None and process.is_closing:
            process = None
        if process is None and calls:
            process = self._sandbox.open_process(self, width)
        while process is not None and calls and process.room > 0:
            call = calls.popleft()
            if not call.future.done():
                process.send(call)
        return process

    def close(self, ended: Ended) -> None:
        """End what waits."""
        for call in (*self._waiting, *self._suspects):
            call.end(ended)
        self._waiting.clear()
        self._suspects.clear()

    # What its processes tell

    def ready(self, process: Process) -> None:
        """It can take invocations, or more of them."""
        del process
        self.pump()

    def unloadable(self, process: Process, ended: Ended) -> None:
        """Neither can those run that wait. Code that is wrong is not tried again for a while."""
        del process
        if ended.how == "bad_code":
            self._fault, self._fault_until = ended, asyncio.get_running_loop().time() + FAULT_SECONDS
        self.close(ended)

    def unavailable(self, process: Process, error: SandboxUnavailable) -> None:
        """Nothing can run."""
        for call in (*self._waiting, *self._suspects):
            call.fail(error)
        self._waiting.clear()
        self._suspects.clear()
        self.gone(process, (), (), ())

    def gone(
        self, process: Process, innocent: Sequence[Call], again: Sequence[Call], suspects: Sequence[Call]
    ) -> None:
        """Run again what did nothing wrong, and one by one what may have. Who was interrupted by others' faults too
        often is run alone, too: what somebody else does ends nobody."""
        crowded = [call for call in innocent if call.began and call.reruns >= _RERUNS_MAX]
        others = [call for call in innocent if call not in crowded]
        for call in others:
            call.reruns += bool(call.began)
        self._waiting.extendleft(reversed(others))
        self._waiting.extendleft(reversed(self._rerunnable(again)))
        self._suspects.extend((*crowded, *self._rerunnable(suspects)))
        self._process = None if self._process is process else self._process
        self._ward = None if self._ward is process else self._ward
        self._sandbox.process_gone(process)
        self.pump()

    def _rerunnable(self, calls: Sequence[Call]) -> list[Call]:
        for call in calls:
            call.reruns += 1
            if call.reruns > _RERUNS_MAX:
                call.end(Ended("killed", message="its process ended again and again"))
        return [call for call in calls if not call.future.done()]
