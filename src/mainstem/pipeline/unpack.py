"""Open a request: one item for each event in it."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mainstem.model.event import Received, from_record, to_record
from mainstem.pipeline.step import Item, Request, SourceScope

_read: Final = msgspec.json.Decoder().decode
_write: Final = msgspec.json.Encoder().encode
_MAX_DIGITS: Final = 4_300  # what Python turns into a number at most
_MERGED: Final = ("context", "integrations")
MAX_MERGED_BYTES: Final = 8 * 1024 * 1024


class Mark(enum.Enum):
    """Payloads that no client can send."""

    EMPTY_BATCH = "stands for a batch without items"


EMPTY_BATCH: Final = Mark.EMPTY_BATCH


def unpack(request: Request, _scope: SourceScope) -> Iterator[Item]:
    """Make an item of each event; a batch's context and integrations are merged into its items, where the
    item wins at every depth, and its sentAt is theirs. An empty batch yields one item that stands for it.
    When that would make more than 8 MB of copies, the items are no events: a request of 500 KB could become
    gigabytes otherwise.

    Source: Tracking API reference, "Batch". Judgements: that sentAt of the batch beats an item's own, for it
    is the later one; the 8 MB, which leave 2,500 items 3 KB each.
    """
    received = from_record(request.record)
    payloads = _payloads(received)
    return (Item(request.index, number, request.origin, received, each) for number, each in enumerate(payloads))


def repack(request: Request, number: int) -> bytes:
    """A record that holds the `number`-th event of a request alone, to go the same way again."""
    received = from_record(request.record)
    if received.kind != "batch":
        return request.record
    payloads = _payloads(received)
    if payloads[number] is EMPTY_BATCH:
        return request.record
    body = msgspec.json.encode({"batch": [payloads[number]]})
    return to_record(msgspec.structs.replace(received, body=body))


def _payloads(received: Received) -> list[Any]:
    body = _read_json(received.body)
    if received.kind != "batch":
        return [body]
    items = body.get("batch")
    if not isinstance(items, list):
        return [EMPTY_BATCH if items is None else None]
    if not items:
        return [EMPTY_BATCH]
    envelope = {key: body[key] for key in _MERGED if isinstance(body.get(key), dict) and body[key]}
    sent_at = body.get("sentAt")
    if not envelope and sent_at is None:
        return items
    most = MAX_MERGED_BYTES // len(items)
    if len(received.body) > most and len(_write((envelope, sent_at))) > most:
        return [None] * len(items)
    return [_in_envelope(item, envelope, sent_at) for item in items]


def _read_json(body: bytes) -> Any:
    try:
        return _read(body)
    except msgspec.DecodeError:
        value = json.loads(body, parse_float=_finite, parse_int=_short)
    # No store and no destination takes half a surrogate pair: it is replaced, wherever it stands.
    text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(text.decode("utf-16-le", "replace"))


def _finite(text: str) -> float | None:
    """A number beyond all measure is null, as it is to a client that writes JSON in JavaScript."""
    number = float(text)
    return number if math.isfinite(number) else None


def _short(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def _in_envelope(item: Any, envelope: dict[str, Any], sent_at: Any) -> Any:
    if not isinstance(item, dict):
        return item
    whole = dict(item)
    for key, value in envelope.items():
        own = item.get(key)
        whole[key] = value if own is None else _merge(value, own)
    if sent_at is not None:
        whole["sentAt"] = sent_at
    return whole


def _merge(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    merged = {**under, **over}
    for key in under.keys() & over.keys():
        merged[key] = _merge(under[key], over[key])
    return merged
