"""Permissions on the wire: a role and its resources, as they are sent and as they are shown.

Source: Public API reference, tags "IAM Users" and "IAM Groups". A permission with no resource grants nothing and is
refused, and labels are shown without a description, as clients compare them (judgements).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mainstem.public_api.iam import owners, policies
from mainstem.public_api.iam.policies import Asked, Change, Policy, Subject
from mainstem.public_api.labels import Label
from mainstem.rest.grants import GROUP, Resource
from mainstem.rest.operation import Call
from mainstem.rest.permissions import ResourceType
from mainstem.rest.wire import UNSET, Unset, Wire


class PermissionResource(Wire, frozen=True):
    """A resource of a permission."""

    id: str
    type: ResourceType
    labels: list[Label] | Unset | None = UNSET


class PermissionInput(Wire, frozen=True):
    """A permission to grant."""

    role_id: str
    resources: Annotated[list[PermissionResource], Meta(min_length=1)]


class PermissionsInput(Wire, frozen=True):
    """Body of addPermissionsToUser, replacePermissionsForUser and of the same for groups."""

    permissions: list[PermissionInput]


class Permission(Wire, frozen=True):
    """A permission that a user or group has."""

    role_id: str
    role_name: str
    resources: list[PermissionResource]


class PermissionsOutput(Wire, frozen=True):
    """Reply of what adds or replaces permissions: the full set (judgement for adding)."""

    permissions: list[Permission]


def asked(body: PermissionsInput) -> list[Asked]:
    """Permissions as they were sent."""
    return [
        Asked(each.role_id, [*map(resource_of, each.resources)], f"permissions[{index}]")
        for index, each in enumerate(body.permissions)
    ]


def resource_of(sent: PermissionResource) -> Resource:
    """A resource as it was sent."""
    return Resource(sent.id, sent.type, tuple((label.key, label.value) for label in sent.labels or ()))


def shown(policy: Policy) -> Permission:
    """A policy as it is on the wire."""
    resources = [
        PermissionResource(
            id=each.id, type=each.type, labels=[Label(key=key, value=value) for key, value in each.labels]
        )
        for each in policy.resources
    ]
    return Permission(role_id=policy.role.id, role_name=policy.role.name, resources=resources)


def add(call: Call, subject: Subject, name: str, body: PermissionsInput) -> PermissionsOutput:
    """Give a user or group, which is called `name`, more permissions."""
    wanted = policies.granted(call.db, call.workspace_id, asked(body))
    change = policies.add(call.db, call.workspace_id, subject, wanted)
    record(call, change, name)
    if change.extended:
        is_group = subject[0] == GROUP
        event = "User Group Policy Updated" if is_group else "User Policy Updated"
        call.record(event, "USER_GROUP" if is_group else "USER", subject[1], name)
    return output(call, subject)


def replace(call: Call, subject: Subject, name: str, body: PermissionsInput) -> PermissionsOutput:
    """Give a user or group, which is called `name`, these permissions and no others. Raises Conflict when that takes
    the last owner away."""
    wanted = policies.granted(call.db, call.workspace_id, asked(body))
    with owners.keeping_one(call.db, call.workspace_id):
        change = policies.replace(call.db, call.workspace_id, subject, wanted)
    record(call, change, name)
    return output(call, subject)


def record(call: Call, change: Change, name: str) -> None:
    """Write down which roles `name` was given and lost. The reference names only the one or the other for each
    operation; a trail that hides half of it would be none."""
    for event, changed in (("Policy Created", change.created), ("Policy Deleted", change.deleted)):
        for policy in changed:
            call.record_beside(event, "POLICY", policy.id, f"{policy.role.name} of {name}")


def output(call: Call, subject: Subject) -> PermissionsOutput:
    """All permissions of a subject."""
    found = policies.policies_of(call.db, call.workspace_id, [subject[1]])[subject[1]]
    return PermissionsOutput(permissions=[*map(shown, found)])
