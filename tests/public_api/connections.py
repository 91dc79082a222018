"""A source, and webhooks on it, as the tests of other families need them."""

from __future__ import annotations

from typing import Any

import msgspec

from mainstem.model.snapshot import SourceConfig
from mainstem.public_api import publish
from public_api.client import Api, Reply

HTTP_API = "iUM16Md8P2"
POSTGRES = "WvlvcGEJsT"
WEBHOOKS = "54521fdc25e721e32a72ef04"
HOOK = {"hook": "https://sink.example/a", "headers": [{"key": "Authorization", "value": "Basic abcdef"}]}


def new_source(api: Api, slug: str = "site") -> str:
    """The id of a new source."""
    body = {"slug": slug, "enabled": True, "metadataId": HTTP_API}
    source_id: str = api.post("/sources", body).data["source"]["id"]
    return source_id


def new_database(api: Api, slug: str = "rows") -> str:
    """The id of a new source whose rows can be queried."""
    body = {"slug": slug, "enabled": True, "metadataId": POSTGRES}
    source_id: str = api.post("/sources", body).data["source"]["id"]
    return source_id


def post_model(api: Api, source_id: str, **more: Any) -> Reply:
    """createReverseEtlModel for a query of all customers."""
    body = {
        "sourceId": source_id,
        "name": "Customers",
        "description": " ",
        "enabled": True,
        "query": "SELECT * FROM customers",
        "queryIdentifierColumn": "id",
    }
    return api.post("/reverse-etl-models", body | more)


def new_model(api: Api, source_id: str, **more: Any) -> str:
    """The id of a new model."""
    model_id: str = post_model(api, source_id, **more).data["reverseEtlModel"]["id"]
    return model_id


def post_webhook(api: Api, source_id: str, **more: Any) -> Reply:
    """createDestination for a webhook with one hook."""
    body = {"sourceId": source_id, "metadataId": WEBHOOKS, "settings": {"hooks": [HOOK]}}
    return api.post("/destinations", body | more)


def new_webhook(api: Api, source_id: str, **more: Any) -> str:
    """The id of a new webhook."""
    destination_id: str = post_webhook(api, source_id, **more).data["destination"]["id"]
    return destination_id


def new_filter(api: Api, source_id: str, destination_id: str, **more: Any) -> Reply:
    """createFilterForDestination for a filter that drops every identify call."""
    body = {
        "sourceId": source_id,
        "if": 'type = "identify"',
        "actions": [{"type": "DROP"}],
        "title": "No identifies",
        "enabled": True,
    }
    return api.post(f"/destination/{destination_id}/filters", body | more)


def published(api: Api, source_id: str) -> SourceConfig:
    """The source as the data plane gets it."""
    with api.database.transaction(writes=False) as db:
        row = db.execute(publish.published.select().where(publish.published.c.source_id == source_id)).one()
    return msgspec.msgpack.decode(api.vault.open(row.body, source_id), type=SourceConfig)


def trail(api: Api) -> list[str]:
    """Types of the audit events, the oldest first."""
    return [event["type"] for event in reversed(api.get("/audit-events").data["events"])]
