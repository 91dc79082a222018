"""What a source is connected to: destinations and warehouses.

Source: Public API reference, tag "Sources" (2 operations).
"""

from __future__ import annotations

from mainstem.public_api import destinations, warehouses
from mainstem.public_api.destinations import Destination
from mainstem.public_api.sources.source import one
from mainstem.public_api.warehouses import Warehouse
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Sources")


class ConnectedDestinationsOutput(Wire, frozen=True):
    """Reply of listConnectedDestinationsFromSource."""

    destinations: list[Destination]
    pagination: Pagination


class ConnectedWarehousesOutput(Wire, frozen=True):
    """Reply of listConnectedWarehousesFromSource: those that the caller may see."""

    warehouses: list[Warehouse]
    pagination: Pagination


@api.operation("GET /sources/{sourceId}/connected-destinations", needs=Needs.SOURCE_READ)
def list_connected_destinations_from_source(
    call: Call, source_id: str, query: PageInput
) -> ConnectedDestinationsOutput:
    """List Connected Destinations from Source"""
    one(call, source_id)
    found, where = destinations.page_of_source(call, source_id, query.pagination)
    return ConnectedDestinationsOutput(destinations=found, pagination=where)


@api.operation("GET /sources/{sourceId}/connected-warehouses", needs=Needs.SOURCE_READ)
def list_connected_warehouses_from_source(call: Call, source_id: str, query: PageInput) -> ConnectedWarehousesOutput:
    """List Connected Warehouses from Source"""
    one(call, source_id)
    found, where = warehouses.page_of_source(call, source_id, query.pagination)
    return ConnectedWarehousesOutput(warehouses=found, pagination=where)
