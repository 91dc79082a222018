"""Whether a warehouse can be connected to: tried at the moment of the call, once its transaction is over.

That nobody is there is an answer and no error; why is in the log alone, since the reference has no place for it.
Source: Public API reference, tag "Warehouses" (2 operations).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstem.public_api import credentials
from mainstem.public_api.catalog import WarehouseMetadata
from mainstem.public_api.warehouses.lifecycle import described_by, merged
from mainstem.public_api.warehouses.warehouse import NAME, RESOURCE, metadata_of, one, settings_of
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Afterwards, Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Warehouses")


class CreateValidationInput(Wire, frozen=True):
    """Body of createValidationInWarehouse."""

    metadata_id: str
    settings: dict[str, Any]


class ValidationOutput(Wire, frozen=True):
    """Reply of createValidationInWarehouse: CONNECTED or FAILED."""

    status: str


class ConnectionStateOutput(Wire, frozen=True):
    """Reply of getConnectionStateFromWarehouse: CONNECTED or FAILED."""

    connection_state: str


@api.operation(
    "POST /warehouses/validation", needs=Needs.WAREHOUSE_ADMIN, audit="Storage Destination Settings Validation"
)
def create_validation_in_warehouse(call: Call, body: CreateValidationInput) -> Afterwards:
    """Create Validation in Warehouse"""
    described = described_by(body.metadata_id)
    settings = merged(call, {}, body.settings, described)
    call.record("Storage Destination Settings Validation", RESOURCE, described.id, settings.get(NAME, described.name))
    together = credentials.laid_over(call, settings)
    return Afterwards(lambda: ValidationOutput(status=_state(call, described, together)))


@api.operation("GET /warehouses/{warehouseId}/connection-state", needs=Needs.WAREHOUSE_READ, rate=per_minute(200))
def get_connection_state_from_warehouse(call: Call, warehouse_id: str) -> Afterwards:
    """Get Connection State from Warehouse"""
    row = one(call, warehouse_id)
    together = credentials.laid_over(call, settings_of(call, row))
    return Afterwards(lambda: ConnectionStateOutput(connection_state=_state(call, metadata_of(row), together)))


def _state(call: Call, described: WarehouseMetadata, settings: Mapping[str, Any]) -> str:
    return "CONNECTED" if call.warehouses.opens(call.workspace_id, described.slug, settings) else "FAILED"
