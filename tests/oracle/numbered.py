"""Numbered events: what the oracle sends, so that whatever arrives can be told from whatever should.

An event is known by its user and its number among that user's events; everything in it follows from the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NUMBERED, LEFT_OUT, POISON = "Numbered", "Left out", "Poison"


class Id(NamedTuple):
    """The `number`-th event of `user`, from 0."""

    user: str
    number: int

    @property
    def message_id(self) -> str:
        """Unique to this event."""
        return f"{self.user}.{self.number}"

    @property
    def name(self) -> str:
        """Every tenth is for a filter to drop, and one in twenty-five is poison to every sink."""
        if self.number % 10 == 7:
            return LEFT_OUT
        return POISON if self.number % 25 == 12 else NUMBERED


def event_of(id: Id) -> dict[str, Any]:
    """The event as a client sends it."""
    return {
        "type": "track",
        "userId": id.user,
        "event": id.name,
        "properties": _properties(id),
        "messageId": id.message_id,
    }


def id_of(event: dict[str, Any]) -> Id:
    """Whose and which event this is."""
    return Id(event["userId"], event["properties"]["number"])


def is_as_sent(event: dict[str, Any], id: Id) -> bool:
    """True when nothing that the client wrote was changed on the way."""
    return all(event.get(name) == value for name, value in event_of(id).items())


def _properties(id: Id) -> dict[str, Any]:
    return {
        "number": id.number,
        "note": f"größer ✓ {id.message_id}",
        "items": [id.number, {"deep": [None, "x" * 80]}],
    }
