"""Events set aside, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mainstem.engines.sqlite_flow import deliveries, outcomes
from mainstem.engines.sqlite_flow.bells import Bells
from mainstem.engines.sqlite_flow.file import FlowFile
from mainstem.model.outcome import OutcomeKey, Tally
from mainstem.model.ports import DeadLetter, NewDeadLetter, NewDelivery

_COLUMNS: Final = "id, at_ms, source_id, destination_id, message_id, place, error, body"


class SqliteDeadLetters:
    """DeadLetterStore."""

    def __init__(self, file: FlowFile, bells: Bells) -> None:
        self._file = file
        self._bells = bells

    def list(self, after: int, limit: int) -> Sequence[DeadLetter]:
        """See DeadLetterStore."""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [_letter(row) for row in rows]

    def get(self, id: int) -> DeadLetter | None:
        """See DeadLetterStore."""
        with self._file.reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = ?", (id,)).fetchone()
        return _letter(row) if row else None

    def redrive(self, id: int) -> bool:
        """See DeadLetterStore."""
        with self._file.writing() as db:
            row = db.execute(
                "DELETE FROM dead_letters WHERE id = ? RETURNING destination_id, outcome, retries, queued, entry",
                (id,),
            ).fetchone()
            if row is None:
                return False
            destination_id, outcome, retries, queued, entry = row
            key = msgspec.msgpack.decode(outcome, type=OutcomeKey)
            outcomes.add(db, [(key, Tally(-1, -retries))])
            if queued:
                deliveries.queue(db, [msgspec.msgpack.decode(entry, type=NewDelivery)])
            else:
                db.execute("INSERT INTO redriven VALUES (?, ?, ?)", (id, destination_id, entry))
        self._bells.ring()
        return True

    def drop(self, id: int) -> bool:
        """See DeadLetterStore."""
        with self._file.writing() as db:
            return db.execute("DELETE FROM dead_letters WHERE id = ?", (id,)).rowcount > 0


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    return DeadLetter(row[0], NewDeadLetter(*row[1:]))
