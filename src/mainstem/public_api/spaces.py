"""Spaces: where profiles of a workspace are kept apart, each with an identity configuration of its own.

Every workspace starts with two, for trying out and for production; the API has no call that makes one.
Source: Public API reference, tag "Spaces" (2 of 4 operations); product guide, "Space setup". Ids are written bare
and, where profiles are read, behind `spa_`: both spellings mean the same space (judgement).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, Row, Select, String, Table, insert, select

from mainstem.rest import rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import Wire

api = Family("Spaces", feature="Spaces")
spaces = Table(
    "spaces",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("slug", String, nullable=False),
    Column("name", String, nullable=False),
)
DEFAULT_SPACES: Final = (("dev", "Dev"), ("prod", "Prod"))
PREFIX: Final = "spa_"


class Space(Wire, frozen=True):
    """A space on the wire."""

    id: str
    slug: str
    name: str


class SpaceOutput(Wire, frozen=True):
    """Reply of getSpace."""

    space: Space


class SpacesOutput(Wire, frozen=True):
    """Reply of listSpaces."""

    spaces: list[Space]
    pagination: Pagination


def add_default_spaces(db: Connection, workspace_id: str) -> None:
    """What every workspace starts with."""
    for slug, name in DEFAULT_SPACES:
        db.execute(insert(spaces).values(id=base58_id(), workspace_id=workspace_id, slug=slug, name=name))


def visible(call: Call) -> Select[Any]:
    """The only way the Public API reads the table."""
    mine = call.reach(Needs.SPACE_READ, spaces.c.id)
    return select(spaces).where(spaces.c.workspace_id == call.workspace_id, mine)


def one(call: Call, space_id: str) -> Row[Any]:
    """The row of a space that the caller may see, and change when the operation changes what is in spaces; by either
    spelling of its id. Raises NotFound and Forbidden."""
    query = visible(call).where(spaces.c.id == space_id.removeprefix(PREFIX))
    row = rows.one(call.db, query, rows.missing("Space", space_id))
    call.demand_own(Needs.SPACE_ADMIN, row.id)
    return row


def _space_of(row: Row[Any]) -> Space:
    return Space(id=row.id, slug=row.slug, name=row.name)


@api.operation("GET /spaces", needs=Needs.SPACE_READ, versions=ALPHA)
def list_spaces(call: Call, query: PageInput) -> SpacesOutput:
    """List Spaces"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(spaces.c.seq), query.pagination)
    return SpacesOutput(spaces=[_space_of(row) for row in found], pagination=pagination)


@api.operation("GET /spaces/{spaceId}", needs=Needs.SPACE_READ, versions=ALPHA)
def get_space(call: Call, space_id: str) -> SpaceOutput:
    """Get Space"""
    return SpaceOutput(space=_space_of(one(call, space_id)))
