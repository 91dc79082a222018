"""Warehouses, as the tests of several families need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstem.rest import tokens
from mainstem.rest.grants import TOKEN, Resource, grant
from mainstem.rest.roles import find_role_by_name
from mainstem.rest.tokens import Access
from public_api.client import START, Api

POSTGRES = "55d3d3aea3c"
SNOWFLAKE = "CCIl4HLQPz"
BIGQUERY = "kwX50Df0hr"
DUCKDB = "cef93db07b9"
SERVER = {
    "hostname": "warehouse.acme.example",
    "port": "5432",
    "database": "events",
    "username": "mainstem",
    "password": "s3cr3t-of-acme",
}


def new_warehouse(api: Api, **more: Any) -> dict[str, Any]:
    """A new warehouse in PostgreSQL, connected to nothing unless told otherwise."""
    body = {"metadataId": POSTGRES, "settings": SERVER, "disconnectAllSources": True} | more
    warehouse: dict[str, Any] = api.post("/warehouses", body).data["warehouse"]
    return warehouse


def connected_sources(api: Api, warehouse_id: str) -> list[str]:
    """Ids of the sources that a warehouse is connected to, in the order of the list."""
    return [each["id"] for each in api.get(f"/warehouses/{warehouse_id}/connected-sources").data["sources"]]


def connected_warehouses(api: Api, source_id: str) -> list[str]:
    """Ids of the warehouses that a source is connected to, in the order of the list."""
    return [each["id"] for each in api.get(f"/sources/{source_id}/connected-warehouses").data["warehouses"]]


def new_credential(api: Api, **settings: Any) -> str:
    """The id of a new credential for PostgreSQL."""
    body = {"name": "Production", "settings": {"type": "Postgres", "username": "prod"} | settings}
    credential_id: str = api.post("/credentials", body).data["credential"]["id"]
    return credential_id


def member_with_roles(api: Api, roles: Mapping[str, Resource]) -> str:
    """A fresh member token with several roles, each on one resource."""
    secret = tokens.new_secret()
    with api.database.transaction(writes=True) as db:
        made = tokens.create(db, api.vault, api.workspace.id, "several", Access.MEMBER, START, secret)
        for name, resource in roles.items():
            role = find_role_by_name(name)
            assert role is not None
            grant(db, api.workspace.id, (TOKEN, made.id), role, [resource])
    return secret
