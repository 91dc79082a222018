"""How an object of each kind is made, changed and deleted, by the operations of the Public API.

Bodies hold what a client would send: ids of the workspace at hand, secrets in plain text. Source: Public API
reference; that users of a file become users at once is a judgement, for who applies one has the whole data folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from mainstem.workspace_files.asking import Api, segment
from mainstem.workspace_files.kinds import SCHEMA_DEFAULTS, Object
from mainstem.workspace_files.untold import Tables

RULES_OF_CALL: Final = 200


class Writer(Api, Protocol):
    """Who answers operations, and writes what has none."""

    @property
    def untold(self) -> Tables:
        """What the API does not tell."""


Make = Callable[[Writer, Object], Any]
Change = Callable[[Writer, Object, Object], None]
Delete = Callable[[Writer, Object], None]


class Writes(msgspec.Struct, frozen=True):
    """How objects of a kind are written. `make` returns the object of the answer, whose ids count. What is `fixed`
    cannot be changed, and stops the import; what is `kept` stays as it is and is told; what is `optional` stays as it
    is where the file says nothing of it."""

    make: Make | None
    change: Change | None
    delete: Delete | None
    fixed: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


def without(value: Mapping[str, Any], *names: str) -> Object:
    """All fields but these."""
    return {name: each for name, each in value.items() if name not in names}


def changed(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The fields that differ; null for those that go."""
    gone = dict.fromkeys(name for name in now if name not in wanted)
    return gone | {name: each for name, each in wanted.items() if name not in now or now[name] != each}


def _patch(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The fields that differ, with the settings among them as what to merge."""
    body = without(changed(now, wanted), "id")
    if "settings" in body:
        body["settings"] = changed(now.get("settings", {}), wanted.get("settings", {}))
    return body


def _simple(collection: str, envelope: str, *, fixed: tuple[str, ...] = (), settings: bool = False) -> Writes:
    """Objects with a path of their own; with `settings`, changes must have some."""

    def make(api: Writer, wanted: Object) -> Any:
        return api.ask(f"POST {collection}", without(wanted, "id"))[envelope]

    def change(api: Writer, now: Object, wanted: Object) -> None:
        empty: Object = {"settings": {}} if settings else {}
        body = empty | _patch(now, wanted)
        api.ask(f"PATCH {collection}/{segment(now['id'])}", body)

    def delete(api: Writer, now: Object) -> None:
        api.ask(f"DELETE {collection}/{segment(now['id'])}")

    return Writes(make, change, delete, frozenset(fixed))


# ---- labels, functions, plans


def _make_label(api: Writer, wanted: Object) -> Any:
    api.ask("POST /labels", {"label": wanted})


def _delete_label(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /labels/{segment(now['key'])}/{segment(now['value'])}")


_CODE_STATE: Final = ("id", "catalogId", "isDeployed", "deployedCode")


def _make_function(api: Writer, wanted: Object) -> Any:
    made = api.ask("POST /functions", without(wanted, *_CODE_STATE))["function"]
    _deploy(api, made["id"], wanted)
    return made


def _change_function(api: Writer, now: Object, wanted: Object) -> None:
    body = without(changed(now, wanted), *_CODE_STATE)
    if body:
        api.ask(f"PATCH /functions/{segment(now['id'])}", body)
    if body or any(now.get(name) != wanted.get(name) for name in ("isDeployed", "deployedCode")):
        _deploy(api, now["id"], wanted)


def _deploy(api: Writer, function_id: str, wanted: Object) -> None:
    """Let the code run that is to run. A version that is restored becomes the newest without being deployed."""
    target = f"/functions/{segment(function_id)}"
    if "deployedCode" in wanted:
        newest = api.ask(f"GET {target}/versions?pagination.count=1")["versions"][0]["id"]
        _run(api, target, wanted["resourceType"], {"code": wanted["deployedCode"]})
        api.ask(f"POST {target}/versions", {"versionId": newest})
    elif wanted["isDeployed"]:
        _run(api, target, wanted["resourceType"], {})


def _run(api: Writer, target: str, kind: str, code: Object) -> None:
    """Let the newest code run, after this one was saved. Only source functions are deployed by a call, others by any
    change."""
    if code or kind != "SOURCE":
        api.ask(f"PATCH {target}", code)
    if kind == "SOURCE":
        api.ask(f"POST {target}/deploy")


def _make_plan(api: Writer, wanted: Object) -> Any:
    made = api.ask("POST /tracking-plans", without(wanted, "id", "rules"))["trackingPlan"]
    _write_rules(api, made["id"], wanted["rules"])
    return made


def _change_plan(api: Writer, now: Object, wanted: Object) -> None:
    body = without(changed(now, wanted), "id", "rules")
    if body:
        api.ask(f"PATCH /tracking-plans/{segment(now['id'])}", body)
    if now["rules"] != wanted["rules"]:
        _write_rules(api, now["id"], wanted["rules"])


def _write_rules(api: Writer, plan_id: str, rules: list[Any]) -> None:
    """The first call replaces what is there, the others add."""
    target = f"/tracking-plans/{segment(plan_id)}/rules"
    api.ask(f"PUT {target}", {"rules": rules[:RULES_OF_CALL]})
    for start in range(RULES_OF_CALL, len(rules), RULES_OF_CALL):
        api.ask(f"PATCH {target}", {"rules": rules[start : start + RULES_OF_CALL]})


# ---- sources and what belongs to one


def _make_source(api: Writer, wanted: Object) -> Any:
    body = without(wanted, "id", "labels", "writeKeys") | {"disconnectAllWarehouses": True}
    made = api.ask("POST /sources", body)["source"]
    if "writeKeys" in wanted:
        api.untold.set_write_keys(made["id"], wanted["writeKeys"])
    if wanted["labels"]:
        api.ask(f"PUT /sources/{segment(made['id'])}/labels", {"labels": wanted["labels"]})
    return made


def _change_source(api: Writer, now: Object, wanted: Object) -> None:
    body = without(_patch(now, wanted), "labels", "writeKeys")
    if body:
        api.ask(f"PATCH /sources/{segment(now['id'])}", body)
    if "writeKeys" in wanted and now.get("writeKeys") != wanted["writeKeys"]:
        api.untold.set_write_keys(now["id"], wanted["writeKeys"])
    if now["labels"] != wanted["labels"]:
        api.ask(f"PUT /sources/{segment(now['id'])}/labels", {"labels": wanted["labels"]})


def _delete_source(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /sources/{segment(now['id'])}")


def _connect_plan(api: Writer, wanted: Object) -> Any:
    target = f"/tracking-plans/{segment(wanted['trackingPlanId'])}/sources"
    api.ask(f"POST {target}", {"sourceId": wanted["sourceId"]})


def _disconnect_plan(api: Writer, now: Object) -> None:
    target = f"/tracking-plans/{segment(now['trackingPlanId'])}/sources"
    api.ask(f"DELETE {target}?sourceId={segment(now['sourceId'])}")


def _reconnect_plan(api: Writer, now: Object, wanted: Object) -> None:
    _disconnect_plan(api, now)
    _connect_plan(api, wanted)


def _write_schema(api: Writer, source_id: str, now: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Send what differs; forwarding that is not sent is switched off."""
    body: Object = {name: each for name, each in wanted.items() if name.startswith("forwarding")}
    for block, values in wanted.items():
        if isinstance(values, dict):
            differing = {key: each for key, each in values.items() if now.get(block, {}).get(key) != each}
            body |= {block: differing} if differing else {}
    api.ask(f"PATCH /sources/{segment(source_id)}/settings", body)


def _make_schema(api: Writer, wanted: Object) -> Any:
    _write_schema(api, wanted["sourceId"], SCHEMA_DEFAULTS, wanted["settings"])


def _change_schema(api: Writer, now: Object, wanted: Object) -> None:
    _write_schema(api, now["sourceId"], now["settings"], wanted["settings"])


def _delete_schema(api: Writer, now: Object) -> None:
    _write_schema(api, now["sourceId"], now["settings"], SCHEMA_DEFAULTS)


def _make_controls(api: Writer, wanted: Object) -> Any:
    api.untold.switch(wanted["sourceId"], [], wanted["off"])


def _change_controls(api: Writer, now: Object, wanted: Object) -> None:
    api.untold.switch(now["sourceId"], now["off"], wanted["off"])


def _delete_controls(api: Writer, now: Object) -> None:
    api.untold.switch(now["sourceId"], now["off"], [])


def _make_live_plugin(api: Writer, wanted: Object) -> Any:
    api.ask(f"POST /sources/{segment(wanted['sourceId'])}/live-plugins/create", {"code": wanted["code"]})


def _change_live_plugin(api: Writer, _now: Object, wanted: Object) -> None:
    _make_live_plugin(api, wanted)


def _delete_live_plugin(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /sources/{segment(now['sourceId'])}/live-plugins/delete-code")


# ---- warehouses


def _make_warehouse(api: Writer, wanted: Object) -> Any:
    return api.ask("POST /warehouses", without(wanted, "id") | {"disconnectAllSources": True})["warehouse"]


def _connection(now: Mapping[str, Any]) -> str:
    return f"/warehouses/{segment(now['warehouseId'])}/connected-sources/{segment(now['sourceId'])}"


def _connect(api: Writer, wanted: Object) -> Any:
    api.ask(f"POST {_connection(wanted)}")


def _disconnect(api: Writer, now: Object) -> None:
    api.ask(f"DELETE {_connection(now)}")


def _make_schedule(api: Writer, wanted: Object) -> Any:
    target = f"/warehouses/{segment(wanted['warehouseId'])}/advanced-sync-schedule"
    api.ask(f"PUT {target}", without(wanted, "warehouseId"))


def _change_schedule(api: Writer, _now: Object, wanted: Object) -> None:
    _make_schedule(api, wanted)


def _delete_schedule(api: Writer, now: Object) -> None:
    _make_schedule(api, {"warehouseId": now["warehouseId"], "enabled": False})


def _overrides(now: list[Any], wanted: list[Any]) -> list[Object]:
    on = [each | {"enabled": True} for each in now if each not in wanted]
    return on + [each | {"enabled": False} for each in wanted if each not in now]


def _write_sync(api: Writer, at: Mapping[str, Any], now: list[Any], wanted: list[Any]) -> None:
    overrides = [each | {"sourceId": at["sourceId"]} for each in _overrides(now, wanted)]
    api.ask(f"PATCH /warehouses/{segment(at['warehouseId'])}/selective-sync", {"syncOverrides": overrides})


def _make_sync(api: Writer, wanted: Object) -> Any:
    _write_sync(api, wanted, [], wanted["excluded"])


def _change_sync(api: Writer, now: Object, wanted: Object) -> None:
    _write_sync(api, wanted, now["excluded"], wanted["excluded"])


def _delete_sync(api: Writer, now: Object) -> None:
    _write_sync(api, now, now["excluded"], [])


# ---- destinations and what belongs to one


def _filters_of(wanted: Mapping[str, Any]) -> str:
    return f"/destination/{segment(wanted['destinationId'])}/filters"


def _make_filter(api: Writer, wanted: Object) -> Any:
    return api.ask(f"POST {_filters_of(wanted)}", without(wanted, "id", "destinationId"))["filter"]


def _change_filter(api: Writer, now: Object, wanted: Object) -> None:
    api.ask(f"PATCH {_filters_of(now)}/{segment(now['id'])}", without(changed(now, wanted), "id"))


def _delete_filter(api: Writer, now: Object) -> None:
    api.ask(f"DELETE {_filters_of(now)}/{segment(now['id'])}")


def _subscriptions_of(wanted: Mapping[str, Any]) -> str:
    return f"/destinations/{segment(wanted['destinationId'])}/subscriptions"


def _make_subscription(api: Writer, wanted: Object) -> Any:
    body = without(wanted, "id", "destinationId", "reverseETLSchedule")
    made = api.ask(f"POST {_subscriptions_of(wanted)}", body)["destinationSubscription"]
    if "reverseETLSchedule" in wanted:
        target = f"{_subscriptions_of(wanted)}/{segment(made['id'])}"
        api.ask(f"PATCH {target}", {"input": {"reverseETLSchedule": wanted["reverseETLSchedule"]}})
    return made


def _change_subscription(api: Writer, now: Object, wanted: Object) -> None:
    body = without(changed(now, wanted), "id", "modelId")
    if now.get("modelId") != wanted.get("modelId"):
        body["reverseETLModelId"] = wanted.get("modelId")
    api.ask(f"PATCH {_subscriptions_of(now)}/{segment(now['id'])}", {"input": body})


def _delete_subscription(api: Writer, now: Object) -> None:
    api.ask(f"DELETE {_subscriptions_of(now)}/{segment(now['id'])}")


# ---- spaces


def _change_space_filter(api: Writer, now: Object, wanted: Object) -> None:
    api.ask(f"PATCH /filters/{segment(now['id'])}", without(wanted, "id"))


def _profiles_of(wanted: Mapping[str, Any]) -> str:
    return f"/spaces/{segment(wanted['spaceId'])}/profiles-warehouses"


def _make_profiles(api: Writer, wanted: Object) -> Any:
    return api.ask(f"POST {_profiles_of(wanted)}", without(wanted, "id", "spaceId"))["profilesWarehouse"]


def _change_profiles(api: Writer, now: Object, wanted: Object) -> None:
    api.ask(f"PATCH {_profiles_of(now)}/{segment(now['id'])}", {"settings": {}} | _patch(now, wanted))


def _delete_profiles(api: Writer, now: Object) -> None:
    api.ask(f"DELETE {_profiles_of(now)}/{segment(now['id'])}")


def _write_profiles_sync(api: Writer, now: Object, wanted: Object) -> None:
    """Overrides can be sent only while there are event tables: they are switched off last."""
    target = f"{_profiles_of(wanted)}/{segment(wanted['warehouseId'])}/selective-syncs"
    overrides = _overrides(now["excluded"], wanted["excluded"])
    if overrides:
        api.ask(f"PATCH {target}", {"syncOverrides": overrides, "enableEventTables": True})
    api.ask(f"PATCH {target}", {"enableEventTables": wanted["enableEventTables"]})


def _make_profiles_sync(api: Writer, wanted: Object) -> Any:
    _write_profiles_sync(api, {"excluded": []}, wanted)


def _delete_profiles_sync(api: Writer, now: Object) -> None:
    _write_profiles_sync(api, now, now | {"enableEventTables": True, "excluded": []})


# ---- people


def _make_user(api: Writer, wanted: Object) -> Any:
    api.ask("POST /invites", {"invites": [{"email": wanted["email"], "permissions": wanted["permissions"]}]})
    api.untold.accept(wanted["email"], wanted["name"])


def _change_user(api: Writer, now: Object, wanted: Object) -> None:
    api.ask(f"PUT /users/{segment(now['id'])}/permissions", {"permissions": wanted["permissions"]})


def _delete_user(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /users?userIds.0={segment(now['id'])}")


def _make_invite(api: Writer, wanted: Object) -> Any:
    api.ask("POST /invites", {"invites": [wanted]})


def _change_invite(api: Writer, now: Object, wanted: Object) -> None:
    api.untold.grant_to_invite(now["email"], wanted["permissions"])


def _delete_invite(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /invites?emails.0={segment(now['email'])}")


def _make_group(api: Writer, wanted: Object) -> Any:
    made = api.ask("POST /groups", {"name": wanted["name"]})["userGroup"]
    _fill_group(api, made["id"], {"permissions": [], "members": []}, wanted)
    return made


def _change_group(api: Writer, now: Object, wanted: Object) -> None:
    if now["name"] != wanted["name"]:
        api.ask(f"PATCH /groups/{segment(now['id'])}", {"name": wanted["name"]})
    _fill_group(api, now["id"], now, wanted)


def _fill_group(api: Writer, group_id: str, now: Mapping[str, Any], wanted: Object) -> None:
    if now["permissions"] != wanted["permissions"]:
        api.ask(f"PUT /groups/{segment(group_id)}/permissions", {"permissions": wanted["permissions"]})
    if now["members"] != wanted["members"]:
        api.ask(f"PUT /group/{segment(group_id)}/users", {"emails": wanted["members"]})


def _delete_group(api: Writer, now: Object) -> None:
    api.ask(f"DELETE /groups/{segment(now['id'])}")


_OF_A_PLACE: Final = frozenset({"sourceId", "destinationId", "metadataId"})
_SOURCES: Final = Writes(_make_source, _change_source, _delete_source, fixed=frozenset({"metadataId"}))
_WAREHOUSES: Final = _simple("/warehouses", "warehouse", fixed=("metadataId",), settings=True)
_INSTANCES: Final = _simple(
    "/insert-function-instances", "insertFunctionInstance", fixed=("functionId", "integrationId"), settings=True
)
_SPACE_FILTERS: Final = _simple("/filters", "filter", fixed=("integrationId",))
WRITES: Final[Mapping[str, Writes]] = {
    "labels": Writes(_make_label, None, _delete_label, kept=frozenset({"description"})),
    "credentials": _simple("/credentials", "credential"),
    "functions": Writes(
        _make_function,
        _change_function,
        _simple("/functions", "function").delete,
        fixed=frozenset({"resourceType"}),
    ),
    "trackingPlans": Writes(
        _make_plan,
        _change_plan,
        _simple("/tracking-plans", "trackingPlan").delete,
        fixed=frozenset({"type"}),
    ),
    "sources": _SOURCES,
    "trackingPlanConnections": Writes(_connect_plan, _reconnect_plan, _disconnect_plan),
    "schemaSettings": Writes(_make_schema, _change_schema, _delete_schema),
    "schemaControls": Writes(_make_controls, _change_controls, _delete_controls),
    "livePlugins": Writes(_make_live_plugin, _change_live_plugin, _delete_live_plugin),
    "warehouses": Writes(_make_warehouse, _WAREHOUSES.change, _WAREHOUSES.delete, fixed=_WAREHOUSES.fixed),
    "warehouseConnections": Writes(_connect, None, _disconnect),
    "warehouseSchedules": Writes(_make_schedule, _change_schedule, _delete_schedule),
    "selectiveSyncs": Writes(_make_sync, _change_sync, _delete_sync),
    "reverseEtlModels": _simple("/reverse-etl-models", "reverseEtlModel", fixed=("sourceId",)),
    "destinations": _simple("/destinations", "destination", fixed=("sourceId", "metadataId")),
    "destinationFilters": Writes(_make_filter, _change_filter, _delete_filter, fixed=_OF_A_PLACE),
    "subscriptions": Writes(
        _make_subscription, _change_subscription, _delete_subscription, fixed=frozenset({"destinationId", "actionId"})
    ),
    "insertFunctionInstances": _INSTANCES,
    "transformations": _simple("/transformations", "transformation"),
    "spaces": Writes(None, None, None, kept=frozenset({"name"})),
    "spaceFilters": Writes(
        _SPACE_FILTERS.make, _change_space_filter, _SPACE_FILTERS.delete, fixed=_SPACE_FILTERS.fixed
    ),
    "profilesWarehouses": Writes(
        _make_profiles, _change_profiles, _delete_profiles, fixed=frozenset({"spaceId", "metadataId"})
    ),
    "profilesSelectiveSyncs": Writes(_make_profiles_sync, _write_profiles_sync, _delete_profiles_sync),
    "users": Writes(_make_user, _change_user, _delete_user, kept=frozenset({"name", "email"})),
    "invites": Writes(_make_invite, _change_invite, _delete_invite, optional=frozenset({"permissions"})),
    "groups": Writes(_make_group, _change_group, _delete_group),
}
