"""What a connector is: data about a destination beside the one function that sends to it.

A connector opens a destination's settings once and gets a function back; the delivery worker calls that for
each event. The function returns when the event is delivered, or raises

    Retryable   the partner may take the same event later
    Rejected    the partner will never take it, or the settings cannot be used
    Filtered    a user's function, or a mapping that is gone, lets the event go no further

and that alone decides what follows: the worker owns retries, their times and their limits. Anything else that
is raised is a fault of the connector: the event ends as INTERNAL and is set aside as a dead letter, as it is with a
Rejected or Filtered that `is_fault`. A fault of several events is looked for again in each alone. The function
bounds its own time (`post` does), because nothing waits for a user's next event but the one before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import ClientSession

from mainstem.model.ports import NewEntry


class Retryable(Exception):
    """The event did not arrive, and may later. `reason` is a published discard reason (outcome.py), such as
    "503" or "ETIMEDOUT"; `detail` is for the trace; `retry_after_seconds` is what the partner asked for; `progress`
    comes back with the next attempt as `Message.progress`."""

    def __init__(
        self, reason: str, detail: str = "", *, retry_after_seconds: float | None = None, progress: int = 0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.progress = progress


class Rejected(Exception):
    """The event will never arrive. `reason` is a published discard reason, such as "400" or
    "INVALID_SETTINGS"; `detail` is for the trace, which takes out secrets. With `is_fault` it was the destination's
    own code that failed on the event, which is set aside as a dead letter."""

    def __init__(self, reason: str, detail: str = "", *, is_fault: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.is_fault = is_fault


class Filtered(Exception):
    """The event ends here without a delivery. `reason` is a published discard reason of "filtered at
    destination"; `detail` is for the trace, which takes out secrets. With `is_fault` the function did not survive the
    event, which is set aside as a dead letter."""

    def __init__(self, reason: str, detail: str = "", *, is_fault: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.is_fault = is_fault


class Left(msgspec.Struct, frozen=True):
    """What a function at the source made of an event: it leaves its detour, and these enter the pipeline."""

    entries: Sequence[NewEntry]


class Exchange(msgspec.Struct, frozen=True):
    """A request to a partner and its answer, for the trace; bodies as text, at most 4 KB. `status` is 0 when
    no answer came. Secrets are taken out before it is kept."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_headers: dict[str, str]
    response_body: str


class Message(msgspec.Struct, frozen=True):
    """An event to be sent: `body` is the event as JSON, `progress` what a former attempt left in Retryable,
    `now_ms` the Unix time in milliseconds, `subscription_id` the mapping it goes through. What is exchanged with
    the partner is appended to `exchanges`."""

    body: bytes
    progress: int
    now_ms: int
    source_id: str = ""
    message_id: str = ""
    event_type: str = ""
    received_at_ms: int = 0
    subscription_id: str = ""
    exchanges: list[Exchange] = msgspec.field(default_factory=list)


Perform = Callable[[Message, ClientSession], Awaitable[Left | None]]
"""Sends one event with settings already read; see the module's docstring for what it raises."""

Failure = Retryable | Rejected | Filtered
PerformBatch = Callable[[Sequence[Message], ClientSession], Awaitable[Sequence[Failure | None]]]
"""Sends several events at once and says of each, in their order, what Perform would have raised, None for
delivered. What it raises itself holds for all of them."""


def alone(_subscription_id: str) -> Hashable | None:
    """No event waits for others."""
    return None


class Connection(msgspec.Struct, frozen=True):
    """A destination whose settings were read. Messages for whose mapping `group` returns the same key may go out
    together, at most `max_batch` of them, through `perform_batch`; those for which it returns None go alone."""

    perform: Perform
    perform_batch: PerformBatch | None = None
    group: Callable[[str], Hashable | None] = alone
    max_batch: int = 1


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
