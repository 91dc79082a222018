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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import ClientSession

from mainstem.delivery.outbound import Outbound, Read
from mainstem.delivery.retry import Backoff, as_of, final_reason, is_over, next_attempt
from mainstem.delivery.storage import Storage, Turn
from mainstem.destinations import CONNECTORS
from mainstem.destinations.base import Destination, Message, Perform, Rejected, Retryable
from mainstem.destinations.network import open_session
from mainstem.errors import EngineUnavailable
from mainstem.model.outcome import Stage, success_reason
from mainstem.model.ports import Delivery, DeliveryQueue, NewDeadLetter, Retry
from mainstem.model.snapshot import DestinationConfig, LiveSnapshot
from mainstem.settings import Settings

log = logging.getLogger(__name__)

FINISH_SECONDS: Final = 4.5  # after a stop: for what is in flight
STOP_SECONDS: Final = 5.2  # and for saving what came of it, if the store refuses
POLL_SECONDS: Final = 0.5
_MAX_READS: Final = 32
_MOST_FILES: Final = 65_536
_CLOCK_SET_BACK_MS: Final = 60_000
_DROPPED: Final = "MESSAGE_REJECTED"


class Worker:
    """Delivers one share of the lanes of every destination; see `deliver`."""

    def __init__(
        self,
        queue: DeliveryQueue,
        snapshot: LiveSnapshot,
        settings: Settings,
        stop: asyncio.Event,
        share: tuple[int, int],
        connectors: Mapping[str, Destination],
        now_ms: Callable[[], int],
        jitter: Callable[[], float],
        poll_seconds: float,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._queue = queue
        self._snapshot = snapshot
        self._settings = settings
        self._stop = stop
        self._connectors = connectors
        self._now_ms = now_ms
        self._backoff = Backoff.of(settings, jitter)
        self._outbounds: dict[str, Outbound] = {}
        self._waiting: frozenset[str] = frozenset()  # destinations with deliveries, whichever worker's they are
        self._wanting: dict[str, None] = {}  # destinations to be looked at in the next turn, in order
        self._tasks: set[asyncio.Task[None]] = set()
        self._needed = asyncio.Event()
        self._storage = Storage(queue, snapshot, share, self._needed.set)
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
            self._drop(deliveries)
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
                reason = final_reason(delivery.reason)
                self._storage.note_settled(delivery, Stage.FAILED_DELIVERY, reason, max(0, delivery.attempts - 1))
            else:
                firsts.setdefault(delivery.new.lane, delivery)
        if firsts:
            chosen = list(firsts.values())[outbound.health.probes % len(firsts)]
            self._start(outbound, chosen, is_probe=True)
        elif not deliveries:  # nothing waits any more
            outbound.health.settled()
            outbound.reread()

    def _drop(self, deliveries: Sequence[Delivery]) -> None:
        """Drop what waits for a destination that was disabled or deleted meanwhile. It counts as failed
        delivery, MESSAGE_REJECTED ("request was blocked"), so that the sums still agree. (Judgement.)"""
        for delivery in deliveries:
            self._storage.note_settled(delivery, Stage.FAILED_DELIVERY, _DROPPED, max(0, delivery.attempts - 1))

    def _start_ready(self, outbound: Outbound) -> None:
        while outbound.may_start and not self._storage.is_full and not self._stop.is_set():
            delivery = outbound.lanes.start()
            if delivery is None:
                return
            self._start(outbound, delivery, is_probe=False)

    def _start(self, outbound: Outbound, delivery: Delivery, *, is_probe: bool) -> None:
        outbound.in_flight += 1
        task = asyncio.create_task(self._attempt(outbound, delivery, is_probe))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Future[None]) -> None:
        """A fault of ours, not of a connector, ends the worker, which then starts anew from the queue."""
        if not work.cancelled() and work.exception() is not None:
            self._fault = work.exception()
            self._needed.set()

    async def _attempt(self, outbound: Outbound, delivery: Delivery, is_probe: bool) -> None:
        """Send once and note what came of it; the lane goes on, or waits."""
        lanes = outbound.lanes
        end = await self._perform(outbound, delivery)
        outbound.in_flight -= 1
        now_ms = self._now_ms()
        retry = None
        if not isinstance(end, Retryable):
            self._arrived(outbound, delivery, end)
        elif is_probe:
            outbound.health.probe_failed(end, self._backoff, now_ms)
        else:
            retry = self._failed(outbound, delivery, end, now_ms)
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

    async def _perform(self, outbound: Outbound, delivery: Delivery) -> Retryable | Rejected | NewDeadLetter | None:
        """Call the connector; None means delivered."""
        try:
            perform = self._connected(outbound)
            if isinstance(perform, Rejected):
                return perform
            message = Message(delivery.new.body, delivery.progress, self._now_ms())
            await perform(message, self._http)
        except (Retryable, Rejected) as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - whatever a connector fails with, the event is set aside
            return self._dead_letter(delivery, error)
        return None

    def _connected(self, outbound: Outbound) -> Perform | Rejected:
        """The connector's function for the present settings, made once for them."""
        config = outbound.config
        if config is None:  # switched off since the attempt was decided
            return Rejected(_DROPPED)
        if outbound.perform is None:
            connector = self._connectors.get(config.metadata_id)
            try:
                if connector is None:
                    raise Rejected("INVALID_SETTINGS", "there is no connector for this destination")
                outbound.perform = connector.connect(config.settings)
            except Rejected as rejected:
                log.warning("destination %s: %s", outbound.id, rejected)
                outbound.perform = rejected
        return outbound.perform

    def _dead_letter(self, delivery: Delivery, error: Exception) -> NewDeadLetter:
        """Names the kind of error and its place, not its text, which may hold what is secret."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else ""
        new = delivery.new
        config = self._snapshot.current.destinations.get(new.destination_id)
        connector = self._connectors.get(config.metadata_id) if config is not None else None
        where = connector.slug if connector is not None else "deliver"
        log.error("destination %s: %s%s; the event is a dead letter", new.destination_id, type(error).__name__, place)
        return NewDeadLetter(
            self._now_ms(), new.source_id, new.destination_id, new.message_id, where,
            f"{type(error).__name__}{place}", new.body,
        )  # fmt: skip

    def _arrived(self, outbound: Outbound, delivery: Delivery, end: Rejected | NewDeadLetter | None) -> None:
        """The delivery reached its end: it was taken, refused, or broke the connector."""
        if end is None:
            reason = success_reason(delivery.attempts + 1)
            self._storage.note_settled(delivery, Stage.SUCCESSFUL_DELIVERY, reason, delivery.attempts)
        elif isinstance(end, Rejected):
            self._storage.note_settled(delivery, Stage.FAILED_DELIVERY, end.reason, delivery.attempts)
        else:
            self._storage.note_settled(delivery, Stage.FAILED_DELIVERY, "INTERNAL", delivery.attempts, end)
            return
        if outbound.answered():
            log.warning("destination %s is up again", outbound.id)

    def _failed(self, outbound: Outbound, delivery: Delivery, failure: Retryable, now_ms: int) -> Retry | None:
        """Note a failure that may pass; None when the time for retries is over."""
        if outbound.health.failed(delivery.id, failure, self._backoff, now_ms):
            log.warning("destination %s is down (%s): its deliveries wait", outbound.id, failure.reason)
            outbound.reread()
        retry = next_attempt(delivery, failure, self._backoff, now_ms)
        if retry is None:
            self._storage.note_settled(
                delivery, Stage.FAILED_DELIVERY, final_reason(failure.reason), delivery.attempts
            )
        else:
            self._storage.note_retry(retry)
        return retry

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
) -> None:
    """The life of a delivery worker's process: `deliver` until `stop` is set by anybody."""

    async def main() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def pass_on() -> None:
            stop.wait()
            with contextlib.suppress(RuntimeError):  # ended by itself, and the loop with it
                loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=pass_on, name="delivery-stop", daemon=True).start()
        await deliver(queue, snapshot, settings, stopped, share=share)

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
    connectors: Mapping[str, Destination] = CONNECTORS,
    now_ms: Callable[[], int] = _wall_clock_ms,
    jitter: Callable[[], float] = random.random,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Deliver until `stop` is set: what waits in `queue`, of the lanes of `share` (i of n).

    Order per user and destination is kept, also over retries. A delivery that fails for a while is tried again
    for `retry_hours`; ten that fail in a row make the destination down until one is settled, and meanwhile
    one delivery at a time is tried. `queue` and `snapshot` are used from two threads of this function: `wait`
    from one, everything else from the other. A changed setting, or a wake-up that got lost, is noticed after
    `poll_seconds` at the latest. Returns STOP_SECONDS after `stop` at the latest.
    """
    await Worker(queue, snapshot, settings, stop, share, connectors, now_ms, jitter, poll_seconds).run()
