"""The catalogue of roles, by which clients find their ids.

Source: Public API reference, tag "IAM Roles" (1 operation).
"""

from __future__ import annotations

from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.roles import ROLES
from mainstem.rest.wire import Wire

api = Family("IAM Roles")


class Role(Wire, frozen=True):
    """A role on the wire."""

    id: str
    name: str
    description: str


class RolesOutput(Wire, frozen=True):
    """Reply of listRoles."""

    roles: list[Role]
    pagination: Pagination


@api.operation("GET /roles", needs=Needs.WORKSPACE_OWNER)
def list_roles(call: Call, query: PageInput) -> RolesOutput:  # noqa: ARG001  # the same for everybody
    """List Roles"""
    roles = [Role(id=each.id, name=each.name, description=each.description) for each in ROLES]
    found, pagination = slice_of(roles, query.pagination)
    return RolesOutput(roles=found, pagination=pagination)
