"""A data folder whose workspace has an object of every kind that a file of a workspace can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import databases
from mainstem import app
from mainstem.commands import schema
from mainstem.public_api import workspaces
from mainstem.rest.tokens import Access, Token
from mainstem.vault import open_vault
from mainstem.workspace_files.asking import InProcess

JAVASCRIPT = "iUM16Md8P2"
WEBHOOKS = "54521fdc25e721e32a72ef04"
DATABASE = "WvlvcGEJsT"
POSTGRES = "55d3d3aea3c"
SOURCE_ADMIN = "1WDUuSF1kN1xis2lp09RVKOsnnL"
PLANTED = ("planted-header-value", "planted-password", "planted-hash-key", "planted-setting", "planted-credential")
CODE = "async function onTrack(event, settings) { return event }"
REQUEST = "async function onRequest(request, settings) {}"


def new_folder(path: Path) -> Path:
    """A data folder after its first start."""
    path.mkdir(mode=0o700)
    settings = databases.settings(path)
    app.prepare(settings, open_vault(path, ""))
    app.open_flow(settings).close()
    return path


def flags(folder: Path) -> list[str]:
    """What leads a command to a folder and its database."""
    database = databases.settings(folder).database
    return ["--data", str(folder), *(["--database", database.text] if database else [])]


@contextmanager
def asking(folder: Path) -> Iterator[Callable[..., Any]]:
    """Ask operations as the owner of the first workspace, in one transaction."""
    settings = databases.settings(folder)
    with closing(app.open_control(settings)) as control:
        dispatcher = app.operations(settings, control, open_vault(folder, ""))
        with control.transaction(writes=True) as db:
            workspace = workspaces.find_first(db)
            assert workspace is not None
            yield InProcess(dispatcher, db, Token("test", workspace.id, "", Access.OWNER, app.utc_now(), None)).ask


def furnish(folder: Path) -> None:
    """Make one of everything."""
    with asking(folder) as ask:
        _furnish(ask)
    settings = databases.settings(folder)
    switches = [{"event": "Debugged"}, {"trait": "phone"}, {"event": "Bought", "integration": "Webhooks"}]
    for switch in switches:
        assert schema.run(settings, schema.Asked(source="site", on=False, **switch)) == 0


def _furnish(ask: Any) -> None:
    workspace = ask("GET /")["workspace"]["id"]
    space = ask("GET /spaces")["spaces"][0]["id"]
    ask("POST /labels", {"label": {"key": "team", "value": "growth", "description": "Who looks after it"}})
    settings = {"type": "postgres", "password": "planted-credential"}
    ask("POST /credentials", {"name": "store", "settings": settings})
    functions = {
        kind: ask(
            "POST /functions",
            {"code": REQUEST if kind == "SOURCE" else CODE, "displayName": f"My {kind}", "resourceType": kind,
             "settings": [_setting("region", False), _setting("apiKey", True)]},
        )["function"]
        for kind in ("SOURCE", "DESTINATION", "INSERT_DESTINATION")
    }  # fmt: skip
    plan = ask("POST /tracking-plans", {"name": "Plan", "type": "LIVE"})["trackingPlan"]["id"]
    rule = {"type": "TRACK", "key": "Order Completed", "version": 1, "jsonSchema": {"type": "object"}}
    ask(f"PUT /tracking-plans/{plan}/rules", {"rules": [rule]})
    site = _source(ask, "site", JAVASCRIPT, {"website_url": "https://a.example"})
    other = _source(ask, "other", JAVASCRIPT, {})
    rows = _source(ask, "rows", DATABASE, {})
    _source(ask, "hooked", functions["SOURCE"]["catalogId"], {"region": "eu"})
    for _ in range(2):
        ask(f"POST /sources/{site}/writekey")
    (only,) = ask(f"GET /sources/{other}")["source"]["writeKeys"]
    ask(f"DELETE /sources/{other}/writekey/{only}")
    _leave_older_code_running(ask, functions["SOURCE"]["id"], functions["INSERT_DESTINATION"]["id"])
    ask(f"PUT /sources/{site}/labels", {"labels": [{"key": "team", "value": "growth"}]})
    ask(f"POST /tracking-plans/{plan}/sources", {"sourceId": site})
    ask(
        f"PATCH /sources/{site}/settings",
        {"track": {"allowUnplannedEvents": False}, "forwardingViolationsTo": other},
    )
    ask(f"POST /sources/{site}/live-plugins/create", {"code": "const a = 1"})
    destination = _destination(ask, site, WEBHOOKS, {"hooks": [_hook()]}, name="Hooks")
    _destination(ask, site, functions["DESTINATION"]["catalogId"], {"region": "eu", "apiKey": "planted-setting"})
    ask(
        f"POST /destination/{destination}/filters",
        {"sourceId": site, "if": 'type = "identify"', "title": "No identifies", "enabled": True,
         "actions": [{"type": "DROP"}]},
    )  # fmt: skip
    ask(
        "POST /insert-function-instances",
        {"functionId": functions["INSERT_DESTINATION"]["id"], "integrationId": destination, "name": "Insert",
         "settings": {"region": "eu", "apiKey": "planted-setting"}},
    )  # fmt: skip
    ask(
        "POST /transformations",
        {"sourceId": site, "name": "Hashed", "enabled": True, "if": "event = 'Bought'",
         "hashPropertiesConfiguration": {"algorithm": "SHA256", "paths": ["properties.email"],
                                         "key": "planted-hash-key"}},
    )  # fmt: skip
    ask(
        "POST /reverse-etl-models",
        {"sourceId": rows, "name": "People", "enabled": True, "description": "Everybody",
         "query": "SELECT id FROM people", "queryIdentifierColumn": "id"},
    )  # fmt: skip
    _storage(ask, site, space)
    ask(
        "POST /filters",
        {"integrationId": space, "name": "Only buyers", "if": "type = 'track'", "enabled": True, "drop": True},
    )
    _people(ask, workspace, site)


def _leave_older_code_running(ask: Any, source_function: str, insert_function: str) -> None:
    ask(f"PATCH /functions/{source_function}", {"code": REQUEST + " // not deployed"})
    ask(f"PATCH /functions/{insert_function}", {"code": CODE + " // deployed"})
    first = ask(f"GET /functions/{insert_function}/versions")["versions"][-1]["id"]
    ask(f"POST /functions/{insert_function}/versions", {"versionId": first})


def _setting(name: str, is_secret: bool) -> dict[str, Any]:
    return {
        "name": name, "label": name, "description": "", "type": "STRING", "required": False, "sensitive": is_secret,
    }  # fmt: skip


def _hook() -> dict[str, Any]:
    return {
        "hook": "https://hooks.example/in",
        "headers": [{"key": "Authorization", "value": "planted-header-value"}],
    }


def _source(ask: Any, slug: str, metadata_id: str, settings: dict[str, Any]) -> str:
    body = {"slug": slug, "enabled": True, "metadataId": metadata_id, "settings": settings}
    return str(ask("POST /sources", body)["source"]["id"])


def _destination(ask: Any, source: str, metadata_id: str, settings: dict[str, Any], name: str | None = None) -> str:
    body = {"sourceId": source, "metadataId": metadata_id, "settings": settings, "enabled": True, "name": name}
    return str(ask("POST /destinations", body)["destination"]["id"])


def _storage(ask: Any, source: str, space: str) -> None:
    settings = {
        "hostname": "db.example", "port": "5432", "database": "store", "username": "u",
        "password": "planted-password",
    }  # fmt: skip
    body = {"metadataId": POSTGRES, "settings": settings, "name": "Store", "disconnectAllSources": True}
    warehouse = ask("POST /warehouses", body)["warehouse"]["id"]
    ask(f"POST /warehouses/{warehouse}/connected-sources/{source}")
    schedule = {"times": [{"hourOfDay": 3, "enabled": True}], "timezone": "Europe/Berlin"}
    ask(f"PUT /warehouses/{warehouse}/advanced-sync-schedule", {"enabled": True, "schedule": schedule})
    override = {"sourceId": source, "enabled": False, "collection": "pages"}
    ask(f"PATCH /warehouses/{warehouse}/selective-sync", {"syncOverrides": [override]})
    profiles = {"metadataId": POSTGRES, "settings": settings, "name": "Profiles", "schemaName": "people"}
    made = ask(f"POST /spaces/{space}/profiles-warehouses", profiles)["profilesWarehouse"]["id"]
    off = {"syncOverrides": [{"collection": "user_traits", "enabled": False, "property": "email"}]}
    ask(f"PATCH /spaces/{space}/profiles-warehouses/{made}/selective-syncs", off)


def _people(ask: Any, workspace: str, source: str) -> None:
    granted = [{"roleId": SOURCE_ADMIN, "resources": [{"id": source, "type": "SOURCE"}]}]
    ask(
        "POST /invites", {"invites": [{"email": "ann@x.example", "permissions": granted}, {"email": "bob@x.example"}]}
    )
    labelled = {"id": workspace, "type": "WORKSPACE", "labels": [{"key": "team", "value": "growth"}]}
    ask(
        "POST /invites",
        {"invites": [{"email": "cid@x.example", "permissions": [{"roleId": SOURCE_ADMIN, "resources": [labelled]}]}]},
    )
    group = ask("POST /groups", {"name": "Growth"})["userGroup"]["id"]
    narrowed = {"id": workspace, "type": "WORKSPACE", "labels": [{"key": "team", "value": "growth"}]}
    ask(
        f"PUT /groups/{group}/permissions",
        {"permissions": [{"roleId": SOURCE_ADMIN, "resources": [narrowed]}]},
    )
    ask(f"PUT /group/{group}/users", {"emails": ["ann@x.example", "bob@x.example"]})
