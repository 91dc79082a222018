"""What of a source is stored in a warehouse: everything, but for what was switched off.

A source, a collection or a property can be off; what is on is not written down. Source: Public API reference, tag
"Selective Sync" (2 operations); product guide, "Selective sync" (owners change it). Judgements: an override of what
is not known of the source changes nothing and is told in `warnings`, and a property needs its collection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, insert, select

from mainstem.errors import InputInvalid, NotFound
from mainstem.public_api import sources, warehouses
from mainstem.public_api.selective_sync.collections import CONTEXT, NEEDED, of_source
from mainstem.public_api.warehouses.warehouse import RESOURCE, sync_exclusions
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Selective Sync")
Word = Annotated[str, Meta(min_length=1, max_length=255)]
Exclusion = tuple[str, str]  # collection and property, "" for all of them


class SyncOverride(Wire, frozen=True):
    """What is to be stored or not: a source, one of its collections, or a property of one."""

    source_id: str
    enabled: bool
    collection: Word | Unset = UNSET
    property: Word | Unset = UNSET


class UpdateSelectiveSyncInput(Wire, frozen=True):
    """Body of updateSelectiveSyncForWarehouse; overrides count in order."""

    sync_overrides: list[SyncOverride]


class UpdateSelectiveSyncOutput(Wire, frozen=True):
    """Reply of updateSelectiveSyncForWarehouse: UPDATED when anything is different now, else UNCHANGED."""

    status: str
    warnings: list[str]


class SelectiveSyncItem(Wire, frozen=True):
    """A collection, and each of its properties, with whether it is stored."""

    source_id: str
    collection: str
    warehouse_id: str
    enabled: bool
    properties: dict[str, bool]


class SelectiveSyncsOutput(Wire, frozen=True):
    """Reply of listSelectiveSyncsFromWarehouseAndSource, by collection."""

    items: list[SelectiveSyncItem]
    pagination: Pagination


@api.operation(
    "GET /warehouses/{warehouseId}/connected-sources/{sourceId}/selective-syncs",
    needs=Needs.WAREHOUSE_READ,
    rate=per_minute(2),
    is_slow=True,
)
def list_selective_syncs_from_warehouse_and_source(
    call: Call, warehouse_id: str, source_id: str, query: PageInput
) -> SelectiveSyncsOutput:
    """List Selective Syncs from Warehouse And Source"""
    warehouses.one(call, warehouse_id)
    sources.one(call, source_id)
    items, pagination = slice_of(list(_items(call, warehouse_id, source_id)), query.pagination)
    return SelectiveSyncsOutput(items=items, pagination=pagination)


def _items(call: Call, warehouse_id: str, source_id: str) -> Iterator[SelectiveSyncItem]:
    off, known = _exclusions(call, warehouse_id, source_id), of_source(call.learned, source_id)
    for collection, column in off:  # also of what has not been seen for so long that it is forgotten
        if collection:
            known.setdefault(collection, set()).update(filter(None, [column]))
    for collection in sorted(known):
        yield SelectiveSyncItem(
            source_id=source_id,
            collection=collection,
            warehouse_id=warehouse_id,
            enabled=("", "") not in off and (collection, "") not in off,
            properties={each: (collection, each) not in off for each in sorted(known[collection])},
        )


def _exclusions(call: Call, warehouse_id: str, source_id: str) -> set[Exclusion]:
    table = sync_exclusions
    query = select(table).where(table.c.warehouse_id == warehouse_id, table.c.source_id == source_id)
    return {(row.collection, row.property) for row in call.db.execute(query)}


@api.operation(
    "PATCH /warehouses/{warehouseId}/selective-sync",
    needs=Needs.WORKSPACE_OWNER,
    audit="Storage Destination Modified",
    rate=per_minute(2),
    is_slow=True,
)
def update_selective_sync_for_warehouse(
    call: Call, warehouse_id: str, body: UpdateSelectiveSyncInput
) -> UpdateSelectiveSyncOutput:
    """Update Selective Sync for Warehouse"""
    row = warehouses.one(call, warehouse_id)
    faults = list(_faults(call, body))
    if faults:
        raise InputInvalid(faults)
    warnings: list[str] = []
    is_changed = False
    for source_id in dict.fromkeys(each.source_id for each in body.sync_overrides):
        mine = [each for each in body.sync_overrides if each.source_id == source_id]
        is_changed |= _override(call, warehouse_id, source_id, mine, warnings)
    if is_changed:
        call.record("Storage Destination Modified", RESOURCE, warehouse_id, warehouses.title_of(call, row))
    return UpdateSelectiveSyncOutput(status="UPDATED" if is_changed else "UNCHANGED", warnings=warnings)


def _faults(call: Call, body: UpdateSelectiveSyncInput) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(body.sync_overrides):
        field = f"syncOverrides[{index}]"
        if each.property is not UNSET and each.collection is UNSET:
            yield f"{field}.collection", f'"{field}.collection" is required with "{field}.property"'
        try:
            sources.one(call, each.source_id)
        except NotFound as error:
            yield f"{field}.sourceId", f'"{field}.sourceId" names no source: {error}'


def _override(
    call: Call, warehouse_id: str, source_id: str, overrides: list[SyncOverride], warnings: list[str]
) -> bool:
    """Whether anything is different after the overrides of one source."""
    before, known = _exclusions(call, warehouse_id, source_id), of_source(call.learned, source_id)
    after = set(before)
    for each in overrides:
        exclusion = given(each.collection, ""), given(each.property, "")
        warning = None if exclusion in before else _unknown(exclusion, source_id, known)
        if warning:
            warnings.append(warning)
        elif each.enabled:
            after.discard(exclusion)
        else:
            after.add(exclusion)
            if exclusion[1] == NEEDED:
                warnings.append(f"Syncs of collection '{exclusion[0]}' fail without its property '{NEEDED}'.")
    for gone in sorted(before - after):
        call.db.execute(delete(sync_exclusions).where(*_is(warehouse_id, source_id, gone)))
    for collection, column in sorted(after - before):
        new = {"warehouse_id": warehouse_id, "source_id": source_id, "collection": collection, "property": column}
        call.db.execute(insert(sync_exclusions).values(new))
    return after != before


def _is(warehouse_id: str, source_id: str, exclusion: Exclusion) -> tuple[Any, ...]:
    table, (collection, column) = sync_exclusions.c, exclusion
    return (
        table.warehouse_id == warehouse_id,
        table.source_id == source_id,
        table.collection == collection,
        table.property == column,
    )


def _unknown(exclusion: Exclusion, source_id: str, known: dict[str, set[str]]) -> str | None:
    """Why an override changes nothing, if so."""
    collection, column = exclusion
    if collection and collection not in known:
        return f"Source '{source_id}' is not known to have a collection '{collection}'; nothing was changed for it."
    if column and not column.startswith(CONTEXT) and column not in known[collection]:
        return f"Collection '{collection}' is not known to have a property '{column}'; nothing was changed for it."
    return None
