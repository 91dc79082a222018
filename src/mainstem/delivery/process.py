"""The loop from the event log to the queue of deliveries.

It reads blocks, runs both tuples of the pipeline over them, and saves what came of it together with the
position, so that a crash at any moment repeats the batch whole and nothing is queued or counted twice.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from mainstem.delivery.garbage import rare_collections
from mainstem.errors import EngineUnavailable
from mainstem.model.enforcement import Enforcers
from mainstem.model.event import Event
from mainstem.model.ports import Block, Entry, EntryKind, EventLog, PipelineStore, Processed, Redriven, TraceStore
from mainstem.model.snapshot import LiveSnapshot
from mainstem.model.trace import REDRIVEN
from mainstem.pipeline.digest import (
    Filters,
    Surroundings,
    Transformations,
    digest,
    digest_again,
    digest_inserted,
    joined,
)
from mainstem.pipeline.learn import Learner
from mainstem.pipeline.names import Names
from mainstem.pipeline.step import Request

BATCH_BYTES: Final = 1024 * 1024
_IDLE_SECONDS: Final = 1.0
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_TIDY_EVERY_SECONDS: Final = 30.0
_REDRIVEN_AT_ONCE: Final = 100
_ENTRIES_AT_ONCE: Final = 500
_COLLECT_AFTER_OBJECTS: Final = 1_000_000  # several times what a batch holds

_log: Final = logging.getLogger(__name__)


def process(
    log: EventLog,
    store: PipelineStore,
    snapshot: LiveSnapshot,
    stop: threading.Event,
    clock: Callable[[], float],
    *,
    sample: Callable[[], float] = random.random,
    traces: TraceStore | None = None,
    tidy: Callable[[], object] = lambda: None,
) -> None:
    """Process until `stop`. `clock` tells Unix seconds, `sample` a number in [0, 1) for filters that sample;
    `traces` is told what became of each event; `tidy` is called twice a minute, for other stores' housekeeping.

    A store that cannot be used is waited for, with growing pauses of up to 2 seconds; nothing is lost by it.
    """
    with rare_collections(_COLLECT_AFTER_OBJECTS):
        _loop(log, stop, _Work(log, store, snapshot, clock, sample, traces, tidy))


def _loop(log: EventLog, stop: threading.Event, work: _Work) -> None:
    pause = 0.0
    while not stop.is_set():
        try:
            progressed = work.step()
        except EngineUnavailable as error:
            if not pause:
                _log.warning("the pipeline waits: %s", error)
            pause = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            stop.wait(pause)
            continue
        if pause:
            _log.warning("the pipeline goes on")
            pause = 0.0
        if not progressed:
            log.wait(_IDLE_SECONDS)


class _Work:
    """What the loop holds between its rounds."""

    def __init__(
        self,
        log: EventLog,
        store: PipelineStore,
        snapshot: LiveSnapshot,
        clock: Callable[[], float],
        sample: Callable[[], float],
        traces: TraceStore | None,
        tidy: Callable[[], object],
    ) -> None:
        self._log = log
        self._traces = traces
        self._tidy_others = tidy
        self._unsaved: Sequence[int] = ()  # traces of a batch that could not be saved, and will come again
        self._store = store
        self._snapshot = snapshot
        self._clock = clock
        self._sample = sample
        self._filters = Filters()
        self._transformations = Transformations()
        self._enforcers = Enforcers()
        self._learner = Learner()
        self._names = Names()
        self._tidy_at = 0.0

    def step(self) -> bool:
        """Process one batch of the log, what was re-driven and what entered beside the log; False when there was
        none of it."""
        position = self._store.position()
        blocks = self._log.read(position, BATCH_BYTES)
        redriven = self._store.redriven(_REDRIVEN_AT_ONCE)
        entries = self._store.entries(_ENTRIES_AT_ONCE)
        # Only now: the configuration must be no older than the requests that were accepted under it.
        around = self._surroundings() if blocks or redriven or entries else None
        if around is not None and blocks:
            batch = digest(position, blocks[-1].position, _requests(blocks), around)
            self._save(batch, around.now_ms)
            position = batch.position
        if around is not None:
            for each in redriven:
                self._save(_again(position, each, around), around.now_ms)
            for batch in _entered(position, entries, around):
                self._save(batch, around.now_ms)
        self._tidy()
        return around is not None

    def _save(self, batch: Processed, now_ms: int) -> None:
        """Traces first: a crash in between repeats the batch and its traces, and the later ones count."""
        if self._traces is not None:
            self._unsaved = self._traces.keep(batch.traces, instead_of=self._unsaved)
        batch.learned = self._learner.news()
        self._store.save(batch, now_ms)
        self._learner.saved()
        self._unsaved = ()

    def _surroundings(self) -> Surroundings:
        before, current = self._snapshot.current, self._snapshot.refresh()
        if current is not before:
            self._filters.forget_others(current)
            self._transformations.forget_others(current)
            self._enforcers.forget_others(current)
        return Surroundings(
            current,
            self._store.already_seen,
            self._filters,
            self._names,
            self._sample,
            self._now_ms(),
            transformations=self._transformations,
            enforcers=self._enforcers,
            learner=self._learner,
        )

    def _tidy(self) -> None:
        if self._clock() >= self._tidy_at:
            self._store.tidy(self._now_ms())
            if self._traces is not None:
                self._traces.tidy()
            self._tidy_others()
            self._tidy_at = self._clock() + _TIDY_EVERY_SECONDS

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _requests(blocks: Sequence[Block]) -> list[Request]:
    requests: list[Request] = []
    for block in blocks:
        for place, record in enumerate(block.records):
            requests.append(Request(len(requests), f"{block.position}.{place}", record))
    return requests


def _again(position: int, redriven: Redriven, around: Surroundings) -> Processed:
    """Deduplication does not apply: what failed before was never delivered, wherever its id was noted."""
    origin = f"redriven.{redriven.id}"
    around = msgspec.structs.replace(around, already_seen=_none_seen, kind=REDRIVEN, origins=[origin])
    if redriven.destination_id:
        event = msgspec.json.decode(redriven.entry, type=Event)
        event.request = 0
        batch = digest_again(position, event, redriven.destination_id, around)
    else:
        batch = digest(position, position, [Request(0, origin, redriven.entry)], around)
    batch.redriven = (redriven.id,)
    return batch


def _entered(position: int, entries: Sequence[Entry], around: Surroundings) -> Iterator[Processed]:
    """Entries, made one batch for each way that they go."""
    ways: dict[tuple[EntryKind, str], list[Entry]] = {}
    for entry in entries:
        ways.setdefault((entry.new.kind, entry.new.destination_id), []).append(entry)
    for (kind, destination_id), its_entries in ways.items():
        around = msgspec.structs.replace(around, kind=kind, origins=[f"entry.{entry.id}" for entry in its_entries])
        if kind is EntryKind.INSERTED:
            batch = _enter_inserted(position, its_entries, around)
        else:
            batch = _enter_requests(kind, destination_id, position, its_entries, around)
        batch.entered = [entry.id for entry in its_entries]
        yield batch


def _enter_requests(
    kind: EntryKind, destination_id: str, position: int, entries: Sequence[Entry], around: Surroundings
) -> Processed:
    requests = [Request(place, f"entry.{entry.id}", entry.new.body) for place, entry in enumerate(entries)]
    if kind is EntryKind.REPLAY:
        around = msgspec.structs.replace(around, already_seen=_none_seen, is_replay=True, only_to=destination_id)
    return digest(position, position, requests, around)


def _enter_inserted(position: int, entries: Sequence[Entry], around: Surroundings) -> Processed:
    """What a replay sent round by the insert function remains a replay."""
    events: dict[str | None, list[Event]] = {}
    for place, entry in enumerate(entries):
        event = msgspec.json.decode(entry.new.body, type=Event)
        event.request, event.number = place, 0
        events.setdefault(event.replayed_to, []).append(event)
    batches = []
    for replayed_to, its_events in events.items():
        is_replay, only_to = replayed_to is not None, replayed_to or ""
        way = msgspec.structs.replace(around, is_replay=is_replay, only_to=only_to)
        batches.append(digest_inserted(position, its_events, way))
    return functools.reduce(joined, batches)


def _none_seen(_ids: Sequence[int]) -> set[int]:
    return set()
