"""What a connector is: data about a destination beside the one function that sends to it.

A connector opens a destination's settings once and gets a function back; the delivery worker calls that for
each event. The function returns when the event is delivered, or raises

    Retryable   the partner may take the same event later
    Rejected    the partner will never take it, or the settings cannot be used

and that alone decides what follows: the worker owns retries, their times and their limits. Anything else that
is raised is a fault of the connector: the event ends as INTERNAL and is set aside as a dead letter. The function
bounds its own time (`post` does), because nothing waits for a user's next event but the one before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import ClientSession


class Retryable(Exception):
    """The event did not arrive, and may later. `reason` is a published discard reason (outcome.py), such as
    "503" or "ETIMEDOUT"; `retry_after_seconds` is what the partner asked for; `progress` comes back with the
    next attempt as `Message.progress`."""

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None, progress: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.progress = progress


class Rejected(Exception):
    """The event will never arrive. `reason` is a published discard reason, such as "400" or
    "INVALID_SETTINGS"; `detail` is for the log and names no secret."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Message(msgspec.Struct, frozen=True):
    """An event to be sent: `body` is the event as JSON, `progress` what a former attempt left in Retryable,
    `now_ms` the Unix time in milliseconds."""

    body: bytes
    progress: int
    now_ms: int


Perform = Callable[[Message, ClientSession], Awaitable[None]]
"""Sends one event with settings already read; see the module's docstring for what it raises."""


class Destination(msgspec.Struct, frozen=True):
    """A connector. `metadata_id`, `slug` and `name` are those of the catalogue; `methods` are the event types
    it takes; `connect` reads settings and raises Rejected("INVALID_SETTINGS", …) when they cannot be used;
    `faults` returns (field path, message) pairs of settings that must not be saved."""

    metadata_id: str
    slug: str
    name: str
    methods: frozenset[str]
    connect: Callable[[Mapping[str, Any]], Perform]
    faults: Callable[[Mapping[str, Any]], list[tuple[str, str]]]
