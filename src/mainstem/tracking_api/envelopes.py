"""Is a body a JSON object within its limits, and which write key does it name?

The whole text is checked, yet nothing but the key is built: events stay bytes until the pipeline reads them.
Source: Tracking API reference, "Errors" (malformed JSON) and "Batch" (limits of request and item).
"""

from __future__ import annotations

import codecs
import json
from typing import Any, Final, NoReturn

import msgspec

from mainstem.model.event import MAX_EVENT_BYTES
from mainstem.tracking_api.answers import MALFORMED_JSON, OVER_LIMIT, Refused


class Envelope(msgspec.Struct, gc=False):
    """The top level of a body. `items` is empty unless the body is a batch whose `batch` is an array."""

    write_key: Any = msgspec.field(default=None, name="writeKey")


class BatchEnvelope(Envelope, gc=False):
    """The top level of a batch; its items are checked but not read."""

    items: list[msgspec.Raw] = msgspec.field(default_factory=list, name="batch")


class _Item(msgspec.Struct):
    write_key: Any = msgspec.field(default=None, name="writeKey")


_event: Final = msgspec.json.Decoder(Envelope)
_batch: Final = msgspec.json.Decoder(BatchEnvelope)
_item: Final = msgspec.json.Decoder(_Item)


def parse(body: bytes, *, is_batch: bool) -> tuple[bytes, Any]:
    """Return the body and the write key in it, None when there is none.

    The body comes back as it was, but for half surrogate pairs (browsers escape them when a script cuts an
    emoji in two) and a byte order mark, which JSON readers stumble over: those are mended. Raises Refused when
    it is no JSON object, is nested too deeply to be read, or holds an item over 32 KB.
    """
    try:
        return body, _checked(body, is_batch)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _mend(body)
    except RecursionError:
        raise Refused(MALFORMED_JSON) from None
    try:
        return mended, _checked(mended, is_batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(MALFORMED_JSON) from None


def _checked(body: bytes, is_batch: bool) -> Any:
    if not body.isascii():
        body.decode()  # the decoder does not look into strings that it skips
    return _batch_key(body) if is_batch else _event.decode(body).write_key


def _batch_key(body: bytes) -> Any:
    try:
        envelope = _batch.decode(body)
    except msgspec.ValidationError:
        return _event.decode(body).write_key  # `batch` is no array: the pipeline accounts for it
    if len(body) > MAX_EVENT_BYTES and any(memoryview(item).nbytes > MAX_EVENT_BYTES for item in envelope.items):
        raise Refused(OVER_LIMIT)
    return envelope.write_key if envelope.write_key is not None else _key_of_items(envelope.items)


def _key_of_items(items: list[msgspec.Raw]) -> Any:
    """Some clients repeat the key in each item; without one in the envelope the first such counts."""
    for item in items:
        try:
            key = _item.decode(item).write_key
        except msgspec.ValidationError:
            continue  # not an object: the pipeline accounts for it
        if key is not None:
            return key
    return None


def _mend(body: bytes) -> bytes:
    """The same JSON with U+FFFD for half surrogate pairs, without a byte order mark."""
    if b"\\u" not in body and not body.startswith(codecs.BOM_UTF8):
        raise Refused(MALFORMED_JSON)
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise Refused(MALFORMED_JSON) from None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
