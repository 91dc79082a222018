"""`mainstem suppress add|remove|list`: users whose events are discarded, in the workspace or at one source.

Each function writes what it did, complains on stderr, and returns the exit code: 0 when all was done, 1 when someone
was not on the list, 2 when the request makes no sense. Judgement: a change is recorded without the ids, for the audit
trail is kept longer than anybody who asked to be forgotten would like.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import or_, select

from mainstem import app
from mainstem.commands import administration
from mainstem.commands.administration import OPERATOR, Open
from mainstem.commands.terminal import printable
from mainstem.errors import MainstemError
from mainstem.public_api import publish, suppressions
from mainstem.public_api.sources.source import sources
from mainstem.rest import audit
from mainstem.rest.rows import moment_text
from mainstem.settings import Settings

MAX_USERS: Final = 5_000
"""In one call, as a regulation of the Public API takes at most."""


class Senseless(MainstemError):
    """What was asked for makes no sense; the message says why."""


def change(settings: Settings, action: str, source: str, users: Sequence[str], file: Path | None) -> int:
    """Put users on a list ("add") or take them off it ("remove"); it holds within a second."""
    try:
        user_ids = _user_ids(users, file)
        with administration.opened(settings, writes=True) as folder:
            source_id = _source_id(folder, source)
            touched, missing = _changed(folder, action, source_id, user_ids)
            for each in sorted(touched):
                publish.put(folder.db, folder.vault, each, publish.config_of(folder.db, folder.vault, each))
            if touched:
                _record(folder, action, source_id, len(user_ids) - len(missing))
    except Senseless as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 2
    if action == "add":
        sys.stdout.write(f"{_users(len(user_ids))} suppressed{_where(source)}.\n")
        return 0
    sys.stdout.write(f"{_users(len(user_ids) - len(missing))} no longer suppressed{_where(source)}.\n")
    for user_id in missing:
        sys.stderr.write(f"mainstem: {printable(user_id)} is not on this list\n")
    return 1 if missing else 0


def list_users(settings: Settings, source: str) -> int:
    """Write who is on the lists: of a source, or all of them."""
    try:
        with administration.opened(settings, writes=False) as folder:
            source_id = _source_id(folder, source) if source else None
            listed = list(suppressions.suppressed(folder.db, folder.vault, folder.workspace_id, source_id))
    except Senseless as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 2
    if not listed:
        sys.stdout.write("Nobody is suppressed.\n")
        return 0
    sys.stdout.write(f"{'SINCE':<26}{'WHERE':<26}USER\n")
    for its_source, user_id, since in listed:
        sys.stdout.write(f"{moment_text(since):<26}{its_source or 'workspace':<26}{printable(user_id)}\n")
    return 0


def _user_ids(users: Sequence[str], file: Path | None) -> list[str]:
    lines = [*users, *(_text(file).splitlines() if file is not None else ())]
    user_ids = list(dict.fromkeys(each for each in lines if each.strip()))
    if not user_ids:
        raise Senseless("give userIds, or --file")
    if len(user_ids) > MAX_USERS:
        raise Senseless(f"{len(user_ids):,} userIds are given; {MAX_USERS:,} are the most at once")
    return user_ids


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Senseless(f"{file}: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None


def _source_id(folder: Open, source: str) -> str:
    """The id of the source with this id or slug, "" for none. Raises Senseless."""
    if not source:
        return ""
    mine = sources.c.workspace_id == folder.workspace_id
    named = or_(sources.c.id == source, sources.c.slug == source)
    row = folder.db.execute(select(sources.c.id).where(mine, named)).first()
    if row is None:
        raise Senseless(f"there is no source {printable(source)}")
    return str(row.id)


def _changed(folder: Open, action: str, source_id: str, user_ids: Sequence[str]) -> tuple[set[str], list[str]]:
    of = (folder.db, folder.vault, folder.workspace_id, source_id, user_ids)
    if action == "add":
        return suppressions.suppress(*of, now=app.utc_now()), []
    return suppressions.unsuppress(*of)


def _record(folder: Open, action: str, source_id: str, count: int) -> None:
    audit.record(
        folder.db, folder.vault, workspace_id=folder.workspace_id, at=app.utc_now(),
        type="Users Suppressed" if action == "add" else "Users Unsuppressed", actor=OPERATOR,
        resource_type="SOURCE" if source_id else "WORKSPACE", resource_id=source_id or folder.workspace_id,
        resource_name=_users(count, verb=False),
    )  # fmt: skip


def _users(count: int, *, verb: bool = True) -> str:
    return f"{count:,} user{'' if count == 1 else 's'}" + (f" {'is' if count == 1 else 'are'}" if verb else "")


def _where(source: str) -> str:
    return f" at {printable(source)}" if source else ""
