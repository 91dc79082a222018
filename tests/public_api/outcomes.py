"""An OutcomeStore that adds up a list: what the engines must do, said in the plainest way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import OutcomeCount, OutcomeQuery, TrackedUser, UserCount


class ListedOutcomes:
    """Outcomes, waiting deliveries, API calls and users, put in by the test."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[OutcomeKey, int, int]] = []
        self.retries: dict[str, dict[str, int]] = {}
        self.calls: Counter[tuple[str, int]] = Counter()
        self.users: list[TrackedUser] = []

    def add(
        self,
        minute: int,
        source_id: str,
        stage: Stage,
        *,
        destination_id: str = "",
        reason: str = "",
        type: str = "track",
        name: str = "",
        version: str = "",
        subscription_id: str = "",
        count: int = 1,
        retries: int = 0,
    ) -> None:
        """Count `count` events that were received in `minute` (Unix time / 60)."""
        key = OutcomeKey(minute, source_id, destination_id, stage, reason, type, name, version, subscription_id)
        self.outcomes.append((key, count, retries))

    def counts(self, query: OutcomeQuery) -> list[OutcomeCount]:
        """See OutcomeStore."""
        sums: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(lambda: [0, 0])
        cut = 1 if query.bucket_minutes == 1 else 60
        for key, count, retries in self.outcomes:
            if _matches(key, query, cut):
                group = tuple(str(getattr(key, name)) for name in query.group_by)
                bucket = sums[group, key.minute - key.minute % query.bucket_minutes]
                bucket[0] += count
                bucket[1] += retries
        return [OutcomeCount(group, minute, count, retries) for (group, minute), (count, retries) in sums.items()]

    def waiting(self, destination_id: str) -> dict[str, int]:
        """See OutcomeStore."""
        return self.retries.get(destination_id, {})

    def api_calls(self, source_ids: Sequence[str], first_day: int, last_day: int) -> dict[tuple[str, int], int]:
        """See OutcomeStore."""
        return {
            (source_id, day): count
            for (source_id, day), count in self.calls.items()
            if source_id in source_ids and first_day <= day <= last_day
        }

    def tracked_users(self, source_ids: Sequence[str], first_day: int, last_day: int) -> list[UserCount]:
        """See OutcomeStore."""
        return [
            _distinct(source_id, day, [user for user in self.users if first_day <= user.day <= day], source_ids)
            for source_id in ("", *source_ids)
            for day in range(first_day, last_day + 1)
        ]


def _matches(key: OutcomeKey, query: OutcomeQuery, cut: int) -> bool:
    first = query.start_minute - query.start_minute % cut
    return (
        key.source_id in query.source_ids
        and key.stage in query.stages
        and first <= key.minute < query.end_minute + (-query.end_minute % cut)
        and query.destination_id in (None, key.destination_id)
        and all(getattr(key, name) in values for name, values in query.filters.items() if values)
    )


def _distinct(source_id: str, day: int, users: list[TrackedUser], source_ids: Sequence[str]) -> UserCount:
    mine = [user for user in users if user.source_id == source_id or (not source_id and user.source_id in source_ids)]
    return UserCount(
        source_id,
        day,
        identified=len({user.user_id for user in mine} - {""}),
        anonymous=len({user.anonymous_id for user in mine} - {""}),
        anonymous_identified=len({user.anonymous_id for user in mine if user.user_id} - {""}),
    )
