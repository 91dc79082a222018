"""What sources were seen to send, in flow.db."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mainstem.engines.sqlite_flow.file import FlowFile, get_state, set_state
from mainstem.model.learned import KEEP_DAYS, MAX_EVENTS, MAX_FIELDS, JsonType, LearnedEvent, LearnedField, Seen

_MS_PER_DAY: Final = 86_400_000
_EVENT: Final = "source_id = ? AND event_type = ? AND event_name = ?"


def remember(db: sqlite3.Connection, news: Sequence[Seen]) -> None:
    """Note what was seen, as far as the limits of a source and of an event leave room."""
    rooms: dict[tuple[str, ...], int] = {}
    for each in news:
        event = (each.source_id, each.event_type, each.event_name)
        day = each.at_ms // _MS_PER_DAY
        if each.path is None:
            if not _seen_again(db, "learned_events", _EVENT, event, day) and _room(db, rooms, event[:1]):
                db.execute("INSERT INTO learned_events VALUES (?, ?, ?, ?, ?)", (*event, each.at_ms, day))
        elif not _field_again(db, event, each, day) and _room(db, rooms, event):
            db.execute(
                "INSERT INTO learned_fields VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*event, each.path, each.types, each.at_ms, day),
            )


def _seen_again(db: sqlite3.Connection, table: str, where: str, key: tuple[str, ...], day: int) -> bool:
    changed = db.execute(f"UPDATE {table} SET last_day = max(last_day, ?) WHERE {where}", (day, *key))
    return changed.rowcount > 0


def _field_again(db: sqlite3.Connection, event: tuple[str, ...], seen: Seen, day: int) -> bool:
    changed = db.execute(
        f"UPDATE learned_fields SET types = types | ?, last_day = max(last_day, ?) WHERE {_EVENT} AND path = ?",
        (seen.types, day, *event, seen.path),
    )
    return changed.rowcount > 0


def _room(db: sqlite3.Connection, rooms: dict[tuple[str, ...], int], key: tuple[str, ...]) -> bool:
    """Take one of the places that are left: for events of a source, or for fields of an event that is known."""
    if key not in rooms:
        rooms[key] = _places(db, key)
    rooms[key] -= 1
    return rooms[key] >= 0


def _places(db: sqlite3.Connection, key: tuple[str, ...]) -> int:
    if len(key) == 1:
        return MAX_EVENTS - _count(db, "learned_events", "source_id = ?", key)
    if not _count(db, "learned_events", _EVENT, key):
        return 0
    return MAX_FIELDS - _count(db, "learned_fields", _EVENT, key)


def _count(db: sqlite3.Connection, table: str, where: str, values: Iterable[Any]) -> int:
    counted: int = db.execute(f"SELECT count(*) FROM {table} WHERE {where}", tuple(values)).fetchone()[0]
    return counted


def forget(db: sqlite3.Connection, now_ms: int) -> None:
    """Once a day, forget what was not seen for KEEP_DAYS."""
    today = now_ms // _MS_PER_DAY
    if get_state(db, "learned_swept_on") < today:
        for table in ("learned_events", "learned_fields"):
            db.execute(f"DELETE FROM {table} WHERE last_day < ?", (today - KEEP_DAYS,))
        set_state(db, "learned_swept_on", today)


class SqliteLearnedSchemas:
    """LearnedSchemas."""

    def __init__(self, file: FlowFile) -> None:
        self._file = file

    def events(self, source_id: str) -> Sequence[LearnedEvent]:
        """See LearnedSchemas."""
        with self._file.reading() as db:
            fields = defaultdict[tuple[str, str], int](int)
            for event_type, name, number in db.execute(
                "SELECT event_type, event_name, count(*) FROM learned_fields WHERE source_id = ? "
                "GROUP BY event_type, event_name",
                (source_id,),
            ):
                fields[event_type, name] = number
            rows = db.execute(
                "SELECT event_type, event_name, first_ms, last_day FROM learned_events WHERE source_id = ? "
                "ORDER BY event_type, event_name",
                (source_id,),
            ).fetchall()
        return [LearnedEvent(kind, name, first, last, fields[kind, name]) for kind, name, first, last in rows]

    def fields(self, source_id: str, event_type: str, event_name: str) -> Sequence[LearnedField]:
        """See LearnedSchemas."""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT path, types, first_ms, last_day FROM learned_fields WHERE {_EVENT} ORDER BY path",
                (source_id, event_type, event_name),
            ).fetchall()
        return [LearnedField(path, JsonType(types), first, last) for path, types, first, last in rows]
