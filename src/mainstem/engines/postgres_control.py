"""Control rows in PostgreSQL: opening, transactions, migrations.

Any number of processes may use one database. They write one at a time, as with SQLite: a writing transaction first
takes an advisory lock, so that what it reads stays true until it commits, the audit trail stays a chain, and versions
of what is published become visible in their order. Readers see one moment and wait for nobody.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolExhausted

from mainstem.engines import postgres_connection
from mainstem.engines.postgres_connection import said
from mainstem.engines.postgres_ddl import translated
from mainstem.engines.schema import Migration, migrations, remaining
from mainstem.errors import BadRequest, EngineUnavailable

WRITERS: Final = 0x6D61696E  # the advisory lock that writing transactions and migrations take; "main"
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Each statement sees what was committed before it, so what follows the lock sees all former writers' work.
_BEGIN_WRITING: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITERS})"
_UNAVAILABLE: Final = (OperationalError, InterfaceError, InternalError)  # of the server; the others are of rows
_ON_CONNECT: Final = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'"
_CONNECTIONS: Final = 16  # kept open by a process; a call whose thread finds none waits for one
_MORE_CONNECTIONS: Final = 4  # closed after use
_WAIT_SECONDS: Final = 10


class PostgresControl:
    """The control database behind a URL; connects when it is first used."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    @contextlib.contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. A writing one is the only one of all processes, so
        what it reads stays true. Raises EngineUnavailable when the server cannot be reached, refuses to write, or
        another writer takes longer than ten seconds, and BadRequest for a value that PostgreSQL cannot hold.

        A statement that fails ends the transaction: nothing may go on in it."""
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(_BEGIN_WRITING if writes else _BEGIN_READING)
                yield connection
        except DataError as error:
            raise BadRequest(f"A value cannot be stored: {said(error.orig)}.") from None
        except PoolExhausted as error:
            raise EngineUnavailable("the control database: every connection is in use") from error
        except _UNAVAILABLE as error:
            raise EngineUnavailable(f"the control database: {said(error.orig)}") from None
        except DBAPIError as error:
            _forget_values(error)
            raise

    def migrate(self, steps: Sequence[Migration] | None = None) -> list[Migration]:
        """Bring the schema to this version, or as far as `steps` go; returns the steps taken. Of several processes
        one takes them, while nobody writes. Raises NewerSchema, Unportable, and EngineUnavailable when the server
        cannot be reached or refuses; then no step was taken."""
        with self.transaction(writes=True) as db:
            db.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (number BIGINT NOT NULL)")
            done = _schema(db)
            todo = remaining(done, migrations() if steps is None else steps, "the database")
            for statement in (each for step in todo for each in step.statements):
                db.exec_driver_sql(translated(statement))
            if todo:
                db.exec_driver_sql("DELETE FROM schema_version")
                db.exec_driver_sql(f"INSERT INTO schema_version VALUES ({todo[-1].number})")  # noqa: S608  # a number
        return todo

    def schema(self) -> int:
        """The number of the newest step taken; 0 when nothing is there yet. Raises EngineUnavailable."""
        with self.transaction(writes=False) as db:
            if db.exec_driver_sql("SELECT to_regclass('schema_version')").scalar() is None:
                return 0
            return _schema(db)

    def product(self) -> str:
        """What keeps the rows, such as PostgreSQL 17.2. Raises EngineUnavailable."""
        with self.transaction(writes=False) as db:
            return f"PostgreSQL {db.exec_driver_sql('SHOW server_version').scalar_one()}"

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def _schema(db: Connection) -> int:
    return int(db.exec_driver_sql("SELECT coalesce(max(number), 0) FROM schema_version").scalar_one())


def _engine(url: str) -> Engine:
    parameters = postgres_connection.parameters(url)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(**parameters, autocommit=True),  # `transaction` begins them
        pool_size=_CONNECTIONS,
        max_overflow=_MORE_CONNECTIONS,
        pool_timeout=_WAIT_SECONDS,
        hide_parameters=True,  # errors are logged, and rows hold hashes, keys and what callers sent
    )

    @event.listens_for(engine, "connect")
    def configure(raw: Any, _record: Any) -> None:
        raw.execute(_ON_CONNECT)

    @event.listens_for(engine, "checkout")
    def check(raw: Any, _record: Any, _proxy: Any) -> None:
        waiting = select.poll()
        waiting.register(raw.fileno(), select.POLLIN)
        if waiting.poll(0):  # unasked, a server speaks only to say that it ends
            raise DisconnectionError  # the pool connects anew, so that a restart of the server fails no call

    return engine


def _forget_values(error: DBAPIError) -> None:
    """Take what PostgreSQL tells of a row out of an error that will be logged."""
    if error.orig is not None:
        error.orig.args = (said(error.orig),)
        error.args = (f"({type(error.orig).__name__}) {said(error.orig)}",)
