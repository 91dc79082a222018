"""What a delivery worker holds of one destination: its order, its health, its settings.

A destination is in one of three states, and each wants something else from the queue:

    open     the next deliveries after those read before, and retries that are due
    down     when a probe is due: the oldest deliveries, to end those that waited too long and to try one
    closed   (disabled or deleted meanwhile) everything, page by page, to drop it
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from mainstem.delivery.lanes import Lanes
from mainstem.delivery.retry import Health
from mainstem.destinations.base import Connection, Rejected
from mainstem.model.ports import Delivery
from mainstem.model.snapshot import DestinationConfig

PAGE: Final = 128
MOST_PAGE: Final = 2_000
MAX_BATCHES: Final = 4
"""Batches in flight towards one destination: while they are, the next ones grow."""


class Read(msgspec.Struct, frozen=True):
    """What one destination wants from the queue: the next `limit` deliveries after an id, or certain `ids`.
    The answer is void when the destination began anew (another `epoch`) in between."""

    destination_id: str
    epoch: int
    after: int = 0
    limit: int = 0
    ids: Sequence[int] = ()


class Outbound:
    """One destination that has deliveries waiting. No clock, no I/O; the worker drives it."""

    def __init__(self, destination_id: str, concurrency: int, config: DestinationConfig | None) -> None:
        self.id = destination_id
        self.config = config  # None: disabled or deleted
        self.connection: Connection | Rejected | None = None  # the connector for this config, once it is needed
        self.health = Health()
        self.lanes = Lanes(2 * concurrency)
        self.in_flight = 0
        self.batches = 0  # in flight
        self.width = concurrency  # most requests in flight; grows anew after a time of being down
        self.timer: asyncio.TimerHandle | None = None
        self.epoch = 0
        self._single = concurrency  # without batches
        self._concurrency = concurrency
        self._cursor = 0  # every delivery up to this id was read
        self._is_read_out = False  # the last page was not full
        self._is_stale = False  # what was read is void as soon as nothing is in flight

    @property
    def is_open(self) -> bool:
        """True when deliveries may go out."""
        return self.config is not None and not self.health.is_down and not self._is_stale

    @property
    def may_start(self) -> bool:
        """True when one more delivery may go out."""
        return self.in_flight < self.width and self.batches < MAX_BATCHES and self.is_open

    @property
    def is_idle(self) -> bool:
        """True when nothing is left to do."""
        return self._is_read_out and not (self.in_flight or len(self.lanes) or self.health.is_down or self._is_stale)

    @property
    def next_look_ms(self) -> float | None:
        """When to look at this destination again if nothing happens before; None for no such time."""
        if self.config is None or self._is_stale:
            return None
        if self.health.is_down:
            return None if self.in_flight else self.health.probe_at_ms
        return self.lanes.next_due_ms

    def wanted(self, now_ms: int) -> Read | None:
        """What to read now; None when nothing."""
        if self._is_stale:
            return None
        if self.config is not None and self.health.is_down:
            is_due = now_ms >= self.health.probe_at_ms and not self.in_flight
            return Read(self.id, self.epoch, 0, PAGE) if is_due else None
        page = max(PAGE, min(self._concurrency, MOST_PAGE))
        ids = self.lanes.unread(page)
        if ids:
            return Read(self.id, self.epoch, ids=ids)
        room = min(self.lanes.room, page)
        return Read(self.id, self.epoch, self._cursor, room) if room and not self._is_read_out else None

    def more_waits(self) -> None:
        """Deliveries were queued since the last page."""
        self._is_read_out = False

    def page_read(self, read: Read, found: Sequence[Delivery], newest: int) -> None:
        """Go on behind this page the next time. A page that is not full was the last of all up to `newest`:
        what other workers have waiting there must not be looked through again."""
        self._is_read_out = len(found) < read.limit
        last = found[-1].id if found else 0
        self._cursor = max(self._cursor, last, newest if self._is_read_out else 0)

    def reread(self) -> None:
        """Forget what was read and begin with the oldest again, once nothing is in flight any more: what is
        in flight is still queued and must not be read twice."""
        self.epoch += 1
        self._is_stale = self.in_flight > 0
        if not self._is_stale:
            self.lanes = Lanes(2 * self._concurrency)
            self._cursor, self._is_read_out = 0, False

    def settle_down(self) -> None:
        """Begin anew if that was put off and can be done now."""
        if self._is_stale and not self.in_flight:
            self.reread()

    def follow(self, config: DestinationConfig | None) -> None:
        """Take over the configuration as last published: a destination that was closed or opened begins anew,
        and one that is down is believed in again when its settings changed."""
        if config == self.config:
            return
        if (config is None) is not (self.config is None) or self.health.is_down:
            self.health.settled()
            self.reread()
        self.config, self.connection = config, None

    def connected(self, connection: Connection | Rejected) -> None:
        """Take the connection for the present configuration. Where events go out in batches, more are held."""
        self.connection = connection
        batch = connection.max_batch if isinstance(connection, Connection) else 1
        self._concurrency = max(self._single, MAX_BATCHES * batch if batch > 1 else 0)
        self.width = max(self.width, self._concurrency) if self.width >= self._single else self.width
        self.lanes.hold(2 * self._concurrency)

    def answered(self) -> bool:
        """The partner decided about a delivery. True when it was down until now; then requests grow from few
        to many with each answer, so that a partner just back is not run over."""
        was_down = self.health.settled()
        if was_down:
            self.width = 2
            self.reread()
        self.width = min(self._concurrency, self.width + 1)
        return was_down
