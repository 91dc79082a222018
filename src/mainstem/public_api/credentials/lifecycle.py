"""Create, read, change and delete credentials, and list who uses them.

Source: Public API reference, tag "Credentials" (6 operations). Judgements: any text is a type, and a changed one is
an input error.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Row, delete, insert, select, update

from mainstem.errors import Conflict, InputInvalid
from mainstem.public_api import integration_settings, sources, warehouses
from mainstem.public_api.credentials.credential import (
    Credential,
    credential_of,
    credential_uses,
    credentials,
    one,
    settings_of,
    unmasked,
    visible,
)
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources import Source
from mainstem.public_api.sources.source import sources as sources_table
from mainstem.public_api.warehouses import Warehouse
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import V1_ONLY, Call, Family
from mainstem.rest.pagination import Page, PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Credentials")
Name = Annotated[str, Meta(min_length=1, max_length=255)]
_RESOURCE = "CREDENTIAL"


class CreateCredentialInput(Wire, frozen=True):
    """Body of createCredential; `settings.type` is required, and stays."""

    name: Name
    settings: dict[str, Any]


class UpdateCredentialInput(Wire, frozen=True):
    """Body of updateCredential. Settings are merged key by key; a null deletes, a mask leaves a secret as it is."""

    name: Name | Unset = UNSET
    settings: dict[str, Any] | Unset = UNSET


class CredentialOutput(Wire, frozen=True):
    """Reply of createCredential, getCredential and updateCredential."""

    credential: Credential


class CredentialsOutput(Wire, frozen=True):
    """Reply of listCredentials."""

    credentials: list[Credential]
    pagination: Pagination


class ConsumersInput(Wire, frozen=True):
    """Query parameters of listCredentialConsumers: two lists, each with pages of its own."""

    warehouses_pagination: Page = Page()
    sources_pagination: Page = Page()


class ConsumersOutput(Wire, frozen=True):
    """Reply of listCredentialConsumers: those that the caller may see."""

    warehouses: list[Warehouse]
    warehouses_pagination: Pagination
    sources: list[Source]
    sources_pagination: Pagination


@api.operation("GET /credentials", needs=Needs.CREDENTIAL_USER, versions=V1_ONLY)
def list_credentials(call: Call, query: PageInput) -> CredentialsOutput:
    """List Credentials"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(credentials.c.seq), query.pagination)
    return CredentialsOutput(credentials=[credential_of(call, row) for row in found], pagination=pagination)


@api.operation(
    "POST /credentials",
    status=201,
    needs=Needs.CREDENTIAL_USER,
    versions=V1_ONLY,
    audit="Warehouse Credential Created",
)
def create_credential(call: Call, body: CreateCredentialInput) -> CredentialOutput:
    """Create Credential"""
    settings = integration_settings.merged({}, unmasked(body.settings, {}), ())
    if not isinstance(settings.get("type"), str) or not settings["type"]:
        raise InputInvalid([("settings.type", '"settings.type" is required')])
    credential_id = f"cred_{ksuid()}"
    call.db.execute(
        insert(credentials).values(
            id=credential_id,
            workspace_id=call.workspace_id,
            name=body.name,
            settings=call.vault.seal(msgspec.json.encode(settings), credential_id),
            created_at=call.now,
            updated_at=call.now,
        )
    )
    call.record("Warehouse Credential Created", _RESOURCE, credential_id, body.name)
    return CredentialOutput(credential=credential_of(call, one(call, credential_id)))


@api.operation("GET /credentials/{credentialId}", needs=Needs.CREDENTIAL_USER, versions=V1_ONLY)
def get_credential(call: Call, credential_id: str) -> CredentialOutput:
    """Get Credential"""
    return CredentialOutput(credential=credential_of(call, one(call, credential_id)))


@api.operation(
    "PATCH /credentials/{credentialId}",
    needs=Needs.WORKSPACE_OWNER,
    versions=V1_ONLY,
    audit="Warehouse Credential Modified",
)
def update_credential(call: Call, credential_id: str, body: UpdateCredentialInput) -> CredentialOutput:
    """Update Credential"""
    row = one(call, credential_id)
    changes = _changes(call, row, body)
    if changes:
        call.db.execute(
            update(credentials).where(credentials.c.id == row.id).values(changes | {"updated_at": call.now})
        )
        call.record("Warehouse Credential Modified", _RESOURCE, row.id, changes.get("name", row.name))
    return CredentialOutput(credential=credential_of(call, one(call, credential_id)))


def _changes(call: Call, row: Row[Any], body: UpdateCredentialInput) -> dict[str, Any]:
    """New values of columns."""
    changes: dict[str, Any] = {}
    if body.name is not UNSET and body.name != row.name:
        changes["name"] = body.name
    if body.settings is not UNSET:
        before = settings_of(call, row)
        after = integration_settings.merged(before, unmasked(body.settings, before), ())
        if after.get("type") != before["type"]:
            raise InputInvalid([("settings.type", '"settings.type" cannot be changed')])
        if after != before:
            changes["settings"] = call.vault.seal(msgspec.json.encode(after), row.id)
    return changes


@api.operation(
    "DELETE /credentials/{credentialId}",
    needs=Needs.WORKSPACE_OWNER,
    versions=V1_ONLY,
    audit="Warehouse Credential Deleted",
)
def delete_credential(call: Call, credential_id: str) -> StatusOutput:
    """Delete Credential"""
    row = one(call, credential_id)
    used = call.db.execute(select(credential_uses).where(credential_uses.c.credential_id == row.id)).first()
    if used:
        raise Conflict(f"Credential '{row.id}' is in use by '{used.consumer_id}'.")
    call.db.execute(delete(credentials).where(credentials.c.id == row.id))
    call.record("Warehouse Credential Deleted", _RESOURCE, row.id, row.name)
    return StatusOutput()


@api.operation("GET /credentials/{credentialId}/consumers", needs=Needs.CREDENTIAL_USER, versions=V1_ONLY)
def list_credential_consumers(call: Call, credential_id: str, query: ConsumersInput) -> ConsumersOutput:
    """List Credential Consumers"""
    one(call, credential_id)
    users = select(credential_uses.c.consumer_id).where(credential_uses.c.credential_id == credential_id)
    mine = sources.visible(call).where(sources_table.c.id.in_(users)).order_by(sources_table.c.seq)
    found, where = rows.page_of(call.db, mine, query.sources_pagination)
    theirs, theirs_where = warehouses.page_of_credential(call, users, query.warehouses_pagination)
    return ConsumersOutput(
        warehouses=theirs,
        warehouses_pagination=theirs_where,
        sources=sources.sources_of(call, found),
        sources_pagination=where,
    )
