"""Where the tests keep control rows: in files, or on the PostgreSQL server that TEST_DATABASE names.

A folder has one control database, whichever it is: what opens the same folder again sees the same rows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Dialect

from mainstem.engines.postgres_control import PostgresControl
from mainstem.engines.postgres_snapshot import PostgresSnapshotStore
from mainstem.engines.sqlite_control import FILE, SqliteControl
from mainstem.engines.sqlite_snapshot import SqliteSnapshotStore
from mainstem.settings import DatabaseUrl, Settings

SERVER = os.environ.get("TEST_DATABASE", "")
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_EMPTY = """
DO $$ DECLARE name text; used boolean; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', name) INTO used;
        IF used THEN EXECUTE format('DELETE FROM %I', name); END IF;
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        PERFORM setval(name::regclass, 1, false);
    END LOOP;
END $$
"""

Control = SqliteControl | PostgresControl


class Server:
    """Databases on a PostgreSQL server: a migrated one is emptied when a folder is done with it, and used again."""

    def __init__(self, url: str) -> None:
        assert url, "TEST_DATABASE is not set: `make test-postgres` starts a server and sets it"
        self._url = url
        self._admin = psycopg.connect(url, autocommit=True)
        self._names: dict[Path, str] = {}
        self._free: list[str] = []
        self._migrated: dict[str, psycopg.Connection[Any]] = {}  # by name, with what empties it
        self._opened: list[tuple[Path, PostgresControl | PostgresSnapshotStore]] = []
        self._made = 0

    def url(self, folder: Path, *, is_empty: bool = False) -> str:
        """The URL of a folder's database, which is migrated unless it is to be empty."""
        folder = folder.absolute()
        if folder not in self._names:
            self._names[folder] = self._create() if is_empty else self._migrated_one()
        return self._url_of(self._names[folder])

    def opened(self, folder: Path, what: Any) -> Any:
        """Close this when the folder is done with."""
        self._opened.append((folder.absolute(), what))
        return what

    def release(self, folder: Path | None) -> None:
        """Take back the databases of folders in this one; of all when it is None."""
        for each, what in [*self._opened]:
            if folder is None or each.is_relative_to(folder):
                what.close()
                self._opened.remove((each, what))
        for each in list(self._names):
            if folder is None or each.is_relative_to(folder):
                self._take_back(self._names.pop(each))

    def close(self) -> None:
        """Drop everything."""
        self.release(None)
        for name, connection in self._migrated.items():
            connection.close()
            self._drop(name)
        self._admin.close()

    def _migrated_one(self) -> str:
        if self._free:
            return self._free.pop()
        name = self._create()
        control = PostgresControl(self._url_of(name))
        control.migrate()
        control.close()
        self._migrated[name] = psycopg.connect(self._url_of(name), autocommit=True)
        return name

    def _take_back(self, name: str) -> None:
        if name in self._migrated:
            self._migrated[name].execute(_EMPTY)
            self._free.append(name)
        else:
            self._drop(name)

    def _create(self) -> str:
        self._made += 1
        name = f"mainstem_{os.getpid()}_{self._made}"
        self._admin.execute(f"CREATE DATABASE {name}")
        return name

    def _drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url_of(self, name: str) -> str:
        info = conninfo_to_dict(self._url)
        password = f":{info['password']}" if "password" in info else ""
        return f"postgresql://{info['user']}{password}@{info['host']}:{info.get('port', 5432)}/{name}"


_server: list[Server] = []


def server() -> Server:
    """The server of this run."""
    if not _server:
        _server.append(Server(SERVER))
    return _server[0]


def clean(folder: Path | None) -> None:
    """Take back what folders in this one used; None ends the run."""
    if not _server:
        return
    if folder is None:
        _server.pop().close()
    else:
        _server[0].release(folder)


def control(folder: Path) -> Control:
    """The control database of a folder, which is migrated unless somebody made it otherwise."""
    if SERVER:
        return _postgres(folder)
    if not (folder / FILE).exists():
        (folder / FILE).write_bytes(_migrated_file())
    return compiling_once(SqliteControl(folder))


def empty_control(folder: Path) -> Control:
    """The control database of a folder before its first migration."""
    return _postgres(folder, is_empty=True) if SERVER else SqliteControl(folder)


def _postgres(folder: Path, *, is_empty: bool = False) -> PostgresControl:
    control = compiling_once(PostgresControl(server().url(folder, is_empty=is_empty)))
    server().opened(folder, control)
    return control


@cache
def _migrated_file() -> bytes:
    """A control database after every migration, which take longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        control = SqliteControl(Path(folder))
        control.migrate()
        control.close()
        return control.path.read_bytes()


def compiling_once(control: Control) -> Control:
    """Let it share its compiled statements with all others of the run. Each engine compiles a statement once: no time
    for a server, and most of the time of tests that have an engine each."""
    control._engine.dialect = _connected_dialect(type(control))
    control._engine._compiled_cache = _statements
    return control


_statements: dict[Any, Any] = {}


@cache
def _connected_dialect(kind: type[Control]) -> Dialect:
    """A dialect that knows what the database can do, which SQLAlchemy asks at the first connection."""
    with tempfile.TemporaryDirectory() as folder:
        first = PostgresControl(SERVER) if kind is PostgresControl else SqliteControl(Path(folder))
        first._engine.connect().close()
        first.close()
    return first._engine.dialect


def snapshot_store(
    folder: Path, open_body: Callable[[bytes, str], bytes]
) -> SqliteSnapshotStore | PostgresSnapshotStore:
    """What was published in the control database of a folder."""
    if SERVER:
        store: PostgresSnapshotStore = server().opened(folder, PostgresSnapshotStore(server().url(folder), open_body))
        return store
    return SqliteSnapshotStore(folder / FILE, open_body)


def settings(folder: Path, **more: Any) -> Settings:
    """The settings of a data folder with its control database."""
    database = DatabaseUrl(server().url(folder)) if SERVER else None
    return Settings(data=folder, database=database, **more)


def variables_of_first_start(folder: Path) -> dict[str, str]:
    """What makes a program use the control database of a folder, which is empty."""
    return {"MAINSTEM_DATABASE": server().url(folder, is_empty=True)} if SERVER else {}


def set_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make commands in this process use the control database of a folder."""
    if SERVER:
        monkeypatch.setenv("MAINSTEM_DATABASE", server().url(folder))


def stored(folder: Path) -> bytes:
    """Every byte that is kept of a folder: in its files, and in its control database where that is elsewhere."""
    files = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    if not SERVER:
        return files
    with psycopg.connect(server().url(folder)) as db:
        return files + b"".join(_rows(db, name) for (name,) in db.execute(_TABLES).fetchall())


def _rows(db: psycopg.Connection[tuple[object, ...]], table: str) -> bytes:
    with db.cursor().copy(f'COPY "{table}" TO STDOUT (FORMAT binary)') as rows:
        return b"".join(map(bytes, rows))
