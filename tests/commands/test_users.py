"""`mainstem user`: who is invited, let in and listed at the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstem.__main__ import main
from smtp_sink import smtp_sink


def run(folder: Path, *command: str) -> int:
    return main([*command, "--data", str(folder)])


def listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of `user list`, without the heading."""
    capsys.readouterr()
    assert run(folder, "user", "list") == 0
    return capsys.readouterr().out.splitlines()[1:]


def test_who_is_invited_is_listed_accepted_and_a_user_then(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "user", "invite", "Ann@x.example", "--role", "Source Admin:SOURCE=src1") == 0
    token = capsys.readouterr().out.strip()
    owner, invited = listed(folder, capsys)
    assert "owner@localhost" in owner
    assert owner.endswith("Workspace Owner")
    assert "invited until" in invited
    assert invited.endswith("Source Admin (SOURCE src1)")
    assert run(folder, "user", "accept", token, "--name", "Ann") == 0
    assert capsys.readouterr().out.startswith("ann@x.example is a user now")
    _, ann = listed(folder, capsys)
    assert (ann.split()[0], ann.split()[1]) == (invited.split()[0], "user")
    assert run(folder, "user", "accept", token) == 1
    assert token not in capsys.readouterr().err


def test_an_invite_is_accepted_by_its_address(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "user", "invite", "ann@x.example")
    assert run(folder, "user", "accept", "ANN@x.example") == 0
    assert listed(folder, capsys)[1].endswith("nothing")
    assert run(folder, "user", "accept", "bob@x.example") == 1


def test_what_is_no_address_and_who_is_a_user_is_not_invited(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "user", "invite", "ann") == 1
    assert '"email" with value "ann" fails to match' in capsys.readouterr().err
    assert run(folder, "user", "invite", "owner@localhost") == 1
    assert "is a user of this workspace already" in capsys.readouterr().err
    assert len(listed(folder, capsys)) == 1


def test_an_invitation_is_mailed_where_a_server_is_set(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_MAIL_FROM", "no-reply@x.example")
    with smtp_sink() as sink:
        monkeypatch.setenv("MAINSTEM_SMTP_URL", f"smtp://127.0.0.1:{sink.port}")
        assert run(folder, "user", "invite", "ann@x.example") == 0
    token = capsys.readouterr().out.strip()
    assert token in str(sink.received[0].get_payload(decode=True))
    monkeypatch.setenv("MAINSTEM_SMTP_URL", "smtp://127.0.0.1:1")
    assert run(folder, "user", "invite", "bob@x.example") == 0
    assert "no mail was sent: the mail server cannot be reached" in capsys.readouterr().err
    assert len(listed(folder, capsys)) == 3


def test_invites_and_acceptance_are_in_the_audit_trail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "user", "invite", "ann@x.example", "--role", "Source Admin")
    run(folder, "user", "accept", "ann@x.example")
    capsys.readouterr()
    assert run(folder, "audit", "verify") == 0
    assert capsys.readouterr().out == "The audit trail is whole: 4 rows.\n"
