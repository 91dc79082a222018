"""`mainstem replay`: archived events once more, as the configuration is now.

Each goes in alone, under the messageId that it had, beside the log; the pipeline takes them as it takes new ones,
except that they count neither as received nor in usage and that deduplication does not apply. An event that was sent
twice is replayed once. Source: product guide, "Replay"; judgements are marked.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from mainstem.errors import MainstemError
from mainstem.model.event import CALL, EVENT_TYPES, counted_name, dedupe_key, from_record, to_record
from mainstem.model.ports import EntryKind, NewEntry
from mainstem.model.snapshot import Snapshot
from mainstem.model.suppression import is_suppressed
from mainstem.model.trace import KeptTrace, Passage
from mainstem.pipeline.normalize import message_id_of
from mainstem.pipeline.step import Item, Request, SourceScope
from mainstem.pipeline.unpack import unpack

PORTION: Final = 200
MOST_WAITING: Final = 1_000
MOST_DELIVERIES: Final = 50_000
_READ_BYTES: Final = 4 * 1024 * 1024
_TRACES_AT_ONCE: Final = 16
_SLACK_MS: Final = 60_000  # blocks are in the order of writing, records in them nearly in that of receipt
_REMEMBERED: Final = 2_000_000  # messageIds in a row among which a second one is noticed; about 100 bytes each
_PAUSE_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = 10.0
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Senseless(MainstemError):
    """What was asked for makes no sense; the message says why."""


class Archive(Protocol):
    """The event log, read as an archive."""

    def read(self, after: int, limit_bytes: int) -> Sequence[Any]:
        """See EventLog."""

    def before(self, at_ms: int) -> int:
        """A position after which everything lies that was received at this time or later."""


class Traces(Protocol):
    """What became of events, with the records of those that never were on the event log."""

    def after(self, id: int, limit: int) -> Sequence[KeptTrace]:
        """See TraceStore."""


class Wanted(msgspec.Struct, frozen=True):
    """Which archived events: received in [from_ms, to_ms), of this source, with one of these names, of this user
    (userId or anonymousId); empty is any."""

    from_ms: int
    to_ms: int
    source_id: str = ""
    events: Sequence[str] = ()
    user: str = ""


class Archived(msgspec.Struct, frozen=True):
    """An archived event: `record` holds it alone, as it can go the whole way again."""

    received_at_ms: int
    source_id: str
    message_id: str
    record: bytes


class Reading:
    """Reads the archive; afterwards `passed_over` tells how many events or requests were not taken, and why."""

    def __init__(self, archive: Archive, snapshot: Snapshot, processed: int, traces: Traces | None = None) -> None:
        """`processed` is the position of the pipeline: what lies after it comes for the first time anyway. What
        source functions emitted is in the `traces` alone."""
        self._archive = archive
        self._traces = traces
        self._snapshot = snapshot
        self._processed = processed
        self._seen: tuple[set[int], set[int]] = (set(), set())
        self.passed_over: Counter[str] = Counter()

    def events(self, wanted: Wanted) -> Iterator[Archived]:
        """The wanted events, in the order in which they were accepted; after them those that source functions
        emitted, in the order in which they did."""
        yield from self._accepted(wanted)
        sources = self._snapshot.sources
        asked = [sources[wanted.source_id]] if wanted.source_id in sources else sources.values()
        if self._traces is not None and any(each.function is not None for each in asked):
            yield from self._emitted(wanted, self._traces)

    def _emitted(self, wanted: Wanted, traces: Traces) -> Iterator[Archived]:
        last = 0
        while kept := traces.after(last, _TRACES_AT_ONCE):
            for each in kept:
                if isinstance(each.block, Passage) and each.block.kind == EntryKind.REQUEST:
                    for origin, record in zip(each.block.origins, each.block.records, strict=True):
                        yield from self._of_record(record, origin, wanted)[1] if record else ()
            last = kept[-1].id

    def _accepted(self, wanted: Wanted) -> Iterator[Archived]:
        position = self._archive.before(wanted.from_ms)
        while blocks := self._archive.read(position, _READ_BYTES):
            for block in blocks:
                if block.position > self._processed:
                    return
                is_later = True
                for place, record in enumerate(block.records):
                    origin = f"{block.position}.{place}"
                    at_ms, events = self._of_record(record, origin, wanted)
                    is_later = is_later and at_ms >= wanted.to_ms + _SLACK_MS
                    yield from events
                if is_later:
                    return
            position = blocks[-1].position

    def _of_record(self, record: bytes, origin: str, wanted: Wanted) -> tuple[int, list[Archived]]:
        received = from_record(record)
        at_ms = received.received_at_ms
        if not wanted.from_ms <= at_ms < wanted.to_ms or wanted.source_id not in ("", received.source_id):
            return at_ms, []
        source = self._snapshot.sources.get(received.source_id)
        reason = ""
        if source is None:
            reason = "the source is gone"
        elif not source.enabled:
            reason = "the source is disabled"
        elif received.kind == CALL:
            reason = "a call of a source function: what it emitted is replayed while its trace is kept"
        if source is None or reason:
            self.passed_over[reason] += 1
            return at_ms, []
        items = unpack(Request(0, origin, record), SourceScope(self._snapshot, lambda _: set()))
        taken = [self._taken(item, source.workspace_id, wanted) for item in items]
        return at_ms, [each for each in taken if each is not None]

    def _taken(self, item: Item, workspace_id: str, wanted: Wanted) -> Archived | None:
        payload, received = item.payload, item.received
        type_ = payload.get("type") if received.kind == "batch" and isinstance(payload, dict) else received.kind
        if not isinstance(payload, dict) or type_ not in EVENT_TYPES:
            self.passed_over["no event"] += 1
            return None
        if wanted.events and counted_name(type_, payload) not in wanted.events:
            return None
        if wanted.user and wanted.user not in (payload.get("userId"), payload.get("anonymousId")):
            return None
        if is_suppressed(self._snapshot.suppressed, workspace_id, received.source_id, type_, payload):
            self.passed_over["the user is suppressed"] += 1
            return None
        message_id = message_id_of(item)
        if self._is_seen(dedupe_key(workspace_id, str(message_id))):
            self.passed_over["sent before, with the same messageId"] += 1
            return None
        body = msgspec.json.encode({**payload, "type": type_, "messageId": message_id})
        record = to_record(msgspec.structs.replace(received, kind=type_, body=body))
        return Archived(received.received_at_ms, received.source_id, str(message_id), record)

    def _is_seen(self, key: int) -> bool:
        older, newer = self._seen
        if key in newer or key in older:
            return True
        newer.add(key)
        if len(newer) >= _REMEMBERED:
            self._seen = (newer, set())
        return False


class Intake(Protocol):
    """Where replayed events enter, and how much is before them."""

    def enter(self, entries: Sequence[NewEntry]) -> None:
        """See PipelineStore."""

    def waiting(self) -> int:
        """Entries that the pipeline has not taken yet."""

    def deliveries(self) -> int:
        """Deliveries that wait for destinations."""


class Progress(msgspec.Struct):
    """How far it is; `waits_for` says what it waits for, "" for nothing."""

    entered: int = 0
    at_ms: int = 0
    waits_for: str = ""


def replay(
    events: Iterator[Archived],
    destination_id: str,
    intake: Intake,
    tell: Callable[[Progress], object],
    *,
    rate: float = 0.0,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Enter the events, for one destination or for all (""), and return how many; at most `rate` a second, if
    given. Goes on only while what was entered is taken and delivered, so that new events are not held up for long."""
    progress, began = Progress(), clock()
    portion: list[NewEntry] = []
    for event in events:
        portion.append(NewEntry(EntryKind.REPLAY, destination_id, event.record))
        progress.at_ms = event.received_at_ms
        if len(portion) >= PORTION:
            _enter(portion, intake, progress, tell, pause, clock)
            portion = []
            if rate and (early := progress.entered / rate - (clock() - began)) > 0:
                pause(early)
    if portion:
        _enter(portion, intake, progress, tell, pause, clock)
    return progress.entered


def _enter(
    portion: Sequence[NewEntry],
    intake: Intake,
    progress: Progress,
    tell: Callable[[Progress], object],
    pause: Callable[[float], object],
    clock: Callable[[], float],
) -> None:
    began, before = clock(), None
    while waits_for := _waits_for(intake):
        waiting = intake.waiting()
        if before is None or waiting != before:
            began, before = clock(), waiting
        is_stuck = waits_for == "the pipeline" and clock() - began > _IDLE_SECONDS
        progress.waits_for = f"{waits_for}, which takes none: does the server run?" if is_stuck else waits_for
        tell(progress)
        pause(_PAUSE_SECONDS)
    intake.enter(portion)
    progress.entered += len(portion)
    progress.waits_for = ""
    tell(progress)


def _waits_for(intake: Intake) -> str:
    if intake.waiting() > MOST_WAITING:
        return "the pipeline"
    return "destinations" if intake.deliveries() > MOST_DELIVERIES else ""


def read_time(text: str, now: datetime) -> int:
    """A time as an operator writes it, as Unix milliseconds: ISO 8601 (UTC unless it says otherwise), "now", or how
    long ago: 90s, 15m, 2h, 3d. Raises Senseless."""
    ago = _AGO.fullmatch(text)
    try:
        if text == "now":
            when = now
        elif ago:
            when = now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        else:
            when = datetime.fromisoformat(text)
            when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        known = "2026-11-23T06:00:00Z, now, or how long ago, such as 90m or 2h"
        raise Senseless(f"{text} is no time; these are: {known}") from None
    return int(when.timestamp() * 1000)
