"""Who may call an operation: what each declares that it needs, and what a token has.

Until roles can be granted, a member token reads the workspace (without write keys) and changes nothing;
owners may do everything. Source: Public API reference, "Authentication" and role lists; the interim power
of members is a judgement (docs/decisions/0005-member-access.md).
"""

from __future__ import annotations

import enum
from typing import Final

from mainstem.errors import Forbidden
from mainstem.rest.tokens import Access, Token


class Needs(enum.Enum):
    """The least power that an operation asks for."""

    WORKSPACE_MEMBER = "Workspace Member"
    SOURCE_READ = "Source Read-only"
    SOURCE_ADMIN = "Source Admin"
    FUNCTION_READ = "Function Read-only"
    FUNCTION_ADMIN = "Function Admin"
    TRACKING_PLAN_READ = "Tracking Plan Read-only"
    TRACKING_PLAN_ADMIN = "Tracking Plan Admin"
    WORKSPACE_OWNER = "Workspace Owner"


_MEMBER_HAS: Final = frozenset(
    {Needs.WORKSPACE_MEMBER, Needs.SOURCE_READ, Needs.FUNCTION_READ, Needs.TRACKING_PLAN_READ}
)


def may(token: Token, needs: Needs) -> bool:
    """Whether the token has this power."""
    return token.access is Access.OWNER or needs in _MEMBER_HAS


def check(token: Token, needs: Needs) -> None:
    """Raises Forbidden naming the role that is missing."""
    if not may(token, needs):
        raise Forbidden(f"This token may not do this: it takes the role {needs.value}.")
