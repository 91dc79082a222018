"""Insert function instances: an insert function at work in front of a destination, or behind a source.

Source: Public API reference, tag "Functions" (5 operations, alpha). Function ids stand without their prefix here;
those with it are understood too. Judgements: one instance for each destination or source (409), settings merge.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Row, Select, delete, insert, select, update

from mainstem.errors import BadRequest, InputInvalid, NotFound
from mainstem.public_api import destinations, sources
from mainstem.public_api.functions import settings
from mainstem.public_api.functions.function import (
    INSERT_PREFIXES,
    ResourceType,
    functions,
    insert_function_instances,
    one,
    record,
    settings_of,
    visible,
)
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import hex_id
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import Page, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Functions", feature="Functions")
instances = insert_function_instances

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Instance(Wire, frozen=True):
    """An instance on the wire. `class_id` is the function's id without its prefix. Sensitive settings are masked in
    `settings`, and listed, masked, in `encrypted_settings`."""

    id: str
    name: str
    integration_id: str
    class_id: str
    enabled: bool
    created_at: str
    updated_at: str
    settings: dict[str, Any]
    encrypted_settings: dict[str, Any]


class CreateInstanceInput(Wire, frozen=True):
    """Body of createInsertFunctionInstance. `integration_id` is a destination's, or a source's for INSERT_SOURCE."""

    function_id: str
    integration_id: str
    name: Name
    settings: dict[str, Any]
    enabled: bool = True


class UpdateInstanceInput(Wire, frozen=True):
    """Body of updateInsertFunctionInstance."""

    settings: dict[str, Any]
    name: Name | Unset = UNSET
    enabled: bool | Unset = UNSET


class InstancesQuery(Wire, frozen=True):
    """Query of listInsertFunctionInstances."""

    function_id: str
    pagination: Page = Page()


class InstanceOutput(Wire, frozen=True):
    """Reply of createInsertFunctionInstance, getInsertFunctionInstance and updateInsertFunctionInstance."""

    insert_function_instance: Instance


class InstancesOutput(Wire, frozen=True):
    """Reply of listInsertFunctionInstances."""

    instances: list[Instance]
    pagination: Pagination


def _visible(call: Call) -> Select[Any]:
    mine = call.reach(Needs.FUNCTION_READ, instances.c.function_id)
    return select(instances).where(instances.c.workspace_id == call.workspace_id, mine)


def _one(call: Call, instance_id: str) -> Row[Any]:
    query = _visible(call).where(instances.c.id == instance_id)
    row = rows.one(call.db, query, rows.missing("Insert function instance", instance_id))
    call.demand_own(Needs.FUNCTION_ADMIN, row.function_id)
    return row


def _insert_function(call: Call, function_id: str) -> Row[Any]:
    """The insert function of this id, with its prefix or without. Raises BadRequest."""
    ids = [function_id, *(prefix + function_id for prefix in INSERT_PREFIXES)]
    kinds = [ResourceType.INSERT_DESTINATION, ResourceType.INSERT_SOURCE]
    query = visible(call).where(functions.c.id.in_(ids), functions.c.resource_type.in_(kinds))
    row = call.db.execute(query).first()
    if row is None:
        raise BadRequest(f"Insert function {function_id} not found.", field="functionId")
    return row


def _source_id(call: Call, function: Row[Any], integration_id: str) -> str:
    """The source whose events the instance gets. Raises InputInvalid when there is no such integration."""
    is_at_source = function.resource_type == ResourceType.INSERT_SOURCE
    try:
        if is_at_source:
            sources.one(call, integration_id)
            source_id = integration_id
        else:
            source_id = str(destinations.one(call, integration_id).source_id)
    except NotFound as error:
        noun = "source" if is_at_source else "destination"
        fault = f'"integrationId" must be the id of a {noun}: {error}'
        raise InputInvalid([("integrationId", fault)]) from None
    call.demand(Needs.SOURCE_ADMIN, source_id)
    return source_id


def _values(call: Call, row: Row[Any]) -> dict[str, Any]:
    return msgspec.json.decode(call.vault.open(row.settings, row.id), type=dict[str, Any])


def _instance_of(call: Call, row: Row[Any]) -> Instance:
    definitions = settings_of(one(call, row.function_id))
    shown = settings.masked(_values(call, row), definitions)
    secret = {each.name for each in definitions if each.sensitive}
    return Instance(
        id=row.id,
        name=row.name,
        integration_id=row.integration_id,
        class_id=row.function_id.partition("_")[2],
        enabled=row.enabled,
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
        settings=shown,
        encrypted_settings={name: value for name, value in shown.items() if name in secret},
    )


@api.operation("GET /insert-function-instances", needs=Needs.FUNCTION_READ, versions=ALPHA)
def list_insert_function_instances(call: Call, query: InstancesQuery) -> InstancesOutput:
    """List Insert Function Instances"""
    function = _insert_function(call, query.function_id)
    ordered = _visible(call).where(instances.c.function_id == function.id).order_by(instances.c.seq)
    found, pagination = rows.page_of(call.db, ordered, query.pagination)
    return InstancesOutput(instances=[_instance_of(call, row) for row in found], pagination=pagination)


@api.operation("POST /insert-function-instances", needs=Needs.FUNCTION_ADMIN, versions=ALPHA)
def create_insert_function_instance(call: Call, body: CreateInstanceInput) -> InstanceOutput:
    """Create Insert Function Instance"""
    function = _insert_function(call, body.function_id)
    source_id = _source_id(call, function, body.integration_id)
    values = settings.merged({}, body.settings, settings_of(function))
    instance_id = hex_id()
    with rows.unique("The destination or source has an insert function already.", field="integrationId"):
        call.db.execute(
            insert(instances).values(
                id=instance_id,
                workspace_id=call.workspace_id,
                function_id=function.id,
                integration_id=body.integration_id,
                source_id=source_id,
                name=body.name,
                enabled=body.enabled,
                settings=call.vault.seal(msgspec.json.encode(values), instance_id),
                created_at=call.now,
                updated_at=call.now,
            )
        )
    call.touch(source_id)
    record(call, "Insert Function Instance Created", instance_id, body.name)
    return InstanceOutput(insert_function_instance=_instance_of(call, _one(call, instance_id)))


@api.operation("GET /insert-function-instances/{instanceId}", needs=Needs.FUNCTION_READ, versions=ALPHA)
def get_insert_function_instance(call: Call, instance_id: str) -> InstanceOutput:
    """Get Insert Function Instance"""
    return InstanceOutput(insert_function_instance=_instance_of(call, _one(call, instance_id)))


@api.operation("PATCH /insert-function-instances/{instanceId}", needs=Needs.FUNCTION_ADMIN, versions=ALPHA)
def update_insert_function_instance(call: Call, instance_id: str, body: UpdateInstanceInput) -> InstanceOutput:
    """Update Insert Function Instance"""
    row = _one(call, instance_id)
    changes = _changes(call, row, body)
    if changes:
        changed = update(instances).where(instances.c.id == row.id)
        call.db.execute(changed.values(changes | {"updated_at": call.now}))
        call.touch(row.source_id)
        record(call, "Insert Function Instance Modified", row.id, changes.get("name", row.name))
    return InstanceOutput(insert_function_instance=_instance_of(call, _one(call, instance_id)))


def _changes(call: Call, row: Row[Any], body: UpdateInstanceInput) -> dict[str, Any]:
    """The columns that `body` really changes."""
    before = _values(call, row)
    values = settings.merged(before, body.settings, settings_of(one(call, row.function_id)))
    wanted = {"name": body.name, "enabled": body.enabled}
    changes: dict[str, Any] = {
        key: value for key, value in wanted.items() if value is not UNSET and value != getattr(row, key)
    }
    if values != before:
        changes["settings"] = call.vault.seal(msgspec.json.encode(values), row.id)
    return changes


@api.operation("DELETE /insert-function-instances/{instanceId}", needs=Needs.FUNCTION_ADMIN, versions=ALPHA)
def delete_insert_function_instance(call: Call, instance_id: str) -> StatusOutput:
    """Delete Insert Function Instance"""
    row = _one(call, instance_id)
    call.db.execute(delete(instances).where(instances.c.id == row.id))
    call.touch(row.source_id)
    record(call, "Insert Function Instance Deleted", row.id, row.name)
    return StatusOutput()
