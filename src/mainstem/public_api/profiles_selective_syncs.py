"""Selective sync of profiles: which tables and columns a profiles warehouse does not get; it gets all others.

The tables that every space has are always listed; those of single events only when something of them is excluded,
until the first sync tells which there are.
Source: Public API reference, tag "Profiles Sync" (2 of 6 operations); product guide, "Profiles Sync", selective sync
and tables. Judgements: that a new warehouse gets event tables; 400 for overrides while it gets none, as the reference
says that they are not supported then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta
from sqlalchemy import Row, delete, insert, select, update

from mainstem.errors import BadRequest
from mainstem.public_api.profiles_warehouses import RESOURCE, exclusions, one, profiles_warehouses
from mainstem.public_api.warehouses.warehouse import title_of
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Profiles Sync")
PROFILE_TABLES: Final = (
    "external_id_mapping_updates", "id_graph_updates", "profile_traits_updates",
    "profile_merges", "user_identifiers", "user_traits",
)  # fmt: skip
EVENT_TABLES: Final = ("identifies", "pages", "screens", "groups", "aliases", "tracks")
MAX_OVERRIDES: Final = 5_000

Collection = Annotated[str, Meta(min_length=1, max_length=255)]
Off = dict[str, set[str]]


class Override(Wire, frozen=True):
    """A switch of a collection or, with `property`, of one of its columns."""

    collection: Collection
    enabled: bool
    property: Collection | Unset | None = UNSET


class SelectiveSyncInput(Wire, frozen=True):
    """Body of updateSelectiveSyncForWarehouseAndSpace."""

    sync_overrides: Annotated[list[Override], Meta(max_length=MAX_OVERRIDES)] | Unset = UNSET
    enable_event_tables: bool | Unset = UNSET


class SelectiveSync(Wire, frozen=True):
    """A collection; `properties` are those that are excluded."""

    collection: str
    warehouse_id: str
    enabled: bool
    properties: dict[str, bool]


class SelectiveSyncsOutput(Wire, frozen=True):
    """Reply of listSelectiveSyncsFromWarehouseAndSpace."""

    items: list[SelectiveSync]
    enable_event_tables: bool
    pagination: Pagination


class SelectiveSyncOutput(Wire, frozen=True):
    """Reply of updateSelectiveSyncForWarehouseAndSpace: UPDATED or UNCHANGED."""

    status: str


def _off(call: Call, warehouse_id: str) -> Off:
    """What is excluded, by collection; "" is the whole collection."""
    found: Off = {}
    query = select(exclusions).where(exclusions.c.warehouse_id == warehouse_id).order_by(exclusions.c.seq)
    for row in call.db.execute(query):
        found.setdefault(row.collection, set()).add(row.property)
    return found


def _items(row: Row[Any], off: Off) -> list[SelectiveSync]:
    known = (*PROFILE_TABLES, *EVENT_TABLES)
    return [
        SelectiveSync(
            collection=collection,
            warehouse_id=row.id,
            enabled="" not in off.get(collection, ()) and (row.event_tables or collection in PROFILE_TABLES),
            properties=dict.fromkeys(sorted(off.get(collection, set()) - {""}), False),
        )
        for collection in (*known, *sorted(off.keys() - {*known}))
    ]


def _changed(sent: list[Override], off: Off) -> dict[tuple[str, str], bool]:
    """The switches that really change, as the last of each stands. They are keyed by collection and property."""
    wanted = {(each.collection, given(each.property, None) or ""): each.enabled for each in sent}
    return {place: on for place, on in wanted.items() if on is (place[1] in off.get(place[0], ()))}


def _turn(call: Call, warehouse_id: str, changed: Mapping[tuple[str, str], bool]) -> None:
    for (collection, column), on in changed.items():
        place = {"warehouse_id": warehouse_id, "collection": collection, "property": column}
        same = [exclusions.c[name] == value for name, value in place.items()]
        call.db.execute(delete(exclusions).where(*same) if on else insert(exclusions).values(place))


# ---- operations


@api.operation(
    "GET /spaces/{spaceId}/profiles-warehouses/{warehouseId}/selective-syncs", needs=Needs.SPACE_READ, versions=ALPHA
)
def list_selective_syncs_from_warehouse_and_space(
    call: Call, space_id: str, warehouse_id: str, query: PageInput
) -> SelectiveSyncsOutput:
    """List Selective Syncs from Warehouse And Space"""
    row = one(call, space_id, warehouse_id)
    items, pagination = slice_of(_items(row, _off(call, row.id)), query.pagination)
    return SelectiveSyncsOutput(items=items, enable_event_tables=row.event_tables, pagination=pagination)


@api.operation(
    "PATCH /spaces/{spaceId}/profiles-warehouses/{warehouseId}/selective-syncs",
    needs=Needs.SPACE_ADMIN,
    versions=ALPHA,
    audit="Profiles Sync Warehouse Modified",
)
def update_selective_sync_for_warehouse_and_space(
    call: Call, space_id: str, warehouse_id: str, body: SelectiveSyncInput
) -> SelectiveSyncOutput:
    """Update Selective Sync for Warehouse And Space"""
    row = one(call, space_id, warehouse_id)
    event_tables = given(body.enable_event_tables, row.event_tables)
    overrides = given(body.sync_overrides, [])
    if overrides and not event_tables:
        raise BadRequest("Overrides are not supported while event tables are disabled.", field="syncOverrides")
    changed = _changed(overrides, _off(call, row.id))
    if not changed and event_tables == row.event_tables:
        return SelectiveSyncOutput(status="UNCHANGED")
    _turn(call, row.id, changed)
    mine = profiles_warehouses.c.id == row.id
    call.db.execute(update(profiles_warehouses).where(mine).values(event_tables=event_tables))
    call.record("Profiles Sync Warehouse Modified", RESOURCE, row.id, title_of(call, row))
    return SelectiveSyncOutput(status="UPDATED")
