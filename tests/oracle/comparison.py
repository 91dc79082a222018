"""What was acknowledged against what arrived: as sets, and as each user's order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from oracle.numbered import POISON, Id
from oracle.sink import OK, Arrival

SHOWN = 20


@dataclass(frozen=True)
class Again:
    """An event that a webhook took, and took once more later."""

    id: Id
    first_at: float
    again_at: float


@dataclass
class Findings:
    """What is wrong at one webhook, and its duplicates, which are wrong only without a crash in between."""

    missing: list[Id] = field(default_factory=list)
    unexpected: list[Id] = field(default_factory=list)
    altered: list[Id] = field(default_factory=list)
    out_of_order: list[Id] = field(default_factory=list)
    duplicates: list[Again] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        for name in ("missing", "unexpected", "altered", "out_of_order"):
            ids: list[Id] = getattr(self, name)
            lines.append(f"{name}: {len(ids)} {' '.join(each.message_id for each in ids[:SHOWN])}")
        again = " ".join(
            f"{each.id.message_id}(+{each.again_at - each.first_at:.2f}s)" for each in self.duplicates[:SHOWN]
        )
        return "\n".join([*lines, f"duplicates: {len(self.duplicates)} {again}"])

    @property
    def is_flawless(self) -> bool:
        """True when every event arrived, unchanged and in order, and nothing else did."""
        return not (self.missing or self.unexpected or self.altered or self.out_of_order)


def is_poison(event: Id) -> bool:
    """True for what every sink of the first oracle refuses."""
    return event.name == POISON


def compare(
    expected: Collection[Id], arrivals: Sequence[Arrival], is_refused: Callable[[Id], bool] = is_poison
) -> Findings:
    """Hold a webhook's arrivals, in order, against the events that it should have had, and that it should have
    taken unless `is_refused`.

    An event is in order when each earlier expected event of its user was decided (taken or refused) before
    its own first attempt; so a retry must hold back its user's later events.
    """
    findings = Findings()
    wanted = set(expected)
    queues = _by_user(expected)
    decided: set[Id] = set()
    taken: dict[Id, float] = {}
    for arrival in arrivals:
        event = arrival.id
        if event not in wanted:
            findings.unexpected.append(event)
            continue
        if not arrival.is_as_sent:
            findings.altered.append(event)
        queue = queues[event.user]
        while queue and queue[-1] in decided:
            queue.pop()
        if queue and queue[-1].number < event.number:
            findings.out_of_order.append(event)
        if arrival.is_decided:
            decided.add(event)
        if arrival.status == OK:
            if event in taken:
                findings.duplicates.append(Again(event, taken[event], arrival.at))
            taken.setdefault(event, arrival.at)
    findings.missing = sorted(wanted - {each for each in decided if is_refused(each) or each in taken})
    findings.unexpected += sorted(each for each in taken if is_refused(each))
    return findings


def _by_user(ids: Iterable[Id]) -> dict[str, list[Id]]:
    """Each user's events, the first one last."""
    queues: dict[str, list[Id]] = {}
    for each in sorted(ids, reverse=True):
        queues.setdefault(each.user, []).append(each)
    return queues
