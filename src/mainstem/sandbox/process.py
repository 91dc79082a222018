"""One Deno process with one version of one function in it, and the judgement on what happens inside.

Lines to bridge.js:   b{config}                            load this code
                      i<id> <handler>\\n<settings>\\n<JSON>   invoke; empty settings are those of the line before
                      p<number>                            are you alive
                      f{response}                          an answer to what it fetches
Lines from it, each an array that begins with the process's secret:
                      r                                    ready to load
                      l names, b error message             loaded, or not
                      s id, w id, e id …                   invocation started, waits (for a timer, a network), ended
                      c id text                            it wrote this to the console
                      p number                             alive
                      f id …, a id                         fetch this, or no more

A line that begins otherwise is forged and the process ends. JavaScript runs one thing at a time, so an invocation
that started and neither waits nor ended is the one that holds the thread: it alone can be at fault for that. In
every other case the one that was alone in the process is at fault; if there were several they are suspects, and
are to be run again one by one. So they are when somebody else killed the process (the system for want of memory, or
an operator), for nothing in it can do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Sequence
from typing import Final, Literal, Protocol, cast

import msgspec

from mainstem.errors import SandboxUnavailable
from mainstem.sandbox.code import Code, Ended, Invocation, Limits
from mainstem.sandbox.deno import ENVIRONMENT, command
from mainstem.sandbox.libraries import Loaded
from mainstem.sandbox.outgoing import Outgoing, Request, Response
from mainstem.sandbox.usage import Usage, confine, demote, extend_processor_time, read_usage

FAULT_SECONDS: Final = 10.0  # after which code that does not run is loaded again: a library may be there now
_START_SECONDS: Final = 30.0
_ERROR_BYTES: Final = 4 * 1024
_ERROR_BYTES_MAX: Final = 1024 * 1024
_FETCHES_MAX: Final = 256
_HOGGING_SHARE: Final = 0.1  # of the time limit: who holds the thread for longer goes behind everybody
_RECYCLE_SHARE: Final = 0.6  # of the memory limit, above which a process is replaced in peace
_QUIET_SECONDS: Final = 0.5
_LEFTOVER_SECONDS: Final = 1.0  # of processor time that it may use while nobody asks it for anything
_MB: Final = 1024 * 1024
_encode: Final = msgspec.json.Encoder().encode


class Call:
    """An invocation on its way: where it was run how often, and who waits for its end."""

    __slots__ = ("began", "future", "id", "invocation", "logs", "reruns")

    def __init__(self, invocation: Invocation, future: asyncio.Future[Ended]) -> None:
        self.id = ""
        self.invocation = invocation
        self.future = future
        self.began = 0.0  # loop time at which its process said so; 0 when it has not
        self.logs: list[str] = []  # of the run that is under way
        self.reruns = 0

    def end(self, ended: Ended) -> None:
        """Tell whoever waits, unless they no longer do."""
        if not self.future.done():
            self.future.set_result(ended)

    def fail(self, error: Exception) -> None:
        """Tell whoever waits that functions cannot run."""
        if not self.future.done():
            self.future.set_exception(error)


class _EndLine(msgspec.Struct, frozen=True, array_like=True):
    secret: str
    kind: str
    id: str
    how: Literal["r", "t", "b"]
    error: str
    message: str
    milliseconds: float
    emitted: Sequence[msgspec.Raw]
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_end_line: Final = msgspec.json.Decoder(_EndLine)
_request: Final = msgspec.json.Decoder(Request)
_strings: Final = msgspec.json.Decoder(list[str])
_loaded: Final = msgspec.json.Decoder(tuple[str, str, list[str]])
_HOW: Final[dict[str, Literal["returned", "thrown", "bad_code"]]] = {"r": "returned", "t": "thrown", "b": "bad_code"}


class Verdict(msgspec.Struct, frozen=True):
    """Why a process was ended, and whether that was for the time it took."""

    how: Literal["timeout", "killed"]
    message: str


class Owner(Protocol):
    """What a process tells the function that it belongs to."""

    def pump(self) -> None:
        """It takes nothing any more; another may have to."""

    def ready(self, process: Process) -> None:
        """It can take invocations, or more of them."""

    def unloadable(self, process: Process, ended: Ended) -> None:
        """The code does not load; the process has nothing to do any more."""

    def unavailable(self, process: Process, error: SandboxUnavailable) -> None:
        """Deno does not start."""

    def gone(
        self, process: Process, innocent: Sequence[Call], again: Sequence[Call], suspects: Sequence[Call]
    ) -> None:
        """The process ended. The `innocent` did not end it, because another did; those to run `again` had not begun;
        of the `suspects` one may have."""


class Process(asyncio.SubprocessProtocol):
    """Ends by itself as soon as it is `retiring` and nothing is in flight."""

    def __init__(
        self, code: Code, limits: Limits, libraries: Loaded, outgoing: Outgoing, owner: Owner, width: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._code = code
        self._limits = limits
        self._libraries = libraries
        self._outgoing = outgoing
        self.owner = owner
        self._width = width
        self._secret = secrets.token_hex(16)
        self._prefix = f'["{self._secret}","'.encode()
        self._pid = 0
        self._stdin: asyncio.WriteTransport | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._out: list[bytes] = []
        self._partial = bytearray()
        self._line_max = 8 * limits.output_bytes + 64 * 1024
        self._errors = b""
        self._errors_seen = 0
        self._state: Literal["starting", "loading", "loaded", "gone"] = "starting"
        self._state_since = self.born = self.used = self._sign = self._loop.time()
        self._handlers: Sequence[str] = ()
        self._settings = b""
        self._calls: dict[str, Call] = {}
        self._open: Call | None = None
        self._left: set[str] = set()  # timed out while others were in flight: they may still run
        self._served = 0
        self._strikes = 0
        self._is_demoted = False
        self._usage = Usage()
        self._looked = self.born
        self._idle_from = 0.0  # processor time when it began to be idle
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._verdict: Verdict | None = None
        self._end = self._loop.create_future()
        self.retiring = False

    # What the pool asks

    @property
    def room(self) -> int:
        """How many more invocations it takes now."""
        return 0 if self._state != "loaded" or self.is_closing else self._width - len(self._calls)

    @property
    def is_closing(self) -> bool:
        """True when it takes nothing any more."""
        return self.retiring or self._verdict is not None or self._state == "gone"

    @property
    def is_idle(self) -> bool:
        """True when it runs nothing and is not about to."""
        return self._state == "loaded" and not self._calls

    async def start(self) -> None:
        """Start Deno and give it the code; tells the owner how that went."""
        try:
            transport, _ = await self._loop.subprocess_exec(
                lambda: self, *command("bridge.js", self._limits.heap_mb),
                env=dict(ENVIRONMENT), cwd="/", process_group=0,
            )  # fmt: skip
        except (OSError, SandboxUnavailable) as error:
            self._state = "gone"
            self._end.set_result(None)
            self.owner.unavailable(self, SandboxUnavailable(f"Deno does not start: {error}"))
            return
        if self._verdict is not None:
            self.kill(self._verdict)
            return
        confine(transport.get_pid(), 2 * self._limits.resident_mb * _MB + 512 * _MB)
        self._write(b"b" + self._config() + b"\n")

    def send(self, call: Call) -> None:
        """Run an invocation; there must be room."""
        call.id, call.began, call.logs = secrets.token_hex(8), 0.0, []
        if call.invocation.handler not in self._handlers:
            message = f"the code has no function {call.invocation.handler}"
            call.end(Ended("no_handler", message=message, handlers=self._handlers))
            return
        if not self._calls:
            self._sign = self._loop.time()
        self._calls[call.id] = call
        settings = _one_line(call.invocation.settings)
        same = settings == self._settings
        self._settings = settings
        head = f"i{call.id} {call.invocation.handler}\n".encode()
        self._write(b"%b%b\n%b\n" % (head, b"" if same else settings, _one_line(call.invocation.argument)))

    def retire(self) -> None:
        """Take nothing more, and end when nothing is in flight."""
        self.retiring = True
        self._end_if_done()

    def kill(self, verdict: Verdict) -> None:
        """End at once. The owner hears of it when it is so."""
        self._verdict = self._verdict or verdict
        if self._pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Return when it has ended."""
        await asyncio.shield(self._end)

    # Lines out

    def _config(self) -> bytes:
        return _encode(
            {
                "secret": self._secret, "kind": self._code.kind, "source": self._code.source,
                "output_bytes": self._limits.output_bytes, "log_bytes": self._limits.log_bytes,
                "libraries": self._libraries.scripts, "missing": self._libraries.missing,
            }
        )  # fmt: skip

    def _write(self, line: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(line)

    def _flush(self) -> None:
        lines, self._out = b"".join(self._out), []
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(lines)

    # Lines in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._pid = self._transport.get_pid()
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        """Called by the event loop."""
        assert isinstance(data, bytes)
        if self._verdict is not None:
            return
        if fd == 2:  # only V8 and Deno write there
            self._errors_seen += len(data)
            self._errors = (self._errors + data)[-_ERROR_BYTES:]
            if self._errors_seen > _ERROR_BYTES_MAX:
                self._breach("it wrote too much to its standard error")
            return
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
        self._partial += rest
        if len(self._partial) > self._line_max:
            self._breach("it wrote a line that is too long")
            return
        self._sign = self._loop.time()
        for line in lines:
            self._read(line)
        if lines and self.room:
            self.owner.ready(self)
        self._end_if_done()

    def _read(self, line: bytes) -> None:
        if self._verdict is not None:
            return
        if not line.startswith(self._prefix):
            self._breach("it wrote where its answers go")
            return
        try:
            self._act(line[len(self._prefix) : len(self._prefix) + 1], line)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            self._breach(f"its answer cannot be read: {type(error).__name__}")

    def _act(self, kind: bytes, line: bytes) -> None:
        if kind == b"e":
            self._ended(_end_line.decode(line))
        elif kind == b"s":
            self._open = self._calls[self._id(line)]
            self._open.began = self._loop.time()
        elif kind == b"w":
            self._open = None
        elif kind == b"c":
            self._said(*_strings.decode(line)[2:])
        elif kind == b"f":
            self._start_fetch(_request.decode(line))
        elif kind == b"a":
            if task := self._fetches.get(_strings.decode(line)[2]):
                task.cancel()
        elif kind == b"r":
            self._enter("loading")
        elif kind == b"l":
            self._handlers = tuple(_loaded.decode(line)[2])
            self._enter("loaded")
        elif kind == b"b":
            _, _, error, message = _strings.decode(line)
            self.owner.unloadable(self, Ended("bad_code", error=error, message=message))
            self.kill(Verdict("killed", "its code does not load"))
        elif kind != b"p":
            raise ValueError(kind)

    def _id(self, line: bytes) -> str:
        at = len(self._prefix) + 4
        return line[at : line.index(b'"', at)].decode()

    def _said(self, id: str, text: str) -> None:
        if id not in self._left:
            self._calls[id].logs.append(text)

    def _enter(self, state: Literal["loading", "loaded"]) -> None:
        self._state, self._state_since = state, self._loop.time()
        self.used = self._state_since

    def _ended(self, line: _EndLine) -> None:
        if line.id in self._left:
            self._left.discard(line.id)
            return
        call = self._calls.pop(line.id)
        if self._open is call:
            self._open = None
        self._served += 1
        self.used = self._loop.time()
        if line.how == "b" and self.used - self.born > FAULT_SECONDS:
            self.retiring = True  # a library that it lacks may be there now
        value = None if line.value is msgspec.UNSET else bytes(line.value)
        call.end(
            Ended(
                _HOW[line.how], value, [bytes(each) for each in line.emitted], line.error, line.message, call.logs,
                self._handlers, line.milliseconds,
            )
        )  # fmt: skip

    # fetch

    def _start_fetch(self, request: Request) -> None:
        if request.id in self._fetches:
            raise ValueError(request.id)
        if len(self._fetches) >= _FETCHES_MAX:
            self._write(b"f" + _encode(Response(request.id, error="too many requests at once")) + b"\n")
            return
        self._fetches[request.id] = self._loop.create_task(self._fetch(request))

    async def _fetch(self, request: Request) -> None:
        try:
            response = await self._outgoing.fetch(request)
            self._write(b"f" + _encode(response) + b"\n")
        finally:
            del self._fetches[request.id]

    # Judgement

    def look(self, now: float) -> None:
        """Judge what it does; to be called every so often. Nothing is held against it that is true only once,
        because a host that was held up reads late."""
        if self._state == "gone" or self._verdict is not None:
            return
        self._watch_resources()
        self._looked = now
        self._demote_if_hogging(now)
        overdue = self._overdue(now)
        self._strikes = self._strikes + 1 if overdue else 0
        if overdue and self._strikes > 1:
            self._strikes = 0
            self._condemn(overdue, now)
        elif self._calls and now - self._sign > _QUIET_SECONDS:
            self._write(b"p0\n")

    def _watch_resources(self) -> None:
        if not self._pid:
            return
        before, self._usage = self._usage, read_usage(self._pid)
        if self._usage.resident > self._limits.resident_mb * _MB:
            self.kill(Verdict("killed", f"it used more than {self._limits.resident_mb} MB of memory"))
        elif self.is_idle and not self.retiring:
            self._replace_if_worn()
        if int(self._usage.processor) > int(before.processor):
            extend_processor_time(self._pid, self._usage.processor)
        self._watch_idleness(before)

    def _replace_if_worn(self) -> None:
        is_swollen = self._usage.resident > _RECYCLE_SHARE * self._limits.resident_mb * _MB
        if is_swollen or self._served >= self._limits.invocations:
            self.retire()

    def _demote_if_hogging(self, now: float) -> None:
        """Others must not wait for a loop. There is no way back: who computes for long has time."""
        is_hogging = self._open is not None and now - self._open.began > _HOGGING_SHARE * self._limits.seconds
        if is_hogging and not self._is_demoted:
            self._is_demoted = True
            demote(self._pid)

    def _watch_idleness(self, before: Usage) -> None:
        """What a function left behind, such as a timer, must not keep a core busy."""
        if not self.is_idle or self.used > self._looked:
            self._idle_from = before.processor
        elif self._usage.processor - self._idle_from > _LEFTOVER_SECONDS:
            self.kill(Verdict("killed", "it was busy though it ran nothing"))

    def _overdue(self, now: float) -> Literal["", "start", "load", "open", "call", "silent"]:
        seconds = self._limits.seconds
        if self._state == "starting":
            return "start" if now - self._state_since > _START_SECONDS else ""
        if self._state == "loading":
            return "load" if now - self._state_since > seconds else ""
        if self._open is not None:
            return "open" if now - self._open.began > seconds else ""
        if self._calls and now - self._sign > seconds:
            return "silent"
        return "call" if self._late(now) else ""

    def _late(self, now: float) -> list[Call]:
        """Started, not ended in time, and the process answered since, or can only have failed to for this one."""
        began = [call for call in self._calls.values() if call.began]
        late = [call for call in began if now - call.began > self._limits.seconds]
        if len(began) == 1 and not self._left:
            return late
        return [call for call in late if self._sign > call.began + self._limits.seconds]

    def _condemn(self, overdue: str, now: float) -> None:
        seconds = self._limits.seconds
        timeout = Verdict("timeout", f"it took longer than {seconds:g} seconds")
        if overdue != "call":
            self.kill(timeout)
            return
        for call in self._late(now):
            del self._calls[call.id]
            self._left.add(call.id)
            call.end(self._guilty(call, timeout))
        self.retire()

    def _guilty(self, call: Call, verdict: Verdict) -> Ended:
        milliseconds = round((self._loop.time() - call.began) * 1000, 3)
        return Ended(
            verdict.how, message=verdict.message, logs=call.logs, handlers=self._handlers, milliseconds=milliseconds
        )

    def _breach(self, message: str) -> None:
        self.kill(Verdict("killed", message))

    def _end_if_done(self) -> None:
        if self.retiring and not self._calls and self._verdict is None:
            self.kill(Verdict("killed", "it was replaced"))

    # The end

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop when the process has ended and all it wrote was read."""
        del exc
        if self._transport is not None:
            self._transport.close()
        state, self._state = self._state, "gone"
        for task in list(self._fetches.values()):
            task.cancel()
        verdict = self._verdict or self._own_end()
        innocent, again, suspects = self._sort(verdict)
        self._calls.clear()
        if not self._end.done():
            self._end.set_result(None)
        has_not_started = state == "starting" and (self._verdict is None or verdict.how == "timeout")
        if has_not_started or (state == "loading" and self._was_killed_by_others()):
            text = self._errors.decode(errors="replace").strip()[:500]
            self.owner.unavailable(self, SandboxUnavailable(f"Deno does not start: {text or verdict.message}"))
        elif state == "loading":
            self.owner.unloadable(self, Ended(verdict.how, message=f"while its code was loaded: {verdict.message}"))
        self.owner.gone(self, innocent, again, suspects)

    def _own_end(self) -> Verdict:
        code = self._transport.get_returncode() if self._transport is not None else None
        if code == -signal.SIGTRAP:  # as V8 ends
            return Verdict("killed", f"it used more than {self._limits.heap_mb} MB of memory for objects")
        if code == -signal.SIGABRT:  # as Deno ends
            return Verdict("killed", "it asked for more memory than there is for it")
        return Verdict("killed", "its process ended")

    def _was_killed_by_others(self) -> bool:
        code = self._transport.get_returncode() if self._transport is not None else None
        return self._verdict is None and code == -signal.SIGKILL

    def _sort(self, verdict: Verdict) -> tuple[list[Call], list[Call], list[Call]]:
        """End who is at fault. Return who is not, because another is, who is not known to be, and who may be."""
        began = [call for call in self._calls.values() if call.began]
        guilty = self._open if verdict.how == "timeout" else None
        if guilty is None and len(began) == 1 and not self._left and not self._was_killed_by_others():
            guilty = began[0]
        if guilty is not None:
            guilty.end(self._guilty(guilty, verdict))
            return [call for call in self._calls.values() if call is not guilty], [], []
        if self._left:
            return list(self._calls.values()), [], []
        return [], [call for call in self._calls.values() if not call.began], began


def _one_line(document: bytes) -> bytes:
    """The same JSON without line ends, which are but white space in it."""
    return document if b"\n" not in document and b"\r" not in document else document.translate(_NO_LINES)


_NO_LINES: Final = bytes.maketrans(b"\r\n", b"  ")
