"""Turn a batch of requests into deliveries, counts and dead letters: all tuples, run over the whole batch."""

from __future__ import annotations

import copy
import functools
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
from mainstem.model.suppression import is_suppressed
from mainstem.model.trace import FROM_LOG
from mainstem.model.transformation import TransformationSet, transformations_of
from mainstem.model.trigger import Matches
from mainstem.pipeline import AFTER_FUNCTION, AT_SOURCE, FROM_SOURCE, TO_DESTINATION, UNDER_PLAN, Note, run, set_aside
from mainstem.pipeline.forward import tells_violation
from mainstem.pipeline.learn import Learner
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
from mainstem.pipeline.tracing import Tracer

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
    received nor in usage, and what the source drops of it is not counted again; it goes to the destination
    `only_to`, or to all of them. `kind` is where the events come from (model/trace.py), `origins` names each of
    them where they do not come in requests, `tracer` is the present batch's."""

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
    learner: Learner = msgspec.field(default_factory=Learner)
    kind: str = FROM_LOG
    origins: Sequence[str] = ()
    tracer: Tracer | None = None

    def note_at(self, destination_id: str = "") -> Note | None:
        """What is told of each step at the source, or on the way to a destination."""
        return functools.partial(self.tracer.note, destination_id) if self.tracer is not None else None


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
            return _all_set_aside(after, position, requests[0], error, around)
    middle = len(requests) // 2
    first = digest(after, position, requests[:middle], around)
    second = digest(after, position, requests[middle:], _having_seen(around, first.seen))
    return joined(first, second)


def digest_inserted(position: int, events: Sequence[Event], around: Surroundings) -> Processed:
    """Process events that came back from the insert function of their source, while the log stands at `position`."""
    try:
        return _digest_inserted(position, events, around)
    except EngineUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if len(events) == 1:
            counts, tracer = Counts(), _tracer_of_events(events, around)
            failed = Failed(events[0], "digest", describe(error))
            tracer.fail(failed)
            dead = [set_aside.from_source(failed, {}, counts, around.now_ms)]
            return Processed(position, position, tallies=counts.tallies(), dead=dead, traces=tracer.finish())
    middle = len(events) // 2
    return joined(
        digest_inserted(position, events[:middle], around), digest_inserted(position, events[middle:], around)
    )


def _digest_inserted(position: int, events: Sequence[Event], around: Surroundings) -> Processed:
    counts, tracer = Counts(), _tracer_of_events(events, around)
    around = msgspec.structs.replace(around, tracer=tracer)
    known = [each for each in events if each.source_id in around.snapshot.sources]
    verdicts = run(AFTER_FUNCTION, known, SourceScope(around.snapshot, around.already_seen))
    gone = [each for each in events if each.source_id not in around.snapshot.sources]
    dropped = [Dropped(each.event, Stage.FILTERED_AT_SOURCE, "message_rejected") for each in verdicts.dropped]
    dropped += [Dropped(each, Stage.FILTERED_AT_SOURCE, "unknown_source") for each in gone]
    _at_source(counts, around).drop(dropped)
    for each in dropped:
        tracer.end(each, "after_function")
    results = _go_on(verdicts.kept, counts, around)
    results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
    for failed in verdicts.failed:
        tracer.fail(failed)
    return results.processed(position, position, tracer)


def _tracer_of_events(events: Sequence[Event], around: Surroundings) -> Tracer:
    """For events that come without their requests."""
    tracer = Tracer(around.kind, around.now_ms, around.origins, [b""] * len(around.origins), 0)
    tracer.register(events, around.kind)
    return tracer


class _Results(msgspec.Struct):
    """What gathers while a batch is processed."""

    counts: Counts
    deliveries: list[NewDelivery] = []
    dead: list[SetAside] = []

    def processed(self, after: int, position: int, tracer: Tracer, seen: Sequence[int] = ()) -> Processed:
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
            traces=tracer.finish(),
        )


def _digest(after: int, position: int, requests: Sequence[Request], around: Surroundings) -> Processed:
    counts, tracer = Counts(), _tracer_of_requests(requests, around)
    around = msgspec.structs.replace(around, tracer=tracer)
    by_index = {request.index: request for request in requests}
    scope = SourceScope(around.snapshot, around.already_seen)
    if around.is_replay:
        scope = msgspec.structs.replace(scope, replayed_to=around.only_to)
    verdicts = run(FROM_SOURCE, requests, scope, around.note_at())
    received = [*verdicts.kept, *(each.event for each in verdicts.detoured if each.event is not None)]
    around.names.bound(received)
    around.names.bound(each.event for each in verdicts.dropped)
    at_source = _at_source(counts, around)
    at_source.drop(verdicts.dropped)
    at_source.receive(received)
    results = _go_on(verdicts.kept, counts, around)
    results.deliveries += [each.delivery for each in verdicts.detoured]
    results.dead += [set_aside.from_source(each, by_index, counts, around.now_ms) for each in verdicts.failed]
    _note_batches(by_index, verdicts, at_source)
    return results.processed(after, position, tracer, [event.key for event in received])


def _at_source(counts: Counts, around: Surroundings) -> Counts:
    """Where events are counted until they leave their source: for a replay, which was counted when it came in, what
    this returns is thrown away."""
    return Counts() if around.is_replay else counts


def _tracer_of_requests(requests: Sequence[Request], around: Surroundings) -> Tracer:
    return Tracer.of_requests(around.kind, around.now_ms, requests, are_on_log=around.kind == FROM_LOG)


def _go_on(events: Sequence[Event], counts: Counts, around: Surroundings) -> _Results:
    """The way of events from the plan of their source to the queue, and of those that are forwarded from there:
    they are received by another source, which does not judge them again. What a replay would forward was forwarded
    when it came in."""
    results, note, at_source = _Results(counts), around.note_at(), _at_source(counts, around)
    if not around.is_replay:
        around.learner.note(events)
    scope = SourceScope(around.snapshot, around.already_seen, around.transformations.of, around.enforcers)
    verdicts = run(UNDER_PLAN, events, scope, note)
    forwarded: list[Event] = []
    for each in verdicts.forwarded:
        if not around.is_replay and _is_taken(each, around.snapshot):
            forwarded.append(each)
        elif around.tracer is not None:
            around.tracer.end(Dropped(each, None, "not_forwarded"), "forward")
    at_source.drop(verdicts.dropped)
    around.names.bound(forwarded)
    at_source.receive(forwarded)
    around.learner.note(each for each in forwarded if not tells_violation(each))
    results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
    allowed = [*verdicts.kept, *forwarded]
    at_source.use(allowed)
    verdicts = run(AT_SOURCE, allowed, scope, note)
    at_source.drop(verdicts.dropped)
    results.dead += [set_aside.from_source(each, {}, counts, around.now_ms) for each in verdicts.failed]
    results.deliveries += _fan_out(verdicts.kept, around, counts, results.dead)
    return results


def _is_taken(event: Event, snapshot: Snapshot) -> bool:
    """Does the source that the event is forwarded to take it: enabled, and its user not suppressed there?"""
    source = snapshot.sources.get(event.source_id)
    if source is None or not source.enabled:
        return False
    return not is_suppressed(snapshot.suppressed, source.workspace_id, source.id, event.type, event.payload)


def _all_set_aside(after: int, position: int, request: Request, error: Exception, around: Surroundings) -> Processed:
    counts, tracer = Counts(), _tracer_of_requests([request], around)
    failed = Failed(request, "digest", describe(error))
    tracer.fail(failed)
    dead = [set_aside.from_source(failed, {}, counts, around.now_ms)]
    return Processed(after, position, tallies=counts.tallies(), dead=dead, traces=tracer.finish())


def _having_seen(around: Surroundings, seen: Collection[int]) -> Surroundings:
    before, also = around.already_seen, set(seen)
    return msgspec.structs.replace(around, already_seen=lambda ids: before(ids) | also.intersection(ids))


def joined(first: Processed, second: Processed) -> Processed:
    """What came of two batches that are saved together."""
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
        traces=[*first.traces, *second.traces],
    )


def digest_again(position: int, event: Event, destination_id: str, around: Surroundings) -> Processed:
    """Send an event to one destination once more, while the log stands at `position`, after a step on the way
    there had failed on it. When the destination is gone or disabled meanwhile, the event ends uncounted, as
    one that comes in now would."""
    counts, dead, tracer = Counts(), list[SetAside](), _tracer_of_events([event], around)
    around = msgspec.structs.replace(around, tracer=tracer)
    source = around.snapshot.sources.get(event.source_id)
    destinations = source.destinations if source else ()
    to = [each for each in destinations if each.id == destination_id]
    try:
        deliveries = _send([event], to, around, counts, dead) if to else []
    except Exception as error:  # noqa: BLE001 - as above
        failed = Failed(event, "digest", describe(error))
        tracer.fail(failed, destination_id)
        deliveries, dead = [], [set_aside.to_destination(failed, destination_id, counts, around.now_ms)]
    return Processed(
        position, position, deliveries=deliveries, tallies=counts.tallies(), dead=dead, traces=tracer.finish()
    )


def _fan_out(
    events: Sequence[Event], around: Surroundings, counts: Counts, dead: list[SetAside]
) -> list[NewDelivery]:
    by_source: dict[str, list[Event]] = {}
    for event in events:
        by_source.setdefault(event.source_id, []).append(event)
    deliveries = []
    for source_id, its_events in by_source.items():
        destinations = around.snapshot.sources[source_id].destinations
        if not around.only_to:
            deliveries += _send(its_events, destinations, around, counts, dead)
            continue
        for each in destinations:
            if each.id == around.only_to:
                deliveries += _send(_for_one(its_events, each, around), [each], around, counts, dead)
    return deliveries


def _for_one(events: Sequence[Event], destination: DestinationConfig, around: Surroundings) -> list[Event]:
    """Replayed events for one destination alone, by its display name; what the users consented to stays.
    Source: product guide, "What happens to integrations and consent objects during a replay"."""
    integrations = {"All": False, destination.name: True}
    changed = [copy.copy(event) for event in events]
    for each in changed:
        each.payload = {**each.payload, "integrations": integrations}
    if around.tracer is not None:
        around.tracer.change(changed, "replay", destination.id)
    return changed


def _send(
    events: Sequence[Event],
    destinations: Sequence[DestinationConfig],
    around: Surroundings,
    counts: Counts,
    dead: list[SetAside],
) -> list[NewDelivery]:
    """`events` are of one source, `destinations` some of its own."""
    deliveries: list[NewDelivery] = []
    bodies: dict[int, tuple[dict[str, Any], bytes]] = around.tracer.bodies if around.tracer is not None else {}
    source = around.snapshot.sources[events[0].source_id]
    for destination in destinations:
        if not destination.enabled:
            continue
        transformations = around.transformations.of(source, destination.metadata_id)
        filters, triggers = around.filters.of(destination), around.filters.triggers_of(destination)
        scope = DestinationScope(
            destination, filters, around.random, bodies, transformations, triggers, source.schema.integrations_off
        )
        verdicts = run(TO_DESTINATION, events, scope, around.note_at(destination.id))
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
