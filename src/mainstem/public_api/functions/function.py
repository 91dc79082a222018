"""A function: its rows, its shape, and the only way to read it.

A function has versions, one for each change of its code; the newest is what an editor shows, the deployed one is
what runs, in all its instances. Code lies sealed, for people write keys into it.
Source: Public API reference, tag "Functions". That all sources of one source function run the same version is a
judgement.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    select,
    update,
)

from mainstem.model.snapshot import FUNCTION_PREFIX
from mainstem.public_api.functions.settings import Setting
from mainstem.rest import rows
from mainstem.rest.ids import hex_id
from mainstem.rest.operation import Call
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.rest.wire import UNSET, Unset, Wire
from mainstem.vault import Vault

functions = Table(
    "functions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("resource_type", String, nullable=False),
    Column("catalog_id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("description", String),
    Column("logo_url", String),
    Column("settings", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String, nullable=False),
    Column("latest_version", String, nullable=False),
    Column("deployed_version", String),
    Column("deployed_at", Moment),
)
function_versions = Table(
    "function_versions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("function_id", String, nullable=False),
    Column("author", String, nullable=False),
    Column("code", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("deployed_at", Moment),
)
insert_function_instances = Table(
    "insert_function_instances",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("function_id", String, nullable=False),
    Column("integration_id", String, nullable=False, unique=True),
    Column("source_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("settings", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)


class ResourceType(enum.StrEnum):
    """What a function stands for. INSERT_TRANSFORMATION is a published word without a published meaning."""

    SOURCE = "SOURCE"
    DESTINATION = "DESTINATION"
    INSERT_DESTINATION = "INSERT_DESTINATION"
    INSERT_SOURCE = "INSERT_SOURCE"
    INSERT_TRANSFORMATION = "INSERT_TRANSFORMATION"


ID_PREFIXES: Final = {
    ResourceType.SOURCE: "sfnc_",
    ResourceType.DESTINATION: "dfn_",
    ResourceType.INSERT_DESTINATION: "ifnd_",
    ResourceType.INSERT_SOURCE: "ifns_",
}
_CATALOG_PREFIX: Final = "ff"
INSERT_PREFIXES: Final = (ID_PREFIXES[ResourceType.INSERT_DESTINATION], ID_PREFIXES[ResourceType.INSERT_SOURCE])


class FunctionItem(Wire, frozen=True):
    """A function in a list: without its code and its settings."""

    id: str
    resource_type: str
    created_at: str
    created_by: str
    display_name: str
    catalog_id: str
    description: str | Unset = UNSET
    logo_url: str | Unset = UNSET


class Function(Wire, frozen=True):
    """A function on the wire, with the newest code. `is_latest_version` says whether that is what runs;
    `deployed_at` is null before the first deployment. `preview_webhook_url` is where the oldest source of a source
    function is called, "" otherwise (judgement); `batch_max_count` 0 is the default, as observed."""

    id: str
    resource_type: str
    created_at: str
    created_by: str
    code: str
    deployed_at: str | None
    settings: list[Setting]
    display_name: str
    catalog_id: str
    is_latest_version: bool
    preview_webhook_url: str = ""
    batch_max_count: int = 0
    description: str | Unset = UNSET
    logo_url: str | Unset = UNSET


class FunctionOutput(Wire, frozen=True):
    """Reply of createFunction, getFunction and updateFunction."""

    function: Function


def new_catalog_id() -> str:
    """24 hex digits like the other types of destinations, which count seconds in the first eight: none of them will
    begin like this before the year 2105."""
    return _CATALOG_PREFIX + hex_id()[len(_CATALOG_PREFIX) :]


def published_id(function_id: str) -> str:
    """The id that the data plane finds the deployed version under."""
    return FUNCTION_PREFIX + function_id


def visible(call: Call) -> Select[Any]:
    """The only way the Public API reads the table."""
    mine = call.reach(Needs.FUNCTION_READ, functions.c.id)
    return select(functions).where(functions.c.workspace_id == call.workspace_id, mine)


def one(call: Call, function_id: str) -> Row[Any]:
    """The row of a function that the caller may see, and change when the operation changes functions. Raises NotFound
    and Forbidden."""
    query = visible(call).where(functions.c.id == function_id)
    row = rows.one(call.db, query, rows.missing("Function", function_id))
    call.demand_own(Needs.FUNCTION_ADMIN, function_id)
    return row


def find_by_catalog_id(
    db: Connection, workspace_id: str, catalog_id: str, resource_type: ResourceType
) -> Row[Any] | None:
    """The function that is this type of source or destination in the workspace. Costs nothing for other types."""
    if not catalog_id.startswith(_CATALOG_PREFIX):
        return None
    same = (functions.c.catalog_id == catalog_id) & (functions.c.workspace_id == workspace_id)
    return db.execute(select(functions).where(same, functions.c.resource_type == resource_type)).one_or_none()


def settings_of(row: Row[Any]) -> list[Setting]:
    """The definitions of a function's settings, in the order in which they were sent."""
    return msgspec.json.decode(row.settings, type=list[Setting])


def code_of(db: Connection, vault: Vault, version_id: str) -> str:
    """The code of an existing version."""
    query = select(function_versions.c.code).where(function_versions.c.id == version_id)
    return vault.open(db.execute(query).scalar_one(), version_id).decode()


def suffix(workspace_name: str) -> str:
    """What stands behind the names of all functions but source functions. Source: observed."""
    return f" ({workspace_name})"


def shown_name(row: Row[Any], workspace_name: str) -> str:
    """The display name of a function."""
    name: str = row.name
    return name if row.resource_type == ResourceType.SOURCE else name + suffix(workspace_name)


def item_of(row: Row[Any], workspace_name: str) -> FunctionItem:
    """A row as it is in a list."""
    return FunctionItem(
        id=row.id,
        resource_type=row.resource_type,
        created_at=moment_text(row.created_at),
        created_by=row.created_by,
        display_name=shown_name(row, workspace_name),
        catalog_id=row.catalog_id,
        description=UNSET if row.description is None else row.description,
        logo_url=UNSET if row.logo_url is None else row.logo_url,
    )


def function_of(call: Call, row: Row[Any], workspace_name: str) -> Function:
    """A row as it is on the wire."""
    return Function(
        id=row.id,
        resource_type=row.resource_type,
        created_at=moment_text(row.created_at),
        created_by=row.created_by,
        code=code_of(call.db, call.vault, row.latest_version),
        deployed_at=None if row.deployed_at is None else moment_text(row.deployed_at),
        settings=settings_of(row),
        display_name=shown_name(row, workspace_name),
        catalog_id=row.catalog_id,
        is_latest_version=row.latest_version == row.deployed_version,
        description=UNSET if row.description is None else row.description,
        logo_url=UNSET if row.logo_url is None else row.logo_url,
    )


# ---- changes


def deploy(call: Call, row: Row[Any], version_id: str) -> None:
    """Let this version run, in every instance of the function."""
    deployed = {"deployed_version": version_id, "deployed_at": call.now}
    call.db.execute(update(functions).where(functions.c.id == row.id).values(deployed))
    same = function_versions.c.id == version_id
    call.db.execute(update(function_versions).where(same).values(deployed_at=call.now))
    call.touch(published_id(row.id))


def deploy_first_version(call: Call, catalog_id: str) -> None:
    """A source made of a source function runs what was saved last, unless a version runs in other sources already.
    Source: Functions documentation, "Save and deploy the function"; the exception is a judgement. A type that is no
    source function is left alone."""
    row = find_by_catalog_id(call.db, call.workspace_id, catalog_id, ResourceType.SOURCE)
    if row is not None and row.deployed_version is None:
        deploy(call, row, row.latest_version)


def delete_inserts_at(call: Call, integration_id: str) -> None:
    """Delete the insert function instance of a destination or source that goes away."""
    instances = insert_function_instances
    for row in rows.having(call.db, instances.c.integration_id, integration_id):
        rows.delete(call.db, instances.c.id, row.id)
        record(call, "Insert Function Instance Deleted", row.id, row.name)


def record(call: Call, event: str, resource_id: str, resource_name: str) -> None:
    """Write an audit event. The reference names none for functions, and its alert catalogue only some; what changes
    code that sees every event belongs into the trail (judgement)."""
    call.record_beside(event, "FUNCTION", resource_id, resource_name)
