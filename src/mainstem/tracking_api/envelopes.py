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
    """The top level of a body."""

    write_key: Any = msgspec.field(default=None, name="writeKey")

    def find_write_key(self) -> Any:
        """The write key in the body, of any type, None when there is none."""
        return self.write_key


class BatchEnvelope(Envelope, gc=False):
    """The top level of a batch; its items are checked but not read."""

    items: list[msgspec.Raw] = msgspec.field(default_factory=list, name="batch")

    def find_write_key(self) -> Any:
        """Some clients repeat the key in each item; without one in the envelope the first such counts."""
        return self.write_key if self.write_key is not None else _key_of_items(self.items)


class _Item(msgspec.Struct):
    write_key: Any = msgspec.field(default=None, name="writeKey")


_event: Final = msgspec.json.Decoder(Envelope)
_batch: Final = msgspec.json.Decoder(BatchEnvelope)
_item: Final = msgspec.json.Decoder(_Item)


def parse(body: bytes, *, is_batch: bool) -> tuple[bytes, Envelope]:
    """Return the body and its top level.

    The body comes back as it was, but for half surrogate pairs (browsers escape them when a script cuts an
    emoji in two) and a byte order mark, which JSON readers stumble over: those are mended. Raises Refused when
    it is no JSON object, is nested too deeply to be read, or holds an item over 32 KB.
    """
    read = _read_batch if is_batch else _event.decode
    try:
        _check_encoding(body)
        return body, read(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = _mend(body)
    except RecursionError:
        raise Refused(MALFORMED_JSON) from None
    try:
        return mended, read(mended)
    except (msgspec.DecodeError, RecursionError):
        raise Refused(MALFORMED_JSON) from None


def _check_encoding(body: bytes) -> None:
    """Raises UnicodeDecodeError. The decoder does not look into strings that it skips."""
    if not body.isascii():
        body.decode()


def _read_batch(body: bytes) -> Envelope:
    try:
        envelope = _batch.decode(body)
    except msgspec.ValidationError:
        return _event.decode(body)  # `batch` is no array: the pipeline accounts for it
    sizes = [memoryview(each).nbytes for each in envelope.items] if len(body) > MAX_EVENT_BYTES else ()
    if max(sizes, default=0) > MAX_EVENT_BYTES:
        raise Refused(OVER_LIMIT)
    return envelope


def _key_of_items(items: list[msgspec.Raw]) -> Any:
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
