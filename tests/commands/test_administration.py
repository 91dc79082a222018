"""Commands beside `serve`: what they print, what they change, and their exit codes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from sqlalchemy import text

import databases
from mainstem import app, public_api
from mainstem.__main__ import main
from mainstem.errors import SettingsError
from mainstem.rest import tokens
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault
from mainstem.warehouses import base


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder after its first start, with no setting from the environment."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"MAINSTEM_{name.upper()}", raising=False)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    databases.set_variables(data, monkeypatch)
    settings = databases.settings(data)
    app.prepare(settings, open_vault(data, ""))
    app.open_flow(settings).close()
    return data


def run(folder: Path, *command: str) -> int:
    return main([*command, "--data", str(folder)])


def works(folder: Path, secret: str) -> bool:
    """Whether the secret is that of an active token."""
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        found = tokens.find_active(db, open_vault(folder, ""), secret)
    control.close()
    return found is not None


def test_a_token_is_made_shown_once_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "token", "create", "--description", "CI", "--access", "member") == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("mst_")
    assert tokens.checksum(secret[4:-6]) == secret[-6:]
    assert works(folder, secret)
    assert run(folder, "token", "list") == 0
    listed = capsys.readouterr().out
    assert secret not in listed
    token_id = next(line.split()[0] for line in listed.splitlines() if line.endswith("CI"))
    assert run(folder, "token", "revoke", token_id) == 0
    assert not works(folder, secret)
    assert run(folder, "token", "revoke", token_id) == 1


def test_tokens_are_in_the_audit_trail_which_is_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "token", "create", "--description", "CI", "--access", "owner")
    capsys.readouterr()
    assert run(folder, "audit", "verify") == 0
    assert capsys.readouterr().out == "The audit trail is whole: 2 rows.\n"


def test_a_tampered_trail_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    control = databases.control(folder)
    with control.transaction(writes=True) as db:
        db.execute(text("UPDATE audit_events SET resource_name = 'nothing'"))
    control.close()
    assert run(folder, "audit", "verify") == 1
    assert "row 1" in capsys.readouterr().err
    assert run(folder, "doctor") == 1


def test_the_doctor_finds_a_fresh_folder_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "doctor") == 0
    report = capsys.readouterr().out
    for subject in ("versions", "folder", "schema", "disk", "Public API", "Tracking API", "clock", "audit trail"):
        assert f"ok    {subject}" in report, report
    assert "0 deliveries" in report
    assert "postgres, duckdb can be connected to" in report


def test_the_deep_doctor_names_rows_that_lead_nowhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "doctor", "--deep") == 0
    assert "ok    references" in capsys.readouterr().out
    with databases.control(folder).transaction(writes=True) as db:
        db.execute(text("INSERT INTO write_keys (write_key, source_id) VALUES ('w', 'nobody')"))
    assert run(folder, "doctor") == 0
    assert run(folder, "doctor", "--deep") == 1
    report = capsys.readouterr().out
    assert "fail  references    write_keys 1: source_id names nobody, which is not there" in report
    assert "fail  references    1 rows name what is not there" in report


def test_the_doctor_names_what_brings_the_drivers_of_warehouses(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    assert run(folder, "doctor") == 0
    assert (
        "none can be connected to; install mainstem[postgres], mainstem[duckdb] for more" in capsys.readouterr().out
    )


def test_the_doctor_looks_at_the_ports_it_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert run(folder, "doctor", "--api", f"127.0.0.1:{port}") == 0
    assert f"127.0.0.1:{port} answers" in capsys.readouterr().out


@pytest.mark.sqlite
def test_the_doctor_says_what_is_wrong_with_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.chmod(0o755)
    assert run(folder, "doctor") == 0
    assert "warn  folder" in capsys.readouterr().out
    with databases.control(folder).transaction(writes=True) as db:
        db.execute(text("PRAGMA user_version = 9999"))
    assert run(folder, "doctor") == 1
    assert "fail  schema" in capsys.readouterr().out


def test_migrate_says_that_there_is_nothing_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "migrate") == 0
    assert capsys.readouterr().out == "Nothing to do.\n"


def test_a_new_folder_that_was_migrated_first_can_be_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "migrate") == 0
    assert capsys.readouterr().out.startswith("0001 start\n")
    assert open_vault(tmp_path, "")


def test_a_command_on_an_empty_folder_says_how_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "token", "list") == 1
    assert "mainstem serve" in capsys.readouterr().err


def test_what_stands_in_the_way_is_one_line_and_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "serve.lock").mkdir()
    assert run(tmp_path, "serve") == 1
    assert capsys.readouterr().err.splitlines() == [f"mainstem: [Errno 21] Is a directory: '{tmp_path}/serve.lock'"]
    (tmp_path / "file").touch()
    assert run(tmp_path / "file", "serve") == 1
    assert capsys.readouterr().err == f"mainstem: --data {tmp_path}/file: File exists\n"


def test_help_names_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text_of_help = capsys.readouterr().out
    for name in ("workers", "allow_private", "strict_write_keys"):
        assert f"--{name.replace('_', '-')}" in text_of_help
        assert f"MAINSTEM_{name.upper()}" in text_of_help.replace("\n", "")


def test_a_start_under_another_key_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="not the one that it was written with"):
        app.prepare(databases.settings(folder), Vault(b"k" * 32))
    assert app.prepare(databases.settings(folder), open_vault(folder, "")) == ""


@pytest.mark.parametrize(
    ("overrides", "is_known"),
    [
        ({"createLabel": 5}, True),
        ({"1234567890123456789012": 5}, True),
        ({"1234567890123456789012:createLabel": 5}, True),
        ({"createLable": 5}, False),
        ({"1234567890123456789012:createLable": 5}, False),
    ],
)
def test_a_raised_limit_of_an_unknown_operation_is_refused(overrides: dict[str, int], is_known: bool) -> None:
    settings = Settings(rate_limit_overrides=overrides)
    if is_known:
        public_api.check_overrides(settings)
    else:
        with pytest.raises(SettingsError, match="createLable"):
            public_api.check_overrides(settings)


def test_a_new_data_folder_survives_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    fsync = os.fsync

    def record(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    app.migrate(Settings(data=tmp_path / "a" / "b"))
    assert {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino} <= synced
