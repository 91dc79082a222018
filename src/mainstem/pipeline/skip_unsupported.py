"""Do not send a type of event that the destination does not take."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped


def skip_unsupported(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop the event when the destination's connector does not take its type.

    Source: product guide, "Destination Filters": the check comes before the filters, so no filter hides it.
    """
    if event.type in scope.destination.event_types:
        return event
    return Dropped(event, Stage.FILTERED_AT_DESTINATION, "UNSUPPORTED_EVENT_TYPE")
