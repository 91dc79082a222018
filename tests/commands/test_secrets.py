"""`mainstem secrets rotate`: a new key for everything, found by every process, and an old one that opens nothing."""

from __future__ import annotations

import base64
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

import databases
from mainstem import app
from mainstem.__main__ import main
from mainstem.commands import secrets
from mainstem.engines import sealed_files
from mainstem.engines.sqlite_function_log import SqliteFunctionLog
from mainstem.engines.sqlite_tokens import SqliteTokens
from mainstem.engines.sqlite_traces import SqliteTraces
from mainstem.model.ports import FunctionLogEntry, Tokens
from mainstem.public_api import publish, sealed
from mainstem.public_api.destinations import destinations
from mainstem.rest import tokens
from mainstem.rest.rows import metadata
from mainstem.vault import SealBroken, Vault, open_vault

OLD, NEW = (base64.b64encode(each * 32).decode() for each in (b"o", b"n"))


def rotate(folder: Path) -> int:
    return main(["secrets", "rotate", "--data", str(folder)])


def keys(folder: Path) -> list[str]:
    return (folder / "secret.key").read_text().split()


def settings_of(folder: Path) -> bytes:
    """What the destination of the folder has sealed."""
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        found: bytes = db.execute(select(destinations.c.settings)).scalar_one()
    control.close()
    return found


def in_files(folder: Path, vault: Vault) -> tuple[SqliteTokens, SqliteFunctionLog]:
    """The stores beside the control database, with something in each."""
    tokens_, log = SqliteTokens(folder, vault.seal, vault.open), SqliteFunctionLog(folder, vault)
    for number in range(sealed_files.AT_ONCE + 1):
        tokens_.save(f"dst{number}", Tokens(f"access-{number}", "refresh"))
    log.append([FunctionLogEntry(1, "f", "v", "i", "m", "onTrack", "thrown", "Error", "no", [], 1.0)])
    return tokens_, log


def test_everything_is_sealed_under_a_new_key_and_the_old_one_is_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,), running = keys(folder), open_vault(folder, "")
    stored, log = in_files(folder, running)
    with_old = Vault(base64.b64decode(old))
    before = settings_of(folder)
    assert with_old.open(before, "dst1") == b"{}"
    assert rotate(folder) == 0
    assert "sealed under the new key" in capsys.readouterr().out
    (new,) = keys(folder)
    assert new != old
    after = settings_of(folder)
    with pytest.raises(SealBroken):
        with_old.open(after, "dst1")
    assert Vault(base64.b64decode(new)).open(after, "dst1") == b"{}"
    assert running.open(after, "dst1") == b"{}", "a running process learns of the new key"
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "hash.key").stat().st_mode & 0o777 == 0o600
    for each in (stored, log):
        each.close()
    vault = open_vault(folder, "")
    stored, log = SqliteTokens(folder, vault.seal, vault.open), SqliteFunctionLog(folder, vault)
    last = sealed_files.AT_ONCE
    assert stored.get("dst0") == Tokens("access-0", "refresh")
    assert stored.get(f"dst{last}") == Tokens(f"access-{last}", "refresh")
    assert [each.entry.message for each in log.read("f", 0, 10)] == ["no"]
    stored.close()
    log.close()


def test_tokens_and_the_audit_trail_outlive_two_rotations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "--description", "CI", "--access", "owner", "--data", str(folder)]) == 0
    secret = capsys.readouterr().out.strip()
    assert rotate(folder) == rotate(folder) == 0
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        found = tokens.find_active(db, open_vault(folder, ""), secret)
    control.close()
    assert found is not None
    assert found.description == "CI"
    assert main(["audit", "verify", "--data", str(folder)]) == 0
    assert "whole" in capsys.readouterr().out
    assert app.prepare(databases.settings(folder), open_vault(folder, "")) == ""


def test_what_a_running_process_seals_while_keys_change_opens_afterwards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, control = open_vault(folder, ""), databases.control(folder)
    running.seal(b"", "")
    written = []

    def write(db: Any, vault: Vault, column: sealed.Sealed, after: Any) -> sealed.Resealed:
        step = reseal(db, vault, column, after)
        if column.column.table is destinations:
            body = running.seal(b'{"late":1}', "dst1")
            written.append(body)
            db.execute(update(destinations).values(settings=body))
        return step

    reseal = sealed.reseal
    monkeypatch.setattr(sealed, "reseal", write)
    assert rotate(folder) == 0
    control.close()
    assert len(written) == 2
    assert open_vault(folder, "").open(settings_of(folder), "dst1") == b'{"late":1}'


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("place", ["begun", "half way", "at the end"])
def test_a_rotation_that_was_interrupted_is_taken_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    def crash(*_: object) -> Iterator[Any]:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(
            secrets, {"begun": "_control", "half way": "_considerate", "at the end": "end_rotation"}[place], crash
        )
        with pytest.raises(Crash):
            rotate(folder)
    made, _ = keys(folder)
    assert open_vault(folder, "").open(settings_of(folder), "dst1") == b"{}"
    assert app.prepare(databases.settings(folder), open_vault(folder, "")) == "", "a server starts on it"
    assert rotate(folder) == 0
    assert "was interrupted" in capsys.readouterr().out
    assert keys(folder) == [made]
    assert open_vault(folder, "").open(settings_of(folder), "dst1") == b"{}"


def test_a_value_that_does_not_open_keeps_the_old_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    control, vault = databases.control(folder), open_vault(folder, "")
    moved = vault.seal(b"{}", "another row")
    with control.transaction(writes=True) as db:
        db.execute(update(destinations).values(settings=moved))
    assert rotate(folder) == 1
    assert "destinations.settings of dst1" in capsys.readouterr().err
    assert len(keys(folder)) == 2
    with control.transaction(writes=True) as db:
        db.execute(update(destinations).values(settings=vault.seal(b"{}", "dst1")))
    control.close()
    assert rotate(folder) == 0
    assert len(keys(folder)) == 1


def test_more_rows_than_fit_a_transaction_are_all_sealed_again(folder: Path) -> None:
    control, vault = databases.control(folder), open_vault(folder, "")
    ids = [f"f{number:04d}" for number in range(2 * sealed.AT_ONCE + 1)]
    with control.transaction(writes=True) as db:
        rows = [
            {"source_id": each, "version": number, "body": vault.seal(b"{}", each)} for number, each in enumerate(ids)
        ]
        db.execute(insert(publish.published), [*rows, {"source_id": "gone", "version": 0, "body": None}])
    assert rotate(folder) == 0
    anew = Vault(base64.b64decode(keys(folder)[0]))
    with control.transaction(writes=False) as db:
        found = dict(db.execute(select(publish.published.c.source_id, publish.published.c.body)).all())  # type: ignore[arg-type]
    control.close()
    assert found.pop("gone") is None
    assert [anew.open(found[each], each) for each in ids] == [b"{}"] * len(ids)


def test_two_rotations_do_not_run_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "rotate.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert rotate(folder) == 1
    assert "another" in capsys.readouterr().err
    assert len(keys(folder)) == 1


def test_keys_from_the_environment_are_rotated_with_the_old_one_beside_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    databases.set_variables(data, monkeypatch)
    monkeypatch.setenv("MAINSTEM_SECRET_KEY", OLD)
    first = open_vault(data, OLD)
    owner = app.prepare(databases.settings(data, secret_key=OLD), first)
    stored = SqliteTokens(data, first.seal, first.open)
    stored.save("dst", Tokens("access", "refresh"))
    stored.close()
    assert rotate(data) == 1
    assert "the only key" in capsys.readouterr().err
    monkeypatch.setenv("MAINSTEM_SECRET_KEY", NEW)
    monkeypatch.setenv("MAINSTEM_OLD_SECRET_KEYS", OLD)
    assert main(["audit", "verify", "--data", str(data)]) == 0, "commands know the old key too"
    assert main(["token", "create", "--description", "CI", "--access", "owner", "--data", str(data)]) == 0
    made = capsys.readouterr().out.split()[-1]
    assert rotate(data) == 1
    assert "start it again with both keys" in capsys.readouterr().err
    app.note_serving(data, open_vault(data, NEW, [OLD]))
    assert rotate(data) == 0
    assert "needed no more" in capsys.readouterr().out
    assert not (data / "secret.key").exists()
    alone = open_vault(data, NEW)
    assert SqliteTokens(data, alone.seal, alone.open).get("dst") == Tokens("access", "refresh")
    control = databases.control(data)
    with control.transaction(writes=False) as db:
        assert tokens.find_active(db, alone, owner) is not None
        assert tokens.find_active(db, alone, made) is not None
    control.close()


# What lies in binary columns and is not sealed: hashes under the key of hashes, and JSON without secrets.
NOT_SEALED = {
    "tokens.hash", "invites.token_hash", "audit_events.hash", "audit_head.hash", "suppressions.user_key",
    "destination_filters.actions", "subscriptions.schedule",
}  # fmt: skip


def test_every_binary_column_of_the_control_database_is_known_as_sealed_or_not(folder: Path) -> None:
    binary = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if column.type.python_type is bytes
    }
    registered = {each.name for each in sealed.SEALED}
    assert registered | NOT_SEALED == binary
    assert not registered & NOT_SEALED


@pytest.mark.sqlite
def test_every_binary_column_of_the_other_files_is_known_as_sealed_or_not(folder: Path) -> None:
    vault = open_vault(folder, "")
    stored, log = in_files(folder, vault)
    traces = SqliteTraces(folder / "traces.db", vault)
    stored.close()
    log.close()
    traces._opened()
    traces.close()
    found = set()
    for path in folder.glob("*.db"):
        if path.name in {"control.db", "flow.db", "events.db"}:  # the first above, the others hold what is not sealed
            continue
        with sqlite3.connect(path) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in names:
                columns = db.execute(f"SELECT name FROM pragma_table_info('{name}') WHERE type = 'BLOB'")
                found |= {f"{path.name}: {name}.{column}" for (column,) in columns}
        db.close()
    assert found == {each.name for each in sealed_files.SEALED_FILES} | {"traces.db: keys.keys"}
