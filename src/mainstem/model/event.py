"""What a client sent and what it becomes: one request on the log, one event in the pipeline.

Events stay JSON objects. The Tracking API promises that unknown keys travel on untouched and the filter
language reaches any path, so a fixed shape would lose what users send; what the pipeline itself relies on
stands beside the object as typed fields. Source: Tracking API reference, "Common fields".
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

type_of_letter: Final = {
    "t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias",
}  # fmt: skip
EVENT_TYPES: Final = frozenset(type_of_letter.values())

CALL: Final = "call"
"""The kind of a request to a source function: its body is {"body": text, "headers": {…}, "url": …}."""

MAX_EVENT_BYTES: Final = 32 * 1024
MAX_BATCH_BYTES: Final = 500 * 1024
MAX_BATCH_EVENTS: Final = 2_500
MAX_MESSAGE_ID_CHARACTERS: Final = 100
MAX_PROPERTIES: Final = 10_000
MAX_COUNTED_CHARACTERS: Final = 255


class Received(msgspec.Struct, frozen=True, array_like=True):
    """One accepted request, as it lies on the event log.

    `kind` is one of EVENT_TYPES, "batch" (also for /v1/import and /v1/b) or CALL; `body` is the JSON object as
    received, inflated, at most 32 KB or, for a batch, 500 KB. `ip` is the peer (or what a trusted proxy
    says it was), "" when unknown. `channel` is "server", "browser" or "mobile", from the route.
    """

    received_at_ms: int
    source_id: str
    kind: str
    ip: str
    channel: str
    body: bytes


_records_out: Final = msgspec.msgpack.Encoder()
_records_in: Final = msgspec.msgpack.Decoder(Received)


def to_record(received: Received) -> bytes:
    """The bytes that stand on the event log for this request."""
    return _records_out.encode(received)


def from_record(record: bytes) -> Received:
    """Read a record of the event log. Raises msgspec.MsgspecError when it is none."""
    return _records_in.decode(record)


class Event(msgspec.Struct):
    """One event on its way through the pipeline.

    `name` and `app_version` are what it is counted under, as the source sent them (see `counted_name`).
    `user` is what order is kept by: the userId, else the anonymousId. `key` is what duplicates are known by
    (see `dedupe_key`). `payload` is the JSON object that destinations get; steps never mutate it, they
    replace it. `request` is the index of its request among those processed together, `number` its place in it;
    `place` is its place in the trace. `replayed_to` is None unless it comes from the archive: then it is the only
    destination that gets it, or "" for all.
    """

    source_id: str
    workspace_id: str
    type: str
    name: str
    app_version: str
    message_id: str
    key: int
    user: str
    received_at_ms: int
    payload: dict[str, Any]
    request: int = 0
    number: int = 0
    place: int = -1
    replayed_to: str | None = None

    def with_payload(self, payload: dict[str, Any]) -> Event:
        """The same event with another payload."""
        # Missing in the stubs of msgspec; copy.copy takes twice the time.
        changed: Event = self.__copy__()  # type: ignore[attr-defined]
        changed.payload = payload
        return changed


_NAMED: Final = frozenset({"track", "page", "screen"})


def counted_name(type: str, payload: dict[str, Any]) -> str:
    """The name an event is counted under: a track's event, a page's or screen's name, else ""; its first 255
    characters (judgement), for names are keys of the outcome store."""
    name = payload.get("event" if type == "track" else "name") if type in _NAMED else None
    return name[:MAX_COUNTED_CHARACTERS] if isinstance(name, str) else ""


def counted_version(payload: dict[str, Any]) -> str:
    """context.app.version, the version that the delivery overview groups by; "" when absent."""
    context = payload.get("context")
    app = context.get("app") if isinstance(context, dict) else None
    version = app.get("version") if isinstance(app, dict) else None
    return version[:MAX_COUNTED_CHARACTERS] if isinstance(version, str) else ""


def dedupe_key(workspace_id: str, message_id: str) -> int:
    """A 63-bit hash: events of a workspace with the same messageId are one, whatever their source."""
    digest = hashlib.blake2b(f"{workspace_id}\0{message_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
