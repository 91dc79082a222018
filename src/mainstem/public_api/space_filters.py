"""Space filters: which events of the sources of a space stay out of its profiles.

Source: Public API reference, tag "Space Filters" (5 operations); product guide, "Profile filters" (10 filters a
space). An update replaces the whole filter: what it leaves out is gone, and the switches are on again. Judgements:
400 for the eleventh filter, 422 for a condition that cannot be read and for an update that names another space; a
filter without a condition matches nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Boolean, Column, Integer, Row, Select, String, Table, delete, func, insert, select, update

from mainstem.errors import BadRequest, InputInvalid, NotFound
from mainstem.model import fql
from mainstem.public_api import spaces
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import BETA_ALPHA, Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, given

api = Family("Space Filters", feature="Space Filters")
space_filters = Table(
    "space_filters",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("space_id", String, nullable=False),
    Column("name", String),
    Column("condition", String),  # FQL; None after an update without one
    Column("description", String),
    Column("enabled", Boolean, nullable=False),
    Column("drops", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
MAX_FILTERS: Final = 10

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Filter(Wire, frozen=True):
    """A filter on the wire; `integration_id` is the id of its space."""

    id: str
    workspace_id: str
    integration_id: str
    enabled: bool
    drop: bool
    created_at: str
    updated_at: str
    name: str | Unset = UNSET
    description: str | Unset = UNSET
    condition: str | Unset = msgspec.field(default=UNSET, name="if")


class CreateFilterInput(Wire, frozen=True):
    """Body of createFilterForSpace."""

    integration_id: str
    name: Name
    condition: str = msgspec.field(name="if")
    description: str | Unset | None = UNSET
    enabled: bool = True
    drop: bool = True


class UpdateFilterInput(Wire, frozen=True):
    """Body of updateFilterById: the filter that stands in the place of the former one."""

    integration_id: str
    name: Name | Unset | None = UNSET
    condition: str | Unset | None = msgspec.field(default=UNSET, name="if")
    description: str | Unset | None = UNSET
    enabled: bool = True
    drop: bool = True


class NumberedPage(Wire, frozen=True):
    """The `pagination` input of this list alone: the cursor is an offset."""

    count: Annotated[int, Meta(ge=1, le=MAX_FILTERS)] = MAX_FILTERS
    cursor: Annotated[int, Meta(ge=0, le=2**31)] = 0


class FiltersQuery(Wire, frozen=True):
    """Query of listFiltersForSpace."""

    integration_id: str
    pagination: NumberedPage = NumberedPage()


class NumberedPagination(Wire, frozen=True):
    """Where a page lies; `next` is absent on the last."""

    current: int
    total_entries: int
    next: int | Unset = UNSET


class FilterOutput(Wire, frozen=True):
    """Reply of createFilterForSpace, getFilterById and updateFilterById."""

    filter: Filter


class FiltersOutput(Wire, frozen=True):
    """Reply of listFiltersForSpace."""

    filters: list[Filter]
    pagination: NumberedPagination


class DeletedOutput(Wire, frozen=True):
    """Reply of deleteFilterById, which says so in its own way."""

    deleted: bool = True


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SPACE_READ, space_filters.c.space_id)
    return select(space_filters).where(space_filters.c.workspace_id == call.workspace_id, mine)


def _one(call: Call, filter_id: str) -> Row[Any]:
    query = visible(call).where(space_filters.c.id == filter_id)
    row = rows.one(call.db, query, rows.missing("Filter", filter_id))
    call.demand_own(Needs.SPACE_ADMIN, row.space_id)
    return row


def _filter_of(row: Row[Any]) -> Filter:
    texts = {name: getattr(row, name) for name in ("name", "description", "condition")}
    return Filter(
        id=row.id,
        workspace_id=row.workspace_id,
        integration_id=row.space_id,
        enabled=row.enabled,
        drop=row.drops,
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
        **{name: UNSET if text is None else text for name, text in texts.items()},
    )


def _condition_faults(condition: str | None) -> Faults:
    if condition is None:
        return []
    try:
        fql.parse(condition)
    except fql.FqlError as error:
        return [("if", f'"if" is not valid FQL: {error}')]  # the error names line and column
    return []


def _space_of(call: Call, body: CreateFilterInput) -> Row[Any]:
    """The space of a new filter. Raises InputInvalid for what is unknown and for the condition together."""
    faults, space = _condition_faults(body.condition), None
    try:
        space = spaces.one(call, body.integration_id)
    except NotFound as error:
        faults.insert(0, ("integrationId", f'"integrationId" names no space: {error}'))
    if faults or space is None:
        raise InputInvalid(faults)
    return space


def _columns(body: CreateFilterInput | UpdateFilterInput) -> dict[str, Any]:
    """What is in the row of the body, and of nothing else."""
    return {
        "name": given(body.name, None),
        "condition": given(body.condition, None),
        "description": given(body.description, None),
        "enabled": body.enabled,
        "drops": body.drop,
    }


# ---- operations


@api.operation("GET /filters", needs=Needs.SPACE_READ, versions=BETA_ALPHA)
def list_filters_for_space(call: Call, query: FiltersQuery) -> FiltersOutput:
    """List Filters for Space"""
    space, page = spaces.one(call, query.integration_id), query.pagination
    mine = visible(call).where(space_filters.c.space_id == space.id)
    total = call.db.execute(select(func.count()).select_from(mine.subquery())).scalar_one()
    found = call.db.execute(mine.order_by(space_filters.c.seq).offset(page.cursor).limit(page.count))
    end = page.cursor + page.count
    where = NumberedPagination(current=page.cursor, total_entries=total, next=end if end < total else UNSET)
    return FiltersOutput(filters=[_filter_of(row) for row in found], pagination=where)


@api.operation("POST /filters", needs=Needs.SPACE_ADMIN, versions=BETA_ALPHA, audit="Filter Created")
def create_filter_for_space(call: Call, body: CreateFilterInput) -> FilterOutput:
    """Create Filter for Space"""
    space = _space_of(call, body)
    mine = visible(call).where(space_filters.c.space_id == space.id)
    if call.db.execute(select(func.count()).select_from(mine.subquery())).scalar_one() >= MAX_FILTERS:
        raise BadRequest(f"A space has at most {MAX_FILTERS} filters.")
    filter_id = ksuid()
    own = {"id": filter_id, "workspace_id": call.workspace_id, "space_id": space.id}
    times = {"created_at": call.now, "updated_at": call.now}
    call.db.execute(insert(space_filters).values(own | times | _columns(body)))
    call.record("Filter Created", "SPACE_FILTER", filter_id, body.name)
    return FilterOutput(filter=_filter_of(_one(call, filter_id)))


@api.operation("GET /filters/{id}", needs=Needs.SPACE_READ, versions=BETA_ALPHA)
def get_filter_by_id(call: Call, id: str) -> FilterOutput:
    """Get Filter by id"""
    return FilterOutput(filter=_filter_of(_one(call, id)))


@api.operation("PATCH /filters/{id}", needs=Needs.SPACE_ADMIN, versions=BETA_ALPHA, audit="Filter Updated")
def update_filter_by_id(call: Call, id: str, body: UpdateFilterInput) -> FilterOutput:
    """Update Filter by id"""
    row = _one(call, id)
    faults = _condition_faults(given(body.condition, None))
    if body.integration_id.removeprefix(spaces.PREFIX) != row.space_id:
        faults.insert(0, ("integrationId", '"integrationId" must be the id of the space of the filter'))
    if faults:
        raise InputInvalid(faults)
    changed = update(space_filters).where(space_filters.c.id == row.id)
    call.db.execute(changed.values(_columns(body) | {"updated_at": call.now}))
    call.record("Filter Updated", "SPACE_FILTER", row.id, given(body.name, None) or "")
    return FilterOutput(filter=_filter_of(_one(call, id)))


@api.operation("DELETE /filters/{id}", needs=Needs.SPACE_ADMIN, versions=BETA_ALPHA, audit="Filter Deleted")
def delete_filter_by_id(call: Call, id: str) -> DeletedOutput:
    """Delete Filter by id"""
    row = _one(call, id)
    call.db.execute(delete(space_filters).where(space_filters.c.id == row.id))
    call.record("Filter Deleted", "SPACE_FILTER", row.id, row.name or "")
    return DeletedOutput()
