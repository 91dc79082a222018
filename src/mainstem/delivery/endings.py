"""What a delivery comes to, as it is written down: its outcome or its retry, what leaves a detour, and its trace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from mainstem.delivery.attempts import AttemptLog
from mainstem.delivery.outbound import Outbound
from mainstem.delivery.retry import Backoff, final_reason, next_attempt
from mainstem.delivery.sender import DROPPED, End, Sender
from mainstem.delivery.storage import Storage
from mainstem.destinations.base import Filtered, Left, Rejected, Retryable
from mainstem.model.outcome import Stage, success_reason
from mainstem.model.ports import Delivery, EntryKind, NewDeadLetter, NewEntry, Retry
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION
from mainstem.model.trace import RETURNED

log = logging.getLogger(__name__)

_REASONS_OF_FUNCTIONS: Final = frozenset({"retry", "gateway_timeout"})


class Endings:
    """Notes how attempts end, and what the health of their destination makes of it."""

    def __init__(self, storage: Storage, sender: Sender, backoff: Backoff, attempts: AttemptLog | None) -> None:
        self._storage = storage
        self._sender = sender
        self._backoff = backoff
        self._attempts = attempts

    def attempted(
        self, outbound: Outbound, delivery: Delivery, end: End, now_ms: int, *, is_probe: bool
    ) -> Retry | None:
        """Note what came of an attempt. Returns the retry that the delivery's lane waits for; a failed probe stays
        queued as it was."""
        if not isinstance(end, Retryable):
            self._arrived(outbound, delivery, end)
            return None
        if not is_probe:
            return self._failed(outbound, delivery, end, now_ms)
        outbound.health.probe_failed(end, self._backoff, now_ms)
        due_ms = int(outbound.health.probe_at_ms)
        retry = Retry(delivery.id, delivery.attempts, due_ms, 0, 0, end.reason)
        self._trace(delivery, "", end.reason, retry, detail=end.detail)
        return None

    def expired(self, outbound: Outbound, delivery: Delivery) -> None:
        """The time of a delivery was over while its destination was down."""
        reason = final_reason(delivery.reason)
        self._settle(delivery, stage_of(outbound.id, reason), reason, max(0, delivery.attempts - 1))

    def dropped(self, outbound: Outbound, deliveries: Sequence[Delivery]) -> None:
        """End what waits for a destination that was disabled or deleted meanwhile. It counts as failed delivery,
        MESSAGE_REJECTED ("request was blocked"), so that the sums still agree. Events whose insert function is
        gone go on without it. (Judgements.)"""
        for delivery in deliveries:
            if outbound.id.startswith(INSERT_FUNCTION):
                self._leave(delivery, [NewEntry(EntryKind.INSERTED, "", delivery.new.body)])
            elif outbound.id.startswith(SOURCE_FUNCTION):
                self._settle(delivery, Stage.FAILED_ON_INGEST, "source_disabled", max(0, delivery.attempts - 1))
            else:
                self._settle(delivery, Stage.FAILED_DELIVERY, DROPPED, max(0, delivery.attempts - 1))

    def _arrived(
        self, outbound: Outbound, delivery: Delivery, end: Rejected | Filtered | Left | NewDeadLetter | None
    ) -> None:
        """The delivery reached its end: it was taken, refused, went round a function, or broke the connector."""
        retries, destination_id = delivery.attempts, outbound.id
        if end is None:
            self._settle(delivery, Stage.SUCCESSFUL_DELIVERY, success_reason(delivery.attempts + 1), retries)
        elif isinstance(end, Left):
            self._leave(delivery, end.entries)
        elif isinstance(end, Rejected | Filtered):
            stage = stage_of(destination_id, end.reason, is_filtered=isinstance(end, Filtered))
            dead = self._sender.letter(delivery, end.detail or end.reason) if end.is_fault else None
            self._settle(delivery, stage, end.reason, retries, dead, detail=end.detail)
            if end.is_fault:
                return
        else:
            reason = "INTERNAL" if stage_of(destination_id, "") is Stage.FAILED_DELIVERY else "internal"
            self._settle(delivery, stage_of(destination_id, reason), reason, retries, end, detail=end.error)
            return
        if outbound.answered():
            log.warning("destination %s is up again", destination_id)

    def _failed(self, outbound: Outbound, delivery: Delivery, failure: Retryable, now_ms: int) -> Retry | None:
        """Note a failure that may pass; None when the time for retries is over."""
        if outbound.health.failed(delivery.id, failure, self._backoff, now_ms):
            log.warning("destination %s is down (%s): its deliveries wait", outbound.id, failure.reason)
            outbound.reread()
        is_call = outbound.id.startswith(SOURCE_FUNCTION)
        backoff = self._backoff.of_source_function() if is_call else self._backoff
        retry = next_attempt(delivery, failure, backoff, now_ms)
        if retry is None:
            reason = final_reason(failure.reason)
            self._settle(delivery, stage_of(outbound.id, reason), reason, delivery.attempts, detail=failure.detail)
        else:
            self._storage.note_retry(retry)
            self._trace(delivery, "", failure.reason, retry, detail=failure.detail)
        return retry

    def _settle(
        self, delivery: Delivery, stage: Stage, reason: str, retries: int, dead: NewDeadLetter | None = None,
        *, detail: str = "",
    ) -> None:  # fmt: skip
        self._storage.note_settled(delivery, stage, reason, retries, dead)
        self._trace(delivery, stage, reason, detail=detail)

    def _leave(self, delivery: Delivery, entries: Sequence[NewEntry]) -> None:
        self._storage.note_left(delivery, entries)
        self._trace(delivery, RETURNED, "")

    def _trace(
        self, delivery: Delivery, stage: str, reason: str, retry: Retry | None = None, *, detail: str = ""
    ) -> None:
        """Note how an attempt ended, or a delivery that was not tried again."""
        if self._attempts is None:
            return
        message = self._sender.take_sent(delivery)
        exchanges, began_at_ms = (message.exchanges, message.now_ms) if message is not None else ((), 0)
        self._attempts.note(delivery, exchanges, stage, reason, retry, began_at_ms=began_at_ms, detail=detail)


def stage_of(destination_id: str, reason: str, *, is_filtered: bool = False) -> Stage:
    """Where an event that was not delivered is counted: a detour ends at its source, and what a user's function
    decided is a filter. Source: delivery overview, discard reasons of functions."""
    if destination_id.startswith(SOURCE_FUNCTION):
        return Stage.FAILED_ON_INGEST
    if destination_id.startswith(INSERT_FUNCTION):
        return Stage.FILTERED_AT_SOURCE
    is_functions = is_filtered or reason in _REASONS_OF_FUNCTIONS
    return Stage.FILTERED_AT_DESTINATION if is_functions else Stage.FAILED_DELIVERY
