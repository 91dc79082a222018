"""A delivery worker's storage: outcomes and retries gather here until a turn saves them.

A turn saves what was settled, reads what is wanted and refreshes the snapshot, in one thread, while requests
go on; what gathers meanwhile is the next turn's, so turns grow with the load.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from mainstem.delivery.outbound import Read
from mainstem.errors import EngineUnavailable
from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import Delivery, DeliveryQueue, NewDeadLetter, NewEntry, Retry, Settled
from mainstem.model.snapshot import LiveSnapshot

log = logging.getLogger(__name__)

MAX_UNSAVED: Final = 10_000
_GATHER_SECONDS: Final = 0.005
_STAGES_OF_SOURCE: Final = frozenset({Stage.FAILED_ON_INGEST, Stage.FILTERED_AT_SOURCE})


class Turn(msgspec.Struct):
    """One visit to storage: what to save and read, and what came of it. `waiting` are the destinations with
    deliveries, asked for when `is_woken`; `found` goes with `reads`, which saw at least what was queued up to the
    id `newest`. Without `is_read` nothing was found out."""

    settled: Sequence[Settled]
    retries: Sequence[Retry]
    reads: Sequence[Read]
    is_woken: bool
    is_saved: bool = False
    is_read: bool = False
    found: Sequence[Sequence[Delivery]] = ()
    newest: int = 0
    waiting: Sequence[str] = ()

    @property
    def is_done(self) -> bool:
        """True when the store did all of it."""
        return self.is_saved and self.is_read


class Storage:
    """Used from the event loop's thread; the queue and the snapshot are only used from the one it keeps."""

    def __init__(
        self,
        queue: DeliveryQueue,
        snapshot: LiveSnapshot,
        share: tuple[int, int],
        to_save: Callable[[], None],
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """`to_save` is called some milliseconds after something was noted, so that a turn saves it. `flush` is called
        in each turn, for what else is to be written then; it never fails."""
        self._flush = flush
        self._queue = queue
        self._snapshot = snapshot
        self._share = share
        self._to_save = to_save
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="delivery-storage")
        self._settled: dict[int, Settled] = {}  # not yet saved
        self._retries: dict[int, Retry] = {}  # not yet saved
        self._is_gathering = False
        self._is_available = True

    @property
    def is_full(self) -> bool:
        """True when so much waits to be saved that nothing more should be started."""
        return len(self._settled) >= MAX_UNSAVED

    def note_settled(
        self, delivery: Delivery, stage: Stage, reason: str, retries: int, dead: NewDeadLetter | None = None
    ) -> None:
        """Save this outcome of a delivery soon. What ends at its source is counted there."""
        new = delivery.new
        destination_id = "" if stage in _STAGES_OF_SOURCE else new.destination_id
        key = OutcomeKey(
            new.received_at_ms // 60_000, new.source_id, destination_id, stage, reason, new.event_type,
            new.event_name, new.app_version, new.subscription_id,
        )  # fmt: skip
        self._retries.pop(delivery.id, None)
        self._settled[delivery.id] = Settled(delivery.id, key, retries, dead)
        self._save_soon()

    def note_left(self, delivery: Delivery, entries: Sequence[NewEntry]) -> None:
        """Save soon that a delivery left its detour, and what of it enters the pipeline."""
        self._retries.pop(delivery.id, None)
        self._settled[delivery.id] = Settled(delivery.id, None, delivery.attempts, entries=entries)
        self._save_soon()

    def note_retry(self, retry: Retry) -> None:
        """Save this retry soon."""
        self._retries[retry.id] = retry
        self._save_soon()

    def still_waiting(self, found: Sequence[Delivery]) -> list[Delivery]:
        """Of deliveries that were read those without an unsaved outcome, and with their unsaved retries."""
        return [self._as_last_noted(each) for each in found if each.id not in self._settled]

    async def turn(self, reads: Sequence[Read], *, is_woken: bool) -> Turn:
        """Save all that is noted, and read."""
        turn = Turn(tuple(self._settled.values()), tuple(self._retries.values()), reads, is_woken)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._visit, turn)
        if turn.is_saved:
            self._forget(turn)
        if turn.is_done and not self._is_available:
            self._is_available = True
            log.warning("deliveries: the store can be used again")
        return turn

    async def save_rest(self, deadline: float, pause_seconds: float) -> None:
        """Save what is left, again and again until the deadline (of the loop's clock) if the store refuses."""
        turn = await self.turn((), is_woken=False)
        while not turn.is_saved and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(pause_seconds)
            turn = await self.turn((), is_woken=False)
        if not turn.is_saved:
            log.error("deliveries: %d outcomes could not be saved; these go out again", len(self._settled))

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    def _visit(self, turn: Turn) -> None:
        """Runs in the storage thread. Deliveries are read before the snapshot, so that a destination which a
        delivery names is in the snapshot, unless it was deleted."""
        self._flush()
        try:
            if turn.settled or turn.retries:
                self._queue.settle(turn.settled, turn.retries)
            turn.is_saved = True
        except EngineUnavailable as error:
            self._note_unavailable(error)
        try:
            turn.waiting = self._queue.destinations() if turn.is_woken else ()
            turn.newest = self._queue.newest() if turn.reads else 0  # before reading: that may find newer ones
            turn.found = [self._fetch(read) for read in turn.reads]
            self._snapshot.refresh()
            turn.is_read = True
        except EngineUnavailable as error:
            turn.waiting = ()
            self._note_unavailable(error)

    def _fetch(self, read: Read) -> Sequence[Delivery]:
        if read.ids:
            return self._queue.get(read.ids)
        return self._queue.take(read.destination_id, read.after, read.limit, self._share)

    def _note_unavailable(self, error: EngineUnavailable) -> None:
        if self._is_available:
            self._is_available = False
            log.error("deliveries: the store cannot be used now, trying again: %s", error)

    def _forget(self, turn: Turn) -> None:
        for settled in turn.settled:
            del self._settled[settled.id]
        for retry in turn.retries:
            if self._retries.get(retry.id) is retry:
                del self._retries[retry.id]

    def _as_last_noted(self, delivery: Delivery) -> Delivery:
        retry = self._retries.get(delivery.id)
        if retry is None:
            return delivery
        noted = (retry.attempts, retry.due_at_ms, retry.first_attempt_at_ms, retry.progress, retry.reason)
        return Delivery(delivery.id, delivery.new, *noted)

    def _save_soon(self) -> None:
        if not self._is_gathering:
            self._is_gathering = True
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._is_gathering = False
        self._to_save()
