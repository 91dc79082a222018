"""Refuse what cannot be processed at all."""

from __future__ import annotations

from mainstem.model.event import CALL, EVENT_TYPES, MAX_BATCH_EVENTS
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import Dropped, Item, SourceScope
from mainstem.pipeline.unpack import EMPTY_BATCH


def admit(item: Item, scope: SourceScope) -> Item | Dropped:
    """Refuse events of a source that is disabled or gone, items beyond the 2,500th of a batch, and what is no
    event at all.

    Source: Tracking API reference, "Batch" and "Errors". Which 2,500 stay is a judgement: the first.
    """
    reason = _refusal(item, scope)
    return Dropped(item.as_event(), Stage.FAILED_ON_INGEST, reason) if reason else item


def _refusal(item: Item, scope: SourceScope) -> str:
    source = scope.snapshot.sources.get(item.received.source_id)
    if source is None or (item.received.kind == CALL and source.function is None):
        return "unknown_source"
    if not source.enabled:
        return "source_disabled"
    if item.number >= MAX_BATCH_EVENTS:
        return "too_many_requests"
    payload = item.payload
    if payload is EMPTY_BATCH:
        return "empty_batch"
    if type(payload) is not dict:
        return "bad_request"
    if item.received.kind == "batch":
        type_ = payload.get("type")
        if type(type_) is not str or type_ not in EVENT_TYPES:
            return "bad_request"
    return ""
