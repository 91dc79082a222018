"""Turn a batch of requests into deliveries, counts and dead letters: all tuples, run over the whole batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from mainstem.errors import EngineUnavailable
from mainstem.model.destination_filter import FilterSet
from mainstem.model.enforcement import Enforcers
from mainstem.model.event import Event, from_record
from mainstem.model.outcome import OutcomeKey, Stage, Tally
from mainstem.model.ports import NewDelivery, Processed, SetAside
from mainstem.model.snapshot import DestinationConfig, Snapshot, SourceConfig
from mainstem.model.transformation import TransformationSet, transformations_of
from mainstem.model.trigger import Matches
from mainstem.pipeline import AFTER_FUNCTION, AT_SOURCE, FROM_SOURCE, TO_DESTINATION, UNDER_PLAN, run, set_aside
from mainstem.pipeline.match_trigger import triggers_of
from mainstem.pipeline.names import Names
from mainstem.pipeline.step import (
    DestinationScope,
    Dropped,
    Failed,
    Request,
    SourceScope,
    Verdicts,
    describe,
)
from mainstem.pipeline.tally import MS_PER_MINUTE, Counts

Triggers = Sequence[tuple[str, Matches]] | None
MAX_BYTES_AT_ONCE: Final = 1024 * 1024


class Filters:
    """The filters of each destination and the triggers of its mappings, compiled when first needed and kept as
    long as the published configuration of the destination is the same object."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[DestinationConfig, FilterSet, Triggers]] = {}

    def of(self, destination: DestinationConfig) -> FilterSet:
        """The compiled filters of this destination."""
        return self._known(destination)[1]

    def triggers_of(self, destination: DestinationConfig) -> Triggers:
        """The compiled triggers of this destination (see DestinationScope)."""
        return self._known(destination)[2]

    def _known(self, destination: DestinationConfig) -> tuple[DestinationConfig, FilterSet, Triggers]:
        known = self._compiled.get(destination.id)
        if known is None or known[0] is not destination:
            known = (destination, FilterSet(destination.filters), triggers_of(destination))
            self._compiled[destination.id] = known
        return known

    def forget_others(self, snapshot: Snapshot) -> None:
        """Forget the destinations that `snapshot` does not have."""
        self._compiled = {each: known for each, known in self._compiled.items() if each in snapshot.destinations}


class Transformations:
    """The transformations of each source, for itself and for types of destinations, compiled when first needed and
    kept as long as the published configuration of the source is the same object."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[SourceConfig, dict[str, TransformationSet]]] = {}

    def of(self, source: SourceConfig, metadata_id: str = "") -> TransformationSet:
        """Those of the source itself, or those for destinations of the type `metadata_id`."""
        known = self._compiled.get(source.id)
        if known is None or known[0] is not source:
            known = self._compiled[source.id] = (source, {})
        found = known[1].get(metadata_id)
        if found is None:
            found = known[1][metadata_id] = transformations_of(source, metadata_id)
        return found

    def forget_others(self, snapshot: Snapshot) -> None:
        """Forget the sources that `snapshot` does not have."""
        self._compiled = {each: known for each, known in self._compiled.items() if each in snapshot.sources}


class Surroundings(msgspec.Struct, frozen=True):
    """What a batch is processed with. `now_ms` dates dead letters; `random` samples. A replay counts neither as
    received nor in usage; it goes to the destination `only_to`, or to all of them."""

    snapshot: Snapshot
    already_seen: Callable[[Sequence[int]], set[int]]
    filters: Filters
    names: Names
    random: Callable[[], float]
    now_ms: int
    is_replay: bool = False
    only_to: str = ""
    transformations: Transformations = msgspec.field(default_factory=Transformations)
    enforcers: Enforcers = msgspec.field(default_factory=Enforcers)


def digest(after: int, position: int, requests: Sequence[Request], around: Surroundings) -> Processed:
    """Process requests, each with an index of its own. What comes back is to be saved whole. Many at once are
    halved, because the shortest items make some hundred bytes of each of theirs.

    Should it fail on something else than a step, the requests are halved until the one at fault stands alone
    and is set aside: nothing that a client sends, and no configuration, may stop the others.
    """
    try:
        if len(requests) == 1 or sum(len(each.record) for each in requests) <= MAX_BYTES_AT_ONCE:
            return _digest(after, position, requests, around)
    except EngineUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not hold up the other requests
        if len(requests) == 1:
            return _all_set_aside(after, position, requests[0], error, around.now_ms)
    middle = len(requests) // 2
    first = digest(after, position, requests[:middle], around)
    second = digest(after, position, requests[middle:], _having_seen(around, first.seen))
    return _joined(first, second)


def digest_inserted(position: int, events: Sequence[Event], around: Surroundings) -> Processed:
    """Process events that came back from the insert function of their source, while the log stands at `position`."""
    try:
        counts = Counts()
        known = [each for each in events if each.source_id in around.snapshot.sources]
        verdicts = run(AFTER_FUNCTION, known, SourceScope(around.snapshot, around.already_seen))
        for each in verdicts.dropped:
            counts.note(each.event, "", Stage.FILTERED_AT_SOURCE, "message_rejected")
        for event in events:
            if event.source_id not in around.snapshot.sources:
                counts.note(event, "", Stage.FILTERED_AT_SOURCE, "unknown_source")
        results = _go_on(verdicts.kept, counts, around)
        results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
        return results.processed(position, position)
    except EngineUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if len(events) == 1:
            counts = Counts()
            dead = [set_aside.from_source(Failed(events[0], "digest", describe(error)), {}, counts, around.now_ms)]
            return Processed(position, position, tallies=counts.tallies(), dead=dead)
    middle = len(events) // 2
    return _joined(
        digest_inserted(position, events[:middle], around), digest_inserted(position, events[middle:], around)
    )


class _Results(msgspec.Struct):
    """What gathers while a batch is processed."""

    counts: Counts
    deliveries: list[NewDelivery] = []
    dead: list[SetAside] = []

    def processed(self, after: int, position: int, seen: Sequence[int] = ()) -> Processed:
        """All of it, to be saved."""
        return Processed(
            after=after,
            position=position,
            deliveries=self.deliveries,
            tallies=self.counts.tallies(),
            calls=self.counts.calls,
            seen=seen,
            users=self.counts.users,
            dead=self.dead,
        )


def _digest(after: int, position: int, requests: Sequence[Request], around: Surroundings) -> Processed:
    counts = Counts()
    by_index = {request.index: request for request in requests}
    verdicts = run(FROM_SOURCE, requests, SourceScope(around.snapshot, around.already_seen))
    received = [*verdicts.kept, *(each.event for each in verdicts.detoured if each.event is not None)]
    around.names.bound(received)
    around.names.bound(each.event for each in verdicts.dropped)
    counts.drop(verdicts.dropped)
    if not around.is_replay:
        counts.receive(received)
    results = _go_on(verdicts.kept, counts, around)
    results.deliveries += [each.delivery for each in verdicts.detoured]
    results.dead += [set_aside.from_source(each, by_index, counts, around.now_ms) for each in verdicts.failed]
    _note_batches(by_index, verdicts, counts)
    return results.processed(after, position, [event.key for event in received])


def _go_on(events: Sequence[Event], counts: Counts, around: Surroundings) -> _Results:
    """The way of events from the plan of their source to the queue, and of those that are forwarded from there:
    they are received by another source, which does not judge them again."""
    results = _Results(counts)
    scope = SourceScope(around.snapshot, around.already_seen, around.transformations.of, around.enforcers)
    verdicts = run(UNDER_PLAN, events, scope)
    counts.drop(verdicts.dropped)
    forwarded = [each for each in verdicts.forwarded if _is_open(each.source_id, around.snapshot)]
    around.names.bound(forwarded)
    counts.receive(forwarded)
    results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
    allowed = [*verdicts.kept, *forwarded]
    if not around.is_replay:
        counts.use(allowed)
    verdicts = run(AT_SOURCE, allowed, scope)
    counts.drop(verdicts.dropped)
    results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
    results.deliveries += _fan_out(verdicts.kept, around, counts, results.dead)
    return results


def _is_open(source_id: str, snapshot: Snapshot) -> bool:
    source = snapshot.sources.get(source_id)
    return source is not None and source.enabled


def _all_set_aside(after: int, position: int, request: Request, error: Exception, now_ms: int) -> Processed:
    counts = Counts()
    failed = Failed(request, "digest", describe(error))
    dead = [set_aside.from_source(failed, {}, counts, now_ms)]
    return Processed(after, position, tallies=counts.tallies(), dead=dead)


def _having_seen(around: Surroundings, seen: Collection[int]) -> Surroundings:
    before, also = around.already_seen, set(seen)
    return msgspec.structs.replace(around, already_seen=lambda ids: before(ids) | also.intersection(ids))


def _joined(first: Processed, second: Processed) -> Processed:
    tallies = dict(first.tallies)
    for key, tally in second.tallies.items():
        known = tallies.get(key, Tally())
        tallies[key] = Tally(known.count + tally.count, known.retries + tally.retries)
    return Processed(
        after=first.after,
        position=first.position,
        deliveries=[*first.deliveries, *second.deliveries],
        tallies=tallies,
        calls=Counter(first.calls) + Counter(second.calls),
        seen=[*first.seen, *second.seen],
        users={*first.users, *second.users},
        dead=[*first.dead, *second.dead],
    )


def digest_again(position: int, event: Event, destination_id: str, around: Surroundings) -> Processed:
    """Send an event to one destination once more, while the log stands at `position`, after a step on the way
    there had failed on it. When the destination is gone or disabled meanwhile, the event ends uncounted, as
    one that comes in now would."""
    counts, dead = Counts(), list[SetAside]()
    source = around.snapshot.sources.get(event.source_id)
    destinations = source.destinations if source else ()
    to = [each for each in destinations if each.id == destination_id]
    try:
        deliveries = _send([event], to, around, counts, dead) if to else []
    except Exception as error:  # noqa: BLE001 - as above
        failed = Failed(event, "digest", describe(error))
        deliveries, dead = [], [set_aside.to_destination(failed, destination_id, counts, around.now_ms)]
    return Processed(position, position, deliveries=deliveries, tallies=counts.tallies(), dead=dead)


def _fan_out(
    events: Sequence[Event], around: Surroundings, counts: Counts, dead: list[SetAside]
) -> list[NewDelivery]:
    by_source: dict[str, list[Event]] = {}
    for event in events:
        by_source.setdefault(event.source_id, []).append(event)
    deliveries = []
    for source_id, its_events in by_source.items():
        destinations = around.snapshot.sources[source_id].destinations
        if around.only_to:
            destinations = tuple(each for each in destinations if each.id == around.only_to)
        deliveries += _send(its_events, destinations, around, counts, dead)
    return deliveries


def _send(
    events: Sequence[Event],
    destinations: Sequence[DestinationConfig],
    around: Surroundings,
    counts: Counts,
    dead: list[SetAside],
) -> list[NewDelivery]:
    """`events` are of one source, `destinations` some of its own."""
    deliveries: list[NewDelivery] = []
    bodies: dict[int, tuple[dict[str, Any], bytes]] = {}
    source = around.snapshot.sources[events[0].source_id]
    for destination in destinations:
        if not destination.enabled:
            continue
        transformations = around.transformations.of(source, destination.metadata_id)
        filters, triggers = around.filters.of(destination), around.filters.triggers_of(destination)
        scope = DestinationScope(
            destination, filters, around.random, bodies, transformations, triggers, source.schema.integrations_off
        )
        verdicts = run(TO_DESTINATION, events, scope)
        counts.drop(verdicts.dropped, destination.id)
        dead += [set_aside.to_destination(each, destination.id, counts, around.now_ms) for each in verdicts.failed]
        deliveries += verdicts.kept
    return deliveries


def _note_batches(requests: Mapping[int, Request], verdicts: Verdicts, counts: Counts) -> None:
    """Note the batches of which items failed on ingest: some, or all of them."""
    refused = {each.event.request: each.event for each in verdicts.dropped if _refused_item(each)}
    if not refused:
        return
    went_on = {event.request for event in verdicts.kept}
    went_on.update(each.event.request for each in verdicts.detoured if each.event is not None)
    went_on.update(each.event.request for each in verdicts.dropped if each.stage is None)
    for request, event in refused.items():
        if from_record(requests[request].record).kind != "batch":
            continue
        reason = "multi_user_error" if request in went_on else "empty_batch_result"
        minute = event.received_at_ms // MS_PER_MINUTE
        counts.add(OutcomeKey(minute, event.source_id, "", Stage.ENVELOPE, reason, "", "", ""))


def _refused_item(dropped: Dropped) -> bool:
    return dropped.stage is Stage.FAILED_ON_INGEST and dropped.reason != "empty_batch"
