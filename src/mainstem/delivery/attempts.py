"""Every attempt at a delivery, for the trace: what was asked and answered, and what followed from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from mainstem.delivery.redact import Redactor, secrets_of
from mainstem.destinations.base import Exchange
from mainstem.model.ports import Delivery, Retry, TraceStore
from mainstem.model.snapshot import DestinationConfig
from mainstem.model.trace import ATTEMPTED_AGAIN, Attempt, Attempts, Exchanged, NewTrace, key_of, mark, packed

MAX_IN_BLOCK: Final = 1_000
MAX_EXCHANGES: Final = 5  # of one attempt
MAX_DETAIL: Final = 1_000  # characters

Find = Callable[[str], DestinationConfig | None]
Secrets = Callable[[DestinationConfig], Collection[str]]


class _Noted(msgspec.Struct, gc=False):
    delivery: Delivery
    exchanges: Sequence[Exchange]
    redactor: Redactor
    stage: str
    reason: str
    due_at_ms: int
    began_at_ms: int
    ended_at_ms: int
    detail: str


class AttemptLog:
    """Gathers attempts on the event loop's thread; `flush` keeps them, on the thread of storage.

    `find` returns the configuration of a destination, of which `secrets` are taken out; those that it had before are
    taken out too, for a request may be on its way while they are changed.
    """

    def __init__(
        self,
        store: TraceStore,
        find: Find,
        *,
        secrets: Secrets = secrets_of,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._find = find
        self._secrets = secrets
        self._now_ms = now_ms
        self._noted: list[_Noted] = []
        self._redactors: dict[str, tuple[DestinationConfig | None, Redactor]] = {}

    def note(
        self,
        delivery: Delivery,
        exchanges: Sequence[Exchange],
        stage: str,
        reason: str,
        retry: Retry | None = None,
        *,
        began_at_ms: int = 0,
        detail: str = "",
    ) -> None:
        """Note an attempt that ended now, with `stage` and `reason` of its outcome or with the `retry` that follows;
        with `began_at_ms` 0, the end of a delivery that was not tried again. Members of a batch bring the same
        Exchange objects, which are kept once."""
        ended_at_ms = self._now_ms()
        self._noted.append(
            _Noted(
                delivery,
                exchanges if len(exchanges) <= MAX_EXCHANGES else exchanges[-MAX_EXCHANGES:],
                self._redactor(delivery.new.destination_id),
                stage if retry is None else ATTEMPTED_AGAIN,
                reason,
                retry.due_at_ms if retry is not None else 0,
                began_at_ms,
                ended_at_ms,
                detail,
            )
        )

    def flush(self) -> None:
        """Keep what was noted. Never fails; see TraceStore."""
        noted, self._noted = self._noted, []
        blocks = [self._block(noted[first : first + MAX_IN_BLOCK]) for first in range(0, len(noted), MAX_IN_BLOCK)]
        if blocks:
            self._store.keep(blocks)

    def _redactor(self, destination_id: str) -> Redactor:
        config = self._find(destination_id)
        known = self._redactors.get(destination_id)
        if known is not None and known[0] is config:
            return known[1]
        secrets = frozenset(self._secrets(config)) if config is not None else frozenset()
        before = known[1].secrets if known is not None else frozenset()
        redactor = Redactor(secrets | before) if secrets - before or known is None else known[1]
        self._redactors[destination_id] = (config, redactor)
        return redactor

    def _block(self, noted: Sequence[_Noted]) -> NewTrace:
        index_of: dict[int, int] = {}  # by identity: `noted` keeps them alive
        kept: list[Exchanged] = []
        attempts = []
        for each in noted:
            indices = []
            for exchange in each.exchanges:
                index = index_of.get(id(exchange))
                if index is None:
                    index = index_of[id(exchange)] = len(kept)
                    kept.append(each.redactor.of(exchange))
                indices.append(index)
            attempts.append(_attempt(each, indices))
        marks = sorted({mark(each.destination_id, each.reason) for each in attempts})
        keys = packed([key_of(each.message_id) for each in attempts])
        return NewTrace(keys, "\n".join(marks), Attempts(noted[-1].ended_at_ms, kept, attempts))


def _attempt(noted: _Noted, exchanges: Sequence[int]) -> Attempt:
    new = noted.delivery.new
    number = noted.delivery.attempts + (noted.began_at_ms > 0)
    return Attempt(
        new.destination_id, new.subscription_id, new.source_id, new.message_id, new.event_type, new.event_name,
        number, noted.began_at_ms, noted.ended_at_ms, noted.stage, noted.reason, noted.due_at_ms, exchanges,
        noted.redactor.text(noted.detail)[:MAX_DETAIL] if noted.detail else "",
    )  # fmt: skip
