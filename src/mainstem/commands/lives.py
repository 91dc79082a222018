"""The life of an event, put together from what the pipeline and the delivery workers wrote down, and the archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from mainstem.model.event import dedupe_key
from mainstem.model.ports import EventLog, TraceStore
from mainstem.model.snapshot import Snapshot
from mainstem.model.trace import (
    ATTEMPTED_AGAIN,
    FROM_LOG,
    MADE_OF_RECORD,
    Attempt,
    Attempts,
    End,
    Exchanged,
    Passage,
    key_of,
)
from mainstem.pipeline.normalize import normalize
from mainstem.pipeline.step import Item, Request, SourceScope
from mainstem.pipeline.unpack import unpack

Payload = dict[str, Any]


class Became(msgspec.Struct, frozen=True):
    """A step gave the event this payload; None when it cannot be told any more."""

    step: str
    payload: Payload | None


class Tried(msgspec.Struct, frozen=True):
    """An attempt at a delivery, and what was exchanged."""

    attempt: Attempt
    exchanges: Sequence[Exchanged]


class Branch(msgspec.Struct):
    """The way to one destination, or round by a function: steps that changed the event there, what ended it there,
    the mappings that it was queued for ("" for none), and the attempts."""

    destination_id: str
    changes: list[Became] = []
    ends: list[End] = []
    subscriptions: list[str] = []
    tried: list[Tried] = []


class Pass(msgspec.Struct):
    """Once through the pipeline. `raw` is the event as it came, with what its batch had for it; None when it is
    not in the archive any more, or came without a request. `kind` and `origin` as in Passage."""

    at_ms: int
    kind: str
    origin: str
    number: int
    source_id: str
    type: str
    name: str
    user: str
    raw: Any = None
    changes: list[Became] = []
    ends: list[End] = []
    branches: dict[str, Branch] = {}

    def branch(self, destination_id: str) -> Branch:
        """The way to this destination, made when it is new."""
        found = self.branches.get(destination_id)
        if found is None:
            found = self.branches[destination_id] = Branch(destination_id)
        return found


class Life(msgspec.Struct):
    """All passes of an event, oldest first; attempts whose pass is not known any more stand in `stray`."""

    message_id: str
    passes: list[Pass] = []
    stray: list[Tried] = []


class Fate(msgspec.Struct, frozen=True):
    """How it stands, at the source (`destination_id` "") or at a destination. `stage` is an outcome, or "waiting" for
    an attempt (due at `due_at_ms`, if one failed), "in function", or "vanished"."""

    destination_id: str
    subscription_id: str
    stage: str
    reason: str = ""
    attempts: int = 0
    due_at_ms: int = 0


class Lives:
    """Looks events up. `log` is the archive; `snapshot` tells how they were normalised."""

    def __init__(self, traces: TraceStore, log: EventLog, snapshot: Snapshot) -> None:
        self._traces = traces
        self._log = log
        self._snapshot = snapshot

    def find(self, message_id: str, source_id: str = "") -> Life:
        """The life of the event with this messageId, from this source if given; without passes and attempts when
        nothing is known of it. A batch that was processed twice, because of a crash, is told as the last time."""
        workspaces = {source.workspace_id for source in self._snapshot.sources.values()}
        keys = [key_of(message_id), *(dedupe_key(workspace_id, message_id) for workspace_id in workspaces)]
        passes: dict[tuple[str, str, int, str], Pass] = {}
        tried: list[Tried] = []
        for kept in self._traces.find(keys):
            if isinstance(kept.block, Attempts):
                tried += attempts_of(kept.block, message_id, source_id)
                continue
            for each in self.passes_of(kept.block, message_id, source_id):
                key = (each.kind, each.origin, each.number, each.source_id)
                passes.pop(key, None)
                passes[key] = each
        life = Life(message_id, list(passes.values()))
        for each_tried in tried:
            _give(life, each_tried)
        return life

    def passes_of(self, block: Passage, message_id: str, source_id: str = "") -> Iterator[Pass]:
        """The passes of this event in a block."""
        for place, each in enumerate(block.message_ids):
            if each == message_id and source_id in ("", block.source_ids[place]):
                yield self._pass(block, place)

    def _pass(self, block: Passage, place: int) -> Pass:
        request, number = block.requests[place], block.numbers[place]
        found = Pass(
            block.at_ms, block.kind, block.origins[request] if request < len(block.origins) else "", number,
            block.source_ids[place], block.types[place], block.names[place], block.users[place],
        )  # fmt: skip
        record = self._record(block, request, found.origin)
        normalised = None
        if record is not None:
            found.raw, normalised = remade(record, found.origin, number, self._snapshot)
        for change in block.changes:
            for event, body in zip(change.events, change.bodies, strict=True):
                if event == place:
                    payload = normalised if body == MADE_OF_RECORD else msgspec.json.decode(block.bodies[body])
                    became = Became(change.step, payload)
                    at = found.branch(change.destination_id).changes if change.destination_id else found.changes
                    at.append(became)
        for end in block.ends:
            if place in end.events:
                (found.branch(end.destination_id).ends if end.destination_id else found.ends).append(end)
        for queued in block.queued:
            if place in queued.events:
                found.branch(queued.destination_id).subscriptions.append(queued.subscription_id)
        return found

    def _record(self, block: Passage, request: int, origin: str) -> bytes | None:
        if block.kind != FROM_LOG:
            return block.records[request] or None if request < len(block.records) else None
        position, _, place = origin.partition(".")
        for found in self._log.read(int(position) - 1, 1):
            if found.position == int(position) and int(place) < len(found.records):
                return found.records[int(place)]
        return None


def remade(record: bytes, origin: str, number: int, snapshot: Snapshot) -> tuple[Any, Payload | None]:
    """An event of a record as it came, and as the pipeline normalised it, which follows from it as long as its
    source is there; each None when it cannot be told."""
    scope = SourceScope(snapshot, _none_seen)
    try:
        item = next(each for each in unpack(Request(0, origin, record), scope) if each.number == number)
    except (StopIteration, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None, None
    return item.payload, _normalised(item, scope)


def _normalised(item: Item, scope: SourceScope) -> Payload | None:
    try:
        return normalize(item, scope).payload
    except Exception:  # noqa: BLE001 - what is no event failed there, too
        return None


def _none_seen(_ids: Sequence[int]) -> set[int]:
    return set()


def attempts_of(block: Attempts, message_id: str, source_id: str = "") -> Iterator[Tried]:
    """The attempts at this event in a block."""
    for each in block.attempts:
        if each.message_id == message_id and source_id in ("", each.source_id):
            yield Tried(each, [block.exchanges[index] for index in each.exchanges])


def _give(life: Life, tried: Tried) -> None:
    """An attempt belongs to the last pass before it that queued its delivery."""
    attempt = tried.attempt
    for each in reversed(life.passes):
        branch = each.branches.get(attempt.destination_id)
        if (
            branch is not None
            and attempt.subscription_id in branch.subscriptions
            and each.at_ms <= attempt.ended_at_ms
        ):
            branch.tried.append(tried)
            return
    life.stray.append(tried)


def fates(one: Pass) -> list[Fate]:
    """What became of one pass, at the source or at each destination."""
    found = [Fate("", "", end.stage or "vanished", end.reason) for end in one.ends]
    for branch in one.branches.values():
        found += [Fate(branch.destination_id, "", end.stage, end.reason) for end in branch.ends]
        found += [_queued(branch, each) for each in branch.subscriptions]
    return found


def _queued(branch: Branch, subscription_id: str) -> Fate:
    tried = [each.attempt for each in branch.tried if each.attempt.subscription_id == subscription_id]
    if not tried:
        return Fate(branch.destination_id, subscription_id, "waiting")
    last = tried[-1]
    stage = "waiting" if last.stage == ATTEMPTED_AGAIN else last.stage
    return Fate(branch.destination_id, subscription_id, stage, last.reason, last.number, last.due_at_ms)
