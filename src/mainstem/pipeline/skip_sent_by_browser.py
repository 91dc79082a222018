"""Do not send twice what the browser sent itself."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped


def skip_sent_by_browser(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop the event when `_metadata.bundled` names the destination: the page delivered it in device mode.

    `bundledIds`, when it is not empty, tells apart the instances of one destination. Source: the browser
    library's request; the rule for ids is a judgement.
    """
    metadata = event.payload.get("_metadata")
    bundled = metadata.get("bundled") if isinstance(metadata, dict) else None
    if not isinstance(bundled, list) or scope.destination.name not in bundled:
        return event
    ids = metadata.get("bundledIds") if isinstance(metadata, dict) else None
    if isinstance(ids, list) and ids and scope.destination.id not in ids:
        return event
    return Dropped(event, Stage.FILTERED_AT_DESTINATION, "MESSAGE_SENT_CLIENT_SIDE")
