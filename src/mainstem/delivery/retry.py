"""When a failed delivery is tried again, and when a destination counts as down.

Source: "Retries between Segment and destinations" (four hours, randomised exponential backoff), discard codes
of the delivery overview; numbers beside these are judgements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from mainstem.destinations.base import Retryable
from mainstem.model.ports import Delivery, Retry
from mainstem.settings import Settings

DOWN_AFTER: Final = 10
_PROBE_CAP_SECONDS: Final = 60.0
_STANDING_REASONS: Final = frozenset(
    {
        "429", "502", "503", "EREFUSED", "ETIMEDOUT", "ENOTFOUND", "ECONNRESET",
        "retry", "gateway_timeout", "RETRY_ERROR", "FUNCTION_TIMEOUT",
    }
)  # fmt: skip


class Backoff(msgspec.Struct, frozen=True):
    """The waits between attempts: min(cap, base * 2^n) * jitter, until the horizon. The last attempt is made
    when the horizon is reached, or after `most` retries. All in milliseconds; `jitter` returns 0 to 1."""

    base_ms: float
    cap_ms: float
    horizon_ms: float
    jitter: Callable[[], float]
    most: float = math.inf

    @classmethod
    def of(cls, settings: Settings, jitter: Callable[[], float]) -> Backoff:
        """The backoff that the operator set."""
        hours, base, cap = settings.retry_hours, settings.retry_base_seconds, settings.retry_cap_seconds
        return cls(base * 1000, cap * 1000, hours * 3_600_000, jitter)

    def of_source_function(self) -> Backoff:
        """Calls of source functions: at most six retries, the first after one to three minutes, 20 minutes apart
        at most. Source: "Source functions", retries; shorter where the operator wants shorter waits."""

        def jitter() -> float:
            return (1 + 2 * self.jitter()) / 3

        base_ms, cap_ms = min(6 * self.base_ms, 180_000), min(self.cap_ms, 1_200_000)
        return Backoff(base_ms, cap_ms, self.horizon_ms, jitter, most=6)

    def wait_ms(self, attempts: int) -> float:
        """How long to wait after `attempts` failed attempts, 1 or more."""
        return min(self.cap_ms, self.base_ms * 2.0 ** min(attempts - 1, 40)) * self.jitter()

    def probe_wait_ms(self, probes: int) -> float:
        """How long to wait before looking again whether a destination is up, after `probes` looks; at most a
        minute, and never less than half of what it could be."""
        most = min(self.cap_ms, _PROBE_CAP_SECONDS * 1000, self.base_ms * 2.0 ** min(probes, 40))
        return most * (0.5 + self.jitter() / 2)


def next_attempt(delivery: Delivery, failure: Retryable, backoff: Backoff, now_ms: int) -> Retry | None:
    """The retry after one more failed attempt, None when the time for retries is over.

    A partner's Retry-After is kept, within the horizon. The number of attempts has no limit of its own: with
    waits this random ten attempts would be over after about an hour, not after the documented four.
    """
    first_ms = delivery.first_attempt_at_ms or now_ms
    end_ms = int(first_ms + backoff.horizon_ms)
    if now_ms >= end_ms or delivery.attempts >= backoff.most:
        return None
    wait_ms = max(backoff.wait_ms(delivery.attempts + 1), (failure.retry_after_seconds or 0) * 1000)
    due_ms = min(now_ms + max(1, int(wait_ms)), end_ms)
    return Retry(delivery.id, delivery.attempts + 1, due_ms, first_ms, failure.progress, failure.reason)


def is_over(delivery: Delivery, down_since_ms: int, backoff: Backoff, now_ms: int) -> bool:
    """True when a delivery has waited out its time at a destination that is down. One that was never tried
    waits from when it was received or, if that is later, from when the destination was found down."""
    received_at_ms = delivery.new.received_at_ms
    waits_since_ms = received_at_ms if received_at_ms <= now_ms else 0  # else the clock was set back meanwhile
    since_ms = delivery.first_attempt_at_ms or max(waits_since_ms, down_since_ms)
    return now_ms >= since_ms + backoff.horizon_ms


def as_of(delivery: Delivery, backoff: Backoff, now_ms: int) -> Delivery:
    """The delivery, due now if its retry lies further ahead than any wait can be: that was noted before the
    clock was set back."""
    if delivery.due_at_ms <= now_ms + backoff.horizon_ms:
        return delivery
    return Delivery(delivery.id, delivery.new, delivery.attempts, now_ms, now_ms, delivery.progress, delivery.reason)


def final_reason(reason: str) -> str:
    """What a delivery that ran out of time counts as: its last code if the delivery overview knows that as a
    failure of its own, else RETRY (also for one never tried)."""
    return reason if reason in _STANDING_REASONS else "RETRY"


class Health(msgspec.Struct):
    """Whether a destination is worth trying. Ten different deliveries failing for a while, with no answer that
    settles one in between, make it down; then one delivery at a time is a probe, and costs it no attempt."""

    failing: set[int] = msgspec.field(default_factory=set)
    down_since_ms: int = 0
    probes: int = 0
    probe_at_ms: float = 0

    @property
    def is_down(self) -> bool:
        """True from the tenth failure to the next settled delivery."""
        return self.down_since_ms > 0

    def settled(self) -> bool:
        """Note that the partner decided about a delivery; True when that ends a time of being down."""
        was_down = self.is_down
        self.failing.clear()
        self.down_since_ms = self.probes = 0
        self.probe_at_ms = 0
        return was_down

    def failed(self, id: int, failure: Retryable, backoff: Backoff, now_ms: int) -> bool:
        """Note a failed attempt that was no probe; True when with it the destination goes down."""
        self.failing.add(id)
        if self.is_down or len(self.failing) < DOWN_AFTER:
            return False
        self.down_since_ms = now_ms
        self._schedule_probe(failure, backoff, now_ms)
        return True

    def probe_failed(self, failure: Retryable, backoff: Backoff, now_ms: int) -> None:
        """Note that the destination is still down."""
        self.probes += 1
        self._schedule_probe(failure, backoff, now_ms)

    def _schedule_probe(self, failure: Retryable, backoff: Backoff, now_ms: int) -> None:
        asked_ms = min((failure.retry_after_seconds or 0) * 1000, backoff.horizon_ms)
        self.probe_at_ms = max(self.probe_at_ms, now_ms + max(backoff.probe_wait_ms(self.probes), asked_ms))
