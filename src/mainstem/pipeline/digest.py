"""Turn a batch of requests into deliveries, counts and dead letters: both tuples, run over the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mainstem.model.destination_filter import FilterSet
from mainstem.model.event import Event, from_record
from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import NewDelivery, Processed, SetAside
from mainstem.model.snapshot import DestinationConfig, Snapshot
from mainstem.pipeline import FROM_SOURCE, TO_DESTINATION, run, set_aside
from mainstem.pipeline.step import DestinationScope, Dropped, Request, SourceScope, Verdicts
from mainstem.pipeline.tally import MS_PER_MINUTE, Counts


class Filters:
    """The filters of each destination, compiled when first needed and kept as long as the published
    configuration of the destination is the same object."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[DestinationConfig, FilterSet]] = {}

    def of(self, destination: DestinationConfig) -> FilterSet:
        """The compiled filters of this destination."""
        known = self._compiled.get(destination.id)
        if known is None or known[0] is not destination:
            known = self._compiled[destination.id] = (destination, FilterSet(destination.filters))
        return known[1]

    def forget_others(self, snapshot: Snapshot) -> None:
        """Forget the destinations that `snapshot` does not have."""
        self._compiled = {each: known for each, known in self._compiled.items() if each in snapshot.destinations}


class Surroundings(msgspec.Struct, frozen=True):
    """What a batch is processed with. `now_ms` dates dead letters; `random` samples."""

    snapshot: Snapshot
    already_seen: Callable[[Sequence[int]], set[int]]
    filters: Filters
    random: Callable[[], float]
    now_ms: int


def digest(after: int, position: int, requests: Sequence[Request], around: Surroundings) -> Processed:
    """Process requests; `Request.index` is the index in `requests`. What comes back is to be saved whole."""
    counts = Counts()
    verdicts = run(FROM_SOURCE, requests, SourceScope(around.snapshot, around.already_seen))
    counts.drop(verdicts.dropped)
    counts.receive(verdicts.kept)
    dead = [set_aside.from_source(each, requests, counts, around.now_ms) for each in verdicts.failed]
    _note_batches(requests, verdicts, counts)
    deliveries = _fan_out(verdicts.kept, around, counts, dead)
    return Processed(
        after=after,
        position=position,
        deliveries=deliveries,
        tallies=counts.tallies(),
        calls=counts.calls,
        seen=[event.key for event in verdicts.kept],
        users=counts.users,
        dead=dead,
    )


def digest_again(position: int, event: Event, destination_id: str, around: Surroundings) -> Processed:
    """Send an event to one destination once more, while the log stands at `position`, after a step on the way
    there had failed on it. When the destination is gone or disabled meanwhile, the event ends uncounted, as
    one that comes in now would."""
    counts, dead = Counts(), list[SetAside]()
    source = around.snapshot.sources.get(event.source_id)
    destinations = source.destinations if source else ()
    deliveries = _send([event], [each for each in destinations if each.id == destination_id], around, counts, dead)
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
        deliveries += _send(its_events, destinations, around, counts, dead)
    return deliveries


def _send(
    events: Sequence[Event],
    destinations: Sequence[DestinationConfig],
    around: Surroundings,
    counts: Counts,
    dead: list[SetAside],
) -> list[NewDelivery]:
    deliveries: list[NewDelivery] = []
    bodies: dict[int, tuple[dict[str, Any], bytes]] = {}
    for destination in destinations:
        if not destination.enabled:
            continue
        scope = DestinationScope(destination, around.filters.of(destination), around.random, bodies)
        verdicts = run(TO_DESTINATION, events, scope)
        counts.drop(verdicts.dropped, destination.id)
        dead += [set_aside.to_destination(each, destination.id, counts, around.now_ms) for each in verdicts.failed]
        deliveries += verdicts.kept
    return deliveries


def _note_batches(requests: Sequence[Request], verdicts: Verdicts, counts: Counts) -> None:
    """Note the batches of which items failed on ingest: some, or all of them."""
    refused = {each.event.request: each.event for each in verdicts.dropped if _refused_item(each)}
    if not refused:
        return
    went_on = {event.request for event in verdicts.kept}
    went_on.update(each.event.request for each in verdicts.dropped if each.stage is None)
    for request, event in refused.items():
        if from_record(requests[request].record).kind != "batch":
            continue
        reason = "multi_user_error" if request in went_on else "empty_batch_result"
        minute = event.received_at_ms // MS_PER_MINUTE
        counts.add(OutcomeKey(minute, event.source_id, "", Stage.ENVELOPE, reason, "", "", ""))


def _refused_item(dropped: Dropped) -> bool:
    return dropped.stage is Stage.FAILED_ON_INGEST and dropped.reason != "empty_batch"
