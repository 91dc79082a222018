"""`mainstem suppress`: the lists of users whose events are discarded."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sqlalchemy import select

import databases
from mainstem.__main__ import main
from mainstem.model.snapshot import LiveSnapshot
from mainstem.model.suppression import is_suppressed
from mainstem.public_api import workspaces
from mainstem.rest.audit import audit_events
from mainstem.vault import open_vault


def run(folder: Path, *command: str) -> int:
    return main(["suppress", *command, "--data", str(folder)])


def workspace_id(folder: Path) -> str:
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        workspace = workspaces.find_first(db)
    control.close()
    assert workspace is not None
    return workspace.id


def suppressed(folder: Path, user_id: str, source_id: str = "src1") -> bool:
    """What the data plane would do with an event of this user."""
    store = databases.snapshot_store(folder, open_vault(folder, "").open)
    lists = LiveSnapshot(store).refresh().suppressed
    store.close()
    return is_suppressed(lists, workspace_id(folder), source_id, "track", {"userId": user_id})


def test_users_are_suppressed_listed_and_let_in_again(folder, capsys):
    assert run(folder, "add", "u1", "u2", "u1") == 0
    assert capsys.readouterr().out == "2 users are suppressed.\n"
    assert suppressed(folder, "u1")
    assert suppressed(folder, "u2", "any-source")
    assert not suppressed(folder, "u3")
    assert run(folder, "list") == 0
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["workspace", "u1"],
        ["workspace", "u2"],
    ]
    assert run(folder, "remove", "u1") == 0
    assert capsys.readouterr().out == "1 user is no longer suppressed.\n"
    assert not suppressed(folder, "u1")
    assert suppressed(folder, "u2")


def test_the_list_of_a_source_is_its_own(folder, capsys):
    assert run(folder, "add", "--source", "shop", "u1") == 0
    assert suppressed(folder, "u1")
    assert not suppressed(folder, "u1", "another")
    assert run(folder, "remove", "u1") == 1
    assert "u1 is not on this list" in capsys.readouterr().err
    assert suppressed(folder, "u1")
    assert run(folder, "list", "--source", "src1") == 0
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]] == [["src1", "u1"]]


def test_whoever_is_let_in_at_a_source_stays_out_while_the_workspace_suppresses_them(folder):
    run(folder, "add", "u1")
    run(folder, "add", "u1", "--source", "shop")
    assert run(folder, "remove", "u1", "--source", "shop") == 0
    assert suppressed(folder, "u1")


def test_thousands_come_from_a_file_or_standard_input(folder, monkeypatch, tmp_path):
    users = tmp_path / "users"
    users.write_text("".join(f"u{number}\n\n" for number in range(3_000)))
    assert run(folder, "add", "--file", str(users)) == 0
    assert all(suppressed(folder, f"u{number}") for number in (0, 1_500, 2_999))
    monkeypatch.setattr("sys.stdin", io.StringIO("u0\nu2999\n"))
    assert run(folder, "remove", "--file", "-") == 0
    assert [suppressed(folder, f"u{number}") for number in (0, 1_500, 2_999)] == [False, True, False]


def test_suppressing_again_changes_nothing(folder):
    run(folder, "add", "u1")
    before = _audit(folder)
    assert run(folder, "add", "u1") == 0
    assert _audit(folder) == before


def test_a_change_is_in_the_audit_trail_without_the_ids(folder):
    run(folder, "add", "u1-secret")
    run(folder, "remove", "u1-secret", "--source", "shop")
    run(folder, "remove", "u1-secret")
    assert _audit(folder)[-2:] == [
        ("Users Suppressed", "WORKSPACE", "1 user"),
        ("Users Unsuppressed", "WORKSPACE", "1 user"),
    ]


def test_no_id_lies_in_plain_text_on_the_disk(folder):
    run(folder, "add", "very-private-person")
    assert b"very-private-person" not in databases.stored(folder)


def test_what_a_user_is_called_does_not_steer_the_terminal(folder, capsys):
    run(folder, "add", "\x1b[2J")
    assert run(folder, "list") == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["add"], "give userIds"),
        (["add", "u1", "--source", "nowhere"], "there is no source nowhere"),
        (["list", "--source", "nowhere"], "there is no source nowhere"),
        (["add", "--file", "/nowhere/at/all"], "No such file"),
        (["add", *(f"u{number}" for number in range(5_001))], "5,000 are the most"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(folder, capsys, command, said):
    assert run(folder, *command) == 2
    assert said in capsys.readouterr().err


def test_an_empty_list_says_so(folder, capsys):
    assert run(folder, "list") == 0
    assert capsys.readouterr().out == "Nobody is suppressed.\n"


def _audit(folder: Path) -> list[tuple[str, str, str]]:
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        rows = db.execute(select(audit_events).order_by(audit_events.c.seq)).all()
    control.close()
    return [(row.type, row.resource_type, row.resource_name) for row in rows]
