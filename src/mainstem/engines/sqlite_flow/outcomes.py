"""Counts of outcomes by minute, kept 49 hours, and by hour, kept 32 days."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mainstem.engines.sqlite_flow import users
from mainstem.engines.sqlite_flow.file import FlowFile
from mainstem.model.outcome import OutcomeKey, Tally
from mainstem.model.ports import OutcomeCount, OutcomeQuery, UserCount

KEEP_MINUTES: Final = 49 * 60
KEEP_HOURS_IN_MINUTES: Final = 32 * 1440
_KEEP: Final = {"outcomes_by_minute": KEEP_MINUTES, "outcomes_by_hour": KEEP_HOURS_IN_MINUTES}
_COLUMNS: Final = frozenset(OutcomeKey.__struct_fields__)
_STEP_GROUPS: Final = 500

_ADD: Final = """
INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count, retries = retries + excluded.retries"""


def add(db: sqlite3.Connection, tallies: Iterable[tuple[OutcomeKey, Tally]]) -> None:
    """Add to the counts; a negative count takes back."""
    minutes: list[tuple[Any, ...]] = []
    hours: dict[tuple[Any, ...], tuple[int, int]] = {}
    for key, tally in tallies:
        rest = (
            key.destination_id, key.reason, key.event_type, key.event_name, key.app_version, key.subscription_id
        )  # fmt: skip
        minutes.append((key.source_id, key.stage.value, key.minute, *rest, tally.count, tally.retries))
        hour = (key.source_id, key.stage.value, key.minute - key.minute % 60, *rest)
        count, retries = hours.get(hour, (0, 0))
        hours[hour] = (count + tally.count, retries + tally.retries)
    db.executemany(_ADD.format(table="outcomes_by_minute"), minutes)
    db.executemany(_ADD.format(table="outcomes_by_hour"), (key + sums for key, sums in hours.items()))


def forget(db: sqlite3.Connection, table: str, now_ms: int, after: tuple[str, str]) -> tuple[str, str] | None:
    """Delete old counts of some sources and stages, beginning after the pair `after`; returns the last pair
    that was looked at, None when there was none left."""
    oldest = now_ms // 60_000 - _KEEP[table]
    pair = after
    for _ in range(_STEP_GROUPS):
        row = db.execute(
            f"SELECT source_id, stage FROM {table} WHERE (source_id, stage) > (?, ?) "
            "ORDER BY source_id, stage LIMIT 1",
            pair,
        ).fetchone()
        if row is None:
            return None
        pair = (row[0], row[1])
        db.execute(f"DELETE FROM {table} WHERE source_id = ? AND stage = ? AND minute < ?", (*pair, oldest))
    return pair


class SqliteOutcomes:
    """OutcomeStore."""

    def __init__(self, file: FlowFile) -> None:
        self._file = file

    def counts(self, query: OutcomeQuery) -> Sequence[OutcomeCount]:
        """See OutcomeStore."""
        table = "outcomes_by_minute" if query.bucket_minutes == 1 else "outcomes_by_hour"
        statement, values = _select(table, query)
        with self._file.reading() as db:
            rows = db.execute(statement, values).fetchall()
        return [OutcomeCount(tuple(row[3:]), row[0], row[1], row[2]) for row in rows]

    def waiting(self, destination_id: str) -> Mapping[str, int]:
        """See OutcomeStore."""
        with self._file.reading() as db:
            failed = dict(
                db.execute(
                    "SELECT reason, count(*) FROM deliveries WHERE destination_id = ? AND attempts > 0 "
                    "GROUP BY reason",
                    (destination_id,),
                ).fetchall()
            )
            every = db.execute(
                "SELECT count(*) FROM deliveries WHERE destination_id = ?", (destination_id,)
            ).fetchone()[0]
        untried = every - sum(failed.values())
        return {**failed, "": untried} if untried else failed

    def api_calls(self, source_ids: Sequence[str], first_day: int, last_day: int) -> Mapping[tuple[str, int], int]:
        """See OutcomeStore."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT source_id, day, count FROM api_calls "
                "WHERE source_id IN (SELECT value FROM json_each(?)) AND day BETWEEN ? AND ?",
                (json.dumps(list(source_ids)), first_day, last_day),
            ).fetchall()
        return {(source_id, day): count for source_id, day, count in rows}

    def tracked_users(self, source_ids: Sequence[str], first_day: int, last_day: int) -> Sequence[UserCount]:
        """See OutcomeStore."""
        with self._file.reading() as db:
            return users.count(db, source_ids, first_day, last_day)


def _select(table: str, query: OutcomeQuery) -> tuple[str, list[Any]]:
    unknown = {*query.group_by, *query.filters} - _COLUMNS
    if unknown:
        raise ValueError(f"outcomes have no {', '.join(sorted(unknown))}")
    first = query.start_minute if table == "outcomes_by_minute" else query.start_minute - query.start_minute % 60
    conditions = ["source_id IN (SELECT value FROM json_each(?))", "stage IN (SELECT value FROM json_each(?))"]
    values: list[Any] = [json.dumps(list(query.source_ids)), json.dumps([str(stage) for stage in query.stages])]
    conditions.append("minute >= ? AND minute < ?")
    values += [first, query.end_minute]
    if query.destination_id is not None:
        conditions.append("destination_id = ?")
        values.append(query.destination_id)
    for column, wanted in query.filters.items():
        if wanted:
            conditions.append(f"{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(wanted)))
    groups = "".join(f", {column}" for column in query.group_by)
    statement = (
        f"SELECT minute - minute % {int(query.bucket_minutes)} AS bucket, sum(count), sum(retries){groups} "
        f"FROM {table} WHERE {' AND '.join(conditions)} GROUP BY bucket{groups} "
        "HAVING sum(count) <> 0 OR sum(retries) <> 0"
    )
    return statement, values
