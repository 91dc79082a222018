"""What opens, what does not, and what is told about it."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mainstem.errors import TooManyRequests
from mainstem.warehouses import DRIVERS, base, door
from mainstem.warehouses.base import Surroundings
from mainstem.warehouses.door import AT_ONCE, Door
from warehouses.speaking import PostgresServer

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PASSWORD = "s3cr3t-of-acme"


def server(listens_at: int, **more: Any) -> dict[str, Any]:
    settings = {"hostname": "127.0.0.1", "port": listens_at, "database": "d", "username": "u", "password": PASSWORD}
    return settings | more


@pytest.fixture
def opens(tmp_path: Path) -> Any:
    """Ask a door that may reach loopback."""
    made = Door(tmp_path, LOOPBACK)
    return lambda slug, settings: made.opens("w", slug, settings)


class TestPostgres:
    def test_it_opens_to_the_right_password(self, opens: Any) -> None:
        with PostgresServer(PASSWORD) as there:
            assert opens("postgres", server(there.port))
            assert opens("postgres", server(there.port, hostname="localhost", port=str(there.port)))

    def test_it_stays_shut_to_a_wrong_password(self, opens: Any, caplog: pytest.LogCaptureFixture) -> None:
        with PostgresServer("another") as there:
            assert not opens("postgres", server(there.port))
        assert "refuses this user" in caplog.text
        assert PASSWORD not in caplog.text

    def test_a_password_of_the_account_that_mainstem_runs_under_is_not_tried(
        self, opens: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "pgpass").write_text("*:*:*:*:from-a-file\n")
        (tmp_path / "pgpass").chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
        monkeypatch.setenv("PGPASSWORD", "from-the-environment")
        with PostgresServer("another") as there:
            assert not opens("postgres", server(there.port, password=None))
            assert not {"from-a-file", "from-the-environment", ""} & set(there.passwords)

    def test_where_nobody_listens_is_no_warehouse(self, opens: Any) -> None:
        with PostgresServer(PASSWORD) as there:
            port = there.port
        assert not opens("postgres", server(port))

    def test_who_does_not_answer_is_left_in_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(door, "ATTEMPT_SECONDS", 1.0)
        with PostgresServer(PASSWORD, says_nothing=True) as there:
            assert not Door(tmp_path, LOOPBACK).opens("w", "postgres", server(there.port))
        assert "no answer" in caplog.text

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1"]
    )
    def test_private_machines_are_not_reached_unless_they_are_listed(
        self, tmp_path: Path, host: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with PostgresServer(PASSWORD) as there:
            assert not Door(tmp_path, ()).opens("w", "postgres", server(there.port, hostname=host))
            assert there.passwords == []
        assert "--allow-private" in caplog.text

    @pytest.mark.parametrize(
        "broken",
        [
            {"hostname": "/tmp"},
            {"hostname": "a.example,127.0.0.1"},
            {"hostname": "host=127.0.0.1"},
            {"hostname": ""},
            {"hostname": None},
            {"port": "5432,5433"},
            {"port": 0},
            {"port": "70000"},
            {"port": "1" * 9_999},
            {"database": None},
            {"username": ["u"]},
        ],
        ids=str,
    )
    def test_settings_that_name_no_one_server_stay_shut(self, opens: Any, broken: dict[str, Any]) -> None:
        assert not opens("postgres", server(5432, **broken))

    def test_a_database_is_a_name_and_no_way_to_other_parameters(self, opens: Any) -> None:
        with PostgresServer(PASSWORD) as there:
            assert opens("postgres", server(there.port, database="host=10.0.0.1 sslmode=require"))


class TestDuckDB:
    def test_a_file_that_is_there_opens(self, opens: Any, tmp_path: Path) -> None:
        (tmp_path / "w").mkdir()
        duckdb.connect(tmp_path / "w" / "events.duckdb").close()
        assert opens("duckdb", {"file": "events.duckdb"})

    def test_a_file_that_is_yet_to_be_made_opens_and_nothing_is_left_behind(self, opens: Any, tmp_path: Path) -> None:
        assert opens("duckdb", {"file": "events.duckdb"})
        assert list((tmp_path / "w").iterdir()) == []

    def test_a_file_that_is_no_database_stays_shut(self, opens: Any, tmp_path: Path) -> None:
        (tmp_path / "w").mkdir()
        (tmp_path / "w" / "events.duckdb").write_bytes(b"no database" * 1_000)
        assert not opens("duckdb", {"file": "events.duckdb"})

    @pytest.mark.parametrize(
        "file", ["../x.duckdb", "/x.duckdb", "x.db", ".duckdb", "", None, 7, "x.duckdb\n", "é.duckdb"]
    )
    def test_a_name_leads_nowhere_else(self, opens: Any, file: Any) -> None:
        assert not opens("duckdb", {"file": file})

    def test_a_link_is_not_followed(self, opens: Any, tmp_path: Path) -> None:
        (tmp_path / "w").mkdir()
        duckdb.connect(tmp_path / "other.duckdb").close()
        (tmp_path / "w" / "x.duckdb").symlink_to(tmp_path / "other.duckdb")
        assert not opens("duckdb", {"file": "x.duckdb"})


def test_a_type_without_a_driver_stays_shut_and_the_log_says_why(
    opens: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert not opens("snowflake", {"account": "a"})
    assert "no driver" in caplog.text


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_a_driver_that_is_not_installed_is_named_with_its_extra(
    opens: Any, driver: base.Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    assert not opens(driver.slug, {})
    assert f"install mainstem[{driver.extra}]" in caplog.text


class Slow:
    """A driver that takes until it is let go."""

    slug, module, extra = "slow", "sys", ""

    def __init__(self) -> None:
        self.began, self.let_go = threading.Semaphore(0), threading.Event()

    def check(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        self.began.release()
        self.let_go.wait(around.seconds_left)


def test_slow_hosts_never_take_every_thread(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    slow = Slow()
    made = Door(tmp_path, (), {"slow": slow})
    threads = [threading.Thread(target=made.opens, args=("w", "slow", {})) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
        assert slow.began.acquire(timeout=60)
    with pytest.raises(TooManyRequests):
        made.opens("w", "slow", {})
    slow.let_go.set()
    for thread in threads:
        thread.join()
    assert made.opens("w", "slow", {})
