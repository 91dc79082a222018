"""Make a dead letter of what a step failed on, with what it takes to send it the same way again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mainstem.model.event import Event, Received, from_record, to_record
from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import NewDeadLetter, SetAside
from mainstem.pipeline.step import Failed, Item, Request
from mainstem.pipeline.tally import MS_PER_MINUTE, Counts
from mainstem.pipeline.unpack import repack


def from_source(failed: Failed, requests: Mapping[int, Request], counts: Counts, now_ms: int) -> SetAside:
    """Set aside what failed before the fan-out: failed on ingest, "internal"."""
    if isinstance(failed.what, Request):
        return _request(failed, failed.what, counts, now_ms)
    event = failed.what.as_event() if isinstance(failed.what, Item) else failed.what
    key = counts.note(event, "", Stage.FAILED_ON_INGEST, "internal")
    payload = failed.what.payload
    request = requests.get(event.request)
    entry = to_record(_as_received(event)) if request is None else repack(request, event.number)
    return SetAside(_letter(failed, key, event.message_id, payload, now_ms), key, entry)


def _as_received(event: Event) -> Received:
    """An event beyond its request, as a request of its own."""
    channel = event.payload.get("channel")
    return Received(
        event.received_at_ms, event.source_id, event.type, "", channel if isinstance(channel, str) else "server",
        _as_json(event.payload),
    )  # fmt: skip


def to_destination(failed: Failed, destination_id: str, counts: Counts, now_ms: int) -> SetAside:
    """Set aside what failed on its way to a destination: filtered there, "INTERNAL"."""
    event = failed.what
    assert isinstance(event, Event), "only events are fanned out"
    key = counts.note(event, destination_id, Stage.FILTERED_AT_DESTINATION, "INTERNAL")
    return SetAside(_letter(failed, key, event.message_id, event.payload, now_ms), key, msgspec.json.encode(event))


def _request(failed: Failed, request: Request, counts: Counts, now_ms: int) -> SetAside:
    try:
        received = from_record(request.record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        received = Received(now_ms, "", "", "", "", request.record)
    key = OutcomeKey(
        received.received_at_ms // MS_PER_MINUTE,
        received.source_id,
        "",
        Stage.FAILED_ON_INGEST,
        "internal",
        "" if received.kind == "batch" else received.kind,
        "",
        "",
    )
    counts.add(key)
    letter = NewDeadLetter(now_ms, received.source_id, "", "", failed.where, failed.error, received.body)
    return SetAside(letter, key, request.record)


def _letter(failed: Failed, key: OutcomeKey, message_id: str, payload: Any, now_ms: int) -> NewDeadLetter:
    return NewDeadLetter(
        now_ms, key.source_id, key.destination_id, message_id, failed.where, failed.error, _as_json(payload)
    )


def _as_json(payload: Any) -> bytes:
    try:
        return msgspec.json.encode(payload)
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError):
        return b""
