"""What a source is connected to: destinations and warehouses.

Source: Public API reference, tag "Sources" (2 operations).
"""

from __future__ import annotations

from mainstem.public_api import destinations
from mainstem.public_api.destinations import Destination
from mainstem.public_api.sources.source import one
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Sources")


class ConnectedDestinationsOutput(Wire, frozen=True):
    """Reply of listConnectedDestinationsFromSource."""

    destinations: list[Destination]
    pagination: Pagination


class ConnectedWarehousesOutput(Wire, frozen=True):
    """Reply of listConnectedWarehousesFromSource; empty while the catalogue has no type of warehouse."""

    warehouses: tuple[()]
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
    return ConnectedWarehousesOutput(warehouses=(), pagination=pagination(query.pagination, 0))
