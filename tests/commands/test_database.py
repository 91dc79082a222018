"""Commands with a PostgreSQL that cannot be used: one line that helps, and never the password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mainstem.__main__ import main
from mainstem.settings import Settings

NOWHERE = "postgresql://mainstem:planted-password@127.0.0.1:1/none"


@pytest.fixture(autouse=True)
def database_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"MAINSTEM_{name.upper()}", raising=False)
    monkeypatch.setenv("MAINSTEM_DATABASE", NOWHERE)


@pytest.mark.parametrize(
    "command",
    [["migrate"], ["token", "list"], ["audit", "verify"], ["tail"], ["schema", "shop"]],
    ids=lambda command: command[0],
)
def test_a_server_that_cannot_be_reached_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--data", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mainstem: the control database: connection failed")
    assert said.count("\n") == 1
    assert "127.0.0.1" in said
    assert "planted" not in said


def test_serve_does_not_start_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(tmp_path), "--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0"]
    assert main(["serve", *flags]) == 1
    said = capsys.readouterr().err
    assert "the control database: connection failed" in said
    assert "planted" not in said


def test_the_doctor_fails_the_database_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "fail  database" in said
    assert "ok    clock" in said
    assert "planted" not in said


def test_a_driver_that_is_not_installed_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert main(["migrate", "--data", str(tmp_path)]) == 1
    assert "pip install 'mainstem[postgres]'" in capsys.readouterr().err


def test_a_password_among_the_arguments_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate", "--data", str(tmp_path), "--database", NOWHERE])
    said = capsys.readouterr().err
    assert "MAINSTEM_DATABASE" in said.splitlines()[0]
    assert "planted" not in said
