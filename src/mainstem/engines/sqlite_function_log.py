"""What functions said and how they failed, in SQLite: functions.db, apart from events and their outcomes.

Entries may quote users' data, so each is sealed. Losing the newest in a power loss is no harm: the file is not
fsynced with every write.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mainstem.errors import EngineUnavailable
from mainstem.model.ports import FunctionLogEntry, LoggedInvocation
from mainstem.vault import Vault

FILE: Final = "functions.db"
KEPT_ERRORS: Final = 100  # of each function; source: Functions documentation, "Errors and error handling"
KEPT_OTHERS: Final = 500  # of each function (judgement)
KEPT_DAYS: Final = 30
_DAY_MS: Final = 24 * 60 * 60 * 1000
_BUSY_SECONDS: Final = 2.0
_WAL_LIMIT_BYTES: Final = 4 * 1024 * 1024
_SHORT, _LONG, _LINES = 255, 1_000, 4 * 1024  # characters kept of a name, of a message, of the output
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, function_id TEXT NOT NULL, is_error INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, sealed BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of_function ON entries (function_id, is_error, id);
CREATE INDEX IF NOT EXISTS entries_by_age ON entries (at_ms);
"""
_FORGET: Final = """
DELETE FROM entries WHERE function_id = :function AND is_error = :error AND id <= (
    SELECT id FROM entries WHERE function_id = :function AND is_error = :error
    ORDER BY id DESC LIMIT 1 OFFSET :kept
)"""
_write: Final = msgspec.msgpack.Encoder()
_read: Final = msgspec.msgpack.Decoder(FunctionLogEntry)


class SqliteFunctionLog:
    """FunctionLog in the file functions.db of a data folder; opened at first use, shared by threads one at a time."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._path = folder / FILE
        self._vault = vault
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def append(self, entries: Sequence[FunctionLogEntry]) -> None:
        """See FunctionLog. Of many entries of one function only those are written that would be kept."""
        rings: dict[tuple[str, bool], list[FunctionLogEntry]] = {}
        for each in entries:
            if each.is_error or each.logs:
                rings.setdefault((each.function_id, each.is_error), []).append(each)
        if not rings:
            return
        with self._using() as db:
            db.execute("BEGIN IMMEDIATE")
            for (function_id, is_error), ring in rings.items():
                kept = KEPT_ERRORS if is_error else KEPT_OTHERS
                db.executemany(
                    "INSERT INTO entries (function_id, is_error, at_ms, sealed) VALUES (?, ?, ?, ?)",
                    self._rows(function_id, is_error, ring[-kept:]),
                )
                db.execute(_FORGET, {"function": function_id, "error": is_error, "kept": kept})
            db.execute("COMMIT")

    def read(self, function_id: str, after: int, limit: int) -> Sequence[LoggedInvocation]:
        """See FunctionLog."""
        with self._using() as db:
            rows = db.execute(
                "SELECT id, sealed FROM entries WHERE function_id = ? AND id > ? ORDER BY id LIMIT ?",
                (function_id, after, limit),
            ).fetchall()
        opened = ((number, self._vault.open(sealed, function_id)) for number, sealed in rows)
        return [LoggedInvocation(number, _read.decode(entry)) for number, entry in opened]

    def tidy(self, now_ms: int) -> None:
        """See FunctionLog."""
        with self._using() as db:
            db.execute("DELETE FROM entries WHERE at_ms < ?", (now_ms - KEPT_DAYS * _DAY_MS,))

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            self._close()

    def _rows(
        self, function_id: str, is_error: bool, ring: Iterable[FunctionLogEntry]
    ) -> Iterator[tuple[str, bool, int, bytes]]:
        for each in ring:
            yield function_id, is_error, each.at_ms, self._vault.seal(_write.encode(_bounded(each)), function_id)

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection; after a failure it is closed, which takes a transaction that was begun back."""
        with self._lock:
            try:
                yield self._open()
            except sqlite3.Error as error:
                self._close()
                raise EngineUnavailable(f"{FILE}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = wal")
            self._db.execute("PRAGMA synchronous = normal")
            self._db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            self._db.executescript(_SCHEMA)
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _bounded(entry: FunctionLogEntry) -> FunctionLogEntry:
    """The entry with each text at most as long as it may be, whoever made it."""
    return msgspec.structs.replace(
        entry,
        message_id=entry.message_id[:_SHORT],
        handler=entry.handler[:_SHORT],
        error=entry.error[:_SHORT],
        message=entry.message[:_LONG],
        logs=list(_first(entry.logs, _LINES)),
    )


def _first(lines: Sequence[str], characters: int) -> Iterator[str]:
    """The first lines, of so many characters in all; the last of them may be cut."""
    for line in lines:
        if characters <= 0:
            return
        yield line[:characters]
        characters -= len(line) + 1
