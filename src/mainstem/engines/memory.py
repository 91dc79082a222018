"""The queue of deliveries and its dead letters in memory: for tests and trials, gone with the process.

It keeps the promises of the ports, orders and counts included, and passes the tests of the delivery worker
that the SQLite engine passes. Safe to use from several threads.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

import msgspec

from mainstem.model.outcome import OutcomeKey, Tally
from mainstem.model.ports import DeadLetter, Delivery, NewDelivery, NewEntry, Retry, Settled


class MemoryDeliveryQueue:
    """DeliveryQueue; `append` fills it and `tallies` is what was counted, `entries` what entered the pipeline."""

    def __init__(self) -> None:
        self.tallies: dict[OutcomeKey, Tally] = {}
        self.dead_letters = MemoryDeadLetters(self)
        self.entries: list[NewEntry] = []
        self._waiting: dict[int, Delivery] = {}
        self._newest = 0
        self._changed = threading.Condition()
        self._heard = 0

    def append(self, deliveries: Sequence[NewDelivery]) -> None:
        """Queue, in order, and wake who waits."""
        with self._changed:
            for new in deliveries:
                self._newest += 1
                self._waiting[self._newest] = Delivery(self._newest, new, 0, 0, 0, 0, "")
            self._changed.notify_all()

    def destinations(self) -> Sequence[str]:
        """See DeliveryQueue."""
        with self._changed:
            return sorted({each.new.destination_id for each in self._waiting.values()})

    def take(self, destination_id: str, after: int, limit: int, share: tuple[int, int]) -> Sequence[Delivery]:
        """See DeliveryQueue."""
        number, workers = share
        with self._changed:
            found = (
                each
                for each in self._waiting.values()  # in order of id, as it was filled
                if each.id > after and each.new.destination_id == destination_id and each.new.lane % workers == number
            )
            return list(itertools.islice(found, limit))

    def newest(self) -> int:
        """See DeliveryQueue."""
        with self._changed:
            return self._newest

    def get(self, ids: Sequence[int]) -> Sequence[Delivery]:
        """See DeliveryQueue."""
        with self._changed:
            return [self._waiting[each] for each in sorted(ids) if each in self._waiting]

    def settle(self, settled: Sequence[Settled], retries: Sequence[Retry]) -> None:
        """See DeliveryQueue."""
        with self._changed:
            for each in settled:
                delivery = self._waiting.pop(each.id, None)
                if delivery is None:
                    continue  # settled before: an outcome counts once
                if each.key is not None:
                    self.count(each.key, 1, each.retries)
                self.entries += each.entries
                if each.dead is not None:
                    self.dead_letters.keep(each, delivery.new)
            for retry in retries:
                if retry.id in self._waiting:
                    self._waiting[retry.id] = _noted(self._waiting[retry.id], retry)

    def wait(self, timeout_seconds: float) -> None:
        """See DeliveryQueue."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self._newest == self._heard and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            self._heard = self._newest

    def count(self, key: OutcomeKey, count: int, retries: int) -> None:
        """Add to the outcomes; a key that falls to zero is gone."""
        tally = self.tallies.setdefault(key, Tally())
        tally.count += count
        tally.retries += retries
        if not tally.count:
            del self.tallies[key]


class MemoryDeadLetters:
    """DeadLetterStore of a MemoryDeliveryQueue."""

    def __init__(self, queue: MemoryDeliveryQueue) -> None:
        self._queue = queue
        self._letters: dict[int, tuple[Settled, NewDelivery]] = {}
        self._newest = 0

    def keep(self, settled: Settled, delivery: NewDelivery) -> None:
        """Keep what was set aside, and how to take it back."""
        self._newest += 1
        self._letters[self._newest] = (settled, delivery)

    def list(self, after: int, limit: int) -> Sequence[DeadLetter]:
        """See DeadLetterStore."""
        found = [self.get(each) for each in self._letters if each > after]
        return [each for each in found[:limit] if each is not None]

    def get(self, id: int) -> DeadLetter | None:
        """See DeadLetterStore."""
        kept = self._letters.get(id)
        return DeadLetter(id, kept[0].dead) if kept is not None and kept[0].dead is not None else None

    def redrive(self, id: int) -> bool:
        """See DeadLetterStore."""
        kept = self._letters.pop(id, None)
        if kept is None:
            return False
        settled, delivery = kept
        assert settled.key is not None, "what is set aside is counted"
        self._queue.count(settled.key, -1, -settled.retries)
        self._queue.append([delivery])
        return True

    def drop(self, id: int) -> bool:
        """See DeadLetterStore."""
        return self._letters.pop(id, None) is not None


def _noted(delivery: Delivery, retry: Retry) -> Delivery:
    return msgspec.structs.replace(
        delivery,
        attempts=retry.attempts,
        due_at_ms=retry.due_at_ms,
        first_attempt_at_ms=retry.first_attempt_at_ms,
        progress=retry.progress,
        reason=retry.reason,
    )
