"""What is remembered of an event's way, for `mainstem trace`, `tail` and `replay --dry-run`.

A Passage is what the pipeline did with the events of one batch, an Attempts what a delivery worker did with some
deliveries. Both are written a block at a time and read whole, so they hold columns and indices, not a row an event:
at full speed a microsecond an event is what a trace may cost.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

FROM_LOG: Final = "log"
"""The `kind` of a Passage of requests from the event log; otherwise it is a value of EntryKind, or REDRIVEN."""
REDRIVEN: Final = "redriven"
KEY_BYTES: Final = 8
MADE_OF_RECORD: Final = -1
"""Stands for a payload that was not written: what the normalize step makes of the record, each time the same."""
ATTEMPTED_AGAIN: Final = ""
"""The `stage` of an attempt after which the delivery waits for another one."""
RETURNED: Final = "returned"
"""The `stage` of an attempt that led round by a function; the event enters the pipeline again."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """A step gave events a new payload: `events[i]` has `bodies[i]` from here on, at this destination when it is
    not "". Both are indices into the Passage; instead of a body there may be MADE_OF_RECORD."""

    step: str
    destination_id: str
    events: Sequence[int]
    bodies: Sequence[int]


class End(msgspec.Struct, frozen=True, array_like=True):
    """A step ended the way of events, to this destination when it is not "". `stage` is "" for what vanishes
    uncounted; `detail` is the error of a step that failed."""

    step: str
    destination_id: str
    stage: str
    reason: str
    detail: str
    events: Sequence[int]


class Queued(msgspec.Struct, frozen=True, array_like=True):
    """Events were queued for this destination (or detour by a function), through this mapping."""

    destination_id: str
    subscription_id: str
    events: Sequence[int]


class Passage(msgspec.Struct, frozen=True, array_like=True, tag="passage"):
    """One batch in the pipeline. Columns of one length belong together:

    `origins` and `records` of requests: where one came from ("POSITION.PLACE" on the event log, or "entry.ID",
    "redriven.ID"), and the record where the log does not have it, else b"";
    `message_ids`, `source_ids`, `types`, `names` and `users` (userId or anonymousId), `requests` (an index into
    origins) and `numbers` (the place in its request) of events.
    Events that were forwarded to another source stand at the end, with the request they came from.
    """

    at_ms: int
    kind: str
    origins: Sequence[str]
    records: Sequence[bytes]
    message_ids: Sequence[str]
    source_ids: Sequence[str]
    types: Sequence[str]
    names: Sequence[str]
    users: Sequence[str]
    requests: Sequence[int]
    numbers: Sequence[int]
    bodies: Sequence[bytes]
    changes: Sequence[Change]
    ends: Sequence[End]
    queued: Sequence[Queued]


class Exchanged(msgspec.Struct, frozen=True, array_like=True):
    """A request to a partner and its answer, without secrets, each body at most 4 KB. `status` 0: no answer."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_headers: dict[str, str]
    response_body: str


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt to deliver an event, or, with `began_at_ms` 0, its end without another one. `number` counts from 1;
    `stage` is an outcome, RETURNED, or ATTEMPTED_AGAIN with the time of the next attempt in `due_at_ms`. `exchanges`
    are indices; those of a batch are its members' in common. `detail` is what is known beyond the reason, such as
    what a function threw, or what a mapping lacks; without secrets, at most 1,000 characters."""

    destination_id: str
    subscription_id: str
    source_id: str
    message_id: str
    event_type: str
    event_name: str
    number: int
    began_at_ms: int
    ended_at_ms: int
    stage: str
    reason: str
    due_at_ms: int
    exchanges: Sequence[int]
    detail: str = ""


class Attempts(msgspec.Struct, frozen=True, array_like=True, tag="attempts"):
    """Attempts that were noted together."""

    at_ms: int
    exchanges: Sequence[Exchanged]
    attempts: Sequence[Attempt]


Block = Passage | Attempts


class NewTrace(msgspec.Struct, frozen=True):
    """A block to be kept, and what it is found by: `keys`, 8 bytes for each event (see `key_of`), and `marks`, a
    line "DESTINATION REASON" for each pair in it."""

    keys: bytes
    marks: str
    block: Block


class KeptTrace(msgspec.Struct, frozen=True):
    """A block as kept; ids grow in the order of writing."""

    id: int
    block: Block


class Gap(msgspec.Struct, frozen=True):
    """A time in which nothing could be kept, and how many blocks that would have been."""

    from_ms: int
    to_ms: int
    blocks: int


_writer: Final = msgspec.msgpack.Encoder()
_reader: Final = msgspec.msgpack.Decoder(Block)


def to_bytes(block: Block) -> bytes:
    """A block as it is kept, before it is compressed and sealed."""
    return _writer.encode(block)


def from_bytes(data: bytes) -> Block:
    """Read what `to_bytes` wrote. Raises msgspec.MsgspecError when it is no block."""
    block: Block = _reader.decode(data)
    return block


def key_of(message_id: str) -> int:
    """What an event is found by where its workspace is not at hand; elsewhere it is its dedupe_key. Checksums will
    do, for what is found is compared."""
    data = message_id.encode()
    return zlib.crc32(data) << 31 | zlib.adler32(data) >> 1


def packed(keys: Sequence[int]) -> bytes:
    """Keys, 8 bytes each."""
    return struct.pack(f"<{len(keys)}Q", *keys)


def holds(keys: bytes, wanted: Iterable[bytes]) -> bool:
    """True when one of the wanted keys, each as `packed`, is among `keys`."""
    return any(_stands_in(keys, each) for each in wanted)


def _stands_in(keys: bytes, wanted: bytes) -> bool:
    place = keys.find(wanted)
    while place >= 0 and place % KEY_BYTES:  # the end of one key and the beginning of the next
        place = keys.find(wanted, place + 1)
    return place >= 0


def mark(destination_id: str, reason: str) -> str:
    """The line of `NewTrace.marks` for a destination ("" at the source) and a reason."""
    return f"{destination_id} {reason}"
