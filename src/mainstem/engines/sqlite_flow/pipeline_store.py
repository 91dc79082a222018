"""What the pipeline saves, a batch at a time, and its housekeeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mainstem.engines.sqlite_flow import deliveries, learned, outcomes, seen, users
from mainstem.engines.sqlite_flow.bells import Bells
from mainstem.engines.sqlite_flow.file import FlowFile, get_state, set_state
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import Entry, EntryKind, NewEntry, Processed, Redriven, TrackedUser

_REMEMBERED_USERS: Final = 200_000
_TABLES: Final = ("outcomes_by_minute", "outcomes_by_hour")


class SqlitePipelineStore:
    """PipelineStore."""

    def __init__(self, file: FlowFile, bells: Bells, dedupe_max_ids: int, wake_pipeline: Callable[[], None]) -> None:
        self._file = file
        self._bells = bells
        self._wake_pipeline = wake_pipeline
        self._max_ids = dedupe_max_ids
        self._known_users: set[int] = set()  # hashes of TrackedUsers saved lately: most come again and again
        self._swept = dict.fromkeys(_TABLES, ("", ""))

    def position(self) -> int:
        """See PipelineStore."""
        with self._file.reading() as db:
            return get_state(db, "position")

    def already_seen(self, ids: Sequence[int]) -> set[int]:
        """See PipelineStore."""
        with self._file.reading() as db:
            return seen.find(db, ids)

    def redriven(self, limit: int) -> Sequence[Redriven]:
        """See PipelineStore."""
        with self._file.reading() as db:
            rows = db.execute("SELECT id, destination_id, entry FROM redriven ORDER BY id LIMIT ?", (limit,))
            return [Redriven(*row) for row in rows]

    def entries(self, limit: int) -> Sequence[Entry]:
        """See PipelineStore."""
        with self._file.reading() as db:
            rows = db.execute("SELECT id, kind, destination_id, body FROM entries ORDER BY id LIMIT ?", (limit,))
            return [Entry(number, NewEntry(EntryKind(kind), *rest)) for number, kind, *rest in rows]

    def enter(self, entries: Sequence[NewEntry]) -> None:
        """See PipelineStore."""
        with self._file.writing() as db:
            deliveries.enter(db, entries)
        self._wake_pipeline()

    def save(self, batch: Processed, now_ms: int) -> None:
        """See PipelineStore."""
        new_users = [user for user in batch.users if hash(user) not in self._known_users]
        with self._file.writing() as db:
            position = get_state(db, "position")
            if position != batch.after:
                raise EngineUnavailable(f"another process saved up to {position} meanwhile; nothing was saved")
            deliveries.queue(db, batch.deliveries)
            outcomes.add(db, batch.tallies.items())
            db.executemany(
                "INSERT INTO api_calls VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                ((source_id, day, count) for (source_id, day), count in batch.calls.items()),
            )
            seen.remember(db, batch.seen, now_ms, self._max_ids)
            users.remember(db, new_users)
            learned.remember(db, batch.learned)
            for each in batch.dead:
                deliveries.keep_letter(db, each.letter, each.key, retries=0, queued=False, entry=each.entry)
            gone = db.executemany("DELETE FROM redriven WHERE id = ?", zip(batch.redriven)).rowcount
            if batch.redriven and gone != len(batch.redriven):
                raise EngineUnavailable("another process saved these dead letters meanwhile; nothing was saved")
            gone = db.executemany("DELETE FROM entries WHERE id = ?", zip(batch.entered)).rowcount
            if batch.entered and gone != len(batch.entered):
                raise EngineUnavailable("another process saved these entries meanwhile; nothing was saved")
            set_state(db, "position", batch.position)
        self._remember_users(new_users)
        if batch.deliveries:
            self._bells.ring()

    def tidy(self, now_ms: int) -> None:
        """See PipelineStore."""
        for table in _TABLES:
            with self._file.writing() as db:
                self._swept[table] = outcomes.forget(db, table, now_ms, self._swept[table]) or ("", "")
        for _ in range(10):
            with self._file.writing() as db:
                if not (seen.forget(db) or users.forget(db, now_ms)):
                    break
        with self._file.writing() as db:
            learned.forget(db, now_ms)
        self._note_durable_position()

    def _note_durable_position(self) -> None:
        with self._file.reading() as db:
            position, durable = get_state(db, "position"), get_state(db, "durable")
        if position != durable and self._file.checkpoint():
            with self._file.writing() as db:
                set_state(db, "durable", position)

    def _remember_users(self, saved: Sequence[TrackedUser]) -> None:
        if len(self._known_users) + len(saved) > _REMEMBERED_USERS:
            self._known_users.clear()
        self._known_users.update(map(hash, saved))
