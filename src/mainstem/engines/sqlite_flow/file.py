"""Opening flow.db, and transactions on it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mainstem.engines.sqlite_flow import schema
from mainstem.errors import EngineUnavailable

_BUSY_SECONDS: Final = 10.0
_CACHE_KIB: Final = 16 * 1024
_WAL_PAGES: Final = 16_000  # 64 MB: then the log goes into the file and begins anew; 16 MB costs a sixth
_WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024  # what a log that grew under a long reader shrinks to


class FlowFile:
    """One process's connection to the file: opened at first use, reopened after a failure, shared by threads
    one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; committed at the end of the block.
        Raises EngineUnavailable when it could not be done; then nothing was done."""
        with self._using("written") as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                _roll_back(db)
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file. Raises EngineUnavailable."""
        with self._using("read") as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                _roll_back(db)

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file, as far as readers allow. True when all that was committed
        before the call is on disk now."""
        with self._using("written") as db:
            busy, pages, moved = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return not busy and bool(pages == moved)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextlib.contextmanager
    def _using(self, attempted: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.OperationalError, sqlite3.InternalError) as error:
                self._reopen_next_time()
                raise EngineUnavailable(f"flow.db cannot be {attempted}: {error}") from error
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:  # our own mistake, such as a broken constraint
                    raise
                self._reopen_next_time()
                raise EngineUnavailable(f"flow.db cannot be {attempted}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
            except OSError as error:
                raise EngineUnavailable(f"flow.db cannot be opened: {error.strerror}") from error
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                _prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _reopen_next_time(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    db.execute("PRAGMA temp_store = MEMORY")
    if db.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        schema.migrate(db)
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:  # some failures end it by themselves
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")


def get_state(db: sqlite3.Connection, name: str) -> int:
    """A number that the file remembers, 0 until it is set."""
    row = db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0


def set_state(db: sqlite3.Connection, name: str, value: int) -> None:
    """Remember a number."""
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))
