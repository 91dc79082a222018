"""`mainstem token`: what a token is made for, and what it then may do."""

from __future__ import annotations

from pathlib import Path

import pytest

import databases
from mainstem import app
from mainstem.__main__ import main
from mainstem.rest import grants, tokens
from mainstem.rest.permissions import Needs, Powers
from mainstem.vault import open_vault


def run(folder: Path, *command: str) -> int:
    return main([*command, "--data", str(folder)])


def create(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The secret of a new token."""
    assert run(folder, "token", "create", "--description", "CI", *options) == 0
    return capsys.readouterr().out.strip()


def powers(folder: Path, secret: str) -> Powers | None:
    """What an active token may do."""
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        token = tokens.find_active(db, open_vault(folder, ""), secret)
        found = None if token is None else grants.powers_of(db, token)
    control.close()
    return found


def listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run(folder, "token", "list") == 0
    return capsys.readouterr().out


def test_a_member_s_token_reads_unless_roles_are_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = powers(folder, create(folder, capsys, "--access", "member"))
    assert found is not None
    assert found.may_everywhere(Needs.SOURCE_READ)
    assert not found.may(Needs.SOURCE_ADMIN)
    assert "Source Read-only, Function Read-only, Tracking Plan Read-only" in listed(folder, capsys)


def test_roles_are_granted_on_the_workspace_on_resources_and_on_labels(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roles = ("Function Admin", "Source Admin:SOURCE=src1", "source read-only:environment=prod")
    found = powers(folder, create(folder, capsys, *(each for role in roles for each in ("--role", role))))
    assert found is not None
    assert found.may_everywhere(Needs.FUNCTION_ADMIN)
    assert found.may(Needs.SOURCE_ADMIN)
    assert not found.may_everywhere(Needs.SOURCE_ADMIN)
    shown = listed(folder, capsys)
    assert "Function Admin, Source Admin (SOURCE src1), Source Read-only (environment:prod)" in shown


@pytest.mark.parametrize(
    ("role", "fault"),
    [
        ("Emperor", "names no role: Emperor"),
        ("Source Admin:SOURCE=nowhere", "names no source of this workspace: nowhere"),
        ("Function Admin:SOURCE=src1", "must be one of [WORKSPACE, FUNCTION] for the role Function Admin"),
        ("Source Admin:tier=gold", "is unknown: tier:gold"),
        ("Source Admin:SOURCE=src1:environment=prod", "labels narrow what is granted on the workspace"),
        ("Source Admin:SOURCE", "ROLE:TYPE=ID"),
    ],
)
def test_a_role_that_cannot_be_granted_makes_no_token(
    folder: Path, capsys: pytest.CaptureFixture[str], role: str, fault: str
) -> None:
    assert run(folder, "token", "create", "--description", "CI", "--role", role) == 1
    assert fault in capsys.readouterr().err
    assert len(listed(folder, capsys).splitlines()) == 2  # the heading, and the first owner's


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--access", "owner", "--role", "Source Admin"),
        ("--user", "owner@localhost", "--access", "member"),
        ("--user", "owner@localhost", "--role", "Source Admin"),
        ("--user", "nobody@x.example"),
    ],
)
def test_what_does_not_go_together_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert run(folder, "token", "create", "--description", "CI", *options) == 1
    assert capsys.readouterr().err.startswith("mainstem: --")


def test_a_token_of_a_user_may_do_what_the_user_may(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "user", "invite", "ann@x.example", "--role", "Source Admin")
    run(folder, "user", "accept", "ann@x.example")
    capsys.readouterr()
    ann = powers(folder, create(folder, capsys, "--user", "Ann@x.example"))
    owner = powers(folder, create(folder, capsys, "--user", "owner@localhost"))
    assert ann is not None
    assert owner is not None
    assert (ann.may(Needs.SOURCE_ADMIN), ann.may(Needs.WORKSPACE_OWNER), owner.is_owner) == (True, False, True)
    assert "what ann@x.example may" in listed(folder, capsys)


def test_a_token_s_roles_are_in_the_audit_trail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create(folder, capsys, "--role", "Source Admin", "--role", "Function Admin")
    assert run(folder, "audit", "verify") == 0
    assert capsys.readouterr().out == "The audit trail is whole: 4 rows.\n"
    assert app.prepare(databases.settings(folder), open_vault(folder, "")) == ""
