"""Distinct ids of each month, as hashes: tracked users and anonymous ids, by source and over all of them.

Source: product guide, "MTUs": unique userIds, and unique anonymousIds that were not seen with a userId in the
month, over all sources. Judgement: a month is kept for 13 months.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

from mainstem.model.ports import TrackedUser, UserCount

KEEP_MONTHS: Final = 13
_EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()
_STEP_ROWS: Final = 5_000
_TABLES: Final = ("tracked_users", "tracked_anonymous")


def remember(db: sqlite3.Connection, seen: Collection[TrackedUser]) -> None:
    """Note ids and the day each was first seen; for anonymous ids also the day they first met a userId."""
    identified = {
        (month_of(user.day), hash_of(user.user_id), user.source_id, user.day) for user in seen if user.user_id
    }
    anonymous = {
        (month_of(user.day), hash_of(user.anonymous_id), user.source_id, user.day, user.day if user.user_id else None)
        for user in seen
        if user.anonymous_id
    }
    db.executemany(
        "INSERT INTO tracked_users VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET first_day = excluded.first_day WHERE excluded.first_day < first_day",
        sorted(identified),
    )
    db.executemany(
        "INSERT INTO tracked_anonymous VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "first_day = min(first_day, excluded.first_day), "
        "identified_day = coalesce(min(identified_day, excluded.identified_day), identified_day, "
        "excluded.identified_day) "
        "WHERE excluded.first_day < first_day OR excluded.identified_day < coalesce(identified_day, 1 << 62)",
        anonymous,
    )


def count(db: sqlite3.Connection, source_ids: Sequence[str], first_day: int, last_day: int) -> list[UserCount]:
    """Distinct ids from the start of the month of `first_day`, cumulative, for each of the days."""
    values = (month_of(first_day), json.dumps(list(source_ids)))
    mine = "WHERE month = ? AND source_id IN (SELECT value FROM json_each(?))"
    everywhere = "SELECT '' AS source_id, min(first_day) AS first_day"
    users = _by_day(db, f"SELECT source_id, first_day FROM tracked_users {mine}", values)
    users |= _by_day(db, f"{everywhere} FROM tracked_users {mine} GROUP BY id", values)
    anonymous = _by_day(db, f"SELECT source_id, first_day FROM tracked_anonymous {mine}", values)
    anonymous |= _by_day(db, f"{everywhere} FROM tracked_anonymous {mine} GROUP BY id", values)
    met = _by_day(
        db,
        f"SELECT source_id, identified_day AS first_day FROM tracked_anonymous {mine} AND identified_day IS NOT NULL",
        values,
    )
    met |= _by_day(
        db,
        f"SELECT '' AS source_id, min(identified_day) AS first_day FROM tracked_anonymous {mine} "
        "GROUP BY id HAVING min(identified_day) IS NOT NULL",
        values,
    )
    return list(_cumulative(("", *source_ids), users, anonymous, met, first_day, last_day))


def forget(db: sqlite3.Connection, now_ms: int) -> bool:
    """Delete some ids of months that are no longer kept; False when there are none left."""
    oldest = month_of(now_ms // 86_400_000) - KEEP_MONTHS
    for table in _TABLES:
        keys = f"SELECT month, id, source_id FROM {table} WHERE month < ? ORDER BY month, id LIMIT ?"
        deleted = db.execute(
            f"DELETE FROM {table} WHERE (month, id, source_id) IN ({keys})",
            (oldest, _STEP_ROWS),
        )
        if deleted.rowcount > 0:
            return True
    return False


_Counts = dict[tuple[str, int], int]


def _by_day(db: sqlite3.Connection, ids: str, values: tuple[int, str]) -> _Counts:
    rows = db.execute(f"SELECT source_id, first_day, count(*) FROM ({ids}) GROUP BY source_id, first_day", values)
    return {(source_id, day): number for source_id, day, number in rows}


def _cumulative(
    scopes: Iterable[str], users: _Counts, anonymous: _Counts, met: _Counts, first_day: int, last_day: int
) -> Iterable[UserCount]:
    for scope in scopes:
        sums: dict[int, int] = defaultdict(int)
        for day in range(first_day, last_day + 1):
            for number, counts in enumerate((users, anonymous, met)):
                sums[number] += counts.get((scope, day), 0)
            yield UserCount(scope, day, sums[0], sums[1], sums[2])


@lru_cache(maxsize=64)
def month_of(day: int) -> int:
    """The month of a Unix day, counted from year 0."""
    date = dt.date.fromordinal(_EPOCH_ORDINAL + day)
    return date.year * 12 + date.month - 1


def hash_of(id: str) -> int:
    """63 bits in place of an id: enough to count by, and no id is kept."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big") >> 1
