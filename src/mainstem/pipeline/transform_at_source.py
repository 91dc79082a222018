"""Apply the transformations of a source."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.transformation import Withheld
from mainstem.pipeline.step import Dropped, SourceScope


def transform_at_source(event: Event, scope: SourceScope) -> Event | Dropped:
    """Change the event, or drop it, as the transformations of its source say, for all destinations and before their
    filters. It stays counted under the name that it came with.

    Source: product guide, "Use Transformations to fix bad data"; what it counts under is a judgement.
    """
    source = scope.snapshot.sources[event.source_id]
    if not source.transformations:
        return event
    payload = scope.transformations(source).apply(event.payload)
    if payload is event.payload:
        return event
    if isinstance(payload, Withheld):
        return Dropped(event, Stage.FILTERED_AT_SOURCE, "transformation_drop")
    return event.with_payload(payload)
