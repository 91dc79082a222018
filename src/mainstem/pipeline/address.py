"""Make a delivery of an event."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from mainstem.model.event import Event
from mainstem.model.ports import NewDelivery
from mainstem.pipeline.step import DestinationScope

_write: Final = msgspec.json.Encoder().encode


def address(event: Event | NewDelivery, scope: DestinationScope, subscription_id: str = "") -> NewDelivery:
    """Write the event as JSON and put it in the lane of its user. Destinations that get the same payload
    share the writing. What goes through a mapping is addressed already."""
    if type(event) is NewDelivery:
        return event
    assert type(event) is Event, "there is nothing else on the way to a destination"
    payload = event.payload
    written = scope.bodies.get(id(payload))
    if written is None:
        written = scope.bodies[id(payload)] = (payload, _write(payload))
    return NewDelivery(
        scope.destination.id,
        lane(event.user),
        event.source_id,
        event.message_id,
        event.type,
        event.name,
        event.app_version,
        event.received_at_ms,
        written[1],
        subscription_id,
    )


def lane(user: str) -> int:
    """The lane of a user: 32 bits, the same in every process and version."""
    return zlib.crc32(user.encode())
