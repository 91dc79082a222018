"""Where the tests keep control rows: in files, or on the PostgreSQL server that TEST_DATABASE names.

A folder has one control database, whichever it is: what opens the same folder again sees the same rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from mainstem.engines.postgres_control import PostgresControl
from mainstem.engines.postgres_snapshot import PostgresSnapshotStore
from mainstem.engines.sqlite_control import FILE, SqliteControl
from mainstem.engines.sqlite_snapshot import SqliteSnapshotStore
from mainstem.settings import DatabaseUrl, Settings

SERVER = os.environ.get("TEST_DATABASE", "")
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"

Control = SqliteControl | PostgresControl


class Server:
    """Databases on a PostgreSQL server, copied from one that is migrated, and dropped when they are done with."""

    def __init__(self, url: str) -> None:
        assert url, "TEST_DATABASE is not set: `make test-postgres` starts a server and sets it"
        self._url = url
        self._admin = psycopg.connect(url, autocommit=True)
        self._template = ""
        self._names: dict[Path, str] = {}
        self._made = 0

    def url(self, folder: Path, *, is_empty: bool = False) -> str:
        """The URL of a folder's database, which is migrated unless it is to be empty."""
        folder = folder.absolute()
        if folder not in self._names:
            self._names[folder] = self._create("template1" if is_empty else self._migrated())
        return self._url_of(self._names[folder])

    def drop(self, folder: Path | None) -> None:
        """Drop the databases of folders in this one; of all when it is None."""
        for each in list(self._names):
            if folder is None or each.is_relative_to(folder):
                self._drop(self._names.pop(each))

    def close(self) -> None:
        """Drop everything."""
        self.drop(None)
        if self._template:
            self._drop(self._template)
        self._admin.close()

    def _migrated(self) -> str:
        if not self._template:
            self._template = self._create("template1")
            control = PostgresControl(self._url_of(self._template))
            control.migrate()
            control.close()
        return self._template

    def _create(self, template: str) -> str:
        self._made += 1
        name = f"mainstem_{os.getpid()}_{self._made}"
        strategy = "STRATEGY file_copy" if self._admin.info.server_version >= 150000 else ""
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
        return name

    def _drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _url_of(self, name: str) -> str:
        info = psycopg.conninfo.conninfo_to_dict(make_conninfo(self._url))
        password = f":{info['password']}" if "password" in info else ""
        return f"postgresql://{info['user']}{password}@{info['host']}:{info.get('port', 5432)}/{name}"


_server: list[Server] = []


def server() -> Server:
    """The server of this run."""
    if not _server:
        _server.append(Server(SERVER))
    return _server[0]


def clean(folder: Path | None) -> None:
    """Drop what was made for folders in this one; None ends the run."""
    if not _server:
        return
    if folder is None:
        _server.pop().close()
    else:
        _server[0].drop(folder)


def control(folder: Path) -> Control:
    """The control database of a folder."""
    return PostgresControl(server().url(folder)) if SERVER else SqliteControl(folder)


def empty_control(folder: Path) -> Control:
    """The control database of a folder before its first migration."""
    return PostgresControl(server().url(folder, is_empty=True)) if SERVER else SqliteControl(folder)


def snapshot_store(
    folder: Path, open_body: Callable[[bytes, str], bytes]
) -> SqliteSnapshotStore | PostgresSnapshotStore:
    """What was published in the control database of a folder."""
    if SERVER:
        return PostgresSnapshotStore(server().url(folder), open_body)
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
    """Every byte that the control database of a folder keeps."""
    if not SERVER:
        return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{FILE}*")))
    with psycopg.connect(server().url(folder)) as db:
        return b"".join(_rows(db, name) for (name,) in db.execute(_TABLES).fetchall())


def _rows(db: psycopg.Connection[tuple[object, ...]], table: str) -> bytes:
    with db.cursor().copy(f'COPY "{table}" TO STDOUT (FORMAT binary)') as rows:
        return b"".join(map(bytes, rows))
