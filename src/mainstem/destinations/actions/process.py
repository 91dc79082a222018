"""One Deno process that runs destinations: how it is started, what it may do, and the lines to and from it.

It may read what is installed and reach public addresses; it may write no file, start no program and see no variable
but ACTIONS_…. Nothing secret stands in its arguments. What it says is read with a limit and never believed to be
about a call that it was not given.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mainstem.model.networks import Network, refused

log = logging.getLogger(__name__)

PREFIX: Final = "ACTIONS_"
UNPREFIXED: Final = frozenset(
    {
        "ADWORDS_DEVELOPER_TOKEN", "AMAZON_KINESIS_ACTIONS_EXTERNAL_ID", "AMAZON_KINESIS_ACTIONS_ROLE_ADDRESS",
        "AMAZON_S3_ACTIONS_EXTERNAL_ID", "AMAZON_S3_ACTIONS_ROLE_ADDRESS", "BRAZE_COHORTS_PARTNER_API_KEY_EU",
        "BRAZE_COHORTS_PARTNER_API_KEY_US", "DOTDIGITAL_AUDIENCES_PARTNER_SECRET",
        "GOOGLE_ENHANCED_CONVERSIONS_CLIENT_ID", "GOOGLE_ENHANCED_CONVERSIONS_CLIENT_SECRET",
        "KAFKA_PRODUCER_REQUEST_TIMEOUT_MS", "KAFKA_PRODUCER_TTL_MS", "SALESFORCE_CLIENT_ID",
        "SALESFORCE_CLIENT_SECRET", "SENDGRID_BYPASS_IP_BLOCK_HEADER_SECRET",
    }
)  # fmt: skip
"""What destinations read without the prefix; an operator sets it with the prefix."""

START_SECONDS: Final = 30.0
MAX_LINE_BYTES: Final = 32 * 1024 * 1024
HEAP_MB: Final = 512
V8_FLAGS: Final = f"--max-old-space-size={HEAP_MB},--single-threaded-gc,--min-semi-space-size=8"
"""Threads that collect garbage beside the one that makes it cost an event a tenth more than they save."""
_PROGRAM: Final = Path(__file__).with_name("runner.cjs")
_GRACE_SECONDS: Final = 2.0
_COMPLAINT_BYTES: Final = 1_000


class Line(msgspec.Struct, frozen=True):
    """What a process says; the fields that are there tell what it is about. See runner.cjs."""

    id: int = 0
    r: int | list[tuple[int, str, str, float | None]] = 0
    x: list[tuple[str, str, dict[str, str], str, int, dict[str, str], str]] = []
    refresh: dict[str, Any] | None = None
    ready: bool = False
    failed: str = ""
    pong: int = 0
    rss: int = 0
    cpu: float = 0.0


_decode: Final = msgspec.json.Decoder(Line).decode


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of a pool is started with; see `Runner`."""

    deno: str
    folder: Path
    allow_private: Sequence[Network] = ()
    divert_to: str = ""
    variables: Mapping[str, str] = {}

    def command(self) -> list[str]:
        """Program and arguments."""
        return [
            self.deno, "run", "--quiet", "--no-prompt", "--no-remote", "--no-npm", "--cached-only", "--no-config",
            "--no-lock", "--node-modules-dir=manual", f"--v8-flags={V8_FLAGS}",
            f"--allow-read={self.folder}", "--allow-env", "--allow-sys", *self._network(), str(_PROGRAM),
        ]  # fmt: skip

    def _network(self) -> list[str]:
        if self.divert_to:
            url = urlsplit(self.divert_to)
            host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
            return [f"--allow-net={host}:{url.port or (443 if url.scheme == 'https' else 80)}"]
        networks = [str(each) for each in refused(self.allow_private) if isinstance(each, IPv4Network)]
        return ["--allow-net", f"--deny-net={','.join(networks)}"]  # it takes no networks of IPv6: runner.cjs does

    def greeting(self) -> bytes:
        """The first line that it gets."""
        networks = [] if self.divert_to else refused(self.allow_private)
        return _line(
            {
                "folder": str(self.folder),
                "divert": self.divert_to,
                "refused": [(str(each.network_address), each.prefixlen) for each in networks],
            }
        )

    def environment(self) -> dict[str, str]:
        """All that it finds there."""
        own = {"NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "DENO_TLS_CA_STORE": "mozilla,system"}
        given = {name: value for name, value in self.variables.items() if name.startswith(PREFIX)}
        bare = {name.removeprefix(PREFIX): value for name, value in given.items()}
        return own | given | {name: value for name, value in bare.items() if name in UNPREFIXED}


class Process(asyncio.SubprocessProtocol):
    """A running process. `heard` is called with each line, and once with None when it has ended."""

    def __init__(self, heard: Callable[[Line | None], None]) -> None:
        loop = asyncio.get_running_loop()
        self._heard = heard
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._unfinished = b""
        self._complaint = b""
        self._transport: asyncio.SubprocessTransport | None = None
        self._input: Any = None
        self._unsaid: list[bytes] = []
        self._used = (loop.time(), 0.0)
        self._is_killed = False
        self.rss_bytes = 0
        self.pongs = 0
        self.busy = 0.0

    @classmethod
    async def start(cls, setup: Setup, heard: Callable[[Line | None], None]) -> Process:
        """Start a process and wait until it takes calls. Raises OSError when that cannot be."""
        _, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: cls(heard), *setup.command(), env=setup.environment(), cwd=setup.folder
        )
        await process.greet(setup)
        return process

    async def greet(self, setup: Setup) -> None:
        """Say what it is to do, and wait until it takes calls. Raises OSError when it does not."""
        self.write(setup.greeting())
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self.kill()
            raise OSError("no answer in time") from None
        except (OSError, asyncio.CancelledError):
            self.kill()
            raise

    @property
    def was_killed_by_others(self) -> bool:
        """True when it ended by no fault of what it ran: an operator killed it, or the system for want of memory."""
        code = self._transport.get_returncode() if self._transport is not None else None
        return code == -signal.SIGKILL and not self._is_killed

    @property
    def has_ended(self) -> bool:
        """True when nothing will be heard any more."""
        return self._ended.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self._input = transport.get_pipe_transport(0)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It said something, whole lines or parts of them; or Deno complains."""
        if fd != 1:
            self._complaint = (self._complaint + data)[:_COMPLAINT_BYTES]
            return
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._unfinished) > MAX_LINE_BYTES:
            self._unfinished = b""
            self.kill()

    def _take(self, text: bytes) -> None:
        try:
            line = _decode(text)
        except msgspec.MsgspecError:
            log.warning("the process that runs destinations said something unreadable, and is replaced")
            self.kill()
            return
        if line.rss:
            self._answered(line)
        elif line.id:
            self._heard(line)
        elif not self._ready.done():
            self._started(OSError(line.failed[:_COMPLAINT_BYTES]) if line.failed else None)

    def _answered(self, line: Line) -> None:
        """It gave a sign of life. `busy` is what it used since the one before, in cores."""
        now, (before, used) = asyncio.get_running_loop().time(), self._used
        self.busy = (line.cpu - used) / max(now - before, 0.001)
        self.rss_bytes, self.pongs, self._used = line.rss, line.pong, (now, line.cpu)

    def _started(self, failure: OSError | None) -> None:
        if failure is None:
            self._ready.set_result(None)
        else:
            self._ready.set_exception(failure)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        """It has ended, and all that it said was read."""
        if not self._ready.done():
            self._started(OSError(self._complaint.decode(errors="replace").strip() or "it ended at once"))
        self._ready.exception()  # whoever waited has it; nobody may have
        if self._transport is not None:
            self._transport.close()
        self._ended.set_result(None)
        self._heard(None)

    def write(self, line: bytes) -> None:
        """Say a line to it, together with what else is said in this turn of the loop, which saves it reads; to one
        that is just ending, in vain."""
        if not self._unsaid:
            asyncio.get_running_loop().call_soon(self._say)
        self._unsaid.append(line)

    def _say(self) -> None:
        lines, self._unsaid = self._unsaid, []
        if lines and not self._input.is_closing():
            self._input.write(b"".join(lines))

    def ping(self, number: int) -> None:
        """Ask for a sign of life; `pongs` becomes `number` when it comes."""
        self.write(_line({"ping": number}))

    def retire(self) -> None:
        """Let it end by itself: nothing more is said to it."""
        self._say()
        self._input.close()

    def kill(self) -> None:
        """End it now."""
        self._is_killed = True
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    async def wait(self) -> None:
        """Return when it has ended; it is ended after two seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await asyncio.shield(self._ended)
        self.kill()
        await self._ended


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"
