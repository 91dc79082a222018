"""User groups: a name, and roles that every member has.

Source: Public API reference, tag "IAM Groups" (7 of 12 operations). Through the API a group may be without members
and without permissions; names need not be unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import Row, Select, delete, func, insert, or_, select, update

from mainstem.public_api.iam import invites, owners, permissions, policies
from mainstem.public_api.iam.permissions import Permission, PermissionsInput, PermissionsOutput
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import grants, rows
from mainstem.rest.grants import GROUP, group_members, user_groups, users
from mainstem.rest.ids import ksuid
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("IAM Groups")


class GroupInput(Wire, frozen=True):
    """Body of createUserGroup and updateUserGroup."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]


class UserGroup(Wire, frozen=True):
    """A group on the wire; users and invited people count as members."""

    id: str
    name: str
    member_count: int
    permissions: list[Permission]


class UserGroupOutput(Wire, frozen=True):
    """Reply of what makes, shows or changes a group or its members."""

    user_group: UserGroup


class UserGroupsOutput(Wire, frozen=True):
    """Reply of listUserGroups."""

    user_groups: list[UserGroup]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    return select(user_groups).where(user_groups.c.workspace_id == call.workspace_id)


def one(call: Call, group_id: str) -> Row[Any]:
    """The row of a group. Raises NotFound."""
    query = visible(call).where(user_groups.c.id == group_id)
    return rows.one(call.db, query, rows.missing("User group", group_id))


def output(call: Call, group_id: str) -> UserGroupOutput:
    """A group as it is now."""
    return UserGroupOutput(user_group=_groups_of(call, [one(call, group_id)])[0])


def _groups_of(call: Call, found: Sequence[Row[Any]]) -> list[UserGroup]:
    """Rows as they are on the wire, in the same order."""
    ids = [row.id for row in found]
    granted = policies.policies_of(call.db, call.workspace_id, ids)
    counts = _member_counts(call, ids)
    return [
        UserGroup(
            id=row.id,
            name=row.name,
            member_count=counts.get(row.id, 0),
            permissions=[*map(permissions.shown, granted[row.id])],
        )
        for row in found
    ]


def _member_counts(call: Call, group_ids: Sequence[str]) -> dict[str, int]:
    """How many users and pending invites are in each of these groups."""
    known = select(users.c.id).where(users.c.workspace_id == call.workspace_id)
    pending = invites.visible(call).with_only_columns(grants.invites.c.id)
    member = group_members.c
    query = select(member.group_id).where(
        member.group_id.in_(group_ids), or_(member.member_id.in_(known), member.member_id.in_(pending))
    )
    counted = call.db.execute(query.group_by(member.group_id).add_columns(func.count().label("members")))
    return {row.group_id: row.members for row in counted}


@api.operation("GET /groups", needs=Needs.WORKSPACE_OWNER)
def list_user_groups(call: Call, query: PageInput) -> UserGroupsOutput:
    """List User Groups"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(user_groups.c.seq), query.pagination)
    return UserGroupsOutput(user_groups=_groups_of(call, found), pagination=pagination)


@api.operation(
    "POST /groups",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Policy Created", "User Group Created"),
    rate=per_minute(60),
)
def create_user_group(call: Call, body: GroupInput) -> UserGroupOutput:
    """Create User Group"""
    group_id = ksuid()
    call.db.execute(insert(user_groups).values(id=group_id, workspace_id=call.workspace_id, name=body.name))
    call.record("User Group Created", "USER_GROUP", group_id, body.name)
    return output(call, group_id)


@api.operation("GET /groups/{userGroupId}", needs=Needs.WORKSPACE_OWNER)
def get_user_group(call: Call, user_group_id: str) -> UserGroupOutput:
    """Get User Group"""
    return output(call, user_group_id)


@api.operation(
    "PATCH /groups/{userGroupId}", needs=Needs.WORKSPACE_OWNER, audit="User Group Updated", rate=per_minute(60)
)
def update_user_group(call: Call, user_group_id: str, body: GroupInput) -> UserGroupOutput:
    """Update User Group"""
    row = one(call, user_group_id)
    if body.name != row.name:
        call.db.execute(update(user_groups).where(user_groups.c.id == row.id).values(name=body.name))
        call.record("User Group Updated", "USER_GROUP", row.id, body.name)
    return output(call, row.id)


@api.operation(
    "DELETE /groups/{userGroupId}", needs=Needs.WORKSPACE_OWNER, audit="User Group Deleted", rate=per_minute(60)
)
def delete_user_group(call: Call, user_group_id: str) -> StatusOutput:
    """Delete User Group"""
    row = one(call, user_group_id)
    with owners.keeping_one(call.db, call.workspace_id):
        grants.delete_of_subject(call.db, row.id)
        call.db.execute(delete(group_members).where(group_members.c.group_id == row.id))
        call.db.execute(delete(user_groups).where(user_groups.c.id == row.id))
    call.record("User Group Deleted", "USER_GROUP", row.id, row.name)
    return StatusOutput()


@api.operation(
    "POST /groups/{userGroupId}/permissions",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Policy Created", "User Group Policy Updated"),
    rate=per_minute(60),
)
def add_permissions_to_user_group(call: Call, user_group_id: str, body: PermissionsInput) -> PermissionsOutput:
    """Add Permissions to User Group"""
    row = one(call, user_group_id)
    return permissions.add(call, (GROUP, row.id), row.name, body)


@api.operation(
    "PUT /groups/{userGroupId}/permissions",
    needs=Needs.WORKSPACE_OWNER,
    audit="Policy Deleted",
    rate=per_minute(60),
)
def replace_permissions_for_user_group(call: Call, user_group_id: str, body: PermissionsInput) -> PermissionsOutput:
    """Replace Permissions for User Group"""
    row = one(call, user_group_id)
    return permissions.replace(call, (GROUP, row.id), row.name, body)
