"""Apply the transformations that a source has for one type of destination."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.transformation import Withheld
from mainstem.pipeline.step import DestinationScope, Dropped


def transform_for_destination(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Change the event, or drop it, as the source's transformations for this type of destination say. It stays
    counted under the name that it came with.

    Source: product guide, "Use Transformations to fix bad data"; the reason of a drop is a judgement.
    """
    payload = scope.transformations.apply(event.payload)
    if payload is event.payload:
        return event
    if isinstance(payload, Withheld):
        return Dropped(event, Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_RULES")
    return event.with_payload(payload)
