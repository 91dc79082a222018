"""Rate limits: a fixed window of a minute per token and operation.

Limits come from the contract (an argument of the operation), else the default; an operator can raise them
for a token, an operation, or one at the other. Source: Public API reference, "Rate Limits"; the window's
form and the default of 1,000 a minute are judgements.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final, Protocol

import msgspec

from mainstem.errors import TooManyRequests

WINDOW_SECONDS: Final = 60
OVERTAKEN_SECONDS: Final = 10.0  # at most, that one request looks at the clock before another and counts after it
_LONGEST_SECONDS: Final = 86_400  # no limit counts for longer than a day
_MANY_WINDOWS: Final = 100_000


class Rate(msgspec.Struct, frozen=True):
    """At most `requests` in `window_seconds`."""

    requests: int
    window_seconds: int = WINDOW_SECONDS


def per_minute(requests: int) -> Rate:
    """A limit per minute."""
    return Rate(requests)


class Usage(msgspec.Struct, frozen=True):
    """Where a token stands with an operation."""

    limit: int
    consumed: int
    resets_at: float

    @property
    def headers(self) -> dict[str, str]:
        """The documented headers; Reset is an RFC 5322 date."""
        return {
            "X-RateLimit-Consumed": str(self.consumed),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.consumed)),
            "X-RateLimit-Reset": formatdate(math.ceil(self.resets_at), usegmt=True),  # who waits for it gets in
        }


def is_over(start: float, now: float, window_seconds: int) -> bool:
    """Whether a window that began at `start` has ended at `now`, or the clock was set back behind it. A request that
    looked at the clock a moment before the one that began the window belongs to it."""
    return now - start >= window_seconds or now < start - OVERTAKEN_SECONDS


class Windows(Protocol):
    """Where requests are counted. Safe to call from several threads."""

    def count(self, token_id: str, operation_id: str, now: float, window_seconds: int) -> tuple[float, int]:
        """Count one request at `now` (Unix seconds); returns when its window began and the requests in it."""


class LocalWindows:
    """Windows of one process."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}  # when it began, and requests since
        self._tidy_at = _MANY_WINDOWS
        self._lock = threading.Lock()

    def count(self, token_id: str, operation_id: str, now: float, window_seconds: int) -> tuple[float, int]:
        """See Windows."""
        key = (token_id, operation_id)
        with self._lock:
            start, consumed = self._windows.get(key, (now, 0))
            if is_over(start, now, window_seconds):
                start, consumed = now, 0
            consumed += 1
            self._windows[key] = (start, consumed)
            if len(self._windows) > self._tidy_at:
                self._forget_old(now)
        return start, consumed

    def _forget_old(self, now: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if now - window[0] < _LONGEST_SECONDS}
        self._tidy_at = max(_MANY_WINDOWS, 2 * len(self._windows))  # so that tidying costs little per request


class Limiter:
    """Counts requests. Safe to call from several threads."""

    def __init__(
        self, default: int, overrides: Mapping[str, int], *, enforced: bool, windows: Windows | None = None
    ) -> None:
        """`overrides` are limits per minute by operation id, token id, or `token:operation`. `windows` are the
        ones that several processes share; by default those of this process."""
        self._default, self._overrides, self._enforced = default, overrides, enforced
        self._windows = windows or LocalWindows()

    def limit(self, token_id: str, operation_id: str, rate: Rate | None) -> Rate:
        """The limit in force: the most specific override, else the operation's own, else the default."""
        for name in (f"{token_id}:{operation_id}", token_id, operation_id):
            if name in self._overrides:
                return Rate(self._overrides[name])
        return rate or Rate(self._default)

    def consume(self, token_id: str, operation_id: str, rate: Rate | None, now: float) -> Usage:
        """Count one request at `now` (Unix seconds). Raises TooManyRequests when the window is used up; a
        refused request is counted too, but does not lengthen the wait."""
        limit = self.limit(token_id, operation_id, rate)
        start, consumed = self._windows.count(token_id, operation_id, now, limit.window_seconds)
        usage = Usage(limit.requests, consumed, start + limit.window_seconds)
        if self._enforced and consumed > limit.requests:
            refused = TooManyRequests(consumed, math.ceil((usage.resets_at - now) * 1000))
            refused.headers |= usage.headers
            raise refused
        return usage
