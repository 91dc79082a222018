"""Who may call an operation, and which objects it reaches: what each operation declares that it needs, and what
the roles granted to the caller give.

Roles add up, and the highest wins: a power holds wherever any grant gives it. An object outside the reach of what
may be read is not there (404, and not in lists); one that may be read but not written is refused (403).
Source: Public API reference, "Authentication" and role lists; product guide, "Roles"; 404 against 403 is a judgement.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, column, false, or_, select, table, true

from mainstem.errors import Forbidden


class Needs(enum.Enum):
    """The least power that an operation asks for; the value is the role that is named to who lacks it."""

    WORKSPACE_ACCESS = "Minimal Workspace Access"
    WORKSPACE_MEMBER = "Workspace Member"
    SOURCE_READ = "Source Read-only"
    SOURCE_ADMIN = "Source Admin"
    WAREHOUSE_READ = "Warehouse Read-only"
    WAREHOUSE_ADMIN = "Warehouse Admin"
    CREDENTIAL_USER = "Warehouse Admin, Source Admin, Entities Admin or Unify and Engage Admin"
    FUNCTION_READ = "Function Read-only"
    FUNCTION_ADMIN = "Function Admin"
    TRACKING_PLAN_READ = "Tracking Plan Read-only"
    TRACKING_PLAN_ADMIN = "Tracking Plan Admin"
    SPACE_READ = "Unify and Engage Read-only"
    SPACE_ADMIN = "Unify and Engage Admin"
    WORKSPACE_OWNER = "Workspace Owner"


class ResourceType(enum.StrEnum):
    """What a role can be granted on. On WORKSPACE it holds for all that is of the role's kind, now and later."""

    WORKSPACE = "WORKSPACE"
    SOURCE = "SOURCE"
    SPACE = "SPACE"
    WAREHOUSE = "WAREHOUSE"
    FUNCTION = "FUNCTION"


KIND: Final[Mapping[Needs, ResourceType]] = {
    Needs.SOURCE_READ: ResourceType.SOURCE,
    Needs.SOURCE_ADMIN: ResourceType.SOURCE,
    Needs.WAREHOUSE_READ: ResourceType.WAREHOUSE,
    Needs.WAREHOUSE_ADMIN: ResourceType.WAREHOUSE,
    Needs.FUNCTION_READ: ResourceType.FUNCTION,
    Needs.FUNCTION_ADMIN: ResourceType.FUNCTION,
    Needs.SPACE_READ: ResourceType.SPACE,
    Needs.SPACE_ADMIN: ResourceType.SPACE,
}  # the others hold for the workspace or not at all

Label = tuple[str, str]
_SOURCE_LABELS: Final = table("source_labels", column("source_id"), column("key"), column("value"))


class Reach(msgspec.Struct, frozen=True):
    """Where a power holds: on everything, on these ids, and on what bears all the labels of one of these sets."""

    everywhere: bool = False
    ids: frozenset[str] = frozenset()
    labels: tuple[frozenset[Label], ...] = ()

    def __or__(self, other: Reach) -> Reach:
        return Reach(self.everywhere or other.everywhere, self.ids | other.ids, self.labels + other.labels)


class Powers:
    """What a caller may do, and where."""

    def __init__(self, reaches: Mapping[Needs, Reach], *, is_owner: bool = False) -> None:
        self._reaches, self.is_owner = reaches, is_owner

    def may(self, needs: Needs) -> bool:
        """Whether the caller has this power on anything at all, be it on nothing that exists yet."""
        return self.is_owner or needs in self._reaches

    def may_everywhere(self, needs: Needs) -> bool:
        """Whether the caller has this power on the whole workspace, and so on what is made later."""
        return self.is_owner or self._reaches.get(needs, Reach()).everywhere

    def check(self, needs: Needs) -> None:
        """Raises Forbidden naming the role that is missing."""
        if not self.may(needs):
            raise lacking(needs)

    def clause(self, needs: Needs, id: ColumnElement[str]) -> ColumnElement[bool]:
        """The rows on which the power holds; `id` is the id of the source, warehouse, function or space that a
        row is, or belongs to."""
        if self.may_everywhere(needs):
            return true()
        reach = self._reaches.get(needs, Reach())
        bears = [_bears(id, labels) for labels in reach.labels] if KIND.get(needs) is ResourceType.SOURCE else []
        named = [id.in_(sorted(reach.ids))] if reach.ids else []
        return or_(false(), *named, *bears)

    def within(self, db: Connection, needs: Needs, ids: Sequence[str]) -> set[str]:
        """Which of these sources, warehouses, functions or spaces the power holds on."""
        if self.may_everywhere(needs):
            return set(ids)
        reach, marked = self._reaches.get(needs, Reach()), _SOURCE_LABELS.c.source_id
        bearing = select(marked).where(marked.in_(ids), self.clause(needs, marked))
        return set(ids) & reach.ids | (set(db.scalars(bearing)) if reach.labels else set())


ALL_POWERS: Final = Powers({}, is_owner=True)


def lacking(needs: Needs) -> Forbidden:
    """The refusal of a caller who lacks a power."""
    return Forbidden(f"This token may not do this: it takes the role {needs.value}.")


def added_up(reaches: Iterable[tuple[Needs, Reach]]) -> dict[Needs, Reach]:
    """The reach of each power over several grants."""
    found: dict[Needs, Reach] = {}
    for needs, reach in reaches:
        found[needs] = found.get(needs, Reach()) | reach
    return found


def _bears(id: ColumnElement[Any], labels: frozenset[Label]) -> ColumnElement[bool]:
    """Whether a source bears all these labels."""
    mine = _SOURCE_LABELS.c
    return and_(
        *(id.in_(select(mine.source_id).where(mine.key == key, mine.value == value)) for key, value in sorted(labels))
    )
