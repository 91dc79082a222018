"""The members of user groups: users and invited people, named by their e-mail address.

Source: Public API reference, tag "IAM Groups" (5 of 12 operations). The 422 for an address that is neither a user's
nor invited, and that removing nobody is no error, are judgements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select

from mainstem.errors import InputInvalid
from mainstem.public_api.iam import groups, invites, owners, users
from mainstem.public_api.iam.addresses import Address, folded
from mainstem.public_api.iam.groups import UserGroupOutput
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import grants, rows
from mainstem.rest.grants import group_members
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("IAM Groups")


class MembersInput(Wire, frozen=True):
    """Body of addUsersToUserGroup and replaceUsersInUserGroup."""

    emails: list[Address]


class RemoveMembersInput(Wire, frozen=True):
    """Query of removeUsersFromUserGroup."""

    emails: list[str]


class MinimalUser(Wire, frozen=True):
    """A user as a member of a group."""

    id: str
    name: str
    email: str


class MinimalUsersOutput(Wire, frozen=True):
    """Reply of listUsersFromUserGroup."""

    users: list[MinimalUser]
    pagination: Pagination


class InvitedOutput(Wire, frozen=True):
    """Reply of listInvitesFromUserGroup."""

    emails: list[str]
    pagination: Pagination


@api.operation("GET /groups/{userGroupId}/users", needs=Needs.WORKSPACE_OWNER)
def list_users_from_user_group(call: Call, user_group_id: str, query: PageInput) -> MinimalUsersOutput:
    """List Users from User Group"""
    groups.one(call, user_group_id)
    mine = users.visible(call).where(grants.users.c.id.in_(_member_ids(user_group_id)))
    found, pagination = rows.page_of(call.db, mine.order_by(grants.users.c.seq), query.pagination)
    shown = [MinimalUser(id=row.id, name=row.name, email=row.email) for row in found]
    return MinimalUsersOutput(users=shown, pagination=pagination)


@api.operation("GET /groups/{userGroupId}/invites", needs=Needs.WORKSPACE_OWNER)
def list_invites_from_user_group(call: Call, user_group_id: str, query: PageInput) -> InvitedOutput:
    """List Invites from User Group"""
    groups.one(call, user_group_id)
    mine = invites.visible(call).where(grants.invites.c.id.in_(_member_ids(user_group_id)))
    found, pagination = rows.page_of(call.db, mine.order_by(grants.invites.c.seq), query.pagination)
    return InvitedOutput(emails=[row.email for row in found], pagination=pagination)


@api.operation(
    "POST /groups/{userGroupId}/users",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Subjects Added to Group", "User Added To User Group"),
    rate=per_minute(60),
)
def add_users_to_user_group(call: Call, user_group_id: str, body: MembersInput) -> UserGroupOutput:
    """Add Users to User Group"""
    group = groups.one(call, user_group_id)
    _add(call, group, _people(call, body.emails))
    return groups.output(call, group.id)


@api.operation(
    "PUT /group/{userGroupId}/users",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Group Memberships Deleted", "Subjects Added to Group", "User Added To User Group"),
    rate=per_minute(60),
)
def replace_users_in_user_group(call: Call, user_group_id: str, body: MembersInput) -> UserGroupOutput:
    """Replace Users in User Group"""
    group = groups.one(call, user_group_id)
    people = _people(call, body.emails)
    staying = {person.id for person in people}
    with owners.keeping_one(call.db, call.workspace_id):
        _remove(call, group, [person for person in _members(call, group.id) if person.id not in staying])
        _add(call, group, people)
    return groups.output(call, group.id)


@api.operation(
    "DELETE /group/{userGroupId}/users",
    needs=Needs.WORKSPACE_OWNER,
    audit=("Group Memberships Deleted", "User Removed From User Group"),
    rate=per_minute(60),
)
def remove_users_from_user_group(call: Call, user_group_id: str, query: RemoveMembersInput) -> StatusOutput:
    """Remove Users from User Group"""
    group, going = groups.one(call, user_group_id), {*map(folded, query.emails)}
    with owners.keeping_one(call.db, call.workspace_id):
        _remove(call, group, [person for person in _members(call, group.id) if person.email in going])
    return StatusOutput()


def _member_ids(group_id: str) -> Select[Any]:
    return select(group_members.c.member_id).where(group_members.c.group_id == group_id)


def _members(call: Call, group_id: str) -> list[Row[Any]]:
    """The rows of the users and invites in a group."""
    known = users.visible(call).where(grants.users.c.id.in_(_member_ids(group_id)))
    invited = invites.visible(call).where(grants.invites.c.id.in_(_member_ids(group_id)))
    return [*call.db.execute(known), *call.db.execute(invited)]


def _people(call: Call, emails: Sequence[str]) -> list[Row[Any]]:
    """The rows of users and invites with these addresses, each once. Raises InputInvalid for every unknown one."""
    wanted = dict.fromkeys(map(folded, emails))
    known = users.visible(call).where(grants.users.c.email.in_(wanted))
    invited = invites.visible(call).where(grants.invites.c.email.in_(wanted))
    found = {row.email: row for query in (known, invited) for row in call.db.execute(query)}
    unknown = [index for index, email in enumerate(emails) if folded(email) not in found]
    if unknown:
        words = "is neither a user of this workspace nor invited"
        raise InputInvalid([(f"emails[{each}]", f'"emails[{each}]" {words}: {emails[each]}') for each in unknown])
    return [found[email] for email in wanted]


def _add(call: Call, group: Row[Any], people: Sequence[Row[Any]]) -> None:
    before = {*call.db.scalars(_member_ids(group.id))}
    new = [person for person in people if person.id not in before]
    for person in new:
        call.db.execute(insert(group_members).values(group_id=group.id, member_id=person.id))
        call.record("User Added To User Group", "USER", person.id, person.email)
    if new:
        call.record("Subjects Added to Group", "USER_GROUP", group.id, group.name)


def _remove(call: Call, group: Row[Any], people: Sequence[Row[Any]]) -> None:
    for person in people:
        mine = (group_members.c.group_id == group.id) & (group_members.c.member_id == person.id)
        call.db.execute(delete(group_members).where(mine))
        call.record_beside("User Removed From User Group", "USER", person.id, person.email)
    if people:
        call.record("Group Memberships Deleted", "USER_GROUP", group.id, group.name)
