"""Profiles warehouses: where the profiles of a space are synced to.

They are configured like the warehouses that events go to, and are objects of their own. A schema name that was not
given is not returned: it is the slug of the space, and clients that keep configuration (the Terraform provider among
them) take a name that they did not send for a change. The id of the space is returned as the caller spells it.
Source: Public API reference, tag "Profiles Sync" (4 of 6 operations); product guide, "Profiles Sync" (types of
warehouses; no schema that exists already). Judgements: 409 for a schema that another profiles warehouse of the same
database has; 422 for a type of warehouse that profiles do not go to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from mainstem.errors import Conflict, InputInvalid
from mainstem.public_api import credentials, spaces
from mainstem.public_api.catalog import WarehouseMetadata
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.warehouses.lifecycle import described_by, merged
from mainstem.public_api.warehouses.warehouse import (
    Name,
    metadata_of,
    named,
    note_credential,
    settings_of,
    shown,
    title_of,
)
from mainstem.rest import rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Profiles Sync")
profiles_warehouses = Table(
    "profiles_warehouses",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("space_id", String, nullable=False),
    Column("metadata_id", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("settings", LargeBinary, nullable=False),
    Column("schema_name", String),  # None for the slug of the space
    Column("event_tables", Boolean, nullable=False),
)
exclusions = Table(
    "profiles_sync_exclusions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("warehouse_id", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("property", String, nullable=False),  # "" for the whole collection
)
RESOURCE: Final = "PROFILES_WAREHOUSE"
WITHOUT_PROFILES: Final = frozenset({"db2"})  # types of warehouses, by slug
_BESIDE_THE_PLACE: Final = frozenset({"username", "credentialId"})  # options that do not say which database it is

SchemaName = Annotated[str, Meta(min_length=1, max_length=127)]


class ProfilesWarehouse(Wire, frozen=True):
    """A profiles warehouse on the wire; its name is `settings.name`."""

    id: str
    space_id: str
    workspace_id: str
    enabled: bool
    metadata: WarehouseMetadata
    settings: dict[str, Any]
    schema_name: str | Unset = UNSET


class CreateProfilesWarehouseInput(Wire, frozen=True):
    """Body of createProfilesWarehouse. The name goes to `settings.name`."""

    metadata_id: str
    settings: dict[str, Any]
    name: Name | Unset | None = UNSET
    enabled: bool = True
    schema_name: SchemaName | Unset | None = UNSET


class UpdateProfilesWarehouseInput(Wire, frozen=True):
    """Body of updateProfilesWarehouseForSpaceWarehouse. Settings are merged, a null deletes its key; a null for
    `schema_name` goes back to the slug of the space."""

    settings: dict[str, Any]
    name: Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    schema_name: SchemaName | Unset | None = UNSET


class ProfilesWarehouseOutput(Wire, frozen=True):
    """Reply of createProfilesWarehouse and updateProfilesWarehouseForSpaceWarehouse."""

    profiles_warehouse: ProfilesWarehouse


class ProfilesWarehousesOutput(Wire, frozen=True):
    """Reply of listProfilesWarehouseInSpace."""

    profiles_warehouses: list[ProfilesWarehouse]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SPACE_READ, profiles_warehouses.c.space_id)
    return select(profiles_warehouses).where(profiles_warehouses.c.workspace_id == call.workspace_id, mine)


def one(call: Call, space_id: str, warehouse_id: str) -> Row[Any]:
    """The row of a profiles warehouse of a space that the caller may see, and change when the operation changes what
    is in spaces. Raises NotFound and Forbidden."""
    space = spaces.one(call, space_id)
    mine = (profiles_warehouses.c.space_id == space.id) & (profiles_warehouses.c.id == warehouse_id)
    return rows.one(call.db, visible(call).where(mine), rows.missing("Profiles warehouse", warehouse_id))


def _warehouse_of(call: Call, row: Row[Any], space_id: str) -> ProfilesWarehouse:
    """A row as it is on the wire, for a caller who spells the space so."""
    described = metadata_of(row)
    return ProfilesWarehouse(
        id=row.id,
        space_id=space_id,
        workspace_id=row.workspace_id,
        enabled=row.enabled,
        metadata=described,
        settings=shown(settings_of(call, row), described),
        schema_name=UNSET if row.schema_name is None else row.schema_name,
    )


# ---- rules


def _described(metadata_id: str) -> WarehouseMetadata:
    described = described_by(metadata_id)
    if described.slug in WITHOUT_PROFILES:
        raise InputInvalid(
            [("metadataId", f'"metadataId" names a warehouse without Profiles Sync: {described.name}')]
        )
    return described


def _check_schema(
    call: Call, own_id: str, described: WarehouseMetadata, settings: Mapping[str, Any], schema: str
) -> None:
    """Raises Conflict for the schema of another profiles warehouse in the same database."""
    place = _place(described, settings)
    alike = profiles_warehouses.c.workspace_id == call.workspace_id
    alike &= (profiles_warehouses.c.metadata_id == described.id) & (profiles_warehouses.c.id != own_id)
    query = select(profiles_warehouses, spaces.spaces.c.slug).join(
        spaces.spaces, spaces.spaces.c.id == profiles_warehouses.c.space_id
    )
    for row in call.db.execute(query.where(alike)).all() if place else ():
        if (row.schema_name or row.slug) == schema and _place(described, settings_of(call, row)) == place:
            raise Conflict(
                f"Schema {schema} of this database is that of another profiles warehouse.", field="schemaName"
            )


def _place(described: WarehouseMetadata, settings: Mapping[str, Any]) -> dict[str, str]:
    """Which database it is, as far as settings tell."""
    options = (option.name for option in described.options if option.type != "password")
    return {name: str(settings[name]) for name in options if settings.get(name) and name not in _BESIDE_THE_PLACE}


# ---- operations


@api.operation(
    "GET /spaces/{spaceId}/profiles-warehouses",
    needs=Needs.SPACE_READ,
    versions=ALPHA,
    audit="Profiles Sync Warehouse Retrieved",
)
def list_profiles_warehouse_in_space(call: Call, space_id: str, query: PageInput) -> ProfilesWarehousesOutput:
    """List Profiles Warehouse in Space"""
    space = spaces.one(call, space_id)
    mine = visible(call).where(profiles_warehouses.c.space_id == space.id).order_by(profiles_warehouses.c.seq)
    found, pagination = rows.page_of(call.db, mine, query.pagination)
    call.record("Profiles Sync Warehouse Retrieved", "SPACE", space.id, space.name)
    listed = [_warehouse_of(call, row, space_id) for row in found]
    return ProfilesWarehousesOutput(profiles_warehouses=listed, pagination=pagination)


@api.operation(
    "POST /spaces/{spaceId}/profiles-warehouses",
    status=201,
    needs=Needs.SPACE_ADMIN,
    versions=ALPHA,
    audit="Profiles Sync Warehouse Created",
)
def create_profiles_warehouse(
    call: Call, space_id: str, body: CreateProfilesWarehouseInput
) -> ProfilesWarehouseOutput:
    """Create Profiles Warehouse"""
    space, described = spaces.one(call, space_id), _described(body.metadata_id)
    settings = merged(call, {}, named(body.settings, body.name), described)
    warehouse_id, schema_name = base58_id(), given(body.schema_name, None)
    _check_schema(call, warehouse_id, described, settings, schema_name or space.slug)
    call.db.execute(
        insert(profiles_warehouses).values(
            id=warehouse_id,
            workspace_id=call.workspace_id,
            space_id=space.id,
            metadata_id=described.id,
            enabled=body.enabled,
            settings=call.vault.seal(msgspec.json.encode(settings), warehouse_id),
            schema_name=schema_name,
            event_tables=True,
        )
    )
    note_credential(call, warehouse_id, settings, described)
    row = one(call, space_id, warehouse_id)
    call.record("Profiles Sync Warehouse Created", RESOURCE, warehouse_id, title_of(call, row))
    return ProfilesWarehouseOutput(profiles_warehouse=_warehouse_of(call, row, space_id))


@api.operation(
    "PATCH /spaces/{spaceId}/profiles-warehouses/{warehouseId}",
    needs=Needs.SPACE_ADMIN,
    versions=ALPHA,
    audit="Profiles Sync Warehouse Updated",
)
def update_profiles_warehouse_for_space_warehouse(
    call: Call, space_id: str, warehouse_id: str, body: UpdateProfilesWarehouseInput
) -> ProfilesWarehouseOutput:
    """Update Profiles Warehouse for Space Warehouse"""
    row = one(call, space_id, warehouse_id)
    changes = _changes(call, row, body)
    if changes:
        call.db.execute(update(profiles_warehouses).where(profiles_warehouses.c.id == row.id).values(changes))
        row = one(call, space_id, warehouse_id)
        call.record("Profiles Sync Warehouse Updated", RESOURCE, row.id, title_of(call, row))
    return ProfilesWarehouseOutput(profiles_warehouse=_warehouse_of(call, row, space_id))


def _changes(call: Call, row: Row[Any], body: UpdateProfilesWarehouseInput) -> dict[str, Any]:
    """The columns that `body` really changes. Raises InputInvalid and Conflict."""
    described, before = metadata_of(row), settings_of(call, row)
    after = merged(call, before, named(body.settings, body.name), described)
    wanted = {"enabled": body.enabled, "schema_name": body.schema_name}
    changes: dict[str, Any] = {
        name: value for name, value in wanted.items() if value not in (UNSET, getattr(row, name))
    }
    if after != before:
        changes["settings"] = call.vault.seal(msgspec.json.encode(after), row.id)
        note_credential(call, row.id, after, described)
    if changes.keys() & {"settings", "schema_name"}:
        slug = call.db.execute(select(spaces.spaces.c.slug).where(spaces.spaces.c.id == row.space_id)).scalar_one()
        _check_schema(call, row.id, described, after, changes.get("schema_name", row.schema_name) or slug)
    return changes


@api.operation(
    "DELETE /spaces/{spaceId}/profiles-warehouses/{warehouseId}",
    needs=Needs.SPACE_ADMIN,
    versions=ALPHA,
    audit="Profiles Sync Warehouse Deleted",
)
def remove_profiles_warehouse_from_space(call: Call, space_id: str, warehouse_id: str) -> StatusOutput:
    """Remove Profiles Warehouse from Space"""
    row = one(call, space_id, warehouse_id)
    call.db.execute(delete(exclusions).where(exclusions.c.warehouse_id == row.id))
    credentials.released(call, row.id)
    call.db.execute(delete(profiles_warehouses).where(profiles_warehouses.c.id == row.id))
    call.record("Profiles Sync Warehouse Deleted", RESOURCE, row.id, title_of(call, row))
    return StatusOutput()
