"""The control database: transactions, migrations, and what the code believes of its tables."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from mainstem import public_api
from mainstem.engines.schema import NewerSchema, migrations
from mainstem.engines.sqlite_control import SqliteControl
from mainstem.errors import EngineUnavailable, NotFound
from mainstem.rest.rows import metadata

assert public_api.FAMILIES, "importing the families fills the metadata"


@pytest.fixture
def control(tmp_path: Path) -> SqliteControl:
    database = SqliteControl(tmp_path)
    database.migrate()
    return database


def fill_then_break(db: Connection) -> None:
    db.execute(text("INSERT INTO audit_head VALUES (1, 1, 'x')"))
    db.execute(text("INSERT INTO audit_head VALUES (1, 1, 'a second row of the same key')"))


def fill_then_refuse(db: Connection) -> None:
    db.execute(text("INSERT INTO audit_head VALUES (1, 1, 'x')"))
    raise NotFound("no such source")


def columns(control: SqliteControl, table: str) -> list[str]:
    with control.transaction(writes=False) as db:
        return [row.name for row in db.execute(text(f"PRAGMA table_info({table})"))]


def test_a_new_folder_is_migrated_from_the_start_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    database = SqliteControl(tmp_path)
    assert [step.number for step in database.migrate()] == [step.number for step in migrations()]
    assert database.migrate() == []


def test_the_migrated_schema_is_the_one_that_the_families_use(control: SqliteControl) -> None:
    with control.transaction(writes=False) as db:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        tables = {row.name for row in db.execute(text(query))}
    assert tables == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert columns(control, name) == [column.name for column in table.columns], name


def test_a_folder_of_a_newer_version_is_left_alone(control: SqliteControl) -> None:
    with sqlite3.connect(control.path) as raw:
        raw.execute("PRAGMA user_version = 9999")
    raw.close()
    with pytest.raises(NewerSchema, match="9999"):
        control.migrate()


def test_a_transaction_that_raises_leaves_nothing(control: SqliteControl) -> None:
    with pytest.raises(IntegrityError), control.transaction(writes=True) as db:
        fill_then_break(db)
    with control.transaction(writes=False) as db:
        assert db.execute(text("SELECT count(*) FROM audit_head")).scalar() == 0


def test_what_refuses_a_call_leaves_its_connection_to_the_next(control: SqliteControl) -> None:
    with pytest.raises(NotFound), control.transaction(writes=True) as db:
        fill_then_refuse(db)
    with control.transaction(writes=True) as again:
        assert again is db
        assert again.execute(text("SELECT count(*) FROM audit_head")).scalar() == 0


def test_a_connection_that_failed_is_not_used_again(control: SqliteControl) -> None:
    with pytest.raises(EngineUnavailable), control.transaction(writes=False) as db:
        db.execute(text("SELECT * FROM nowhere"))
    with control.transaction(writes=False) as again:
        assert db.closed
        assert again is not db


def test_closing_lets_go_of_the_file(control: SqliteControl) -> None:
    with control.transaction(writes=True) as db, control.transaction(writes=False) as reading:
        fill = text("INSERT INTO audit_head VALUES (1, 1, 'x')")
        db.execute(fill)
        assert reading.execute(text("SELECT count(*) FROM audit_head")).scalar() == 0
    log = control.path.with_name(f"{control.path.name}-wal")
    assert log.exists()
    control.close()
    assert not log.exists(), "SQLite removes it when the last connection closes"


def test_a_committed_change_is_synced_to_disk(control: SqliteControl) -> None:
    with control.transaction(writes=True) as db:
        assert db.execute(text("PRAGMA synchronous")).scalar() == 2
        assert db.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_full_disk_is_an_engine_that_is_unavailable(control: SqliteControl) -> None:
    with control.transaction(writes=True) as db:
        db.execute(text("CREATE TABLE filler (x)"))
        db.execute(text("PRAGMA max_page_count = 1"))
    with pytest.raises(EngineUnavailable), control.transaction(writes=True) as db:
        db.execute(text("INSERT INTO filler VALUES (zeroblob(10000000))"))


def test_a_file_that_is_no_database_is_an_engine_that_is_unavailable(tmp_path: Path) -> None:
    database = SqliteControl(tmp_path)
    database.path.write_bytes(b"no database" * 1000)
    with pytest.raises(EngineUnavailable, match="not a database"):
        database.migrate()
    with pytest.raises(EngineUnavailable, match="not a database"), database.transaction(writes=False) as db:
        db.execute(text("SELECT 1 FROM labels"))
    database.close()
