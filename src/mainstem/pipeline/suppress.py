"""Discard events of suppressed users."""

from __future__ import annotations

from mainstem.model.event import Event
from mainstem.model.suppression import SUPPRESSED, is_suppressed
from mainstem.pipeline.step import Dropped, Item, SourceScope


def suppress(what: Item | Event, scope: SourceScope) -> Item | Event | Dropped:
    """Discard what is sent of a user who is on the suppression list of the workspace, or of the source. It vanishes
    uncounted and untraced; events without a userId pass. The Tracking API keeps most of them off the event log
    already; here end those that functions make, replays, and what was accepted just before.

    Source: product guide, "User deletion and suppression". That it comes before validation is a judgement: what is
    wrong with a suppressed user's event is nobody's business either.
    """
    lists = scope.snapshot.suppressed
    if not lists:
        return what
    event = what if isinstance(what, Event) else what.as_event()
    workspace_id = scope.snapshot.sources[event.source_id].workspace_id
    if not is_suppressed(lists, workspace_id, event.source_id, event.type, event.payload):
        return what
    return Dropped(event, None, SUPPRESSED)
