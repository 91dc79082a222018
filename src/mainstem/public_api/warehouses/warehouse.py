"""A warehouse: its rows, its shape, the only way to read it, and the sources that it is connected to.

It has no name beside its settings: the name is one of them. Of the secrets among them `password` never leaves, and
`encrypted` says that there are some; others leave as masks, since clients that keep configuration (the Terraform
provider among them) know masks, and would take what is missing for a change.
Source: Public API reference, tag "Warehouses"; product guide, "Warehouses". That all secrets are hidden is a
judgement.
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
    literal,
    select,
)

from mainstem.public_api import catalog, credentials, integration_settings
from mainstem.public_api.catalog import Option, WarehouseMetadata
from mainstem.rest import rows
from mainstem.rest.operation import Call
from mainstem.rest.pagination import Page, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import Faults, Unset, Wire

warehouses = Table(
    "warehouses",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("metadata_id", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("settings", LargeBinary, nullable=False),
)
warehouse_sources = Table(
    "warehouse_sources",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("warehouse_id", String, nullable=False),
    Column("source_id", String, nullable=False),
)
sync_schedules = Table(
    "sync_schedules",
    metadata,
    Column("warehouse_id", String, primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("schedule", String),  # JSON
)
sync_exclusions = Table(
    "sync_exclusions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("warehouse_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("collection", String, nullable=False),  # "" for the whole source
    Column("property", String, nullable=False),  # "" for the whole collection
)
RESOURCE: Final = "WAREHOUSE"
NAME: Final = "name"
NAME_MAX: Final = 255
PASSWORD: Final = "password"  # noqa: S105  # the name of the setting
_ENCRYPTED: Final = "encrypted"
_NUMERIC: Final = "port"  # clients send it as a number or as text

Name = Annotated[str, Meta(max_length=NAME_MAX)]  # an empty one says nothing: clients send it for none


class Warehouse(Wire, frozen=True):
    """A warehouse on the wire."""

    id: str
    workspace_id: str
    enabled: bool
    metadata: WarehouseMetadata
    settings: dict[str, Any]


def visible(call: Call) -> Select[Any]:
    """The only way the Public API reads the table."""
    mine = call.reach(Needs.WAREHOUSE_READ, warehouses.c.id)
    return select(warehouses).where(warehouses.c.workspace_id == call.workspace_id, mine)


def one(call: Call, warehouse_id: str) -> Row[Any]:
    """The row of a warehouse that the caller may see, and change when the operation changes warehouses. Raises
    NotFound and Forbidden."""
    query = visible(call).where(warehouses.c.id == warehouse_id)
    row = rows.one(call.db, query, rows.missing("Warehouse", warehouse_id))
    call.demand_own(Needs.WAREHOUSE_ADMIN, warehouse_id)
    return row


def metadata_of(row: Row[Any]) -> WarehouseMetadata:
    """The type of an existing warehouse."""
    described = catalog.find_warehouse_metadata(row.metadata_id)
    assert described is not None, f"the catalogue lost {row.metadata_id}"
    return described


def settings_of(call: Call, row: Row[Any]) -> dict[str, Any]:
    """The settings of a warehouse with their secrets."""
    return msgspec.json.decode(call.vault.open(row.settings, row.id), type=dict[str, Any])


def named(settings: Mapping[str, Any], name: str | Unset | None) -> dict[str, Any]:
    """Settings of a body with the name that stands beside them: it wins over one among them, and null takes the
    stored one away unless they have another. A null among them alone says nothing."""
    if name:
        return {**settings, NAME: name}
    if name is None:
        return {NAME: None, **settings}
    return {key: value for key, value in settings.items() if key != NAME or value is not None}


def note_credential(call: Call, own_id: str, settings: Mapping[str, Any], described: WarehouseMetadata) -> None:
    """Keep that the warehouse uses the credential that its settings name, or none any more."""
    credentials.note_use(call, own_id, settings, kind=credential_kinds(described))


def credential_kinds(described: WarehouseMetadata) -> tuple[str, ...]:
    """What the type of a credential for such a warehouse may be called."""
    return (described.name, described.slug)


def title_of(call: Call, row: Row[Any]) -> str:
    """What the audit trail calls a warehouse: its name, else that of its type."""
    return str(settings_of(call, row).get(NAME) or metadata_of(row).name)


def warehouse_of(call: Call, row: Row[Any]) -> Warehouse:
    """A row as it is on the wire."""
    described = metadata_of(row)
    return Warehouse(
        id=row.id,
        workspace_id=row.workspace_id,
        enabled=row.enabled,
        metadata=described,
        settings=shown(settings_of(call, row), described),
    )


def shown(settings: Mapping[str, Any], described: WarehouseMetadata) -> dict[str, Any]:
    """Settings as they are sent out."""
    options = options_of(settings, described)
    secrets = {option.name for option in options if option.type == "password"}
    masked = integration_settings.masked(settings, options, shown=0)
    left = {key: value for key, value in masked.items() if key != PASSWORD}
    return left | {_ENCRYPTED: True} if secrets & settings.keys() else left


def options_of(settings: Mapping[str, Any], described: WarehouseMetadata) -> tuple[Option, ...]:
    """The options of a type, and those of `settings` beside them that have the name of a secret."""
    known = {option.name for option in described.options}
    beside = (key for key in settings if key not in known and credentials.may_be_secret(key))
    return (*described.options, *(Option(name=key, type="password", required=False) for key in beside))


def type_faults(settings: Mapping[str, Any], described: WarehouseMetadata) -> Faults:
    """Values that are not of their option's type. What is missing is no fault: a warehouse may be made step by step,
    and its connection state tells."""
    faults: Faults = []
    for name in (NAME, *(option.name for option in described.options)):
        value, field = settings.get(name), f"settings.{name}"
        is_number = name == _NUMERIC and isinstance(value, int) and not isinstance(value, bool)
        if not (value is None or isinstance(value, str) or is_number):
            faults.append((field, f'"{field}" must be a string'))
        elif name == NAME and isinstance(value, str) and len(value) > NAME_MAX:
            faults.append((field, f'"{field}" length must be less than or equal to {NAME_MAX} characters long'))
    return faults


# ---- connections with sources


def page_of_source(call: Call, source_id: str, page: Page) -> tuple[list[Warehouse], Pagination]:
    """A page of the warehouses that a source is connected to, in order of creation."""
    mine = select(warehouse_sources.c.warehouse_id).where(warehouse_sources.c.source_id == source_id)
    query = visible(call).where(warehouses.c.id.in_(mine)).order_by(warehouses.c.seq)
    found, pagination = rows.page_of(call.db, query, page)
    return [warehouse_of(call, row) for row in found], pagination


def page_of_credential(call: Call, users: Select[Any], page: Page) -> tuple[list[Warehouse], Pagination]:
    """A page of the warehouses among those whose ids `users` selects, in order of creation."""
    query = visible(call).where(warehouses.c.id.in_(users)).order_by(warehouses.c.seq)
    found, pagination = rows.page_of(call.db, query, page)
    return [warehouse_of(call, row) for row in found], pagination


def is_connected(call: Call, warehouse_id: str, source_id: str) -> bool:
    """Whether events of the source go to the warehouse."""
    return call.db.execute(select(warehouse_sources).where(_pair(warehouse_id, source_id))).first() is not None


def connect(call: Call, warehouse_id: str, source_id: str) -> None:
    """Connect what is not connected."""
    call.db.execute(insert(warehouse_sources).values(warehouse_id=warehouse_id, source_id=source_id))


def connect_all(call: Call, pairs: Select[Any]) -> None:
    """Connect each pair of a warehouse's id and a source's; none of them is connected yet."""
    call.db.execute(insert(warehouse_sources).from_select(["warehouse_id", "source_id"], pairs))


def disconnect(call: Call, warehouse_id: str, source_id: str) -> None:
    """Take a connection away. What was excluded from syncs stays so, should they be connected again."""
    call.db.execute(delete(warehouse_sources).where(_pair(warehouse_id, source_id)))


def _pair(warehouse_id: str, source_id: str) -> Any:
    return (warehouse_sources.c.warehouse_id == warehouse_id) & (warehouse_sources.c.source_id == source_id)


def connect_new_source(call: Call, source_id: str) -> None:
    """Connect a new source to every warehouse of the workspace, also to those that its maker does not see: nobody
    else's data goes there by that."""
    theirs = warehouses.c.workspace_id == call.workspace_id
    connect_all(call, select(warehouses.c.id, literal(source_id)).where(theirs).order_by(warehouses.c.seq))


def disconnect_deleted_source(call: Call, source_id: str) -> None:
    """A source is being deleted: its connections, what was excluded of it, and its use of a credential go along."""
    rows.delete(call.db, warehouse_sources.c.source_id, source_id)
    rows.delete(call.db, sync_exclusions.c.source_id, source_id)
    credentials.released(call, source_id)
