"""Create, read, change and delete sources.

Source: Public API reference, tag "Sources"; segment-docs, "Sources". That a slug is unique in its workspace is
stated there, the 409 for a duplicate and the 422 for an unknown metadata id are judgements.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Row, insert

from mainstem.errors import InputInvalid
from mainstem.public_api import (
    credentials,
    destinations,
    functions,
    integration_settings,
    live_plugins,
    reverse_etl_models,
    suppressions,
    transformations,
    warehouses,
)
from mainstem.public_api.labels import StatusOutput, source_labels
from mainstem.public_api.sources import schema_controls, schema_settings
from mainstem.public_api.sources.source import (
    Source,
    SourceOutput,
    check_settings,
    deleted_sources,
    find_metadata,
    metadata_of,
    one,
    page_of,
    settings_of,
    source_of,
    sources,
    sources_of,
    write_keys,
)
from mainstem.public_api.sources.write_keys import add_write_key
from mainstem.rest import grants, rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs, ResourceType
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Sources")

Slug = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-z0-9_-]+\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class CreateSourceInput(Wire, frozen=True):
    """Body of createSource. A new source is connected to every warehouse unless `disconnect_all_warehouses`."""

    slug: Slug
    enabled: bool
    metadata_id: str
    settings: dict[str, Any] | Unset = UNSET
    disconnect_all_warehouses: bool | Unset = UNSET
    name: Name | Unset | None = UNSET


class UpdateSourceInput(Wire, frozen=True):
    """Body of updateSource. A name of null goes back to the slug; a null inside `settings` deletes that key."""

    name: Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    slug: Slug | Unset = UNSET
    settings: dict[str, Any] | Unset = UNSET


class GetSourceOutput(Wire, frozen=True):
    """Reply of getSource; the id of the tracking plan is null when the source has none."""

    source: Source
    tracking_plan_id: str | None


class SourcesOutput(Wire, frozen=True):
    """Reply of listSources."""

    sources: list[Source]
    pagination: Pagination


@api.operation("POST /sources", status=201, needs=Needs.SOURCE_ADMIN, audit="Source Created")
def create_source(call: Call, body: CreateSourceInput) -> SourceOutput:
    """Create Source"""
    call.demand_everywhere(Needs.SOURCE_ADMIN)
    described = find_metadata(call, body.metadata_id)
    if described is None:
        raise InputInvalid([("metadataId", f'"metadataId" names no source of the catalog: {body.metadata_id}')])
    source_id, name = base58_id(), body.name or body.slug
    settings = integration_settings.merged({}, body.settings or {}, described.options)
    check_settings(call, described.id, settings)
    values = {
        "id": source_id,
        "workspace_id": call.workspace_id,
        "slug": body.slug,
        "name": name,
        "metadata_id": body.metadata_id,
        "enabled": body.enabled,
        "settings": call.vault.seal(msgspec.json.encode(settings), source_id),
    }
    with _unique_slug(body.slug):
        call.db.execute(insert(sources), values)
    if not described.is_cloud_event_source:
        add_write_key(call.db, source_id)
    credentials.note_use(call, source_id, settings)
    if body.disconnect_all_warehouses is not True:
        warehouses.connect_new_source(call, source_id)
    functions.deploy_first_version(call, described.id)
    call.record("Source Created", "SOURCE", source_id, name)
    call.touch(source_id)
    return SourceOutput(source=source_of(call, source_id))


@api.operation("GET /sources/{sourceId}", needs=Needs.SOURCE_READ)
def get_source(call: Call, source_id: str) -> GetSourceOutput:
    """Get Source"""
    row = one(call, source_id)
    return GetSourceOutput(source=sources_of(call, [row])[0], tracking_plan_id=row.tracking_plan_id)


@api.operation("GET /sources", needs=Needs.SOURCE_READ)
def list_sources(call: Call, query: PageInput) -> SourcesOutput:
    """List Sources"""
    found, pagination = page_of(call, query.pagination)
    return SourcesOutput(sources=found, pagination=pagination)


@api.operation(
    "PATCH /sources/{sourceId}",
    needs=Needs.SOURCE_ADMIN,
    audit=("Source Modified", "Source Enabled", "Source Disabled", "Source Settings Modified"),
)
def update_source(call: Call, source_id: str, body: UpdateSourceInput) -> SourceOutput:
    """Update Source"""
    row = one(call, source_id)
    before = settings_of(call.vault, row)
    settings = integration_settings.merged(before, body.settings or {}, metadata_of(call, row).options)
    if body.settings is not UNSET:
        check_settings(call, row.metadata_id, settings)
    changes = _changes(row, body)
    _record_changes(call, row, changes, settings != before)
    if settings != before:
        credentials.note_use(call, source_id, settings)
        changes["settings"] = call.vault.seal(msgspec.json.encode(settings), source_id)
    if changes:
        with _unique_slug(changes.get("slug", row.slug)):
            rows.change(call.db, sources.c.id, source_id, changes)
        call.touch(source_id)
    return SourceOutput(source=source_of(call, source_id))


def _changes(row: Row[Any], body: UpdateSourceInput) -> dict[str, Any]:
    """The columns that `body` really changes, but for the settings."""
    slug = body.slug or row.slug
    wanted = {"slug": slug, "name": slug if body.name is None else body.name, "enabled": body.enabled}
    return {key: value for key, value in wanted.items() if value not in (UNSET, getattr(row, key))}


def _record_changes(call: Call, row: Row[Any], changes: dict[str, Any], settings_differ: bool) -> None:
    """An audit event for each kind of change."""
    name = changes.get("name", row.name)
    if changes.keys() & {"slug", "name"}:
        call.record("Source Modified", "SOURCE", row.id, name)
    if "enabled" in changes:
        call.record("Source Enabled" if changes["enabled"] else "Source Disabled", "SOURCE", row.id, name)
    if settings_differ:
        call.record("Source Settings Modified", "SOURCE", row.id, name)


def _unique_slug(slug: str) -> Any:
    return rows.unique(f"A source with slug '{slug}' already exists.", field="slug")


@api.operation("DELETE /sources/{sourceId}", needs=Needs.SOURCE_ADMIN, audit="Source Deleted")
def delete_source(call: Call, source_id: str) -> StatusOutput:
    """Delete Source"""
    row = one(call, source_id)
    destinations.delete_of_source(call, source_id)
    reverse_etl_models.delete_of_source(call, source_id)
    live_plugins.delete_of_source(call, source_id)
    transformations.delete_of_source(call, source_id)
    functions.delete_inserts_at(call, source_id)
    warehouses.disconnect_deleted_source(call, source_id)
    schema_settings.delete_of_source(call, source_id)
    schema_controls.delete_of_source(call.db, source_id)
    suppressions.delete_of_source(call, source_id)
    rows.delete(call.db, source_labels.c.source_id, source_id)
    rows.delete(call.db, write_keys.c.source_id, source_id)
    rows.delete(call.db, sources.c.id, source_id)
    grants.delete_of_resource(call.db, ResourceType.SOURCE, source_id)
    call.db.execute(insert(deleted_sources), {"id": source_id, "workspace_id": call.workspace_id})
    call.record("Source Deleted", "SOURCE", source_id, row.name)
    call.touch(source_id)
    if row.tracking_plan_id is not None:
        call.touch(row.tracking_plan_id)
    return StatusOutput()
