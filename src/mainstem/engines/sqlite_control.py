"""Control rows in SQLite: opening, transactions, migrations.

One file, control.db, in WAL mode with synchronous=FULL: a change that was answered is on disk. Readers never
wait; one writer at a time.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from mainstem.engines.schema import Migration, migrations, remaining
from mainstem.errors import EngineUnavailable

FILE: Final = "control.db"
_WAIT_SECONDS: Final = 10
_UNAVAILABLE: Final = frozenset({OperationalError, DatabaseError})  # of the disk or the file; the others are of rows


class SqliteControl:
    """The control database of a data folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._engine = _engine(self.path)
        self._idle: deque[Connection] = deque()
        self._writers_turn = threading.Lock()

    @contextlib.contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. A writing one holds the write lock from its
        start, so what it reads stays true. Raises EngineUnavailable when the disk is full or broken."""
        try:
            turn = self._turn() if writes else contextlib.nullcontext()
            with turn, self._connected() as connection, connection.begin():
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
        except DatabaseError as error:
            if type(error) in _UNAVAILABLE:
                raise EngineUnavailable(f"the control database: {error.orig}") from error
            raise

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that nobody else uses meanwhile. It stays open, and is kept as SQLAlchemy wraps it: a pool
        wraps it anew each time, which costs more than the transaction. One that failed is closed."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
        try:
            yield connection
        except DatabaseError:
            connection.close()
            raise
        finally:
            if not connection.closed:
                self._idle.append(connection)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Writers of this process wait for each other here: SQLite would let them sleep and try again, for up to a
        tenth of a second each time."""
        if not self._writers_turn.acquire(timeout=_WAIT_SECONDS):
            raise EngineUnavailable(f"the control database: other writers take longer than {_WAIT_SECONDS} seconds")
        try:
            yield
        finally:
            self._writers_turn.release()

    def migrate(self, steps: Sequence[Migration] | None = None) -> list[Migration]:
        """Bring the schema to this version, or as far as `steps` go; returns the steps taken. Raises NewerSchema,
        and EngineUnavailable when the disk is full or the file is no database; then no step was taken."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as raw, raw:
                raw.execute("PRAGMA journal_mode = wal")
                raw.execute("BEGIN IMMEDIATE")
                taken = _migrate(raw, migrations() if steps is None else steps)
                raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise EngineUnavailable(f"the control database: {error}") from error
        return taken

    def schema(self) -> int:
        """The number of the newest step taken; 0 when there is no file yet. Writes nothing."""
        if not self.path.exists():
            return 0
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as raw:
                number: int = raw.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise EngineUnavailable(f"the control database: {error}") from error
        return number

    def product(self) -> str:
        """What keeps the rows, such as SQLite 3.45.1."""
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        """Close every connection that is idle."""
        while self._idle:
            self._idle.pop().close()
        self._engine.dispose()


def _migrate(raw: sqlite3.Connection, steps: Sequence[Migration]) -> list[Migration]:
    done = raw.execute("PRAGMA user_version").fetchone()[0]
    todo = remaining(done, steps, "the data folder")
    for step in todo:
        for statement in step.statements:
            raw.execute(statement)
        raw.execute(f"PRAGMA user_version = {step.number}")
    return todo


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        connect_args={"timeout": _WAIT_SECONDS, "isolation_level": None},
        hide_parameters=True,  # errors are logged, and rows hold hashes, keys and what callers sent
    )

    @event.listens_for(engine, "connect")
    def configure(raw: Any, _record: Any) -> None:
        raw.execute("PRAGMA synchronous = full")
        raw.execute("PRAGMA journal_size_limit = 16777216")

    return engine
