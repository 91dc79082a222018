"""What an operator does at the terminal beside `serve`: tokens, audit trail, dead letters.

These work on the data folder, whether or not a server runs on it; a running server sees the effect at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

import msgspec
from sqlalchemy import Connection

from mainstem import app
from mainstem.commands import deadletter
from mainstem.errors import SettingsError
from mainstem.public_api import workspaces
from mainstem.rest import audit, tokens
from mainstem.rest.grants import TOKEN, Resource, grant
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import READERS
from mainstem.rest.rows import moment_text
from mainstem.rest.tokens import Access
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault

OPERATOR: Final = "operator"  # the actor of what is done at the terminal


class Open(msgspec.Struct, frozen=True):
    """A data folder opened for a command."""

    db: Connection
    vault: Vault
    workspace_id: str


def create_token(settings: Settings, description: str, access: str) -> int:
    """Make a token and print its secret."""
    secret = tokens.new_secret()
    with opened(settings, writes=True) as folder:
        now = app.utc_now()
        token = tokens.create(folder.db, folder.vault, folder.workspace_id, description, Access(access), now, secret)
        if token.access is Access.MEMBER:
            everything = [Resource(folder.workspace_id, ResourceType.WORKSPACE)]
            for role in READERS:
                grant(folder.db, folder.workspace_id, (TOKEN, token.id), role, everything)
        _record(folder, "Access Token Created", token)
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write(f"Token {token.id} ({access}) was made. Keep the secret above: it is shown only this once.\n")
    return 0


def list_tokens(settings: Settings) -> int:
    """Print every token, without secrets."""
    with opened(settings, writes=False) as folder:
        listed = tokens.listed(folder.db)
    sys.stdout.write(f"{'ID':<24}{'ACCESS':<8}{'CREATED':<26}{'STATE':<34}DESCRIPTION\n")
    for token in listed:
        state = f"revoked {moment_text(token.revoked_at)}" if token.revoked_at else "active"
        created = moment_text(token.created_at)
        sys.stdout.write(f"{token.id:<24}{token.access:<8}{created:<26}{state:<34}{token.description}\n")
    return 0


def revoke_token(settings: Settings, token_id: str) -> int:
    """Revoke a token; exit code 1 when there is no such active token."""
    with opened(settings, writes=True) as folder:
        token = tokens.revoke(folder.db, token_id, app.utc_now())
        if token is not None:
            _record(folder, "Access Token Revoked", token)
    if token is None:
        sys.stderr.write(f"mainstem: there is no active token with id {token_id}\n")
        return 1
    sys.stdout.write(f"Token {token.id} is revoked.\n")
    return 0


def verify_audit(settings: Settings) -> int:
    """Walk the audit trail; exit code 1 when it was tampered with."""
    with opened(settings, writes=False) as folder:
        rows, broken = audit.verify(folder.db, folder.vault)
    if broken:
        sys.stderr.write(f"mainstem: the audit trail is broken after {rows} good rows: {broken}\n")
        return 1
    sys.stdout.write(f"The audit trail is whole: {rows} rows.\n")
    return 0


def dead_letters(settings: Settings, action: str, ids: Sequence[int], every: bool) -> int:
    """List, show, redrive or drop dead letters."""
    demand_started(settings)
    return deadletter.run(app.open_flow(settings).dead_letters, action, ids, every=every, write=sys.stdout.write)


@contextmanager
def opened(settings: Settings, *, writes: bool) -> Iterator[Open]:
    """The data folder in a transaction. Raises SettingsError when it holds no mainstem yet."""
    demand_started(settings)
    vault = open_vault(settings.data, settings.secret_key)
    with closing(app.open_control(settings)) as control, control.transaction(writes=writes) as db:
        workspace = workspaces.find_first(db)
        assert workspace is not None, "a data folder has a workspace from its first start on"
        yield Open(db, vault, workspace.id)


def demand_started(settings: Settings) -> None:
    """Raises SettingsError when there is no mainstem yet where the settings point."""
    if not app.is_started(settings):
        folder, where = settings.data, settings.database or settings.data
        raise SettingsError(f"{where} holds no mainstem yet; start it with `mainstem serve --data {folder}`")


def _record(folder: Open, event: str, token: tokens.Token) -> None:
    audit.record(
        folder.db, folder.vault, workspace_id=folder.workspace_id, at=app.utc_now(), type=event, actor=OPERATOR,
        resource_type="TOKEN", resource_id=token.id, resource_name=token.description,
    )  # fmt: skip
