"""The control database on PostgreSQL: one writer of all processes, migrations, a server that goes and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import databases
from mainstem.engines.postgres_control import WRITERS, PostgresControl
from mainstem.engines.postgres_snapshot import PostgresSnapshotStore
from mainstem.engines.schema import NewerSchema, migrations
from mainstem.errors import BadRequest, EngineUnavailable
from mainstem.model.snapshot import Change, SourceConfig
from public_api.client import Api

pytestmark = pytest.mark.postgres
NOWHERE = "postgresql://mainstem:planted-password@127.0.0.1:1/none"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return databases.server().url(tmp_path)


@pytest.fixture
def control(url: str) -> Iterator[PostgresControl]:
    with closing(PostgresControl(url)) as opened:
        yield opened


def end_connections(url: str) -> None:
    """What a restart of the server does to those who are connected; they are gone when this returns."""
    ours = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mainstem'"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"SELECT pg_terminate_backend(pid) {ours}")
        while db.execute(f"SELECT 1 {ours}").fetchone():
            time.sleep(0.005)


def insert_twice(control: PostgresControl, row: str) -> None:
    with control.transaction(writes=True) as db:
        db.execute(text(row))
        db.execute(text(row))


def wait_for_a_waiting_writer(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        while not db.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone():
            time.sleep(0.005)


class TestTransactions:
    def test_a_writer_waits_for_the_other_and_sees_what_it_wrote(self, url: str, control: PostgresControl) -> None:
        with closing(PostgresControl(url)) as other, ThreadPoolExecutor(1) as threads:

            def read_in_a_writing_transaction() -> int:
                with other.transaction(writes=True) as db:
                    return int(db.execute(text("SELECT count(*) FROM labels")).scalar_one())

            with control.transaction(writes=True) as db:
                reading = threads.submit(read_in_a_writing_transaction)
                wait_for_a_waiting_writer(url)
                db.execute(text("INSERT INTO labels (workspace_id, key, value) VALUES ('w', 'k', 'v')"))
            assert reading.result() == 1

    def test_a_reader_sees_one_moment_and_waits_for_nobody(self, url: str, control: PostgresControl) -> None:
        count = text("SELECT count(*) FROM labels")
        with closing(PostgresControl(url)) as other, other.transaction(writes=False) as reading:
            assert reading.execute(count).scalar() == 0
            with control.transaction(writes=True) as db:
                db.execute(text("INSERT INTO labels (workspace_id, key, value) VALUES ('w', 'k', 'v')"))
            assert reading.execute(count).scalar() == 0
            with pytest.raises(EngineUnavailable, match="read-only"), other.transaction(writes=False) as db:
                db.execute(text("DELETE FROM labels"))

    def test_a_transaction_that_raises_leaves_nothing(self, control: PostgresControl) -> None:
        with pytest.raises(IntegrityError):
            insert_twice(control, "INSERT INTO audit_head (\"only\", seq, hash) VALUES (1, 1, 'x')")
        with control.transaction(writes=False) as db:
            assert db.execute(text("SELECT count(*) FROM audit_head")).scalar() == 0

    def test_an_error_that_is_logged_tells_no_values(self, control: PostgresControl) -> None:
        with pytest.raises(IntegrityError) as raised:
            insert_twice(control, "INSERT INTO write_keys (write_key, source_id) VALUES ('planted-write-key', 's')")
        assert "write_keys_write_key_key" in str(raised.value.orig)
        assert "planted" not in str(raised.value.orig) + str(raised.value.args)

    def test_text_that_postgresql_cannot_hold_is_a_bad_request(self, control: PostgresControl) -> None:
        with pytest.raises(BadRequest, match="NUL"), control.transaction(writes=True) as db:
            db.execute(text("INSERT INTO labels (workspace_id, key, value) VALUES ('w', :k, 'v')"), {"k": "a\0b"})

    def test_a_writer_that_holds_on_for_too_long_is_unavailable_to_others(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mainstem.engines.postgres_control._ON_CONNECT", "SET lock_timeout = '50ms'")
        with closing(PostgresControl(url)) as control, psycopg.connect(url) as holder:
            holder.execute(f"SELECT pg_advisory_xact_lock({WRITERS})")
            with pytest.raises(EngineUnavailable, match="lock timeout"), control.transaction(writes=True):
                pass


class TestServer:
    def test_a_restart_of_the_server_fails_no_later_call(self, url: str, control: PostgresControl) -> None:
        for _ in range(2):
            with control.transaction(writes=True) as db:
                assert db.execute(text("SELECT 1")).scalar() == 1
            end_connections(url)

    def test_a_connection_lost_on_the_way_is_unavailable_and_the_next_call_works(
        self, url: str, control: PostgresControl
    ) -> None:
        def lose_it() -> None:
            with control.transaction(writes=True) as db:
                end_connections(url)
                db.execute(text("SELECT 1"))

        with pytest.raises(EngineUnavailable):
            lose_it()
        with control.transaction(writes=True) as db:
            assert db.execute(text("SELECT 1")).scalar() == 1

    def test_a_server_that_cannot_be_reached_is_named_without_the_password(self) -> None:
        with closing(PostgresControl(NOWHERE)) as control, pytest.raises(EngineUnavailable) as raised:
            control.migrate()
        assert "127.0.0.1" in str(raised.value)
        assert "planted" not in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_a_url_that_the_driver_does_not_understand_is_refused_without_showing_it(self) -> None:
        with pytest.raises(EngineUnavailable) as raised:
            PostgresControl("postgresql://u:planted@h:port/db?planted=1")
        assert "planted" not in str(raised.value)

    def test_calls_are_answered_503_while_it_is_away_and_then_again(self, tmp_path: Path) -> None:
        api, url = Api(tmp_path), databases.server().url(tmp_path)
        reached = api.dispatcher._database
        with closing(PostgresControl(NOWHERE)) as away:
            api.dispatcher._database = away
            reply = api.get("/labels")
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        api.dispatcher._database = reached
        end_connections(url)
        assert api.get("/labels").status == 200


class TestMigrations:
    def test_four_processes_that_start_at_once_migrate_once(self, tmp_path: Path) -> None:
        controls = [databases.empty_control(tmp_path) for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            taken = list(threads.map(lambda control: len(control.migrate()), controls))
        assert sorted(taken) == [0, 0, 0, len(migrations())]
        assert controls[0].schema() == migrations()[-1].number

    def test_a_database_without_tables_has_schema_0(self, tmp_path: Path) -> None:
        assert databases.empty_control(tmp_path).schema() == 0

    def test_a_database_of_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        control = databases.empty_control(tmp_path)
        control.migrate()
        with control.transaction(writes=True) as db:
            db.execute(text("UPDATE schema_version SET number = 9999"))
        with pytest.raises(NewerSchema, match="9999"):
            control.migrate()


class TestSnapshot:
    @pytest.fixture
    def store(self, url: str) -> Iterator[PostgresSnapshotStore]:
        with closing(PostgresSnapshotStore(url, lambda body, _: body)) as opened:
            yield opened

    def publish(self, url: str, version: int, id: str, body: bytes | None) -> None:
        with psycopg.connect(url) as db:
            db.execute("DELETE FROM published WHERE source_id = %s", (id,))
            db.execute("INSERT INTO published VALUES (%s, %s, %s)", (id, version, body))

    def test_only_what_changed_is_read(self, url: str, store: PostgresSnapshotStore) -> None:
        assert store.changes(0) == (0, [])
        self.publish(url, 1, "a", None)
        assert store.changes(0) == (1, [Change("a", None)])
        assert store.changes(1) == (1, [])
        self.publish(url, 2, "b", None)
        assert store.changes(1) == (2, [Change("b", None)])

    def test_a_body_that_does_not_unseal_is_unavailable(self, url: str, store: PostgresSnapshotStore) -> None:
        self.publish(url, 1, "a", b"not MessagePack of a source")
        with pytest.raises(EngineUnavailable, match="source a"):
            store.changes(0)

    def test_a_table_made_later_is_seen(self, tmp_path: Path) -> None:
        control = databases.empty_control(tmp_path)
        store = databases.snapshot_store(tmp_path, lambda body, _: body)
        assert store.changes(0) == (0, [])
        control.migrate()
        self.publish(databases.server().url(tmp_path), 1, "a", None)
        assert store.changes(0)[0] == 1

    def test_it_cannot_write(self, store: PostgresSnapshotStore) -> None:
        store.changes(0)
        assert store._connection is not None
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            store._connection.execute("DELETE FROM published")

    def test_a_lost_connection_is_unavailable_until_a_thread_has_connected_again(
        self, url: str, store: PostgresSnapshotStore
    ) -> None:
        store.changes(0)
        self.publish(url, 1, "a", None)
        end_connections(url)
        with pytest.raises(EngineUnavailable):
            store.changes(0)
        while store._lost:
            time.sleep(0.005)
        assert store.changes(0) == (1, [Change("a", None)])

    def test_a_server_that_is_away_fails_every_call_at_once_and_shows_no_password(self) -> None:
        with closing(PostgresSnapshotStore(NOWHERE, lambda body, _: body)) as store:
            for _ in range(3):
                with pytest.raises(EngineUnavailable) as raised:
                    store.changes(0)
                assert "planted" not in str(raised.value)
            assert [each.name for each in threading.enumerate() if "_connect_again" in each.name]


def test_a_change_by_the_public_api_is_read_in_the_next_question(tmp_path: Path) -> None:
    api = Api(tmp_path)
    store = databases.snapshot_store(tmp_path, api.vault.open)
    made = api.post("/sources", {"slug": "shop", "enabled": True, "metadataId": "IqDTy1TpoU"}).data["source"]
    version, changes = store.changes(0)
    shop = next(change.config for change in changes if change.id == made["id"])
    assert version > 0
    assert isinstance(shop, SourceConfig)
    assert shop.slug == "shop"
