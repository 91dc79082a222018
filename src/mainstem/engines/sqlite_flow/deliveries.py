"""The queue of deliveries: rows that stay until they are settled."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from mainstem.engines.sqlite_flow import outcomes
from mainstem.engines.sqlite_flow.bells import Bells
from mainstem.engines.sqlite_flow.file import FlowFile, get_state, set_state
from mainstem.model.outcome import OutcomeKey, Tally
from mainstem.model.ports import Delivery, NewDeadLetter, NewDelivery, NewEntry, Retry, Settled

_NEW: Final = (
    "destination_id, lane, source_id, message_id, event_type, event_name, app_version, received_at_ms, body, "
    "subscription_id"
)
_COLUMNS: Final = f"id, {_NEW}, attempts, due_at_ms, first_attempt_at_ms, progress, reason"
_WANTED: Final = "(SELECT value FROM json_each(?))"
_MAX_LETTERS: Final = 10_000


def queue(db: sqlite3.Connection, deliveries: Sequence[NewDelivery]) -> None:
    """Append to the queue, in order."""
    first = get_state(db, "next_delivery") + 1
    db.executemany(
        f"INSERT INTO deliveries (id, {_NEW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, *astuple(new)) for number, new in enumerate(deliveries, first)),
    )
    set_state(db, "next_delivery", first + len(deliveries) - 1)


class SqliteDeliveryQueue:
    """DeliveryQueue."""

    def __init__(self, file: FlowFile, bells: Bells, wake_pipeline: Callable[[], None]) -> None:
        self._file = file
        self._bells = bells
        self._wake_pipeline = wake_pipeline

    def destinations(self) -> Sequence[str]:
        """See DeliveryQueue."""
        found: list[str] = []
        with self._file.reading() as db:
            while row := db.execute(
                "SELECT destination_id FROM deliveries WHERE destination_id > ? ORDER BY destination_id LIMIT 1",
                (found[-1] if found else "",),
            ).fetchone():
                found.append(row[0])
        return found

    def take(self, destination_id: str, after: int, limit: int, share: tuple[int, int]) -> Sequence[Delivery]:
        """See DeliveryQueue."""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM deliveries INDEXED BY deliveries_by_destination "
                "WHERE destination_id = ? AND id > ? AND lane % ? = ? ORDER BY id LIMIT ?",
                (destination_id, after, share[1], share[0], limit),
            ).fetchall()
        return [_delivery(row) for row in rows]

    def newest(self) -> int:
        """See DeliveryQueue."""
        with self._file.reading() as db:
            return get_state(db, "next_delivery")

    def get(self, ids: Sequence[int]) -> Sequence[Delivery]:
        """See DeliveryQueue."""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM deliveries WHERE id IN {_WANTED} ORDER BY id",
                (json.dumps(list(ids)),),
            ).fetchall()
        return [_delivery(row) for row in rows]

    def settle(self, settled: Sequence[Settled], retries: Sequence[Retry]) -> None:
        """See DeliveryQueue."""
        with self._file.writing() as db:
            ended = {each.id: each for each in settled}
            _set_aside(db, [each for each in ended.values() if each.dead is not None])
            removed = _removed(db, list(ended))
            done = [each for each in ended.values() if each.id in removed]
            outcomes.add(db, _tallies(done).items())
            entered = enter(db, [entry for each in done for entry in each.entries])
            db.executemany(
                "UPDATE deliveries SET attempts = ?, due_at_ms = ?, first_attempt_at_ms = ?, progress = ?, "
                "reason = ? WHERE id = ?",
                (
                    (each.attempts, each.due_at_ms, each.first_attempt_at_ms, each.progress, each.reason, each.id)
                    for each in retries
                ),
            )
        if entered:
            self._wake_pipeline()

    def wait(self, timeout_seconds: float) -> None:
        """See DeliveryQueue. The first call returns at once: what was queued before it rang for nobody."""
        self._bells.wait(timeout_seconds)


def enter(db: sqlite3.Connection, entries: Sequence[NewEntry]) -> int:
    """Let these enter the pipeline, in order; returns how many."""
    db.executemany(
        "INSERT INTO entries (kind, destination_id, body) VALUES (?, ?, ?)",
        ((each.kind.value, each.destination_id, each.body) for each in entries),
    )
    return len(entries)


def _removed(db: sqlite3.Connection, ids: list[int]) -> set[int]:
    """Delete these; returns those that were there."""
    statement = f"DELETE FROM deliveries WHERE id IN {_WANTED} RETURNING id"
    return {row[0] for row in db.execute(statement, (json.dumps(ids),))}


def _tallies(settled: Iterable[Settled]) -> dict[OutcomeKey, Tally]:
    tallies: dict[OutcomeKey, Tally] = {}
    for each in settled:
        if each.key is None:
            continue
        tally = tallies.get(each.key)
        if tally is None:
            tally = tallies[each.key] = Tally()
        tally.count += 1
        tally.retries += each.retries
    return tallies


def _set_aside(db: sqlite3.Connection, dead: Sequence[Settled]) -> None:
    """Keep dead letters, up to a bound: code that fails on every event must not fill the disk."""
    if not dead:
        return
    (kept,) = db.execute("SELECT count(*) FROM (SELECT 1 FROM dead_letters LIMIT ?)", (_MAX_LETTERS,)).fetchone()
    for each in dead[: _MAX_LETTERS - kept]:
        row = db.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE id = ?", (each.id,)).fetchone()
        if row is None:  # settled before
            continue
        entry = msgspec.msgpack.encode(_delivery(row).new)
        assert each.dead is not None
        assert each.key is not None, "what is set aside is counted"
        keep_letter(db, each.dead, each.key, retries=each.retries, queued=True, entry=entry)


def keep_letter(
    db: sqlite3.Connection, letter: NewDeadLetter, key: OutcomeKey, *, retries: int, queued: bool, entry: bytes
) -> None:
    """Keep a dead letter and what it takes to re-drive it; `queued` tells where `entry` goes back in: the
    queue of deliveries or the pipeline."""
    db.execute(
        "INSERT INTO dead_letters (at_ms, source_id, destination_id, message_id, place, error, body, outcome, "
        "retries, queued, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            letter.at_ms,
            letter.source_id,
            letter.destination_id,
            letter.message_id,
            letter.where,
            letter.error,
            letter.body,
            msgspec.msgpack.encode(key),
            retries,
            queued,
            entry,
        ),
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    return Delivery(row[0], NewDelivery(*row[1:11]), *row[11:])
