"""Take out what was meant for the pipeline alone."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.pipeline.step import DestinationScope


def strip_metadata(event: Event, _scope: DestinationScope) -> Event:
    """Remove `_metadata`, by which the browser library told what it sent itself (judgement)."""
    if "_metadata" not in event.payload:
        return event
    return event.with_payload({key: value for key, value in event.payload.items() if key != "_metadata"})
