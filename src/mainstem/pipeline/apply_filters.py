"""Apply the filters of a destination."""

from __future__ import annotations

from mainstem.model.destination_filter import FilteredOut
from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped


def apply_filters(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop the event, or take properties out of it, as the destination's filters say. A filter that cannot be
    read or judged drops it, lest what it protects should leak.

    Source: product guide, "Destination Filters".
    """
    payload = scope.filters.apply(event.payload, scope.random)
    if payload is event.payload:
        return event
    if isinstance(payload, FilteredOut):
        return Dropped(event, Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_RULES")
    return event.with_payload(payload)
