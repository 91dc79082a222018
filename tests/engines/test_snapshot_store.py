"""Published configuration as the data plane reads it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mainstem.engines.sqlite_snapshot import SqliteSnapshotStore
from mainstem.errors import EngineUnavailable
from mainstem.model.snapshot import Change, LiveSnapshot, SourceConfig

CREATE = "CREATE TABLE published (source_id TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB)"


def source(id: str, *write_keys: str) -> SourceConfig:
    return SourceConfig(id, "w", id, id, "m", "server", enabled=True, write_keys=write_keys, settings={})


def open_body(sealed: bytes, source_id: str) -> bytes:
    """Stands for the seal: the body opens for the source it was sealed for."""
    prefix = b"sealed for " + source_id.encode() + b":"
    if not sealed.startswith(prefix):
        raise ValueError("sealed for another")
    return sealed.removeprefix(prefix)


class ControlPlane:
    """Writes as the control plane does."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")

    def publish(self, version: int, id: str, config: SourceConfig | None) -> None:
        body = None if config is None else b"sealed for %s:" % id.encode() + msgspec.msgpack.encode(config)
        self.connection.execute("INSERT OR REPLACE INTO published VALUES (?, ?, ?)", (id, version, body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def control_plane(path: Path) -> Iterator[ControlPlane]:
    writer = ControlPlane(path)
    writer.connection.execute(CREATE)
    yield writer
    writer.connection.close()


@pytest.fixture
def store(path: Path) -> Iterator[SqliteSnapshotStore]:
    opened = SqliteSnapshotStore(path, open_body)
    yield opened
    opened.close()


def test_without_a_file_there_is_nothing_and_no_file_is_made(store: SqliteSnapshotStore, path: Path) -> None:
    assert store.changes(0) == (0, [])
    assert not path.exists()


def test_a_table_made_later_is_seen(store: SqliteSnapshotStore, path: Path) -> None:
    writer = ControlPlane(path)
    assert store.changes(0) == (0, [])
    writer.connection.execute(CREATE)
    writer.publish(1, "a", source("a"))
    assert store.changes(0) == (1, [Change("a", source("a"))])
    writer.connection.close()


def test_only_what_changed_is_read(control_plane: ControlPlane, store: SqliteSnapshotStore) -> None:
    control_plane.publish(1, "a", source("a"))
    control_plane.publish(2, "b", source("b"))
    assert store.changes(0) == (2, [Change("a", source("a")), Change("b", source("b"))])
    assert store.changes(2) == (2, [])
    control_plane.publish(3, "a", source("a", "key"))
    assert store.changes(2) == (3, [Change("a", source("a", "key"))])
    assert store.changes(3) == (3, [])


def test_a_reader_that_starts_over_gets_everything(control_plane: ControlPlane, store: SqliteSnapshotStore) -> None:
    control_plane.publish(1, "a", source("a"))
    assert store.changes(0)[0] == 1
    assert store.changes(1) == (1, [])
    assert store.changes(0) == (1, [Change("a", source("a"))])


def test_a_source_that_is_gone_is_a_change(control_plane: ControlPlane, store: SqliteSnapshotStore) -> None:
    live = LiveSnapshot(store)
    control_plane.publish(1, "a", source("a", "key"))
    assert "key" in live.refresh().by_write_key
    control_plane.publish(2, "a", None)
    assert live.refresh().by_write_key == {}
    assert live.current.version == 2


def test_an_unchanged_file_is_not_read_again(control_plane: ControlPlane, store: SqliteSnapshotStore) -> None:
    control_plane.publish(1, "a", source("a"))
    assert store.changes(0)[0] == 1
    statements: list[str] = []
    assert store._connection is not None
    store._connection.set_trace_callback(statements.append)
    assert store.changes(1) == (1, [])
    assert statements == ["PRAGMA data_version"]


def test_the_store_cannot_write(control_plane: ControlPlane, store: SqliteSnapshotStore) -> None:
    store.changes(0)
    assert store._connection is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._connection.execute("DELETE FROM published")


def test_a_source_that_does_not_unseal_leaves_the_snapshot_as_it_was(
    control_plane: ControlPlane, store: SqliteSnapshotStore
) -> None:
    live = LiveSnapshot(store)
    control_plane.publish(1, "a", source("a", "key"))
    live.refresh()
    control_plane.connection.execute("INSERT INTO published VALUES ('b', 2, x'00')")
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="source b"):
            live.refresh()
    assert list(live.current.by_write_key) == ["key"]
    control_plane.publish(3, "b", source("b", "other"))
    assert set(live.refresh().by_write_key) == {"key", "other"}


def test_a_file_that_is_no_database_is_unavailable_until_it_is(store: SqliteSnapshotStore, path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(EngineUnavailable):
        store.changes(0)
    path.unlink()
    with contextlib.closing(ControlPlane(path).connection) as connection:
        connection.execute(CREATE)
    assert store.changes(0) == (0, [])
