"""The torn logs are what they claim to be, by SQLite's own judgement."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oracle.write_ahead_log import TEARS, Log, lose_unsynced_end, read_log


@pytest.fixture
def crashed(tmp_path: Path) -> Iterator[Path]:
    """The files of a database whose process died: ten rows in the log, of which the first three were moved
    into the database; a reader kept the log from beginning anew."""
    alive = tmp_path / "alive.db"
    connection = sqlite3.connect(alive, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY)")
    reader = sqlite3.connect(alive, isolation_level=None)
    for number in range(10):
        connection.execute("INSERT INTO rows VALUES (?)", (number,))
        if number == 2:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM rows").fetchall()
        if number == 4:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{alive}{suffix}", tmp_path / f"crashed.db{suffix}")
    reader.close()
    connection.close()
    return tmp_path / "crashed.db"


def rows_of(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = [number for (number,) in connection.execute("SELECT number FROM rows ORDER BY number")]
    connection.close()
    return rows


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_every_frame_that_sqlite_wrote_counts(crashed: Path) -> None:
    log = read_log(log_of(crashed))
    assert len(log.ends) - 1 >= 10
    assert log.ends[-1] == log_of(crashed).stat().st_size


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_record_is_not_there_and_those_before_it_are(
    crashed: Path, tear: Callable[[Log, random.Random], bytes]
) -> None:
    log = read_log(log_of(crashed))
    torn = tear(log, random.Random(1))
    log.overwrite_from_end(torn)
    assert log_of(crashed).stat().st_size == log.ends[-1] + len(torn)
    assert rows_of(crashed) == list(range(10))


@pytest.mark.parametrize("seed", range(20))
def test_losing_the_unsynced_end_loses_the_last_rows_and_none_that_were_moved(crashed: Path, seed: int) -> None:
    left, frames = lose_unsynced_end(log_of(crashed), random.Random(seed))
    assert left < frames
    rows = rows_of(crashed)
    assert rows == list(range(len(rows)))
    assert 3 <= len(rows) < 10
