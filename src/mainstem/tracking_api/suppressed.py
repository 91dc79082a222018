"""What is left of a request without the events of suppressed users, so that nothing of them reaches the disk.

Source: product guide, "User deletion and suppression": the answer stays 200, each item of a batch is judged alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mainstem.model.event import CALL
from mainstem.model.snapshot import SourceConfig
from mainstem.model.suppression import is_suppressed

_BATCH: Final = "batch"


class _Who(msgspec.Struct, rename="camel", gc=False):
    """Of whom an event is."""

    user_id: Any = None
    previous_id: Any = None
    type: Any = None


class _Items(msgspec.Struct, gc=False):
    items: list[msgspec.Raw] = msgspec.field(default_factory=list, name=_BATCH)


_who: Final = msgspec.json.Decoder(_Who)
_items: Final = msgspec.json.Decoder(_Items)
_top_level: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_suppressed(lists: Mapping[str, bytes], source: SourceConfig, kind: str, body: bytes) -> bytes | None:
    """The body as it may be kept; None when nothing of it may. `body` is a checked JSON object. What an item is that
    is no event, and what a source function will make of a call, is for the pipeline to see."""
    if not lists or kind == CALL:
        return body
    if kind != _BATCH:
        return None if _is_suppressed(lists, source, kind, body) else body
    try:
        items = _items.decode(body).items
    except msgspec.ValidationError:
        return body  # `batch` is no array
    kept = [each for each in items if not _is_suppressed(lists, source, "", each)]
    if len(kept) == len(items):
        return body
    top_level: dict[str, Any] = dict(_top_level.decode(body))
    return msgspec.json.encode({**top_level, _BATCH: kept}) if kept else None


def _is_suppressed(lists: Mapping[str, bytes], source: SourceConfig, kind: str, event: bytes | msgspec.Raw) -> bool:
    try:
        who = _who.decode(event)
    except msgspec.ValidationError:
        return False  # no object
    payload = {"userId": who.user_id, "previousId": who.previous_id}
    return is_suppressed(lists, source.workspace_id, source.id, kind or who.type, payload)
