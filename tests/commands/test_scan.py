"""`mainstem token scan`: live tokens are found wherever they lie, and nothing else is."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

import databases
from mainstem.__main__ import main
from mainstem.commands import scan
from mainstem.rest import audit, tokens
from mainstem.vault import open_vault

SECRET = tokens.new_secret()


@pytest.fixture
def secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A live token of the data folder."""
    assert main(["token", "create", "--description", "CI", "--access", "owner", "--data", str(folder)]) == 0
    return capsys.readouterr().out.strip()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


Scan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scanned(folder: Path, capsys: pytest.CaptureFixture[str]) -> Scan:
    """Run it; returns the exit code, what it printed, and what it said beside."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["token", "scan", *map(str, arguments), "--data", str(folder)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def git(repository: Path, *arguments: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ("-c", "user.name=A", "-c", "user.email=a@x.example", "-c", "init.defaultBranch=main")
    subprocess.run(
        ["git", *identity, "-C", str(repository), *arguments], check=True, capture_output=True,
        env=own | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip


def commit(repository: Path, name: str, text: str, message: str = "change") -> None:
    (repository / name).write_text(text)
    git(repository, "add", name)
    git(repository, "commit", "-m", message)


def state(folder: Path, secret: str) -> tuple[bool, list[Any]]:
    """Whether a token works, and the audit events of exposure."""
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        works = tokens.find_active(db, open_vault(folder, ""), secret) is not None
        events = list(
            db.execute(select(audit.audit_events).where(audit.audit_events.c.type == "Access Token Exposed"))
        )
    control.close()
    return works, events


def test_a_live_token_is_found_with_its_file_and_line_and_stays_secret(
    folder: Path, secret: str, place: Path, scanned: Scan
) -> None:
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "config.env").write_text(f"A=1\nB=2\nTOKEN={secret}\n")
    code, out, err = scanned(place)
    assert code == 1
    assert f"{place}/deep/er/config.env:3" in out
    assert "CI" in out
    assert secret not in out + err
    assert state(folder, secret) == (True, []), "nothing is revoked unless somebody wants it"


def test_the_option_revokes_what_is_found_and_says_so_in_the_audit_trail(
    folder: Path, secret: str, place: Path, scanned: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "a").write_text(secret)
    code, out, _ = scanned(place, "--revoke")
    assert code == 1
    assert "is revoked" in out
    works, (event,) = state(folder, secret)
    assert not works
    assert (event.resource_type, event.resource_name, event.actor) == ("TOKEN", "CI", "operator")
    code, out, err = scanned(place)
    assert (code, out) == (0, "No live token was found.\n")
    assert "1 token of these places no longer work" in err
    assert main(["audit", "verify", "--data", str(folder)]) == 0


@pytest.mark.parametrize(("typed", "works"), [("y\n", False), ("n\n", True), ("", True)])
def test_at_a_terminal_it_asks(
    folder: Path, secret: str, place: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch, typed: str, works: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    (place / "a").write_text(secret)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stdout", shown := Terminal())
    code, _, _ = scanned(place)
    assert code == 1
    assert "Revoke 1 token? [y/N]" in shown.getvalue()
    assert state(folder, secret)[0] is works


def test_tokens_of_others_typos_and_the_unknown_are_not_reported(secret: str, place: Path, scanned: Scan) -> None:
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    (place / "a").write_text(f"{tokens.new_secret()}\n{wrong}\n{secret[:-1]}\nmst_\n")
    code, out, err = scanned(place)
    assert (code, out) == (0, "No live token was found.\n")
    assert "1 token there are of no use here" in err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-16"])
def test_binary_files_and_other_encodings_are_read(secret: str, place: Path, scanned: Scan, encoding: str) -> None:
    (place / "blob.bin").write_bytes(os.urandom(1000) + f" {secret} ".encode(encoding) + os.urandom(1000))
    assert scanned(place / "blob.bin")[0] == 1


def test_every_commit_of_a_repository_is_searched(secret: str, place: Path, scanned: Scan) -> None:
    git(place, "init")
    commit(place, "config.py", f"x = 1\nTOKEN = '{secret}'\n")
    commit(place, "config.py", "x = 1\n", "take it out")
    code, out, err = scanned(place)
    assert code == 1
    assert "config.py:2" in out
    first = subprocess.run(
        ["git", "-C", place, "rev-list", "--max-parents=0", "HEAD"], capture_output=True, text=True
    ).stdout
    assert f"commit {first[:12]}, config.py:2" in out
    assert "6 git objects" in err, "two commits, two trees, two files"


@pytest.mark.parametrize("of", ["message", "tag", "branch", "nowhere", "packed", "bare", "deeper"])
def test_what_lies_elsewhere_in_a_repository_is_found(secret: str, place: Path, scanned: Scan, of: str) -> None:
    repository = place / "below" if of == "deeper" else place
    repository.mkdir(exist_ok=True)
    git(repository, "init")
    commit(repository, "a", "a")
    if of == "message":
        commit(repository, "a", "b", f"use {secret}")
    elif of == "tag":
        git(repository, "tag", "-a", "v1", "-m", secret)
    elif of == "nowhere":
        (repository / "a").write_text(secret)
        git(repository, "add", "a")
        git(repository, "reset", "--hard")
    else:
        git(repository, "checkout", "-b", "other")
        commit(repository, "b", secret)
        git(repository, "checkout", "main")
    if of == "packed":
        git(repository, "gc", "-q")
    searched = place
    if of == "bare":
        searched = place.parent / "bare.git"
        git(place, "clone", "--bare", str(place), str(searched))
    code, out, _ = scanned(searched)
    assert code == 1
    assert "    " in out


def test_the_place_of_a_token_in_many_files_is_named_some_times(secret: str, place: Path, scanned: Scan) -> None:
    for number in range(12):
        (place / f"{number:02d}").write_text(secret)
    _, out, _ = scanned(place)
    assert out.count(str(place)) == 10
    assert "and in 2 more places" in out


def test_what_is_not_read_is_named(secret: str, place: Path, scanned: Scan) -> None:
    (place / "a.gz").write_bytes(gzip.compress(secret.encode()))
    (place / "link").symlink_to(place / "a.gz")
    os.mkfifo(place / "pipe")
    code, _, err = scanned(place)
    assert code == 0
    assert f"not unpacked: {place}/a.gz" in err
    assert "1 link and 1 special file were passed over" in err


def test_what_cannot_be_read_is_named_and_changes_the_exit_code(
    secret: str, place: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "closed").write_text("x")
    (place / "broken" / ".git").mkdir(parents=True)

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return opening(self, *arguments, **options)

    opening = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    code, _, err = scanned(place)
    assert code == 2
    assert f"not read: {place}/closed: Permission denied" in err
    assert f"not read: {place}/broken: its history" in err


def test_a_path_that_is_not_there_is_an_error(secret: str, place: Path, scanned: Scan) -> None:
    code, _, err = scanned(place / "nowhere")
    assert code == 1
    assert "there is no" in err


def test_a_repository_cannot_make_git_run_programs(secret: str, place: Path, scanned: Scan, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    git(place, "init")
    commit(place, "a", secret)
    for name in ("core.fsmonitor", "gpg.program", "core.pager", "diff.external", "pager.log", "core.sshCommand"):
        git(place, "config", name, str(program))
    git(place, "config", "log.showSignature", "true")
    assert scanned(place)[0] == 1
    assert not ran.exists()


@given(
    before=st.binary(max_size=300), between=st.binary(max_size=200), sizes=st.lists(st.integers(1, 80), min_size=1),
    is_wide=st.booleans(),
)  # fmt: skip
def test_a_token_is_found_once_wherever_blocks_end(
    before: bytes, between: bytes, sizes: list[int], is_wide: bool
) -> None:
    written = SECRET.encode("utf-16-le" if is_wide else "ascii")
    text, blocks, at = before + written + between, [], 0
    while at < len(text):
        size = sizes[len(blocks) % len(sizes)]
        blocks.append(text[at : at + size])
        at += size
    assert list(scan.secrets_in(blocks)) == [(1 + before.count(b"\n"), SECRET)]


def test_a_token_that_begins_in_what_looks_like_one_is_found() -> None:
    decoy = b"mst_" + b"a" * 46
    assert [secret for _, secret in scan.secrets_in([decoy + SECRET.encode()])] == [SECRET]
