"""What an operator does at the terminal beside `serve`: audit trail, dead letters, and opening a data folder.

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
from mainstem.public_api.workspaces import Workspace
from mainstem.rest import audit
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault

OPERATOR: Final = "operator"  # the actor of what is done at the terminal


class Open(msgspec.Struct, frozen=True):
    """A data folder opened for a command."""

    db: Connection
    vault: Vault
    workspace_id: str


def verify_audit(settings: Settings) -> int:
    """Walk the audit trail; exit code 1 when it was tampered with."""
    with _transaction(settings, writes=False) as (db, vault):
        rows, broken = audit.verify(db, vault)
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
    """The data folder in a transaction, at the workspace that the settings name. Raises SettingsError when it holds
    no mainstem yet, or several workspaces and none is named."""
    with _transaction(settings, writes=writes) as (db, vault):
        yield Open(db, vault, chosen(db, settings.workspace).id)


@contextmanager
def opened_at_each(settings: Settings, *, writes: bool) -> Iterator[Sequence[Open]]:
    """The same at each of its workspaces, the oldest first: for what concerns the whole instance."""
    with _transaction(settings, writes=writes) as (db, vault):
        yield [Open(db, vault, each.id) for each in workspaces.listed(db)]


@contextmanager
def _transaction(settings: Settings, *, writes: bool) -> Iterator[tuple[Connection, Vault]]:
    demand_started(settings)
    vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
    with closing(app.open_control(settings)) as control, control.transaction(writes=writes) as db:
        yield db, vault


def chosen(db: Connection, slug: str) -> Workspace:
    """The workspace with this slug, or the only one. Raises SettingsError that lists them otherwise."""
    there = workspaces.listed(db)
    found = [each for each in there if slug in (each.slug, "")]
    if len(found) == 1:
        return found[0]
    slugs = ", ".join(each.slug for each in there) or "none; start it with `mainstem serve`"
    if slug:
        raise SettingsError(f"--workspace: there is no workspace {slug}; there are: {slugs}")
    raise SettingsError(f"--workspace SLUG is needed; the workspaces are: {slugs}")


def demand_started(settings: Settings) -> None:
    """Raises SettingsError when there is no mainstem yet where the settings point."""
    if not app.is_started(settings):
        folder, where = settings.data, settings.database or settings.data
        raise SettingsError(f"{where} holds no mainstem yet; start it with `mainstem serve --data {folder}`")


def record(folder: Open, event: str, resource_type: str, resource_id: str, resource_name: str) -> None:
    """Write what was done here into the audit trail."""
    audit.record(
        folder.db, folder.vault, workspace_id=folder.workspace_id, at=app.utc_now(), type=event, actor=OPERATOR,
        resource_type=resource_type, resource_id=resource_id, resource_name=resource_name,
    )  # fmt: skip
