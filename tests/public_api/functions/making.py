"""Functions, and what they are at work at, as the tests of this folder need them."""

from __future__ import annotations

from typing import Any

import msgspec

from mainstem.model.snapshot import FunctionConfig
from mainstem.public_api import publish, workspaces
from mainstem.public_api.functions.function import published_id
from mainstem.rest import tokens
from mainstem.rest.tokens import Access
from public_api.client import START, Api, Reply

PASS_ON = "async function onTrack(event, settings) { return event }"
DROP = "async function onTrack(event, settings) { throw new DropEvent('no') }"
SECRET = "planted-function-secret-3f1c"
BULLETS = "\u2022" * 10


def setting(name: str = "apiKey", **more: Any) -> dict[str, Any]:
    """The definition of a setting, a text that need not be given."""
    return {
        "name": name, "label": name, "description": "d", "type": "STRING", "required": False, "sensitive": False,
    } | more  # fmt: skip


def post_function(api: Api, kind: str = "DESTINATION", **more: Any) -> Reply:
    """createFunction."""
    body = {"code": PASS_ON, "displayName": "F", "resourceType": kind}
    return api.post("/functions", body | more)


def new_function(api: Api, kind: str = "DESTINATION", **more: Any) -> dict[str, Any]:
    """A new function, as the reply shows it."""
    function: dict[str, Any] = post_function(api, kind, **more).data["function"]
    return function


def get_function(api: Api, function: dict[str, Any]) -> dict[str, Any]:
    """The function as it is now."""
    found: dict[str, Any] = api.get(f"/functions/{function['id']}").data["function"]
    return found


def post_destination(api: Api, source_id: str, function: dict[str, Any], **more: Any) -> Reply:
    """createDestination for a destination that is a function."""
    body = {"sourceId": source_id, "metadataId": function["catalogId"], "settings": {}}
    return api.post("/destinations", body | more)


def post_source(api: Api, function: dict[str, Any], slug: str = "hook", **more: Any) -> Reply:
    """createSource for a source that is a function."""
    return api.post("/sources", {"slug": slug, "enabled": True, "metadataId": function["catalogId"]} | more)


def post_instance(api: Api, function: dict[str, Any], integration_id: str, **more: Any) -> Reply:
    """createInsertFunctionInstance, with the function's id as it is documented: without its prefix."""
    body = {"functionId": bare(function), "integrationId": integration_id, "name": "i", "settings": {}}
    return api.post("/insert-function-instances", body | more)


def new_instance(api: Api, function: dict[str, Any], integration_id: str, **more: Any) -> dict[str, Any]:
    """A new, enabled insert function instance, as the reply shows it."""
    made: dict[str, Any] = post_instance(api, function, integration_id, **{"enabled": True} | more).data
    instance: dict[str, Any] = made["insertFunctionInstance"]
    return instance


def bare(function: dict[str, Any]) -> str:
    """A function's id without its prefix."""
    return str(function["id"].partition("_")[2])


def deployed(api: Api, function: dict[str, Any]) -> FunctionConfig | None:
    """The function as the data plane gets it; None when it is gone or was never published."""
    key = published_id(function["id"])
    with api.database.transaction(writes=False) as db:
        row = db.execute(publish.published.select().where(publish.published.c.source_id == key)).one_or_none()
    if row is None or row.body is None:
        return None
    return msgspec.msgpack.decode(api.vault.open(row.body, key), type=FunctionConfig)


def token_of_another_workspace(api: Api) -> str:
    """An owner's token of a second workspace of this instance."""
    secret = tokens.new_secret()
    with api.database.transaction(writes=True) as db:
        other = workspaces.create(db, "Other", "other", "owner@localhost", START)
        tokens.create(db, api.vault, other.id, "other", Access.OWNER, START, secret)
    return secret
