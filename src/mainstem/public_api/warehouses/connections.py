"""Which sources a warehouse is connected to.

It takes Warehouse Admin on the warehouse and Source Admin on the source. Source: Public API reference, tag
"Warehouses"; product guide, "Roles". Judgements: what is connected already is no conflict, and taking away a
connection that is not there succeeds, whatever the ids: the Terraform provider deletes what it did not find.
"""

from __future__ import annotations

from sqlalchemy import select

from mainstem.errors import NotFound
from mainstem.public_api import sources
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources import Source
from mainstem.public_api.sources.source import sources as sources_table
from mainstem.public_api.warehouses.warehouse import (
    RESOURCE,
    connect,
    disconnect,
    is_connected,
    one,
    title_of,
    warehouse_sources,
)
from mainstem.rest import rows
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Warehouses")


class ConnectedSourcesOutput(Wire, frozen=True):
    """Reply of listConnectedSourcesFromWarehouse: those that the caller may see."""

    sources: list[Source]
    pagination: Pagination


class ConnectedOutput(Wire, frozen=True):
    """Reply of addConnectionFromSourceToWarehouse."""

    status: str = "CONNECTED"


@api.operation("GET /warehouses/{warehouseId}/connected-sources", needs=Needs.WAREHOUSE_READ)
def list_connected_sources_from_warehouse(call: Call, warehouse_id: str, query: PageInput) -> ConnectedSourcesOutput:
    """List Connected Sources from Warehouse"""
    one(call, warehouse_id)
    mine = select(warehouse_sources.c.source_id).where(warehouse_sources.c.warehouse_id == warehouse_id)
    connected = sources.visible(call).where(sources_table.c.id.in_(mine)).order_by(sources_table.c.seq)
    found, pagination = rows.page_of(call.db, connected, query.pagination)
    return ConnectedSourcesOutput(sources=sources.sources_of(call, found), pagination=pagination)


@api.operation(
    "POST /warehouses/{warehouseId}/connected-sources/{sourceId}",
    status=201,
    needs=Needs.WAREHOUSE_ADMIN,
    audit="Storage Destination Modified",
)
def add_connection_from_source_to_warehouse(call: Call, warehouse_id: str, source_id: str) -> ConnectedOutput:
    """Add Connection from Source to Warehouse"""
    row = one(call, warehouse_id)
    sources.one(call, source_id)
    call.demand(Needs.SOURCE_ADMIN, source_id)
    if not is_connected(call, warehouse_id, source_id):
        connect(call, warehouse_id, source_id)
        call.record("Storage Destination Modified", RESOURCE, warehouse_id, title_of(call, row))
    return ConnectedOutput()


@api.operation("DELETE /warehouses/{warehouseId}/connected-sources/{sourceId}", needs=Needs.WAREHOUSE_ADMIN)
def remove_source_connection_from_warehouse(call: Call, warehouse_id: str, source_id: str) -> StatusOutput:
    """Remove Source Connection from Warehouse"""
    try:
        row = one(call, warehouse_id)
        sources.one(call, source_id)
    except NotFound:
        return StatusOutput()
    call.demand(Needs.SOURCE_ADMIN, source_id)
    if is_connected(call, warehouse_id, source_id):
        disconnect(call, warehouse_id, source_id)
        call.record_beside("Storage Destination Modified", RESOURCE, warehouse_id, title_of(call, row))
    return StatusOutput()
