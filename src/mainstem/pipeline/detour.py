"""Send an event round by a function of its source.

A function may take seconds, so it does not run here: the event waits in the queue like a delivery, in the order of
its user, and what the function returns enters the pipeline again. Source: product guide, "Source functions" and
"Source insert functions"; that insert functions run before schema controls is a judgement, so that a tracking plan
sees what they repaired.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mainstem.model.event import CALL, Event
from mainstem.model.ports import NewDelivery
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION
from mainstem.pipeline.address import lane
from mainstem.pipeline.step import Detoured, Item, SourceScope

_write: Final = msgspec.json.Encoder().encode


def detour_to_source_function(item: Item, scope: SourceScope) -> Item | Detoured:
    """Queue a call of a source function; what it emits comes back as events. Calls have no order among them."""
    if item.received.kind != CALL:
        return item
    received = item.received
    function = scope.snapshot.sources[received.source_id].function
    assert function is not None, "admitted without a function"
    delivery = NewDelivery(
        SOURCE_FUNCTION + function.id, lane(item.origin), received.source_id, item.origin, "", "", "",
        received.received_at_ms, received.body,
    )  # fmt: skip
    return Detoured(delivery)


def detour_to_insert_function(event: Event, scope: SourceScope) -> Event | Detoured:
    """Queue the event for the insert function of its source, if there is one."""
    function = scope.snapshot.sources[event.source_id].insert
    if function is None:
        return event
    event.replayed_to = scope.replayed_to
    delivery = NewDelivery(
        INSERT_FUNCTION + function.id, lane(event.user), event.source_id, event.message_id, event.type, event.name,
        event.app_version, event.received_at_ms, _write(event),
    )  # fmt: skip
    return Detoured(delivery, event)
