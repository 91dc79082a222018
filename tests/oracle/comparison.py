"""What was acknowledged against what arrived: as sets, and as each user's order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
        again = " ".join(f"{each.id.message_id}(+{each.again_at - each.first_at:.2f}s)" for each in self.duplicates[:SHOWN])
        return "\n".join([*lines, f"duplicates: {len(self.duplicates)} {again}"])

    @property
    def is_flawless(self) -> bool:
        """True when every event arrived, unchanged and in order, and nothing else did."""
        return not (self.missing or self.unexpected or self.altered or self.out_of_order)


def compare(expected: Collection[Id], arrivals: Sequence[Arrival]) -> Findings:
    """Hold a webhook's arrivals, in order, against the events that it should have had.

    An event is in order when each earlier expected event of its user was decided (taken or refused) before
    its own first attempt; so a retry must hold back its user's later events.
    """
    findings = Findings()
    wanted = set(expected)
    queues = _by_user(expected)
    decided: set[Id] = set()
    taken: dict[Id, float] = {}
    for arrival in arrivals:
        id = arrival.id
        if id not in wanted:
            findings.unexpected.append(id)
            continue
        if not arrival.is_as_sent or arrival.name != id.name:
            findings.altered.append(id)
        queue = queues[id.user]
        while queue and queue[-1] in decided:
            queue.pop()
        if queue and queue[-1].number < id.number:
            findings.out_of_order.append(id)
        if arrival.is_decided:
            decided.add(id)
        if arrival.status == OK:
            if id in taken:
                findings.duplicates.append(Again(id, taken[id], arrival.at))
            taken.setdefault(id, arrival.at)
    findings.missing = sorted(wanted - {id for id in decided if id.name == POISON or id in taken})
    return findings


def _by_user(ids: Iterable[Id]) -> dict[str, list[Id]]:
    """Each user's events, the first one last."""
    queues: dict[str, list[Id]] = {}
    for id in sorted(ids, reverse=True):
        queues.setdefault(id.user, []).append(id)
    return queues
