"""Destination filters: what a destination does not get of the events of its source.

Source: Public API reference, tag "Destination Filters" (6 operations); product guide, "Destination Filters"
(10 filters a destination, titles of 64 characters). Judgements: 400 for the eleventh filter, 422 for a condition
that cannot be read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Row, Select, delete, insert, select, update

from mainstem.errors import BadRequest, InputInvalid
from mainstem.model import destination_filter, fql
from mainstem.public_api import destinations
from mainstem.public_api.destinations import destination_filters
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, given

api = Family("Destination Filters")
MAX_FILTERS: Final = 10

Title = Annotated[str, Meta(min_length=1, max_length=64)]
JsonObject = dict[str, Any]


class Filter(Wire, frozen=True):
    """A filter on the wire. `actions` hold the keys that were sent and no others."""

    id: str
    source_id: str
    destination_id: str
    condition: str = msgspec.field(name="if")
    actions: list[JsonObject]
    title: str
    enabled: bool
    created_at: str
    updated_at: str
    description: str | Unset = UNSET


class CreateFilterInput(Wire, frozen=True):
    """Body of createFilterForDestination."""

    source_id: str
    condition: str = msgspec.field(name="if")
    actions: list[JsonObject]
    title: Title
    enabled: bool
    description: str | Unset | None = UNSET


class UpdateFilterInput(Wire, frozen=True):
    """Body of updateFilterForDestination; `description` null clears it."""

    condition: str | Unset = msgspec.field(default=UNSET, name="if")
    actions: list[JsonObject] | Unset = UNSET
    title: Title | Unset = UNSET
    enabled: bool | Unset = UNSET
    description: str | Unset | None = UNSET


class PreviewedFilter(Wire, frozen=True):
    """The filter of a preview."""

    condition: str = msgspec.field(name="if")
    actions: list[JsonObject]


class PreviewInput(Wire, frozen=True):
    """Body of previewDestinationFilter."""

    filter: PreviewedFilter
    payload: JsonObject


class FilterOutput(Wire, frozen=True):
    """Reply of createFilterForDestination, getFilterInDestination and updateFilterForDestination."""

    filter: Filter


class FiltersOutput(Wire, frozen=True):
    """Reply of listFiltersFromDestination."""

    filters: list[Filter]
    pagination: Pagination


class PreviewOutput(Wire, frozen=True):
    """Reply of previewDestinationFilter; `result` is null when the payload would not be sent."""

    input_payload: JsonObject
    result: JsonObject | None


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SOURCE_READ, destination_filters.c.source_id)
    return select(destination_filters).where(destination_filters.c.workspace_id == call.workspace_id, mine)


def _of_destination(call: Call, destination_id: str) -> Select[Any]:
    return visible(call).where(destination_filters.c.destination_id == destination_id)


def _one(call: Call, destination_id: str, filter_id: str) -> Row[Any]:
    destinations.one(call, destination_id)
    query = _of_destination(call, destination_id).where(destination_filters.c.id == filter_id)
    return rows.one(call.db, query, rows.missing("Destination filter", filter_id))


def _filter_of(row: Row[Any]) -> Filter:
    return Filter(
        id=row.id,
        source_id=row.source_id,
        destination_id=row.destination_id,
        condition=row.condition,
        actions=msgspec.json.decode(row.actions, type=list[JsonObject]),
        title=row.title,
        description=UNSET if row.description is None else row.description,
        enabled=row.enabled,
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
    )


def _check(condition: str | Unset, actions: Sequence[JsonObject] | Unset, within: str = "") -> None:
    """Raises InputInvalid with every fault of a condition and of actions, as far as they were sent; `within`
    is the path of the object that holds them, such as "filter."."""
    faults: Faults = []
    if condition is not UNSET:
        faults += _condition_faults(condition)
    if actions is not UNSET:
        faults += destination_filter.faults(list(actions))
    if faults:
        raise InputInvalid([(within + field, message.replace('"', f'"{within}', 1)) for field, message in faults])


def _condition_faults(condition: str) -> Faults:
    try:
        fql.parse(condition)
    except fql.FqlError as error:
        return [("if", f'"if" is not valid FQL: {error}')]  # the error names line and column
    return []


def _stored(actions: Sequence[JsonObject]) -> bytes:
    return msgspec.json.encode(destination_filter.wire_actions(destination_filter.read_actions(actions)))


@api.operation("GET /destination/{destinationId}/filters", needs=Needs.SOURCE_READ)
def list_filters_from_destination(call: Call, destination_id: str, query: PageInput) -> FiltersOutput:
    """List Filters from Destination"""
    destinations.one(call, destination_id)
    ordered = _of_destination(call, destination_id).order_by(destination_filters.c.seq)
    found, pagination = rows.page_of(call.db, ordered, query.pagination)
    return FiltersOutput(filters=[_filter_of(row) for row in found], pagination=pagination)


@api.operation(
    "POST /destination/{destinationId}/filters", needs=Needs.SOURCE_ADMIN, audit="Destination Filter Created"
)
def create_filter_for_destination(call: Call, destination_id: str, body: CreateFilterInput) -> FilterOutput:
    """Create Filter for Destination"""
    _check(body.condition, body.actions)
    destination = destinations.one(call, destination_id)
    destinations.check_source(destination, body.source_id)
    if len(call.db.execute(_of_destination(call, destination_id)).all()) >= MAX_FILTERS:
        raise BadRequest(f"A destination has at most {MAX_FILTERS} filters.")
    filter_id = ksuid()
    call.db.execute(
        insert(destination_filters).values(
            id=filter_id,
            workspace_id=call.workspace_id,
            source_id=destination.source_id,
            destination_id=destination_id,
            condition=body.condition,
            actions=_stored(body.actions),
            title=body.title,
            description=given(body.description, None),
            enabled=body.enabled,
            created_at=call.now,
            updated_at=call.now,
        )
    )
    call.touch(destination.source_id)
    call.record("Destination Filter Created", "DESTINATION_FILTER", filter_id, body.title)
    return FilterOutput(filter=_filter_of(_one(call, destination_id, filter_id)))


@api.operation("GET /destination/{destinationId}/filters/{filterId}", needs=Needs.SOURCE_READ)
def get_filter_in_destination(call: Call, destination_id: str, filter_id: str) -> FilterOutput:
    """Get Filter in Destination"""
    return FilterOutput(filter=_filter_of(_one(call, destination_id, filter_id)))


@api.operation(
    "PATCH /destination/{destinationId}/filters/{filterId}",
    needs=Needs.SOURCE_ADMIN,
    audit=("Destination Filter Enabled", "Destination Filter Disabled"),
)
def update_filter_for_destination(
    call: Call, destination_id: str, filter_id: str, body: UpdateFilterInput
) -> FilterOutput:
    """Update Filter for Destination"""
    _check(body.condition, body.actions)
    row = _one(call, destination_id, filter_id)
    changes = _changes(body)
    if changes:
        changed = update(destination_filters).where(destination_filters.c.id == row.id)
        call.db.execute(changed.values(changes | {"updated_at": call.now}))
        call.touch(row.source_id)
    after = _one(call, destination_id, filter_id)
    if after.enabled != row.enabled:
        event = "Destination Filter Enabled" if after.enabled else "Destination Filter Disabled"
        call.record(event, "DESTINATION_FILTER", row.id, after.title)
    if any(getattr(after, name) != getattr(row, name) for name in changes.keys() - {"enabled"}):
        call.record_beside("Destination Filter Modified", "DESTINATION_FILTER", row.id, after.title)
    return FilterOutput(filter=_filter_of(after))


def _changes(body: UpdateFilterInput) -> dict[str, Any]:
    """New values of columns."""
    actions = UNSET if body.actions is UNSET else _stored(body.actions)
    columns = {
        "condition": body.condition,
        "actions": actions,
        "title": body.title,
        "description": body.description,
        "enabled": body.enabled,
    }
    return {name: value for name, value in columns.items() if value is not UNSET}


@api.operation(
    "DELETE /destination/{destinationId}/filters/{filterId}",
    needs=Needs.SOURCE_ADMIN,
    audit="Destination Filter Deleted",
)
def remove_filter_from_destination(call: Call, destination_id: str, filter_id: str) -> StatusOutput:
    """Remove Filter from Destination"""
    row = _one(call, destination_id, filter_id)
    call.db.execute(delete(destination_filters).where(destination_filters.c.id == row.id))
    call.touch(row.source_id)
    call.record("Destination Filter Deleted", "DESTINATION_FILTER", row.id, row.title)
    return StatusOutput()


@api.operation("POST /destination/filters/preview", needs=Needs.SOURCE_READ)
def preview_destination_filter(call: Call, body: PreviewInput) -> PreviewOutput:  # noqa: ARG001  # the same for everybody
    """Preview Destination Filter"""
    _check(body.filter.condition, body.filter.actions, within="filter.")
    chance = random.SystemRandom().random
    result = destination_filter.preview(body.filter.condition, body.filter.actions, body.payload, chance)
    return PreviewOutput(input_payload=body.payload, result=result)
