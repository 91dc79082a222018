"""What a pipeline is made of: steps, what they see, and what they say of an event.

A step is a plain function of a verb's name. It never logs, counts, sleeps or reads a clock, and it never
changes the payload it is given. `each`, `spread` and `whole` lift such functions to batches, and hold apart
an event on which a step fails, so that the others go on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mainstem.errors import EngineUnavailable
from mainstem.model.destination_filter import FilterSet
from mainstem.model.enforcement import Enforcers
from mainstem.model.event import EVENT_TYPES, Event, Received, counted_name, counted_version
from mainstem.model.outcome import Stage
from mainstem.model.ports import NewDelivery
from mainstem.model.snapshot import DestinationConfig, Snapshot, SourceConfig
from mainstem.model.transformation import NONE, TransformationSet, transformations_of
from mainstem.model.trigger import Matches


class Request(msgspec.Struct, frozen=True):
    """A record to be processed. `index` is its place among those processed together, `origin` names it for
    ever (where it lies on the log), so that an id derived from it is the same when it is processed again."""

    index: int
    origin: str
    record: bytes


class Item(msgspec.Struct, frozen=True):
    """One event as it lay in its request, before anything is known of it: `payload` may be any JSON value."""

    request: int
    number: int
    origin: str
    received: Received
    payload: Any

    def as_event(self) -> Event:
        """What can be said of it if it ends here: enough to count it."""
        payload = self.payload if isinstance(self.payload, dict) else {}
        claimed = payload.get("type") if self.received.kind == "batch" else self.received.kind
        type_ = claimed if isinstance(claimed, str) and claimed in EVENT_TYPES else ""
        message_id = payload.get("messageId")
        return Event(
            source_id=self.received.source_id,
            workspace_id="",
            type=type_,
            name=counted_name(type_, payload),
            app_version=counted_version(payload),
            message_id=message_id if isinstance(message_id, str) else "",
            key=0,
            user="",
            received_at_ms=self.received.received_at_ms,
            payload=payload,
            request=self.request,
            number=self.number,
        )


class SourceScope(msgspec.Struct, frozen=True):
    """What the steps from the source may know. `already_seen` returns those of the dedupe keys that were
    saved within the window, `transformations` those of a source itself, compiled; `replayed_to` see Event."""

    snapshot: Snapshot
    already_seen: Callable[[Sequence[int]], set[int]]
    transformations: Callable[[SourceConfig], TransformationSet] = transformations_of
    enforcers: Enforcers = msgspec.field(default_factory=Enforcers)
    replayed_to: str | None = None


class DestinationScope(msgspec.Struct, frozen=True):
    """What the steps to a destination may know. `transformations` are those of the source for destinations of
    its type; `triggers` those of its enabled mappings by the mapping's id, None when it has no actions;
    `integrations_off` what the schema of the source switches off, see SchemaControls. `random` returns a number in
    [0, 1). `bodies` remembers payloads written already, by identity, so that destinations that get the same one
    share the work; it holds the payloads too, for an identity is only theirs while they live."""

    destination: DestinationConfig
    filters: FilterSet
    random: Callable[[], float]
    bodies: dict[int, tuple[dict[str, Any], bytes]]
    transformations: TransformationSet = NONE
    triggers: Sequence[tuple[str, Matches]] | None = None
    integrations_off: Mapping[str, tuple[str, ...]] = {}


class Dropped(msgspec.Struct, frozen=True):
    """The event ends here. `stage` None: it vanishes uncounted, as a duplicate does."""

    event: Event
    stage: Stage | None
    reason: str


class Failed(msgspec.Struct, frozen=True):
    """The step `where` raised on this: an Event, an Item, or a Request that could not be read."""

    what: Event | Item | Request
    where: str
    error: str


class Detoured(msgspec.Struct, frozen=True):
    """The event, or the call of a source function, waits for a function. When that has run, what it returned
    enters the pipeline again."""

    delivery: NewDelivery
    event: Event | None = None


class Verdicts(msgspec.Struct):
    """What became of a batch. `forwarded` are new events for other sources, which come on top of it."""

    kept: list[Any] = []
    dropped: list[Dropped] = []
    failed: list[Failed] = []
    detoured: list[Detoured] = []
    forwarded: list[Event] = []

    def and_then(self, other: Verdicts) -> Verdicts:
        """Both, in order."""
        names = self.__struct_fields__
        return Verdicts(**{name: getattr(self, name) + getattr(other, name) for name in names})


def _always(_scope: Any) -> bool:
    return True


class Step(msgspec.Struct, frozen=True):
    """A step lifted to batches. `spreads`: it makes several things of one, so more may come out than went in. `when`
    tells by the scope whether it could change or drop any event at all; otherwise it is passed over."""

    name: str
    does: str
    apply: Callable[[Sequence[Any], Any], Verdicts]
    spreads: bool = False
    when: Callable[[Any], object] = _always


def each(step: Callable[[Any, Any], Any], *, when: Callable[[Any], object] = _always) -> Step:
    """Lift a function of one event. It returns the event, changed or not, Dropped, or Detoured."""

    def apply(batch: Sequence[Any], scope: Any) -> Verdicts:
        verdicts = Verdicts()
        keep = verdicts.kept.append
        for event in batch:
            try:
                result = step(event, scope)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not hold up the other events
                verdicts.failed.append(Failed(event, step.__name__, describe(error)))
                continue
            if type(result) is Dropped:
                verdicts.dropped.append(result)
            elif type(result) is Detoured:
                verdicts.detoured.append(result)
            else:
                keep(result)
        return verdicts

    return Step(step.__name__, _promise(step), apply, when=when)


def spread(step: Callable[[Any, Any], Iterable[Any]]) -> Step:
    """Lift a function that makes several things of one."""

    def apply(batch: Sequence[Any], scope: Any) -> Verdicts:
        verdicts = Verdicts()
        for one in batch:
            try:
                verdicts.kept.extend(step(one, scope))
            except Exception as error:  # noqa: BLE001 - as above
                verdicts.failed.append(Failed(one, step.__name__, describe(error)))
        return verdicts

    return Step(step.__name__, _promise(step), apply, spreads=True)


def whole(step: Callable[[Sequence[Any], Any], Verdicts], *, spreads: bool = False) -> Step:
    """Lift a function of a batch, such as one that asks a store. When it fails, the batch is halved until the events
    on which it fails stand alone; a store that cannot answer is no fault of the events and goes to the caller.
    """

    def apply(batch: Sequence[Any], scope: Any) -> Verdicts:
        try:
            return step(batch, scope)
        except EngineUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(batch) == 1:
                return Verdicts(failed=[Failed(batch[0], step.__name__, describe(error))])
            middle = len(batch) // 2
            first, second = apply(batch[:middle], scope), apply(batch[middle:], scope)
            return first.and_then(second)

    return Step(step.__name__, _promise(step), apply, spreads)


def describe(error: Exception) -> str:
    """The kind of error and where it was raised. Its message stays out: it may quote a user's data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _promise(step: Callable[..., Any]) -> str:
    return (step.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
