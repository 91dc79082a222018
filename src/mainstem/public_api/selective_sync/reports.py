"""What became of syncs. This version configures warehouses and does not sync them yet, so that there is none.

Source: Public API reference, tag "Selective Sync" (2 operations).
"""

from __future__ import annotations

from mainstem.public_api import sources, warehouses
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Selective Sync")


class SyncsOutput(Wire, frozen=True):
    """Reply of both operations; empty as long as nothing is synced."""

    reports: tuple[()]
    pagination: Pagination


@api.operation("GET /warehouses/{warehouseId}/syncs", needs=Needs.WAREHOUSE_READ, rate=per_minute(2))
def list_syncs_from_warehouse(call: Call, warehouse_id: str, query: PageInput) -> SyncsOutput:
    """List Syncs from Warehouse"""
    warehouses.one(call, warehouse_id)
    return SyncsOutput(reports=(), pagination=pagination(query.pagination, 0))


@api.operation(
    "GET /warehouses/{warehouseId}/connected-sources/{sourceId}/syncs", needs=Needs.WAREHOUSE_READ, rate=per_minute(2)
)
def list_syncs_from_warehouse_and_source(
    call: Call, warehouse_id: str, source_id: str, query: PageInput
) -> SyncsOutput:
    """List Syncs from Warehouse and Source"""
    warehouses.one(call, warehouse_id)
    sources.one(call, source_id)
    return SyncsOutput(reports=(), pagination=pagination(query.pagination, 0))
