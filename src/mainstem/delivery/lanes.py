"""The order of one destination's deliveries: one after the other per user, users beside each other.

A lane is a user (a hash of one). Its deliveries go out in order of id, the next when the one before is
settled. One that waits for its retry holds its lane and no other. Bodies are held only for deliveries near
their turn; the others are ids, to be read again when they are due.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from mainstem.model.ports import Delivery

MAX_IDS: Final = 20_000
_BODIES_PER_LANE: Final = 4
_AHEAD: Final = 8


class Lanes:
    """Deliveries that were read and are not settled. Pure bookkeeping: no clock, no I/O.

    Bounds: MAX_IDS deliveries, `max_bodies` bodies beside those that `supply` brings. When either is reached,
    `room` is 0 and the rest stays in the queue.
    """

    def __init__(self, max_bodies: int) -> None:
        self._max_bodies = max_bodies
        self._ids = 0
        self._lanes: dict[int, deque[int]] = {}  # the first of each is in flight, parked, ready or unread
        self._bodies: dict[int, Delivery] = {}
        self._ready: deque[int] = deque()  # ids with bodies
        self._unread: dict[int, int] = {}  # id to lane: its turn came, its body is not here
        self._parked: list[tuple[int, int, int]] = []  # due, id, lane
        self._parked_lanes: set[int] = set()

    def hold(self, max_bodies: int) -> None:
        """Hold this many bodies from now on."""
        self._max_bodies = max_bodies

    def __len__(self) -> int:
        return self._ids

    @property
    def room(self) -> int:
        """How many deliveries may be added; 0 until half of the bodies are gone, so that reads are worth it."""
        free = self._max_bodies - len(self._bodies)
        return max(0, min(free, MAX_IDS - self._ids)) if 2 * free >= self._max_bodies else 0

    @property
    def next_due_ms(self) -> int | None:
        """When the first parked delivery is due."""
        return self._parked[0][0] if self._parked else None

    def add(self, delivery: Delivery, now_ms: int) -> None:
        """Put a delivery, of a higher id than those before, at the end of its lane."""
        lane = delivery.new.lane
        waiting = self._lanes.get(lane)
        self._ids += 1
        if waiting is None:
            self._lanes[lane] = deque((delivery.id,))
            self._bodies[delivery.id] = delivery
            self._offer(lane, now_ms)
            return
        waiting.append(delivery.id)
        if len(waiting) <= _BODIES_PER_LANE and lane not in self._parked_lanes:
            self._bodies[delivery.id] = delivery

    def start(self) -> Delivery | None:
        """The next delivery that may go out now; its lane waits for `finish` or `park`."""
        return self._bodies.pop(self._ready.popleft()) if self._ready else None

    def finish(self, lane: int, now_ms: int) -> None:
        """The first delivery of the lane is settled: the next may start."""
        waiting = self._lanes[lane]
        waiting.popleft()
        self._ids -= 1
        if waiting:
            self._offer(lane, now_ms)
        else:
            del self._lanes[lane]

    def park(self, lane: int, due_ms: int) -> None:
        """The first delivery of the lane waits until `due_ms`."""
        waiting = self._lanes[lane]
        for each in waiting:
            self._bodies.pop(each, None)
        self._parked_lanes.add(lane)
        heapq.heappush(self._parked, (due_ms, waiting[0], lane))

    def release_due(self, now_ms: int) -> None:
        """End the wait of those whose time has come; they are `unread` now."""
        while self._parked and self._parked[0][0] <= now_ms:
            _, first, lane = heapq.heappop(self._parked)
            self._parked_lanes.discard(lane)
            self._unread[first] = lane

    def unread(self, limit: int) -> Sequence[int]:
        """Ids to read again and give to `supply`: those whose turn it is, and a few behind them."""
        wanted: list[int] = []
        for lane in self._unread.values():
            if len(wanted) >= limit:
                break
            near = itertools.islice(self._lanes[lane], min(_AHEAD, limit - len(wanted)))
            wanted.extend(each for each in near if each not in self._bodies)
        return wanted

    def supply(self, asked: Iterable[int], found: Iterable[Delivery], now_ms: int) -> None:
        """Take the deliveries that were read for `asked`; those not found any more are passed over."""
        by_id = {delivery.id: delivery for delivery in found}
        for each in asked:
            if each not in by_id and each in self._unread:
                self.finish(self._unread.pop(each), now_ms)
        for each, delivery in by_id.items():
            lane = delivery.new.lane
            if lane in self._lanes and lane not in self._parked_lanes:
                self._bodies[each] = delivery
            if self._unread.pop(each, None) is not None:
                self._offer(lane, now_ms)

    def _offer(self, lane: int, now_ms: int) -> None:
        first = self._lanes[lane][0]
        body = self._bodies.get(first)
        if body is None:
            self._unread[first] = lane
        elif body.due_at_ms > now_ms:
            self.park(lane, body.due_at_ms)
        else:
            self._ready.append(first)
