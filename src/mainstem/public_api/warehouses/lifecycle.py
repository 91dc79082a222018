"""Create, read, change and delete warehouses.

Source: Public API reference, tag "Warehouses"; product guide, "Warehouses" (a new warehouse is connected to every
source). Judgements: to those sources only that its maker may connect; the 422 for an unknown metadata id; that a null
for `settings.name` alone says nothing, as clients send it with every key that they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, literal, select, update

from mainstem.errors import InputInvalid
from mainstem.public_api import catalog, credentials, integration_settings
from mainstem.public_api.catalog import WarehouseMetadata
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources.source import sources
from mainstem.public_api.warehouses.warehouse import (
    RESOURCE,
    Name,
    Warehouse,
    connect_all,
    credential_kinds,
    metadata_of,
    named,
    note_credential,
    one,
    options_of,
    settings_of,
    sync_exclusions,
    sync_schedules,
    title_of,
    type_faults,
    visible,
    warehouse_of,
    warehouse_sources,
    warehouses,
)
from mainstem.rest import grants, rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs, ResourceType
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Warehouses")


class CreateWarehouseInput(Wire, frozen=True):
    """Body of createWarehouse. The name goes to `settings.name`; a new warehouse is connected to every source unless
    `disconnect_all_sources`."""

    metadata_id: str
    settings: dict[str, Any]
    name: Name | Unset | None = UNSET
    enabled: bool = True
    disconnect_all_sources: bool | Unset = UNSET


class UpdateWarehouseInput(Wire, frozen=True):
    """Body of updateWarehouse. Settings are merged, a null deletes its key. A name wins over one in `settings`, and
    null for it takes the name away unless `settings` has another."""

    settings: dict[str, Any]
    name: Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET


class WarehouseOutput(Wire, frozen=True):
    """Reply of createWarehouse, getWarehouse and updateWarehouse."""

    warehouse: Warehouse


class WarehousesOutput(Wire, frozen=True):
    """Reply of listWarehouses."""

    warehouses: list[Warehouse]
    pagination: Pagination


def described_by(metadata_id: str) -> WarehouseMetadata:
    """A type of warehouse that a body names. Raises InputInvalid."""
    described = catalog.find_warehouse_metadata(metadata_id)
    if described is None:
        raise InputInvalid([("metadataId", f'"metadataId" names no warehouse of the catalog: {metadata_id}')])
    return described


def merged(
    call: Call, stored: Mapping[str, Any], sent: Mapping[str, Any], described: WarehouseMetadata
) -> dict[str, Any]:
    """`stored` settings with `sent` laid over them. Raises InputInvalid for what a warehouse of this type cannot be
    configured with."""
    settings = integration_settings.merged(stored, sent, options_of({**stored, **sent}, described))
    faults = type_faults(settings, described) or credentials.use_faults(call, settings, credential_kinds(described))
    if faults:
        raise InputInvalid(faults)
    return settings


@api.operation("GET /warehouses", needs=Needs.WAREHOUSE_READ)
def list_warehouses(call: Call, query: PageInput) -> WarehousesOutput:
    """List Warehouses"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(warehouses.c.seq), query.pagination)
    return WarehousesOutput(warehouses=[warehouse_of(call, row) for row in found], pagination=pagination)


@api.operation("POST /warehouses", status=201, needs=Needs.WAREHOUSE_ADMIN, audit="Storage Destination Created")
def create_warehouse(call: Call, body: CreateWarehouseInput) -> WarehouseOutput:
    """Create Warehouse"""
    call.demand_everywhere(Needs.WAREHOUSE_ADMIN)
    described = described_by(body.metadata_id)
    settings = merged(call, {}, named(body.settings, body.name), described)
    warehouse_id = base58_id()
    call.db.execute(
        insert(warehouses).values(
            id=warehouse_id,
            workspace_id=call.workspace_id,
            metadata_id=described.id,
            enabled=body.enabled,
            settings=call.vault.seal(msgspec.json.encode(settings), warehouse_id),
        )
    )
    note_credential(call, warehouse_id, settings, described)
    if body.disconnect_all_sources is not True:
        _connect_sources(call, warehouse_id)
    row = one(call, warehouse_id)
    call.record("Storage Destination Created", RESOURCE, warehouse_id, title_of(call, row))
    return WarehouseOutput(warehouse=warehouse_of(call, row))


def _connect_sources(call: Call, warehouse_id: str) -> None:
    """Connect a new warehouse to every source that the caller may connect."""
    mine = call.reach(Needs.SOURCE_ADMIN, sources.c.id)
    theirs = sources.c.workspace_id == call.workspace_id
    connect_all(call, select(literal(warehouse_id), sources.c.id).where(theirs, mine).order_by(sources.c.seq))


@api.operation("GET /warehouses/{warehouseId}", needs=Needs.WAREHOUSE_READ)
def get_warehouse(call: Call, warehouse_id: str) -> WarehouseOutput:
    """Get Warehouse"""
    return WarehouseOutput(warehouse=warehouse_of(call, one(call, warehouse_id)))


@api.operation(
    "PATCH /warehouses/{warehouseId}",
    needs=Needs.WAREHOUSE_ADMIN,
    audit=("Storage Destination Modified", "Storage Destination Enabled"),
)
def update_warehouse(call: Call, warehouse_id: str, body: UpdateWarehouseInput) -> WarehouseOutput:
    """Update Warehouse"""
    row = one(call, warehouse_id)
    described, before = metadata_of(row), settings_of(call, row)
    after = merged(call, before, named(body.settings, body.name), described)
    changes: dict[str, Any] = {}
    if after != before:
        note_credential(call, row.id, after, described)
        changes["settings"] = call.vault.seal(msgspec.json.encode(after), row.id)
    if body.enabled not in (UNSET, row.enabled):
        changes["enabled"] = body.enabled
    if changes:
        call.db.execute(update(warehouses).where(warehouses.c.id == row.id).values(changes))
    row = one(call, warehouse_id)
    _record_changes(call, row, changes)
    return WarehouseOutput(warehouse=warehouse_of(call, row))


def _record_changes(call: Call, row: Row[Any], changes: Mapping[str, Any]) -> None:
    """An audit event for each kind of change; the reference names none for what is disabled."""
    title = title_of(call, row)
    if "settings" in changes:
        call.record("Storage Destination Modified", RESOURCE, row.id, title)
    if "enabled" in changes:
        event = "Storage Destination Enabled" if row.enabled else "Storage Destination Disabled"
        call.record_beside(event, RESOURCE, row.id, title)


@api.operation("DELETE /warehouses/{warehouseId}", needs=Needs.WAREHOUSE_ADMIN, audit="Storage Destination Deleted")
def delete_warehouse(call: Call, warehouse_id: str) -> StatusOutput:
    """Delete Warehouse"""
    row = one(call, warehouse_id)
    for table in (warehouse_sources, sync_exclusions, sync_schedules):
        call.db.execute(delete(table).where(table.c.warehouse_id == row.id))
    credentials.released(call, row.id)
    call.db.execute(delete(warehouses).where(warehouses.c.id == row.id))
    grants.delete_of_resource(call.db, ResourceType.WAREHOUSE, row.id)
    call.record("Storage Destination Deleted", RESOURCE, row.id, title_of(call, row))
    return StatusOutput()
