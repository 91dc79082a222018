"""The delivery worker: queued deliveries → the destination's connector → an outcome or a retry.

    queue.take ─→ Lanes (order per user) ─→ connector ─→ settled ─┐
        ↑                                └→ retry, parked ────────┤
        └────────── one storage turn: save, refresh, read ←───────┘

Everything that a worker knows is in the queue; what it holds in memory is bounded and can be lost at any
moment: a delivery then goes out again (at least once), and is counted once, when its outcome is saved.

A destination shares with the others the event loop and the storage turns, and nothing that it could hold on to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import resource
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Final

from aiohttp import ClientSession

from mainstem.delivery.attempts import AttemptLog
from mainstem.delivery.endings import Endings
from mainstem.delivery.garbage import rare_collections
from mainstem.delivery.outbound import MAX_BATCHES, Outbound, Read
from mainstem.delivery.retry import Backoff, as_of, is_over
from mainstem.delivery.sender import Sender
from mainstem.delivery.storage import Storage, Turn
from mainstem.destinations.base import Connection
from mainstem.destinations.connecting import Connectors
from mainstem.destinations.network import open_session
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import Delivery, DeliveryQueue
from mainstem.model.snapshot import DestinationConfig, LiveSnapshot
from mainstem.settings import Settings

log = logging.getLogger(__name__)

FINISH_SECONDS: Final = 4.5  # after a stop: for what is in flight
STOP_SECONDS: Final = 5.2  # and for saving what came of it, if the store refuses
POLL_SECONDS: Final = 0.5
_MAX_READS: Final = 32
_COLLECT_AFTER_OBJECTS: Final = 50_000
_MOST_FILES: Final = 65_536
_CLOCK_SET_BACK_MS: Final = 60_000


class Worker:
    """Delivers one share of the lanes of every destination; see `deliver`."""

    def __init__(
        self,
        queue: DeliveryQueue,
        snapshot: LiveSnapshot,
        settings: Settings,
        stop: asyncio.Event,
        share: tuple[int, int],
        connectors: Connectors,
        now_ms: Callable[[], int],
        jitter: Callable[[], float],
        poll_seconds: float,
        attempts: AttemptLog | None,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._queue = queue
        self._snapshot = snapshot
        self._settings = settings
        self._stop = stop
        self._now_ms = now_ms
        self._backoff = Backoff.of(settings, jitter)
        self._outbounds: dict[str, Outbound] = {}
        self._waiting: frozenset[str] = frozenset()  # destinations with deliveries, whichever worker's they are
        self._wanting: dict[str, None] = {}  # destinations to be looked at in the next turn, in order
        self._tasks: set[asyncio.Task[None]] = set()
        self._needed = asyncio.Event()
        flush = attempts.flush if attempts is not None else lambda: None
        self._storage = Storage(queue, snapshot, share, self._needed.set, flush)
        self._sender = Sender(connectors, snapshot, now_ms, keeps_messages=attempts is not None)
        self._endings = Endings(self._storage, self._sender, self._backoff, attempts)
        self._is_woken = True
        self._fault: BaseException | None = None
        self._latest_ms = 0
        self._http: ClientSession

    async def run(self) -> None:
        """Work until `stop` is set, then finish what is in flight and save it."""
        ended = threading.Event()
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="delivery-wait")
        listening = loop.run_in_executor(thread, self._listen, loop, ended)
        listening.add_done_callback(self._ended)
        stopping = asyncio.create_task(self._wake_on_stop())
        try:
            async with open_session(self._settings.allow_private) as self._http:
                self._needed.set()
                while not self._stop.is_set():
                    await self._needed.wait()
                    self._needed.clear()
                    await self._turn()
                deadline = loop.time() + STOP_SECONDS
                await self._finish()
            await self._storage.save_rest(deadline, self._poll_seconds)
        finally:
            ended.set()
            stopping.cancel()
            await listening
            thread.shutdown(wait=False)
            self._storage.close()

    async def _wake_on_stop(self) -> None:
        await self._stop.wait()
        self._needed.set()

    def _listen(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        """Runs in a thread of its own: turn the queue's blocking wait into wake-ups of the loop."""
        while not ended.is_set():
            try:
                self._queue.wait(self._poll_seconds)
            except EngineUnavailable:
                ended.wait(self._poll_seconds)
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_woken = True
        self._needed.set()

    def _look(self, outbound: Outbound) -> None:
        """Look at this destination in the next turn."""
        self._wanting[outbound.id] = None
        self._needed.set()

    def _look_at_all(self) -> None:
        for outbound in self._outbounds.values():
            self._look(outbound)

    async def _turn(self) -> None:
        """Save and read, take in what came, and start what may start."""
        if self._fault is not None:
            raise self._fault
        self._watch_clock()
        looked_at = self._next_wanting()
        reads = [read for each in looked_at if (read := self._wanted(each)) is not None]
        is_woken, self._is_woken = self._is_woken, False
        before, was_full = self._snapshot.current, self._storage.is_full
        turn = await self._storage.turn(reads, is_woken=is_woken)
        if self._snapshot.current is not before or was_full:
            self._look_at_all()
        if turn.is_woken and turn.is_read:
            self._greet_all(turn.waiting)
        for read, found in zip(turn.reads, turn.found, strict=True) if turn.is_read else ():
            self._take_in(self._outbounds[read.destination_id], read, found, turn.newest)
        for outbound in looked_at:
            self._advance(outbound)
        if not turn.is_done:
            await self._pause(turn)

    def _watch_clock(self) -> None:
        """When the clock was set back, what was planned by it lies too far ahead: begin anew."""
        now_ms = self._now_ms()
        if now_ms < self._latest_ms - _CLOCK_SET_BACK_MS:
            log.warning(
                "the clock was set back by %d seconds: retries are planned anew", (self._latest_ms - now_ms) // 1000
            )
            for outbound in self._outbounds.values():
                outbound.health.settled()
                outbound.reread()
            self._look_at_all()
            self._latest_ms = now_ms
        self._latest_ms = max(self._latest_ms, now_ms)

    def _next_wanting(self) -> list[Outbound]:
        chosen = list(self._wanting)[:_MAX_READS]
        for each in chosen:
            del self._wanting[each]
        if self._wanting:
            self._needed.set()
        return [self._outbounds[each] for each in chosen if each in self._outbounds]

    def _wanted(self, outbound: Outbound) -> Read | None:
        if self._storage.is_full or self._stop.is_set():
            return None
        return outbound.wanted(self._now_ms())

    async def _pause(self, turn: Turn) -> None:
        """The store refused: wait a moment, then do again what was not done."""
        self._is_woken = self._is_woken or turn.is_woken
        self._needed.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._stop.wait()

    def _greet_all(self, waiting: Sequence[str]) -> None:
        """Greet the destinations that have deliveries waiting, and look once more at those that have not."""
        self._waiting = frozenset(waiting)
        for outbound in [each for each in self._outbounds.values() if each.id not in self._waiting]:
            self._look(outbound)
        for destination_id in waiting:
            self._greet(destination_id)

    def _greet(self, destination_id: str) -> None:
        """A destination has deliveries waiting, new ones perhaps."""
        outbound = self._outbounds.get(destination_id)
        if outbound is None:
            config = self._find_config(destination_id)
            outbound = Outbound(destination_id, self._settings.delivery_concurrency, config)
            self._outbounds[destination_id] = outbound
        outbound.more_waits()
        self._look(outbound)

    def _find_config(self, destination_id: str) -> DestinationConfig | None:
        config = self._snapshot.current.destinations.get(destination_id)
        return config if config is not None and config.enabled else None

    def _take_in(self, outbound: Outbound, read: Read, found: Sequence[Delivery], newest: int) -> None:
        """Give what was read to where it belongs, unless the destination began anew meanwhile."""
        outbound.follow(self._find_config(outbound.id))
        if read.epoch != outbound.epoch:
            return
        now_ms = self._now_ms()
        deliveries = [as_of(each, self._backoff, now_ms) for each in self._storage.still_waiting(found)]
        if outbound.config is None:
            self._endings.dropped(outbound, deliveries)
            outbound.page_read(read, found, newest)
        elif outbound.health.is_down:
            self._probe(outbound, deliveries)
        elif read.ids:
            outbound.lanes.supply(read.ids, deliveries, now_ms)
        else:
            for delivery in deliveries:
                outbound.lanes.add(delivery, now_ms)
            outbound.page_read(read, found, newest)

    def _advance(self, outbound: Outbound) -> None:
        """Start what may start, and see to it that the destination is looked at again in time."""
        outbound.follow(self._find_config(outbound.id))
        outbound.settle_down()
        if outbound.is_open:
            outbound.lanes.release_due(self._now_ms())
            self._start_ready(outbound)
        if self._wanted(outbound) is not None:
            self._look(outbound)
        elif outbound.is_idle:
            self._set_timer(outbound, None)
            if outbound.id not in self._waiting:  # else it remembers how far it has read, past others' lanes
                del self._outbounds[outbound.id]
        else:
            self._set_timer(outbound, outbound.next_look_ms)

    def _set_timer(self, outbound: Outbound, due_ms: float | None) -> None:
        if outbound.timer is not None:
            outbound.timer.cancel()
            outbound.timer = None
        if due_ms is not None:
            seconds = max(0.001, (due_ms - self._now_ms()) / 1000)
            outbound.timer = asyncio.get_running_loop().call_later(seconds, self._look, outbound)

    def _probe(self, outbound: Outbound, deliveries: Sequence[Delivery]) -> None:
        """End those whose time is over, and try one of the rest: a different user's each time, so that one
        event that always fails cannot keep a destination down."""
        now_ms = self._now_ms()
        firsts: dict[int, Delivery] = {}
        for delivery in deliveries:
            if is_over(delivery, outbound.health.down_since_ms, self._backoff, now_ms):
                self._endings.expired(outbound, delivery)
            else:
                firsts.setdefault(delivery.new.lane, delivery)
        if firsts:
            chosen = list(firsts.values())[outbound.health.probes % len(firsts)]
            self._start(outbound, [chosen], is_probe=True)
        elif not deliveries:  # nothing waits any more
            outbound.health.settled()
            outbound.reread()

    def _start_ready(self, outbound: Outbound) -> None:
        connection = self._sender.connected(outbound) if outbound.is_open else None
        if isinstance(connection, Connection) and connection.perform_batch is not None:
            self._start_batches(outbound, connection)
            return
        while outbound.may_start and not self._storage.is_full and not self._stop.is_set():
            delivery = outbound.lanes.start()
            if delivery is None:
                return
            self._start(outbound, [delivery])

    def _start_batches(self, outbound: Outbound, connection: Connection) -> None:
        """Start what is ready, together as far as it may go together. Nothing waits for a batch to fill: while
        batches are in flight, the next one does."""
        if not outbound.may_start or self._storage.is_full or self._stop.is_set():
            return
        gathered: dict[Hashable, list[Delivery]] = {}
        free = outbound.width - outbound.in_flight
        while free > 0 and outbound.batches < MAX_BATCHES:
            delivery = outbound.lanes.start()
            if delivery is None:
                break
            free -= 1
            key = connection.group(delivery.new.subscription_id)
            if key is None:
                self._start(outbound, [delivery])
                continue
            batch = gathered.setdefault(key, [])
            batch.append(delivery)
            if len(batch) >= connection.max_batch:
                self._start(outbound, gathered.pop(key), is_batch=True)
        for batch in gathered.values():
            self._start(outbound, batch, is_batch=True)

    def _start(
        self, outbound: Outbound, deliveries: Sequence[Delivery], *, is_batch: bool = False, is_probe: bool = False
    ) -> None:
        outbound.in_flight += len(deliveries)
        outbound.batches += is_batch
        task = asyncio.create_task(self._attempt(outbound, deliveries, is_batch, is_probe))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Future[None]) -> None:
        """A fault of ours, not of a connector, ends the worker, which then starts anew from the queue."""
        if not work.cancelled() and work.exception() is not None:
            self._fault = work.exception()
            self._needed.set()

    async def _attempt(
        self, outbound: Outbound, deliveries: Sequence[Delivery], is_batch: bool, is_probe: bool
    ) -> None:
        """Send once, one event or a batch, and note what came of each; their lanes go on, or wait."""
        ends = await self._sender.perform(outbound, deliveries, self._http)
        outbound.in_flight -= len(deliveries)
        outbound.batches -= is_batch
        now_ms = self._now_ms()
        lanes = outbound.lanes  # those that all of them are in: one of them may make the destination begin anew
        for delivery, end in zip(deliveries, ends, strict=True):
            retry = self._endings.attempted(outbound, delivery, end, now_ms, is_probe=is_probe)
            if retry is not None:
                lanes.park(delivery.new.lane, retry.due_at_ms)
            elif not is_probe:
                lanes.finish(delivery.new.lane, now_ms)
        self._go_on(outbound)

    def _go_on(self, outbound: Outbound) -> None:
        """After an attempt: start the next at once, and ask for a turn when the destination needs one."""
        self._start_ready(outbound)
        if not outbound.in_flight or not outbound.is_open or self._wanted(outbound) is not None:
            self._look(outbound)
        else:
            self._set_timer(outbound, outbound.next_look_ms)

    async def _finish(self) -> None:
        """Wait for what is in flight, then give up on it: it stays queued."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def run(
    queue: DeliveryQueue,
    snapshot: LiveSnapshot,
    settings: Settings,
    share: tuple[int, int],
    stop: threading.Event,
    equipment: AbstractAsyncContextManager[Connectors],
    attempts: AttemptLog | None = None,
) -> None:
    """The life of a delivery worker's process: `deliver` until `stop` is set by anybody."""

    async def main() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def pass_on() -> None:
            stop.wait()
            with contextlib.suppress(RuntimeError):  # ended by itself, and the loop with it
                loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=pass_on, name="delivery-stop", daemon=True).start()
        async with equipment as connectors:
            await deliver(queue, snapshot, settings, stopped, share=share, connectors=connectors, attempts=attempts)

    _allow_many_connections()
    asyncio.run(main())


def _allow_many_connections() -> None:
    """Raise the process's limit of open files to what it may be: hanging partners hold connections, and the
    common 1,024 would make one destination's trouble another's."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def deliver(
    queue: DeliveryQueue,
    snapshot: LiveSnapshot,
    settings: Settings,
    stop: asyncio.Event,
    *,
    share: tuple[int, int] = (0, 1),
    connectors: Connectors | None = None,
    now_ms: Callable[[], int] = _wall_clock_ms,
    jitter: Callable[[], float] = random.random,
    poll_seconds: float = POLL_SECONDS,
    attempts: AttemptLog | None = None,
) -> None:
    """Deliver until `stop` is set: what waits in `queue`, of the lanes of `share` (i of n).

    Order per user and destination is kept, also over retries. A delivery that fails for a while is tried again
    for `retry_hours`; ten that fail in a row make the destination down until one is settled, and meanwhile
    one delivery at a time is tried. `queue` and `snapshot` are used from two threads of this function: `wait`
    from one, everything else from the other. A changed setting, or a wake-up that got lost, is noticed after
    `poll_seconds` at the latest. Returns STOP_SECONDS after `stop` at the latest.
    """
    connectors = connectors or Connectors()
    worker = Worker(queue, snapshot, settings, stop, share, connectors, now_ms, jitter, poll_seconds, attempts)
    with rare_collections(_COLLECT_AFTER_OBJECTS):
        await worker.run()
