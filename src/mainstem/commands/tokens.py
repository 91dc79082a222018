"""`mainstem token create|list|revoke`: who may call the Public API, and what they may do there.

A running server sees the effect at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sqlalchemy import select

from mainstem import app
from mainstem.commands import roles
from mainstem.commands.administration import Open, opened, record
from mainstem.commands.terminal import printable
from mainstem.errors import SettingsError
from mainstem.public_api.iam import policies
from mainstem.public_api.iam.addresses import folded
from mainstem.public_api.iam.policies import Policy
from mainstem.rest import tokens
from mainstem.rest.grants import TOKEN, Resource, users
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import READERS
from mainstem.rest.rows import moment_text
from mainstem.rest.tokens import Access, Token
from mainstem.settings import Settings


def create(settings: Settings, description: str, access: str | None, user: str, asked: Sequence[str]) -> int:
    """Make a token and print its secret: an owner's, a member's with the roles asked for (by default to read sources,
    functions and tracking plans), or one that acts for a user. Raises SettingsError for what cannot go together."""
    _check(access, user, asked)
    secret = tokens.new_secret()
    with opened(settings, writes=True) as folder:
        user_id = _user_id(folder, user) if user else None
        kind = Access(access or Access.MEMBER)
        token = tokens.create(
            folder.db, folder.vault, folder.workspace_id, description, kind, app.utc_now(), secret, user_id
        )
        record(folder, "Access Token Created", "TOKEN", token.id, token.description)
        if kind is Access.MEMBER and not user:
            _grant(folder, token, roles.asked_for(folder, asked) or _readers(folder.workspace_id))
        may = _powers(folder, [token])[token.id]
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write(f"Token {token.id} ({may}) was made. Keep the secret above: it is shown only this once.\n")
    return 0


def _check(access: str | None, user: str, asked: Sequence[str]) -> None:
    if user and (access or asked):
        raise SettingsError("--user: the token may do what the user may; leave out --access and --role")
    if access == Access.OWNER and asked:
        raise SettingsError("--access owner: the token may do everything; leave out --role")
    if not (access or user or asked):
        raise SettingsError("--access owner, --access member, --role or --user is needed")


def _user_id(folder: Open, email: str) -> str:
    mine = select(users.c.id).where(users.c.workspace_id == folder.workspace_id, users.c.email == folded(email))
    found = folder.db.scalars(mine).one_or_none()
    if found is None:
        raise SettingsError(f"--user: {email} is no user; `mainstem user list` tells who is")
    return str(found)


def _readers(workspace_id: str) -> list[Policy]:
    everything = (Resource(workspace_id, ResourceType.WORKSPACE),)
    return [Policy(role, everything) for role in READERS]


def _grant(folder: Open, token: Token, wanted: Sequence[Policy]) -> None:
    change = policies.replace(folder.db, folder.workspace_id, (TOKEN, token.id), wanted)
    for policy in change.created:
        record(folder, "Policy Created", "POLICY", policy.id, f"{policy.role.name} of {token.description}")


def show_all(settings: Settings) -> int:
    """Print every token and what it may do, without secrets."""
    with opened(settings, writes=False) as folder:
        listed = [token for token in tokens.listed(folder.db) if token.workspace_id == folder.workspace_id]
        powers = _powers(folder, listed)
    sys.stdout.write(f"{'ID':<24}{'ACCESS':<8}{'CREATED':<26}{'STATE':<34}{'MAY':<40}DESCRIPTION\n")
    for token in listed:
        state = f"revoked {moment_text(token.revoked_at)}" if token.revoked_at else "active"
        created, may = moment_text(token.created_at), f"{powers[token.id]}  "
        about = printable(token.description)
        sys.stdout.write(f"{token.id:<24}{token.access:<8}{created:<26}{state:<34}{may:<40}{about}\n")
    return 0


def _powers(folder: Open, listed: Sequence[Token]) -> dict[str, str]:
    """What each token may do, in words."""
    people = select(users.c.id, users.c.email).where(users.c.workspace_id == folder.workspace_id)
    emails = {row.id: row.email for row in folder.db.execute(people)}
    granted = policies.policies_of(folder.db, folder.workspace_id, [token.id for token in listed])
    return {token.id: _words(token, emails, granted[token.id]) for token in listed}


def _words(token: Token, emails: dict[str, str], granted: Sequence[Policy]) -> str:
    if token.access is Access.OWNER:
        return roles.EVERYTHING
    if token.user_id is not None:
        return f"what {emails.get(token.user_id, 'a removed user')} may"
    return roles.described(granted)


def revoke(settings: Settings, token_id: str) -> int:
    """Revoke a token; exit code 1 when there is no such active token."""
    with opened(settings, writes=True) as folder:
        token = tokens.revoke(folder.db, token_id, app.utc_now())
        if token is not None:
            record(folder, "Access Token Revoked", "TOKEN", token.id, token.description)
    if token is None:
        sys.stderr.write(f"mainstem: there is no active token with id {token_id}\n")
        return 1
    sys.stdout.write(f"Token {token.id} is revoked.\n")
    return 0
