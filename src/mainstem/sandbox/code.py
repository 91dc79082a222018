"""What goes into the sandbox and what comes out: values that cross threads and processes.

Source: Functions documentation, "Errors and error handling", "Batching", "Runtime and dependencies"; limits other
than the five seconds are judgements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

HANDLERS: Final = (
    "onTrack", "onIdentify", "onPage", "onScreen", "onGroup", "onAlias", "onDelete", "onBatch", "onRequest",
)  # fmt: skip

Kind = Literal["SOURCE", "DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE"]
How = Literal["returned", "thrown", "timeout", "killed", "no_handler", "bad_code"]


class Code(msgspec.Struct, frozen=True):
    """One version of one function: JavaScript `source`. `(id, version)` names a process, so an id must never be
    shared by two workspaces, and a version never by two sources."""

    id: str
    version: str
    kind: Kind
    source: str


class Limits(msgspec.Struct, frozen=True):
    """What a function may use. Sizes are in bytes unless the name says megabytes."""

    seconds: float = 5.0  # wall clock of one invocation, and of loading the code
    heap_mb: int = 128  # of JavaScript objects (V8's old space)
    resident_mb: int = 512  # of the whole process, as the system counts it
    output_bytes: int = 4 * 1024 * 1024  # of what one invocation returns or emits, as JSON
    log_bytes: int = 4 * 1024  # of console output kept of one invocation
    concurrency: int = 100  # invocations of one function that run at once; more wait
    processes: int = 32  # alive at once; the one unused for longest gives way
    idle_seconds: float = 60.0  # after which an unused process ends
    invocations: int = 100_000  # after which a process is replaced


class Invocation(msgspec.Struct, frozen=True):
    """One call of one handler.

    `argument` is JSON: an event, for onBatch an array of events, for onRequest
    {"body": text, "headers": {name: value}, "url": text}. `settings` is a JSON object.
    """

    handler: str
    argument: bytes
    settings: bytes = b"{}"


class Ended(msgspec.Struct, frozen=True):
    """How an invocation ended.

        returned     `value` is the JSON of what the handler returned, None for nothing (undefined)
        thrown       `error` and `message` say what; also a value that cannot be JSON, or is too large
        timeout      it took longer than `Limits.seconds`
        killed       its process passed a memory limit, ended itself, or broke the protocol; `message` says which
        no_handler   the code has no function of that name
        bad_code     the code does not load: syntax, a throw at the top, a library that is not installed

    `error` is the class name of what was thrown (EventNotSupported, InvalidEventPayload, ValidationError,
    RetryError, DropEvent, or another), `message` its text of at most 1,000 characters. `emitted` are the calls of
    Segment.* in a source function, as JSON: {"type": "track", …}, and {"type": "set", …} for Segment.set.
    `logs` are lines of console output, `Limits.log_bytes` in all. `handlers` are those that the code defines.
    """

    how: How
    value: bytes | None = None
    emitted: Sequence[bytes] = ()
    error: str = ""
    message: str = ""
    logs: Sequence[str] = ()
    handlers: Sequence[str] = ()
    milliseconds: float = 0.0


class Fault(msgspec.Struct, frozen=True):
    """Why code does not parse, and where; both counted from 1."""

    message: str
    line: int
    column: int
