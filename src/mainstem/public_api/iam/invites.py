"""Invites: people who may join. What is granted to an invite is the user's once it is accepted, for the user gets
the invite's id, and so do the memberships in groups.

Source: Public API reference, tag "IAM Users" (3 of 9 operations). Unaccepted invites expire "after a few days":
seven, and then there is nothing left of them; inviting somebody again replaces what was granted; 409 for who is a
user already; and every invite counts as one of a person that is not known, so that nobody learns from the audit trail
who has an account in another workspace (judgements).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, or_, select, update

from mainstem.errors import Conflict
from mainstem.mail import Letter
from mainstem.public_api.iam import permissions, policies
from mainstem.public_api.iam.addresses import Address, folded
from mainstem.public_api.iam.permissions import PermissionResource
from mainstem.public_api.iam.policies import Asked, Change, Policy
from mainstem.public_api.labels import Label, StatusOutput
from mainstem.public_api.workspaces import name_of
from mainstem.rest import grants, rows
from mainstem.rest.grants import USER, Resource, group_members, invites, users
from mainstem.rest.ids import base58_id
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs, ResourceType
from mainstem.rest.wire import UNSET, Unset, Wire
from mainstem.vault import Vault

api = Family("IAM Users")
LIFETIME: Final = dt.timedelta(days=7)
TOKEN_PREFIX: Final = "inv_"  # noqa: S105  # what marks a secret, no secret
_TEXT: Final = """You are invited to the workspace "{name}" of a mainstem server.

To accept, give this to the person who looks after the server, before {until}:

    mainstem user accept {token}

If you do not know what this is about, there is nothing to do.
"""


class InvitePermission(Wire, frozen=True):
    """A permission of an invite: its labels narrow what it grants on the workspace. Labels of a resource are honoured
    too, for without them it would grant more than was asked for; without resources it is granted on the workspace
    (judgements)."""

    role_id: str
    resources: list[PermissionResource] | Unset | None = UNSET
    labels: list[Label] | Unset | None = UNSET


class Invite(Wire, frozen=True):
    """An invite as it is sent."""

    email: Address
    permissions: list[InvitePermission] | Unset | None = UNSET


class CreateInvitesInput(Wire, frozen=True):
    """Body of createInvites."""

    invites: list[Invite]


class CreateInvitesOutput(Wire, frozen=True):
    """Reply of createInvites."""

    emails: list[str]


class InvitesOutput(Wire, frozen=True):
    """Reply of listInvites: the addresses."""

    invites: list[str]
    pagination: Pagination


class DeleteInvitesInput(Wire, frozen=True):
    """Query of deleteInvites."""

    emails: list[str]


class Made(Wire, frozen=True):
    """An invite that was made or renewed, with the token that accepts it: the caller sends it and forgets it."""

    id: str
    email: str
    token: str
    change: Change


def pending(workspace_id: str, now: dt.datetime) -> Select[Any]:
    """The invites of a workspace that can be accepted."""
    return select(invites).where(invites.c.workspace_id == workspace_id, invites.c.expires_at > now)


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    return pending(call.workspace_id, call.now)


def invite(
    db: Connection, vault: Vault, workspace_id: str, email: str, wanted: Sequence[Policy], now: dt.datetime
) -> Made:
    """Invite somebody, or renew an invite with these policies and no others. Raises Conflict for a user."""
    address = folded(email)
    if db.execute(select(users).where(users.c.workspace_id == workspace_id, users.c.email == address)).first():
        raise Conflict(f"{address} is a user of this workspace already.")
    _forget_expired(db, workspace_id, now)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {"token_hash": vault.keyed_hash(token.encode()), "expires_at": now + LIFETIME}
    row = db.execute(pending(workspace_id, now).where(invites.c.email == address)).one_or_none()
    if row is not None:
        invite_id = row.id
        db.execute(update(invites).where(invites.c.id == invite_id).values(values))
    else:
        invite_id = base58_id()
        values |= {"id": invite_id, "workspace_id": workspace_id, "email": address, "created_at": now}
        db.execute(insert(invites).values(values))
    change = policies.replace(db, workspace_id, (USER, invite_id), wanted)
    return Made(id=invite_id, email=address, token=token, change=change)


def find_pending(db: Connection, vault: Vault, workspace_id: str, named: str, now: dt.datetime) -> Row[Any] | None:
    """The invite with this token or address, unless it has expired."""
    by_token, by_email = invites.c.token_hash == vault.keyed_hash(named.encode()), invites.c.email == folded(named)
    return db.execute(pending(workspace_id, now).where(or_(by_token, by_email))).one_or_none()


def accept(db: Connection, row: Row[Any], name: str, now: dt.datetime) -> None:
    """Make the invited person a user; `name` is the address up to the @ when it is empty."""
    values = {"id": row.id, "workspace_id": row.workspace_id, "email": row.email, "created_at": now}
    db.execute(insert(users).values(values | {"name": name or row.email.partition("@")[0]}))
    db.execute(delete(invites).where(invites.c.id == row.id))


def letter(workspace_name: str, made: Made, now: dt.datetime) -> Letter:
    """What an invited person is sent."""
    until = (now + LIFETIME).strftime("%d %B %Y")
    text = _TEXT.format(name=workspace_name, until=until, token=made.token)
    return Letter(to=made.email, subject=f"Invitation to {workspace_name}", text=text)


def _forget(db: Connection, ids: Sequence[str]) -> int:
    """Remove invites with all that was granted; returns how many memberships in groups went along."""
    db.execute(delete(grants.grants).where(grants.grants.c.subject_id.in_(ids)))
    left = db.execute(delete(group_members).where(group_members.c.member_id.in_(ids))).rowcount
    db.execute(delete(invites).where(invites.c.id.in_(ids)))
    return left


def _forget_expired(db: Connection, workspace_id: str, now: dt.datetime) -> None:
    """Remove what is left of expired invites, so that nothing of it returns when somebody is invited again."""
    expired = select(invites.c.id).where(invites.c.workspace_id == workspace_id, invites.c.expires_at <= now)
    _forget(db, db.scalars(expired).all())


def _asked(workspace_id: str, index: int, sent: Invite) -> list[Asked]:
    """The permissions of an invite."""
    within = f"invites[{index}].permissions"
    return [_permission(workspace_id, f"{within}[{at}]", each) for at, each in enumerate(sent.permissions or ())]


def _permission(workspace_id: str, at: str, sent: InvitePermission) -> Asked:
    labels = tuple((label.key, label.value) for label in sent.labels or ())
    resources = [permissions.resource_of(each) for each in sent.resources or ()]
    resources = resources or [Resource(workspace_id, ResourceType.WORKSPACE)]
    narrowed = [msgspec.structs.replace(each, labels=each.labels + labels) for each in resources]
    return Asked(sent.role_id, narrowed, at, f"{at}.labels" if labels else "")


@api.operation(
    "POST /invites",
    status=201,
    needs=Needs.WORKSPACE_OWNER,
    audit=("New Segment User Invited to Workspace", "Non-Segment User Invited to Workspace", "Policy Created"),
    rate=per_minute(60),
)
def create_invites(call: Call, body: CreateInvitesInput) -> CreateInvitesOutput:
    """Create Invites"""
    asked = [_asked(call.workspace_id, index, sent) for index, sent in enumerate(body.invites)]
    policies.granted(call.db, call.workspace_id, [each for wanted in asked for each in wanted])
    name = name_of(call.db, call.workspace_id)
    emails = {}
    for sent, wanted in zip(body.invites, asked, strict=True):
        granted = policies.granted(call.db, call.workspace_id, wanted)
        made = invite(call.db, call.vault, call.workspace_id, sent.email, granted, call.now)
        call.record("Non-Segment User Invited to Workspace", "INVITE", made.id, made.email)
        permissions.record(call, made.change, made.email)
        emails[made.email] = letter(name, made, call.now)
    for each in emails.values():
        call.send(each)
    return CreateInvitesOutput(emails=[*emails])


@api.operation("GET /invites", needs=Needs.WORKSPACE_OWNER)
def list_invites(call: Call, query: PageInput) -> InvitesOutput:
    """List Invites"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(invites.c.seq), query.pagination)
    return InvitesOutput(invites=[row.email for row in found], pagination=pagination)


@api.operation(
    "DELETE /invites",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Group Memberships Deleted", "Invite Deleted"),
    rate=per_minute(60),
)
def delete_invites(call: Call, query: DeleteInvitesInput) -> StatusOutput:
    """Delete Invites"""
    going = visible(call).where(invites.c.email.in_([*map(folded, query.emails)]))
    for row in call.db.execute(going).all():
        if _forget(call.db, [row.id]):
            call.record("Group Memberships Deleted", "INVITE", row.id, row.email)
        call.record("Invite Deleted", "INVITE", row.id, row.email)
    return StatusOutput()
