"""The people of a workspace: who they are, what they may do, and their removal.

Source: Public API reference, tag "IAM Users" (6 of 9 operations). A removed user loses the memberships in groups for
good, which is stated; that the tokens that act for the user are revoked, and that removing nobody is no error, are
judgements (the Terraform provider removes the user "" beside each invite that it deletes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, select

from mainstem.public_api.iam import owners, permissions, policies
from mainstem.public_api.iam.permissions import Permission, PermissionsInput, PermissionsOutput
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import grants, rows, tokens
from mainstem.rest.grants import USER, group_members, user_groups, users
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("IAM Users")
_ALL: Final = select(users).where(users.c.workspace_id == bindparam("workspace_id"))
_ONE: Final = _ALL.where(users.c.id == bindparam("id"))
_LIST: Final = _ALL.order_by(users.c.seq)


class User(Wire, frozen=True):
    """A user on the wire."""

    id: str
    name: str
    email: str
    permissions: list[Permission]


class UserOutput(Wire, frozen=True):
    """Reply of getUser."""

    user: User


class UsersOutput(Wire, frozen=True):
    """Reply of listUsers."""

    users: list[User]
    pagination: Pagination


class DeleteUsersInput(Wire, frozen=True):
    """Query of deleteUsers."""

    user_ids: list[str]


class MinimalUserGroup(Wire, frozen=True):
    """A group as it is listed for a user."""

    id: str
    name: str


class MinimalUserGroupsOutput(Wire, frozen=True):
    """Reply of listUserGroupsFromUser."""

    groups: list[MinimalUserGroup]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The way these operations read the table, but for `one` and pages."""
    return select(users).where(users.c.workspace_id == call.workspace_id)


def one(call: Call, user_id: str) -> Row[Any]:
    """The row of a user. Raises NotFound."""
    return rows.one(call.db, _ONE, rows.missing("User", user_id), workspace_id=call.workspace_id, id=user_id)


def _users_of(call: Call, found: Sequence[Row[Any]]) -> list[User]:
    """Rows as they are on the wire, in the same order."""
    granted = policies.policies_of(call.db, call.workspace_id, [row.id for row in found])
    return [
        User(id=row.id, name=row.name, email=row.email, permissions=[*map(permissions.shown, granted[row.id])])
        for row in found
    ]


@api.operation("GET /users", needs=Needs.WORKSPACE_OWNER)
def list_users(call: Call, query: PageInput) -> UsersOutput:
    """List Users"""
    found, pagination = rows.page_of(call.db, _LIST, query.pagination, workspace_id=call.workspace_id)
    return UsersOutput(users=_users_of(call, found), pagination=pagination)


@api.operation("GET /users/{userId}", needs=Needs.WORKSPACE_OWNER)
def get_user(call: Call, user_id: str) -> UserOutput:
    """Get User"""
    return UserOutput(user=_users_of(call, [one(call, user_id)])[0])


@api.operation("DELETE /users", needs=Needs.WORKSPACE_OWNER, audit="Group Memberships Deleted", rate=per_minute(60))
def delete_users(call: Call, query: DeleteUsersInput) -> StatusOutput:
    """Delete Users"""
    with owners.keeping_one(call.db, call.workspace_id):
        for row in call.db.execute(visible(call).where(users.c.id.in_(query.user_ids))).all():
            _delete(call, row)
    return StatusOutput()


def _delete(call: Call, row: Row[Any]) -> None:
    if call.db.execute(delete(group_members).where(group_members.c.member_id == row.id)).rowcount:
        call.record("Group Memberships Deleted", "USER", row.id, row.email)
    grants.delete_of_subject(call.db, row.id)
    for token in tokens.revoke_of_user(call.db, row.id, call.now):
        call.record_beside("Access Token Revoked", "TOKEN", token.id, token.description)
    call.db.execute(delete(users).where(users.c.id == row.id))
    call.record_beside("User Removed", "USER", row.id, row.email)


@api.operation(
    "POST /users/{userId}/permissions",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Policy Created", "User Policy Updated"),
    rate=per_minute(60),
)
def add_permissions_to_user(call: Call, user_id: str, body: PermissionsInput) -> PermissionsOutput:
    """Add Permissions to User"""
    row = one(call, user_id)
    return permissions.add(call, (USER, user_id), row.email, body)


@api.operation(
    "PUT /users/{userId}/permissions", needs=Needs.WORKSPACE_OWNER, audit="Policy Deleted", rate=per_minute(60)
)
def replace_permissions_for_user(call: Call, user_id: str, body: PermissionsInput) -> PermissionsOutput:
    """Replace Permissions for User"""
    row = one(call, user_id)
    return permissions.replace(call, (USER, user_id), row.email, body)


@api.operation("GET /users/{userId}/groups", needs=Needs.WORKSPACE_OWNER)
def list_user_groups_from_user(call: Call, user_id: str, query: PageInput) -> MinimalUserGroupsOutput:
    """List User Groups from User"""
    one(call, user_id)
    joined = select(group_members.c.group_id).where(group_members.c.member_id == user_id)
    mine = select(user_groups).where(user_groups.c.workspace_id == call.workspace_id, user_groups.c.id.in_(joined))
    found, pagination = rows.page_of(call.db, mine.order_by(user_groups.c.seq), query.pagination)
    groups = [MinimalUserGroup(id=row.id, name=row.name) for row in found]
    return MinimalUserGroupsOutput(groups=groups, pagination=pagination)
