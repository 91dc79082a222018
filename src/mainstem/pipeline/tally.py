"""Count what became of events, so that what came in is the sum of what became of it.

received = failed on ingest + successfully received (+ duplicates, which vanish uncounted), and for each
destination: successfully received = filtered + failed + delivered + in flight, where in flight are the
deliveries that wait. A note on a batch (multi_user_error, empty_batch_result) is no event: it is kept under
the stage ENVELOPE, which no sum includes. A batch without items counts as one failure, empty_batch, for there
is nothing else to count.
Source: Public API reference, "Delivery Overview"; usage rules of the product guide, "MTUs and API calls".
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from mainstem.model.event import Event
from mainstem.model.outcome import OutcomeKey, Stage, Tally
from mainstem.model.ports import TrackedUser
from mainstem.pipeline.step import Dropped

MS_PER_MINUTE: Final = 60_000
MS_PER_DAY: Final = 86_400_000


class Counts:
    """Tallies, API calls and tracked users of the events of a batch."""

    def __init__(self) -> None:
        self._outcomes: Counter[OutcomeKey] = Counter()
        self.calls: Counter[tuple[str, int]] = Counter()
        self.users: set[TrackedUser] = set()

    def receive(self, events: Iterable[Event]) -> None:
        """Count events that passed validation: successfully received."""
        labels = [
            (event.received_at_ms // MS_PER_MINUTE, event.source_id, event.type, event.name, event.app_version)
            for event in events
        ]
        for (minute, source_id, *label), count in Counter(labels).items():
            self._outcomes[OutcomeKey(minute, source_id, "", Stage.SUCCESSFULLY_RECEIVED, "", *label)] += count

    def use(self, events: Iterable[Event]) -> None:
        """Count events that schema control let through: an API call each, and users seen."""
        users = []
        for event in events:
            day, payload = event.received_at_ms // MS_PER_DAY, event.payload
            users.append((day, event.source_id, payload.get("userId") or "", payload.get("anonymousId") or ""))
        for (day, source_id, _, _), count in (seen := Counter(users)).items():
            self.calls[source_id, day] += count
        self.users.update(itertools.starmap(TrackedUser, seen))

    def drop(self, dropped: Sequence[Dropped], destination_id: str = "") -> None:
        """Count events that a step dropped; what has no stage vanishes uncounted."""
        for each in dropped:
            if each.stage is not None:
                self.note(each.event, destination_id, each.stage, each.reason)

    def note(self, event: Event, destination_id: str, stage: Stage, reason: str) -> OutcomeKey:
        """Count one event and return the key it is counted under."""
        key = OutcomeKey(
            event.received_at_ms // MS_PER_MINUTE,
            event.source_id,
            destination_id,
            stage,
            reason,
            event.type,
            event.name,
            event.app_version,
        )
        self.add(key)
        return key

    def add(self, key: OutcomeKey) -> None:
        """Count one event under `key`."""
        self._outcomes[key] += 1

    def tallies(self) -> dict[OutcomeKey, Tally]:
        """The counts so far."""
        return {key: Tally(count) for key, count in self._outcomes.items()}
