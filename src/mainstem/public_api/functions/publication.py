"""What the data plane gets of functions: the deployed version, and where each is at work with which settings."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, bindparam, select

from mainstem.model.snapshot import FunctionConfig, FunctionUse
from mainstem.public_api.functions.function import (
    ResourceType,
    code_of,
    find_by_catalog_id,
    functions,
    insert_function_instances,
)
from mainstem.public_api.functions.settings import Setting
from mainstem.vault import Vault

_AT_SOURCE: Final = (
    select(insert_function_instances, functions.c.settings.label("definitions"))
    .join(functions, functions.c.id == insert_function_instances.c.function_id)
    .where(insert_function_instances.c.source_id == bindparam("source_id"), insert_function_instances.c.enabled)
)


def config_of(db: Connection, vault: Vault, function_id: str) -> FunctionConfig | None:
    """The deployed version of a function; None when it is gone or was never deployed."""
    row = db.execute(select(functions).where(functions.c.id == function_id)).one_or_none()
    if row is None or row.deployed_version is None:
        return None
    code = code_of(db, vault, row.deployed_version)
    return FunctionConfig(row.id, row.deployed_version, row.resource_type, code)


def source_use(db: Connection, row: Row[Any], settings: dict[str, Any]) -> FunctionUse | None:
    """The function that a source is, with the source's settings; None when it is none."""
    function = find_by_catalog_id(db, row.workspace_id, row.metadata_id, ResourceType.SOURCE)
    return None if function is None else FunctionUse(row.id, function.id, settings, _sensitive(function.settings))


def destination_use(db: Connection, row: Row[Any], settings: dict[str, Any]) -> FunctionUse | None:
    """The function that a destination is, with the destination's settings; None when it is none."""
    function = find_by_catalog_id(db, row.workspace_id, row.metadata_id, ResourceType.DESTINATION)
    return None if function is None else FunctionUse(row.id, function.id, settings, _sensitive(function.settings))


def inserts_of_source(db: Connection, vault: Vault, source_id: str) -> dict[str, FunctionUse]:
    """The enabled insert functions of a source and of its destinations, by the id of what they are inserted at."""
    found = db.execute(_AT_SOURCE, {"source_id": source_id})
    return {row.integration_id: _insert_use(vault, row) for row in found}


def _insert_use(vault: Vault, row: Row[Any]) -> FunctionUse:
    settings = msgspec.json.decode(vault.open(row.settings, row.id), type=dict[str, Any])
    return FunctionUse(row.id, row.function_id, settings, _sensitive(row.definitions))


def _sensitive(definitions: str) -> tuple[str, ...]:
    return tuple(each.name for each in msgspec.json.decode(definitions, type=list[Setting]) if each.sensitive)
