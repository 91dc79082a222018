"""Write down what the pipeline does with the events of a batch, for whoever asks later.

It looks at what goes into a step and comes out of it, so that steps know nothing of it. Payloads are told apart by
identity, because a step never changes one but replaces it; those that no step changed are written once, with what
goes to the destinations.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

import msgspec

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.ports import NewDelivery
from mainstem.model.suppression import SUPPRESSED
from mainstem.model.trace import MADE_OF_RECORD, Change, End, NewTrace, Passage, Queued, key_of, mark, packed
from mainstem.pipeline.step import Dropped, Failed, Item, Request, Step, Verdicts

UNREGISTERED: Final = -1
_write_lines: Final = msgspec.json.Encoder().encode_lines


class Tracer:
    """Gathers a Passage. `note` is called after each step; `register` first for events that come without a request.

    `bodies` are payloads that were written as JSON, by identity; the steps share them (see DestinationScope).
    """

    def __init__(self, kind: str, at_ms: int, origins: Sequence[str], records: list[bytes], first: int) -> None:
        """`first` is the index of the first request, which the events know it by."""
        self.bodies: dict[int, tuple[dict[str, Any], bytes]] = {}
        self._kind = kind
        self._at_ms = at_ms
        self._origins = origins
        self._records = records
        self._first = first
        self._keys: list[int] = []
        self._message_ids: list[str] = []
        self._source_ids: list[str] = []
        self._types: list[str] = []
        self._names: list[str] = []
        self._users: list[str] = []
        self._requests: list[int] = []
        self._numbers: list[int] = []
        self._payloads: list[dict[str, Any]] = []
        self._owners: list[int] = []  # the event of each payload
        self._remade: Container[int] = ()  # payloads that follow from their requests
        self._changes: list[tuple[str, str, list[int]]] = []  # step, destination, events; payloads as they come
        self._ends: dict[tuple[str, str, str, str, str], list[int]] = {}
        self._queued: dict[tuple[str, str], list[int]] = {}

    @classmethod
    def of_requests(cls, kind: str, at_ms: int, requests: Sequence[Request], *, are_on_log: bool) -> Tracer:
        """For requests, which the event log has, or which must be kept here."""
        records = [b"" if are_on_log else each.record for each in requests]
        return cls(kind, at_ms, [each.origin for each in requests], records, requests[0].index if requests else 0)

    def register(self, events: Sequence[Event], step: str, destination_id: str = "") -> None:
        """Take in events as they are now, after this step."""
        place = len(self._message_ids)
        for event in events:
            event.place = place
            place += 1
        self._message_ids += [event.message_id for event in events]
        self._source_ids += [event.source_id for event in events]
        self._types += [event.type for event in events]
        self._names += [event.name for event in events]
        self._users += [event.user for event in events]
        self._requests += [event.request - self._first for event in events]
        self._numbers += [event.number for event in events]
        self._keys += [event.key or key_of(event.message_id) for event in events]
        self.change(events, step, destination_id)

    def note(self, destination_id: str, step: Step, before: Sequence[Any], verdicts: Verdicts) -> None:
        """Note what a step made of what it was given."""
        kept = verdicts.kept
        if kept and kept != before:  # lists of the same objects are equal at once
            if type(kept[0]) is NewDelivery:
                self._queue(step, before, verdicts)
            elif type(kept[0]) is Event:
                self._note_changed(destination_id, step, before, kept)
        if verdicts.forwarded:
            self.register(verdicts.forwarded, step.name)
        for dropped in verdicts.dropped:
            if dropped.reason == SUPPRESSED:
                self._forget(dropped.event)
            else:
                self.end(dropped, step.name, destination_id)
        for failed in verdicts.failed:
            self.fail(failed, destination_id)
        for detoured in verdicts.detoured:
            event = detoured.event or self._call_of(detoured.delivery)
            key = (detoured.delivery.destination_id, "")
            self._queued.setdefault(key, []).append(self._place(event))

    def end(self, dropped: Dropped, step: str, destination_id: str = "", detail: str = "") -> None:
        """Note that an event goes no further."""
        key = (step, destination_id, dropped.stage or "", dropped.reason, detail)
        self._ends.setdefault(key, []).append(self._place(dropped.event))

    def finish(self) -> list[NewTrace]:
        """What is to be kept; nothing when there was nothing to note."""
        if not self._message_ids:
            return []
        ends = [End(*key, places) for key, places in self._ends.items()]
        bodies, changes = self._written()
        passage = Passage(
            self._at_ms, self._kind, self._origins, self._records, self._message_ids, self._source_ids,
            self._types, self._names, self._users,
            self._requests, self._numbers, bodies, changes,
            ends, [Queued(*key, places) for key, places in self._queued.items()],
        )  # fmt: skip
        marks = {mark(each.destination_id, each.reason) for each in ends}
        return [NewTrace(packed(self._keys), "\n".join(sorted(marks)), passage)]

    def _note_changed(self, destination_id: str, step: Step, before: Sequence[Any], kept: Sequence[Event]) -> None:
        if type(before[0]) is not Event:  # now that they are events
            first = len(self._payloads)
            self.register(kept, step.name)
            self._remade = range(first, len(self._payloads))
            return
        known = set(map(id, before))
        self.change([event for event in kept if id(event) not in known], step.name, destination_id)

    def change(self, events: Sequence[Event], step: str, destination_id: str) -> None:
        """Note that events have other payloads than before."""
        if not events:
            return
        places = [event.place for event in events]
        self._payloads += [event.payload for event in events]
        self._owners += places
        self._changes.append((step, destination_id, places))

    def _forget(self, event: Event) -> None:
        """Nothing is to be known of this event: not that it came, and not what it held."""
        if event.place == UNREGISTERED and self._records[place := event.request - self._first]:
            self._records[place] = b""

    def _queue(self, step: Step, before: Sequence[Event], verdicts: Verdicts) -> None:
        kept: list[NewDelivery] = verdicts.kept
        if len(kept) == len(before) and not step.spreads:
            places = [event.place for event in before]
        else:
            place_of = {event.message_id: event.place for event in before}
            places = [place_of[each.message_id] for each in kept]
        for each, place in zip(kept, places, strict=True):
            self._queued.setdefault((each.destination_id, each.subscription_id), []).append(place)

    def fail(self, failed: Failed, destination_id: str = "") -> None:
        """Note that a step, or what is around the steps, failed on something."""
        event = self._event_of(failed.what)
        stage, reason = Stage.FAILED_ON_INGEST, "internal"
        if destination_id:
            stage, reason = Stage.FILTERED_AT_DESTINATION, "INTERNAL"
        self.end(Dropped(event, stage, reason), failed.where, destination_id, failed.error)

    def _event_of(self, what: Event | Item | Request) -> Event:
        if isinstance(what, Request):
            return _nameless("", what.index)
        return what.as_event() if isinstance(what, Item) else what

    def _call_of(self, delivery: NewDelivery) -> Event:
        """A call of a source function, which is no event yet: it goes by the place of its request."""
        event = _nameless(delivery.source_id, self._first + list(self._origins).index(delivery.message_id))
        event.message_id = delivery.message_id
        return event

    def _place(self, event: Event) -> int:
        if event.place == UNREGISTERED:
            event.place = len(self._message_ids)
            self._message_ids.append(event.message_id)
            self._source_ids.append(event.source_id)
            self._types.append(event.type)
            self._names.append(event.name)
            self._users.append(event.user)
            self._requests.append(event.request - self._first)
            self._numbers.append(event.number)
            self._keys.append(event.key or key_of(event.message_id))
        return event.place

    def _written(self) -> tuple[list[bytes], list[Change]]:
        """The payloads as JSON and who has them from when on. Those of one event lie beside each other, for they are
        nearly the same, which saves a third of the room."""
        payloads, remade = self._payloads, self._remade
        known = map(self.bodies.get, map(id, payloads))
        bodies = [None if each is None else each[1] for each in known]
        unwritten = [index for index, body in enumerate(bodies) if body is None and index not in remade]
        lines = _write_lines([payloads[index] for index in unwritten]).split(b"\n")
        for index, line in zip(unwritten, lines, strict=False):  # the last line is empty
            bodies[index] = line
        by_event = sorted(range(len(payloads)), key=self._owners.__getitem__)
        order = [index for index in by_event if bodies[index] is not None]
        rank = [MADE_OF_RECORD] * len(payloads)
        for new, old in enumerate(order):
            rank[old] = new
        changes, first = [], 0
        for step, destination_id, places in self._changes:
            changes.append(Change(step, destination_id, places, rank[first : first + len(places)]))
            first += len(places)
        return [body for index in order if (body := bodies[index]) is not None], changes


def _nameless(source_id: str, request: int) -> Event:
    return Event(source_id, "", "", "", "", "", 0, "", 0, {}, request)
