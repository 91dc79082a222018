"""`mainstem replay --dry-run`: what archived events would come to, as it is and with something else in place.

Both run through the tuples of the pipeline in this process. Nothing is written and nothing is delivered; insert
functions do run, in the sandbox, and reach what networks they may.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import msgspec
from aiohttp import ClientSession
from msgspec.structs import replace

from mainstem.commands.replaying import Archived, Senseless
from mainstem.commands.tracing import differences
from mainstem.commands.trial_files import TRIAL
from mainstem.destinations.base import Connection, Filtered, Left, Message, Rejected, Retryable
from mainstem.destinations.functions import Functions
from mainstem.model.enforcement import Enforcers
from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.ports import EntryKind, NewDelivery, Processed
from mainstem.model.snapshot import (
    INSERT_FUNCTION,
    DestinationConfig,
    FilterConfig,
    FunctionConfig,
    FunctionUse,
    PlanConfig,
    Snapshot,
    SourceConfig,
    TransformationConfig,
)
from mainstem.model.trace import Passage
from mainstem.pipeline.digest import Filters, Surroundings, Transformations, digest, digest_inserted
from mainstem.pipeline.names import Names
from mainstem.pipeline.step import Request
from mainstem.sandbox import Sandbox

PORTION: Final = 500
SAMPLES: Final = 10
QUEUED: Final = "would be sent"
AGAIN: Final = "would be tried again"
_AT_ONCE: Final = 50  # functions that run beside each other


class Change(msgspec.Struct, frozen=True):
    """What to put in place, for these sources ("" is all) and this destination ("" is all): as many of a tracking
    plan, a destination filter, a transformation and an insert function as are not None. What has the id of something
    there takes its place; what has none comes beside what is there. A plan takes the place of the present one."""

    source_id: str = ""
    destination_id: str = ""
    plan: PlanConfig | None = None
    filter: FilterConfig | None = None
    transformation: TransformationConfig | None = None
    function: FunctionConfig | None = None

    @property
    def is_empty(self) -> bool:
        """True when nothing would be other than it is."""
        return (self.plan, self.filter, self.transformation, self.function) == (None, None, None, None)


def changed(snapshot: Snapshot, change: Change) -> Snapshot:
    """The configuration with the change in place. Raises Senseless when there is nothing that it could be for."""
    sources = {
        each.id: _changed_source(each, change) if change.source_id in ("", each.id) else each
        for each in snapshot.sources.values()
    }
    destinations = {each.id: each for source in sources.values() for each in (*source.destinations, *source.detours)}
    if change.destination_id and change.destination_id not in destinations:
        raise Senseless(f"there is no destination {change.destination_id}")
    plans, functions = dict(snapshot.plans), dict(snapshot.functions)
    if change.plan is not None:
        plans[change.plan.id] = change.plan
    if change.function is not None:
        functions[change.function.id] = change.function
    return replace(snapshot, sources=sources, destinations=destinations, plans=plans, functions=functions)


def _changed_source(source: SourceConfig, change: Change) -> SourceConfig:
    if change.plan is not None:
        source = replace(source, tracking_plan_id=change.plan.id)
    if change.transformation is not None:
        source = replace(source, transformations=_with(source.transformations, change.transformation))
    if change.function is not None and change.function.kind == "INSERT_SOURCE":
        source = replace(source, insert=_use(source.insert, change.function))
    destinations = tuple(
        _changed_destination(each, change) if change.destination_id in ("", each.id) else each
        for each in source.destinations
    )
    return replace(source, destinations=destinations)


def _changed_destination(destination: DestinationConfig, change: Change) -> DestinationConfig:
    if change.filter is not None:
        destination = replace(destination, filters=_with(destination.filters, change.filter))
    if change.function is not None and change.function.kind == "INSERT_DESTINATION":
        destination = replace(destination, insert=_use(destination.insert, change.function))
    return destination


def _with(present: Iterable[Any], new: Any) -> tuple[Any, ...]:
    kept = list(present)
    if any(each.id == new.id for each in kept):
        return tuple(new if each.id == new.id else each for each in kept)
    return (*kept, new)


def _use(present: FunctionUse | None, function: FunctionConfig) -> FunctionUse:
    """The function in place, with the settings of the one that was there."""
    return FunctionUse(TRIAL, function.id, present.settings if present is not None else {})


# ---- running


class Fate(msgspec.Struct, frozen=True):
    """What would become of an event at the source or at a destination: QUEUED with the body that would go out, AGAIN,
    or an outcome with its reason."""

    stage: str
    reason: str = ""
    body: bytes = b""


Fates = dict[tuple[str, str], Fate]
"""By destination ("" is the source) and mapping."""


class Run:
    """One configuration, and what events come to under it. `random` is the same for every Run, so that what samples
    by chance decides alike."""

    def __init__(self, snapshot: Snapshot, only_to: str, functions: Functions | None) -> None:
        self._snapshot = snapshot
        self._functions = functions
        self._around = Surroundings(
            snapshot, _none_seen, Filters(), Names(), random.Random(0).random, 0,  # noqa: S311 samples
            is_replay=True, only_to=only_to,
            transformations=Transformations(), enforcers=Enforcers(), kind=EntryKind.REPLAY,
        )  # fmt: skip

    async def fates(self, events: Sequence[Archived]) -> list[Fates]:
        """The fates of each event, in order."""
        requests = [Request(place, str(place), each.record) for place, each in enumerate(events)]
        found: list[Fates] = [{} for _ in events]
        detoured = self._take(digest(0, 0, requests, self._around), found)
        if detoured:
            back = await _all(self._after_source(place, each, found) for place, each in detoured)
            returned = [(place, event) for place, event in back if event is not None]
            for number, (_, event) in enumerate(returned):
                event.request, event.number = number, 0
            around = replace(self._around, kind=EntryKind.INSERTED, origins=[str(place) for place, _ in returned])
            self._take(digest_inserted(0, [event for _, event in returned], around), found)
        await _all(self._inserted(key, fates) for fates in found for key in list(fates))
        return found

    def _take(self, processed: Processed, found: list[Fates]) -> list[tuple[int, NewDelivery]]:
        """Enter what came of a batch; returns what goes round by the function of its source, and whose it is."""
        bodies = {(each.message_id, each.destination_id, each.subscription_id): each for each in processed.deliveries}
        detoured = []
        for trace in processed.traces:
            block = cast(Passage, trace.block)
            for end in block.ends:
                for place in end.events:
                    fates = found[_event_of(block, place)]
                    fates[end.destination_id, ""] = Fate(end.stage or "vanished", end.reason)
            for queued in block.queued:
                for place in queued.events:
                    key = (queued.destination_id, queued.subscription_id)
                    delivery = bodies[block.message_ids[place], *key]
                    if queued.destination_id.startswith(INSERT_FUNCTION):
                        detoured.append((_event_of(block, place), delivery))
                    else:
                        found[_event_of(block, place)][key] = Fate(QUEUED, "", delivery.body)
        return detoured

    async def _after_source(self, place: int, delivery: NewDelivery, found: list[Fates]) -> tuple[int, Event | None]:
        use = self._snapshot.sources[delivery.source_id].insert
        assert use is not None, "it was detoured by it"
        fate, left = await _outcome(self._needed().after_source(use), delivery, Stage.FILTERED_AT_SOURCE)
        if left is None:
            found[place]["", ""] = fate
            return place, None
        return place, msgspec.json.decode(left.entries[0].body, type=Event)

    async def _inserted(self, key: tuple[str, str], fates: Fates) -> None:
        """Send what would go to a destination through the insert function in front of it."""
        destination = self._snapshot.destinations.get(key[0])
        if destination is None or destination.insert is None or fates[key].stage != QUEUED:
            return
        sent: list[Message] = []

        async def keep(message: Message, _http: ClientSession) -> None:
            sent.append(message)

        connection = self._needed().in_front_of(destination.insert, Connection(keep))
        payload = msgspec.json.decode(fates[key].body)
        message = Message(
            fates[key].body, 0, 0, payload.get("projectId", ""), str(payload.get("messageId")), payload["type"]
        )
        fate, _ = await _ended(connection, message, Stage.FILTERED_AT_DESTINATION)
        fates[key] = Fate(QUEUED, "", sent[0].body) if sent else fate

    def _needed(self) -> Functions:
        assert self._functions is not None, "there are functions, so there is a sandbox"
        return self._functions


def _event_of(block: Passage, place: int) -> int:
    return int(block.origins[block.requests[place]])


async def _outcome(connection: Connection, delivery: NewDelivery, stage: Stage) -> tuple[Fate, Left | None]:
    message = Message(
        delivery.body, 0, 0, delivery.source_id, delivery.message_id, delivery.event_type, delivery.received_at_ms
    )
    return await _ended(connection, message, stage)


async def _ended(connection: Connection, message: Message, stage: Stage) -> tuple[Fate, Left | None]:
    try:
        left = await connection.perform(message, cast(ClientSession, None))  # functions bring their own
    except Retryable as failure:
        return Fate(AGAIN, failure.reason), None
    except (Filtered, Rejected) as failure:
        return Fate(stage, failure.reason), None
    return Fate(QUEUED), left


async def _all(work: Iterable[Any]) -> list[Any]:
    """Await everything, some at a time."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Any) -> Any:
        async with room:
            return await each

    return await asyncio.gather(*map(one, work))


def _none_seen(_ids: Sequence[int]) -> set[int]:
    return set()


# ---- comparing


class Differs(msgspec.Struct, frozen=True):
    """An event whose fate differs, at the source or a destination; `changes` are of what would go out."""

    message_id: str
    destination_id: str
    before: str
    after: str
    changes: list[tuple[str, Any, Any]]


class Report(msgspec.Struct):
    """How many events there were, how many differ, counts of (destination, mapping, fate) before and after, and how
    many would go out in another form."""

    events: int = 0
    different: int = 0
    before: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    after: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    reformed: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    samples: list[Differs] = []

    def add(self, event: Archived, before: Fates, after: Fates) -> None:
        """Count an event."""
        self.events += 1
        is_different = False
        for key in [*before, *(each for each in after if each not in before)]:
            one, other = before.get(key), after.get(key)
            if one is not None:
                self.before[*key, said(one)] += 1
            if other is not None:
                self.after[*key, said(other)] += 1
            if one == other:
                continue
            is_different = True
            if said(one) == said(other):
                self.reformed[key] += 1
            if len(self.samples) < SAMPLES:
                changes = list(differences(_object(one), _object(other))) if one and other else []
                self.samples.append(Differs(event.message_id, key[0], said(one), said(other), changes))
        self.different += is_different


def said(fate: Fate | None) -> str:
    """A fate in words."""
    if fate is None:
        return "nothing"
    return f"{fate.stage.replace('_', ' ')}{', ' if fate.reason else ''}{fate.reason}"


def _object(fate: Fate) -> Any:
    return msgspec.json.decode(fate.body) if fate.body else {}


@asynccontextmanager
async def _functions(snapshots: Sequence[Snapshot], sandbox: Sandbox) -> AsyncIterator[list[Functions]]:
    """What calls the functions of each configuration; nothing that they say is kept."""
    try:
        yield [Functions(sandbox, snapshot.functions.get, lambda _: None) for snapshot in snapshots]
    finally:
        await sandbox.close()


async def compare(
    events: Iterator[Archived], before: Snapshot, after: Snapshot, only_to: str, sandbox: Sandbox
) -> Report:
    """Run events under both configurations, for one destination or all of them ("")."""
    report = Report()
    async with _functions([before, after], sandbox) as (first, second):
        runs = (Run(before, only_to, first), Run(after, only_to, second))
        for portion in _portions(events):
            one, other = [await run.fates(portion) for run in runs]
            for event, its_before, its_after in zip(portion, one, other, strict=True):
                report.add(event, its_before, its_after)
    return report


def _portions(events: Iterator[Archived]) -> Iterator[list[Archived]]:
    portion: list[Archived] = []
    for event in events:
        portion.append(event)
        if len(portion) >= PORTION:
            yield portion
            portion = []
    if portion:
        yield portion
