"""The fixed catalogue of roles: their ids as observed, what they give, and what they can be granted on.

Source: product guide, "Roles"; ids as observed in workspaces and in the Terraform provider's tests, and for roles
whose id was never seen one of mainstem's own. Clients find ids through listRoles.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mainstem.rest.permissions import Needs, ResourceType

_ON_ALL: Final = frozenset({ResourceType.WORKSPACE})
_ON_SOURCES: Final = _ON_ALL | {ResourceType.SOURCE}
_ON_WAREHOUSES: Final = _ON_ALL | {ResourceType.WAREHOUSE}
_ON_FUNCTIONS: Final = _ON_ALL | {ResourceType.FUNCTION}
_ON_SPACES: Final = _ON_ALL | {ResourceType.SPACE}
MEMBER: Final = frozenset({Needs.WORKSPACE_ACCESS, Needs.WORKSPACE_MEMBER})  # what every role but the least gives


class Role(msgspec.Struct, frozen=True):
    """A role. `gives` are its powers beside membership; `on` the types of resource it can be granted on; only some
    can be narrowed to labels."""

    id: str
    name: str
    description: str
    gives: frozenset[Needs] = frozenset()
    on: frozenset[ResourceType] = _ON_ALL
    takes_labels: bool = False


OWNER: Final = Role(
    "1WDUuRLxv84rrfCNUwvkrRtkxnS",
    "Workspace Owner",
    "Reads and edits everything, members, tokens and the audit trail included.",
    frozenset(Needs),
)
MINIMAL: Final = Role(
    "1aEWAcU0fArxScocwH9xxLgW7r3",
    "Minimal Workspace Access",
    "Sees that the workspace exists, and none of its resources.",
    frozenset({Needs.WORKSPACE_ACCESS}),
)
_SOURCE_READ: Final = frozenset({Needs.SOURCE_READ})
_SOURCE_ADMIN: Final = _SOURCE_READ | {Needs.SOURCE_ADMIN, Needs.CREDENTIAL_USER}
_WAREHOUSE_READ: Final = frozenset({Needs.WAREHOUSE_READ})
_WAREHOUSE_ADMIN: Final = _WAREHOUSE_READ | {Needs.WAREHOUSE_ADMIN, Needs.CREDENTIAL_USER}
_PLAN_READ: Final = frozenset({Needs.TRACKING_PLAN_READ})
_FUNCTION_READ: Final = frozenset({Needs.FUNCTION_READ})
_SPACE_READ: Final = frozenset({Needs.SPACE_READ})
_SPACE_ADMIN: Final = _SPACE_READ | {Needs.SPACE_ADMIN, Needs.CREDENTIAL_USER}

SOURCE_READ_ONLY: Final = Role(
    "1WDUuNOXQYGLtEI7LcfBMpvU9ll", "Source Read-only", "Reads sources, their settings, destinations and schema.",
    _SOURCE_READ, _ON_SOURCES, takes_labels=True,
)  # fmt: skip
FUNCTION_READ_ONLY: Final = Role(
    "1Y86RP8BjOpdJtb5FbH0Z2M57PX", "Function Read-only", "Reads functions.", _FUNCTION_READ, _ON_FUNCTIONS
)
TRACKING_PLAN_READ_ONLY: Final = Role(
    "1WDUuWtxCUipR4uma0pqqZ8T2Qq", "Tracking Plan Read-only", "Reads all tracking plans.", _PLAN_READ
)
ROLES: Final = (
    OWNER,
    Role("1MemberXv84rrfCNUwvkrRtkxnS", "Workspace Member", "Belongs to the workspace; other roles say what it may."),
    MINIMAL,
    Role(
        "1WDUuSF1kN1xis2lp09RVKOsnnL", "Source Admin",
        "Edits sources, their settings, streaming destinations, schema, transformations and write keys.",
        _SOURCE_ADMIN, _ON_SOURCES, takes_labels=True,
    ),
    SOURCE_READ_ONLY,
    Role(
        "1WDUuY68jLTuIRC6DzqM6zKnkSf", "Warehouse Admin", "Edits warehouses and their settings.",
        _WAREHOUSE_ADMIN, _ON_WAREHOUSES,
    ),
    Role(
        "1WDUuYzBBvlpH0Oq4hPVMw7OsiW", "Warehouse Read-only", "Reads warehouses and their settings.",
        _WAREHOUSE_READ, _ON_WAREHOUSES,
    ),
    Role(
        "1WDUuSmhpuFwR0dtYcgzeiGnmDr", "Tracking Plan Admin", "Edits all tracking plans.",
        _PLAN_READ | {Needs.TRACKING_PLAN_ADMIN},
    ),
    TRACKING_PLAN_READ_ONLY,
    Role(
        "1WDUuUTNtbdpyJV0KPQzlHVkewe", "Function Admin", "Creates, edits and deletes functions.",
        _FUNCTION_READ | {Needs.FUNCTION_ADMIN}, _ON_FUNCTIONS,
    ),
    FUNCTION_READ_ONLY,
    Role(
        "1WDUuSVopUPUzSLNKqvG6uCiFtq", "Unify and Engage Admin", "Edits Unify settings, audiences and traits.",
        _SPACE_ADMIN, _ON_SPACES, takes_labels=True,
    ),
    Role(
        "1UnifyEngageReadOnlyKqvG6uC", "Unify and Engage Read-only", "Reads Unify settings, audiences and traits.",
        _SPACE_READ, _ON_SPACES, takes_labels=True,
    ),
    Role(
        "1UnifyReadEngageUserKqvG6uC", "Unify Read-only, Engage User", "Reads Unify settings, edits Engage.",
        _SPACE_READ, _ON_SPACES, takes_labels=True,
    ),
    Role("1Ttjwdg1SEGKH5hfg8heUBlfXGK", "Identity Admin", "Edits identity settings.", _SPACE_READ),
    Role("1dsSKGeBDUTGJ1QoZTtymZq949J", "End User Privacy Admin", "Deletes and suppresses end users."),
    Role("1ZxBLEwfZgYG3olVPxkc7e35Wue", "PII Access", "Sees personal data unmasked in what it may see already."),
    Role(
        "1EntitiesAdminUTNtbdpyJV0KP", "Entities Admin", "Edits entity models and connections.",
        frozenset({Needs.CREDENTIAL_USER}),
    ),
    Role("1EntitiesReadOnlybdpyJV0KPQ", "Entities Read-only", "Reads entity models and connections."),
    Role("Ez2WdbOWYfaD4aBhNghPaLjbHdf", "Observability Admin", "Edits monitoring."),
    Role("Ez2WdbPQZ6kF5vNxM8rHwT9cLmK", "Observability Read-only", "Reads monitoring."),
)  # fmt: skip
_BY_ID: Final = {role.id: role for role in ROLES}
READERS: Final = (
    SOURCE_READ_ONLY,
    FUNCTION_READ_ONLY,
    TRACKING_PLAN_READ_ONLY,
)  # of a member token made without roles


def find_role(id: str) -> Role | None:
    """The role with this id."""
    return _BY_ID.get(id)


def find_role_by_name(name: str) -> Role | None:
    """The role with this name, in any letter case."""
    return next((role for role in ROLES if role.name.lower() == name.lower()), None)
