"""A catalogue of one destination with actions, as `mainstem destinations install` would write it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mainstem.destinations.actions import catalogue
from mainstem.destinations.actions.catalogue import FORMAT
from public_api.client import Api

MAILER, OTHER = "614a3c7d791c91c41bae7599", "5f7dd8e302173ff732db5cc4"
"""Ids of the package; what is made of them here is our own."""
SEND, SYNC = "sEndAction1111111111AA", "sYncAction1111111111AA"


def field(key: str, type: str = "string", **more: Any) -> dict[str, Any]:
    return {"key": key, "label": key, "description": "", "type": type, "required": False} | more


FIELDS = {
    "to": field("to", required=True, default={"@path": "$.traits.email"}),
    "subject": field("subject", required=True),
    "retries": field("retries", "integer"),
    "urgent": field("urgent", "boolean"),
    "extra": field("extra", "object"),
    "tags": field("tags", multiple=True),
    "format": field("format", choices=[{"label": "HTML", "value": "html"}, {"label": "Text", "value": "text"}]),
    "signature": field("signature", "password"),
    "enable_batching": field("enable_batching", "boolean", default=True),
}


def action(id: str, slug: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": id, "slug": slug, "name": slug.title(), "description": "", "platform": "cloud", "hidden": False,
        "defaultTrigger": None, "canBatch": True, "batchKeys": ["format"], "fields": fields,
    } | more  # fmt: skip


ACTIONS = {
    "send": action(SEND, "send", FIELDS),
    "sync": action(SYNC, "sync", {}, syncModes=["add", "delete"], defaultSyncMode="add", canBatch=False),
}
PRESET = {
    "name": "Welcome", "actionSlug": "send", "actionId": SEND, "trigger": 'type = "identify"',
    "mapping": {"to": {"@path": "$.traits.email"}, "subject": "Welcome"},
}  # fmt: skip


def definition(id: str, name: str, auth_scheme: str = "custom") -> dict[str, Any]:
    return {
        "id": id, "slug": name.lower(), "name": name, "dir": name.lower(), "authScheme": auth_scheme,
        "hasRefresh": auth_scheme == "oauth2", "options": [field("region")], "actions": ACTIONS, "presets": [PRESET],
    }  # fmt: skip


def metadata(id: str, name: str) -> dict[str, Any]:
    option = {"name": "region", "type": "string", "required": False, "description": "", "label": "Region"}
    return {
        "id": id, "name": name, "slug": name.lower(), "description": "", "logos": {"default": "data:,"},
        "options": [option], "status": "PUBLIC", "previousNames": [], "categories": [], "website": "",
        "components": [],
        "supportedFeatures": {
            "cloudModeInstances": "MULTIPLE", "deviceModeInstances": "NONE", "replay": False,
            "browserUnbundling": False, "browserUnbundlingPublic": False,
        },
        "supportedMethods": dict.fromkeys(["pageview", "identify", "alias", "track", "group"], True),
        "supportedPlatforms": {"browser": True, "server": True, "mobile": True},
        "actions": [], "presets": [], "contacts": [],
    }  # fmt: skip


def write_catalogue(folder: Path, *definitions: dict[str, Any]) -> None:
    """Write what an installation writes, for these destinations, by default two."""
    definitions = definitions or (definition(MAILER, "Mailer"), definition(OTHER, "Other"))
    place = folder / "destinations" / "catalogue"
    place.mkdir(parents=True)
    known = {each["id"]: {name: each[name] for name in ("slug", "name", "dir")} for each in definitions}
    for each in definitions:
        entry = {"metadata": metadata(each["id"], each["name"]), "definition": each}
        (place / f"{each['id']}.json").write_bytes(msgspec.json.encode(entry))
    (place / "index.json").write_bytes(msgspec.json.encode({"format": FORMAT, "destinations": known}))


@contextlib.contextmanager
def installed(folder: Path, *definitions: dict[str, Any]) -> Iterator[None]:
    """The catalogue of this process has these destinations, by default two."""
    write_catalogue(folder, *definitions)
    catalogue.use(folder)
    try:
        yield
    finally:
        catalogue.use(None)


def new_mailer(api: Api, source_id: str, metadata_id: str = MAILER, **more: Any) -> str:
    """The id of a new destination with actions."""
    body = {"sourceId": source_id, "metadataId": metadata_id, "settings": {}}
    destination_id: str = api.post("/destinations", body | more).data["destination"]["id"]
    return destination_id
