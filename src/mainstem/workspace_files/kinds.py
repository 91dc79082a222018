"""The kinds of objects in the file of a workspace, in the order in which they can be made: how each is read.

An object is what a client would send to make it, with its id where it has one. Connections between two objects are
objects of their own. Source: Public API reference, the tags of the operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from mainstem.public_api.sources.schema_settings import Blocks
from mainstem.workspace_files.asking import Api, find, pages, segment
from mainstem.workspace_files.secrets import Hiding
from mainstem.workspace_files.untold import Untold

Object = dict[str, Any]
FUNCTION_KINDS: Final = ("SOURCE", "DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE")
SCHEMA_DEFAULTS: Final[Mapping[str, Any]] = msgspec.to_builtins(Blocks())
_TRANSFORMATION: Final = (
    "id", "sourceId", "destinationMetadataId", "name", "enabled", "if", "drop", "newEventName", "propertyRenames",
    "propertyValueTransformations", "fqlDefinedProperties", "allowProperties", "hashPropertiesConfiguration",
)  # fmt: skip
Watch = Callable[[int, int], object]


class Reading:
    """A workspace while it is read: what was read so far, by section. `untold` knows what the API does not tell, None
    for another server; `watch` is told of the pages of a list."""

    def __init__(self, api: Api, untold: Untold | None = None, watch: Watch = lambda _got, _all: None) -> None:
        self.api, self.untold, self.watch = api, untold, watch
        self.workspace: Object = api.ask("GET /")["workspace"]
        self.sections: dict[str, list[Object]] = {}
        self.hiding = Hiding()
        self.notes: list[str] = []
        self._metadata: dict[str, Object] = {}  # of destinations

    def pages(self, target: str, field: str) -> Iterator[Any]:
        """Every entry of a list."""
        return pages(self.api, target, field, self.watch)

    def of(self, section: str) -> Iterator[Object]:
        """The objects of a section that was read before; tells how far one is with them."""
        objects = self.sections.get(section, [])
        for count, each in enumerate(objects, 1):
            yield each
            self.watch(count, len(objects))

    def hide(self, at: str, values: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Object:
        """Settings without secrets."""
        options = (metadata or {}).get("options") or ()
        passwords = {each["name"] for each in options if each.get("type") == "password"}
        return self.hiding.settings(at, values, passwords)

    def hide_of_warehouse(self, at: str, each: Mapping[str, Any]) -> Object:
        """Settings of a warehouse: servers leave its password out. Whoever has a credential needs none."""
        shown = self.hide(at, each["settings"], each["metadata"])
        options = [] if "credentialId" in shown else each["metadata"].get("options") or []
        needed = (option["name"] for option in options if option["type"] == "password" and option.get("required"))
        return shown | {name: self.hiding.unseen(f"{at}/{name}") for name in needed if name not in shown}

    def keep_metadata(self, metadata: Object) -> None:
        """Remember what a destination is an instance of."""
        self._metadata[metadata["id"]] = metadata

    def metadata(self, metadata_id: str) -> Object:
        """What a destination is an instance of."""
        return self._metadata[metadata_id]


Read = Callable[[Reading], Iterable[Object]]


def picked(value: Mapping[str, Any], names: Sequence[str]) -> Object:
    """Those of these fields that are there and not null."""
    return {name: value[name] for name in names if value.get(name) is not None}


# ---- readers


def labels(reading: Reading) -> Iterator[Object]:
    """Labels, by key and value."""
    found = reading.api.ask("GET /labels")["labels"]
    for each in sorted(found, key=lambda label: (label["key"], label["value"])):
        yield picked(each, ("key", "value", "description"))


def credentials(reading: Reading) -> Iterator[Object]:
    """Credentials."""
    for each in reading.pages("/credentials", "credentials"):
        settings = reading.hide(f"credential/{each['id']}/settings", each["settings"])
        yield picked(each, ("id", "name")) | {"settings": settings}


def functions(reading: Reading) -> Iterator[Object]:
    """Functions with their newest code, and with the code that runs where that is an older one. Their names stand
    without the workspace's, which servers add."""
    suffix = f" ({reading.workspace['name']})"
    for kind in FUNCTION_KINDS:
        for item in reading.pages(f"/functions?resourceType={kind}", "functions"):
            each = reading.api.ask(f"GET /functions/{segment(item['id'])}")["function"]
            fields = ("id", "catalogId", "resourceType", "displayName", "description", "logoUrl", "settings", "code")
            bare = each["displayName"] if kind == "SOURCE" else each["displayName"].removesuffix(suffix)
            is_newest = bool(each.get("isLatestVersion", True))
            shown = picked(each, fields) | {"displayName": bare}
            shown["isDeployed"] = bool(each.get("deployedAt")) and is_newest
            yield shown | (_running(reading, each["id"]) if each.get("deployedAt") and not is_newest else {})


def _running(reading: Reading, function_id: str) -> Object:
    """The code that runs while newer code waits for its deployment."""
    versions = pages(reading.api, f"/functions/{segment(function_id)}/versions", "versions")
    return next(({"deployedCode": each["code"]} for each in versions if each["isDeployed"]), {})


def tracking_plans(reading: Reading) -> Iterator[Object]:
    """Tracking plans with their rules."""
    for each in list(reading.pages("/tracking-plans", "trackingPlans")):
        rules = reading.pages(f"/tracking-plans/{segment(each['id'])}/rules", "rules")
        shown = [picked(rule, ("type", "key", "version", "jsonSchema")) for rule in rules]
        yield picked(each, ("id", "name", "type", "description")) | {"rules": shown}


def sources(reading: Reading) -> Iterator[Object]:
    """Sources with their labels and write keys, the oldest first."""
    for each in reading.pages("/sources", "sources"):
        marks = sorted(({"key": mark["key"], "value": mark["value"]} for mark in each["labels"]), key=_label)
        yield (
            picked(each, ("id", "slug", "name", "enabled"))
            | {
                "metadataId": each["metadata"]["id"],
                "settings": reading.hide(f"source/{each['id']}/settings", each["settings"], each["metadata"]),
                "labels": marks,
            }
            | _write_keys(reading, each)
        )


def _write_keys(reading: Reading, source: Mapping[str, Any]) -> Object:
    """References to the write keys. Where another server shows none, the caller may lack the right to see them, and
    nothing is said of them; types that are not sent to never have one."""
    keys = source.get("writeKeys") or []
    if not keys and (reading.untold is None or source["metadata"].get("isCloudEventSource")):
        return {}
    at = f"source/{source['id']}/writeKeys"
    return {"writeKeys": [reading.hiding.known(f"{at}/{index}", key) for index, key in enumerate(keys)]}


def _label(label: Mapping[str, str]) -> tuple[str, str]:
    return label["key"], label["value"]


def plan_connections(reading: Reading) -> Iterator[Object]:
    """Which sources are under which plan."""
    for plan in reading.of("trackingPlans"):
        for source in pages(reading.api, f"/tracking-plans/{segment(plan['id'])}/sources", "sources"):
            yield {"trackingPlanId": plan["id"], "sourceId": source["id"]}


def schema_settings(reading: Reading) -> Iterator[Object]:
    """Schema settings of sources, where they are not as they are at first."""
    for source in reading.of("sources"):
        found = reading.api.ask(f"GET /sources/{segment(source['id'])}/settings")["settings"]
        settings = {key: value for key, value in found.items() if value}
        if settings != SCHEMA_DEFAULTS:
            yield {"sourceId": source["id"], "settings": settings}


def schema_controls(reading: Reading) -> Iterator[Object]:
    """What is switched off in the schemas of sources; the API does not tell it."""
    for source in reading.of("sources"):
        off = reading.untold.switched_off(source["id"]) if reading.untold else []
        if off:
            yield {"sourceId": source["id"], "off": off}


def live_plugins(reading: Reading) -> Iterator[Object]:
    """The code of live plugins."""
    for source in reading.of("sources"):
        found = find(reading.api, f"GET /sources/{segment(source['id'])}/live-plugins/latest")
        code = found and found["livePlugin"].get("code")
        if code:
            yield {"sourceId": source["id"], "code": code}


def warehouses(reading: Reading) -> Iterator[Object]:
    """Warehouses."""
    for each in reading.pages("/warehouses", "warehouses"):
        settings = reading.hide_of_warehouse(f"warehouse/{each['id']}/settings", each)
        yield {
            "id": each["id"],
            "metadataId": each["metadata"]["id"],
            "enabled": each["enabled"],
            "settings": settings,
        }


def warehouse_connections(reading: Reading) -> Iterator[Object]:
    """Which sources are stored in which warehouse."""
    for warehouse in reading.of("warehouses"):
        target = f"/warehouses/{segment(warehouse['id'])}/connected-sources"
        for source in pages(reading.api, target, "sources"):
            yield {"warehouseId": warehouse["id"], "sourceId": source["id"]}


def warehouse_schedules(reading: Reading) -> Iterator[Object]:
    """Schedules of warehouses that have one."""
    for warehouse in reading.of("warehouses"):
        found = reading.api.ask(f"GET /warehouses/{segment(warehouse['id'])}/advanced-sync-schedule")
        if found.get("enabled") or found.get("schedule"):
            yield {"warehouseId": warehouse["id"]} | picked(found, ("enabled", "schedule"))


def selective_syncs(reading: Reading) -> Iterator[Object]:
    """What of a source is not stored in a warehouse."""
    for each in reading.of("warehouseConnections"):
        warehouse, source = segment(each["warehouseId"]), segment(each["sourceId"])
        target = f"/warehouses/{warehouse}/connected-sources/{source}/selective-syncs"
        excluded = _excluded(pages(reading.api, target, "items"))
        if excluded:
            yield picked(each, ("warehouseId", "sourceId")) | {"excluded": excluded}


def _excluded(items: Iterable[Mapping[str, Any]]) -> list[Object]:
    """Collections and properties that are off."""
    found: list[Object] = []
    for item in sorted(items, key=lambda each: str(each["collection"])):
        if not item["enabled"]:
            found.append({"collection": item["collection"]})
        off = sorted(name for name, is_on in item.get("properties", {}).items() if not is_on)
        found += [{"collection": item["collection"], "property": name} for name in off]
    return found


def models(reading: Reading) -> Iterator[Object]:
    """Reverse ETL models."""
    fields = ("id", "sourceId", "name", "description", "enabled", "query", "queryIdentifierColumn")
    for each in reading.pages("/reverse-etl-models", "models"):
        yield picked(each, fields)


def destinations(reading: Reading) -> Iterator[Object]:
    """Destinations."""
    for each in reading.pages("/destinations", "destinations"):
        reading.keep_metadata(each["metadata"])
        settings = reading.hide(f"destination/{each['id']}/settings", each["settings"], each["metadata"])
        yield picked(each, ("id", "name", "sourceId", "enabled")) | {
            "metadataId": each["metadata"]["id"],
            "settings": settings,
        }


def destination_filters(reading: Reading) -> Iterator[Object]:
    """Destination filters, in the order in which they were made."""
    fields = ("id", "destinationId", "sourceId", "title", "description", "enabled", "if", "actions")
    for destination in reading.of("destinations"):
        for each in pages(reading.api, f"/destination/{segment(destination['id'])}/filters", "filters"):
            yield {"destinationId": destination["id"]} | picked(each, fields)


def subscriptions(reading: Reading) -> Iterator[Object]:
    """Subscriptions of destinations that have actions."""
    fields = ("id", "name", "actionId", "enabled", "trigger", "modelId", "reverseETLSchedule")
    for destination in reading.of("destinations"):
        actions = {each["id"]: each for each in reading.metadata(destination["metadataId"]).get("actions") or ()}
        target = f"/destinations/{segment(destination['id'])}/subscriptions"
        for each in pages(reading.api, target, "subscriptions") if actions else ():
            asked = (actions.get(each["actionId"]) or {}).get("fields") or ()
            secret = {field["fieldKey"] for field in asked if field.get("type") == "PASSWORD"}
            settings = reading.hiding.settings(
                f"subscription/{each['id']}/settings", each.get("settings") or {}, secret
            )
            shown = {key: value for key, value in picked(each, fields).items() if value != ""}
            yield {"destinationId": destination["id"]} | shown | {"settings": settings}


def instances(reading: Reading) -> Iterator[Object]:
    """Insert functions at work."""
    for function in reading.of("functions"):
        if not function["resourceType"].startswith("INSERT_"):
            continue
        secret = {each["name"] for each in function.get("settings", ()) if each.get("sensitive")}
        target = f"/insert-function-instances?functionId={segment(function['id'])}"
        for each in pages(reading.api, target, "instances"):
            at = f"insertFunctionInstance/{each['id']}/settings"
            shown = picked(each, ("id", "name", "integrationId", "enabled"))
            yield (
                {"functionId": function["id"]}
                | shown
                | {"settings": reading.hiding.settings(at, each["settings"], secret)}
            )


def transformations(reading: Reading) -> Iterator[Object]:
    """Transformations; destination filters, which are listed among them, are not."""
    filters = {each["id"] for each in reading.sections.get("destinationFilters", ())}
    for each in reading.pages("/transformations", "transformations"):
        if each["id"] not in filters:
            shown = picked(each, _TRANSFORMATION)
            hashing = shown.get("hashPropertiesConfiguration")
            if hashing:
                at = f"transformation/{each['id']}/hashPropertiesConfiguration"
                shown["hashPropertiesConfiguration"] = reading.hiding.settings(at, hashing, {"key"})
            yield shown


def spaces(reading: Reading) -> Iterator[Object]:
    """Spaces; the API makes none."""
    for each in reading.pages("/spaces", "spaces"):
        yield picked(each, ("id", "slug", "name"))


def space_filters(reading: Reading) -> Iterator[Object]:
    """Filters of spaces."""
    for space in reading.of("spaces"):
        for each in pages(reading.api, f"/filters?integrationId={segment(space['id'])}", "filters"):
            shown = picked(each, ("id", "name", "description", "enabled", "drop", "if"))
            yield {"integrationId": space["id"]} | shown


def profiles_warehouses(reading: Reading) -> Iterator[Object]:
    """Profiles warehouses of spaces."""
    for space in reading.of("spaces"):
        for each in pages(reading.api, f"/spaces/{segment(space['id'])}/profiles-warehouses", "profilesWarehouses"):
            at = f"profilesWarehouse/{each['id']}/settings"
            yield (
                {"spaceId": space["id"]}
                | picked(each, ("id", "enabled", "schemaName"))
                | {
                    "metadataId": each["metadata"]["id"],
                    "settings": reading.hide(at, each["settings"], each["metadata"]),
                }
            )


def profiles_syncs(reading: Reading) -> Iterator[Object]:
    """What of profiles a warehouse does not get."""
    for each in reading.of("profilesWarehouses"):
        space, warehouse = each["spaceId"], each["id"]
        target = f"/spaces/{segment(space)}/profiles-warehouses/{segment(warehouse)}/selective-syncs"
        is_on = reading.api.ask(f"GET {target}").get("enableEventTables", True)
        items = pages(reading.api, target, "items") if is_on else ()
        excluded = _excluded(items)
        if excluded or not is_on:
            shown = {"spaceId": space, "warehouseId": warehouse, "enableEventTables": is_on}
            yield shown | {"excluded": excluded}


def users(reading: Reading) -> Iterator[Object]:
    """Users, by address, with their roles."""
    for each in sorted(reading.pages("/users", "users"), key=lambda user: str(user["email"])):
        yield picked(each, ("id", "email", "name")) | {"permissions": _permissions(each)}


def invites(reading: Reading) -> Iterator[Object]:
    """Addresses that are invited, with their roles where these can be known: the API does not tell them."""
    for email in sorted(reading.pages("/invites", "invites")):
        granted = reading.untold and {"permissions": _permissions(reading.untold.invite(email))}
        yield {"email": email} | (granted or {})


def groups(reading: Reading) -> Iterator[Object]:
    """User groups with their roles and members."""
    for each in list(reading.pages("/groups", "userGroups")):
        target = f"/groups/{segment(each['id'])}"
        members = {user["email"] for user in pages(reading.api, f"{target}/users", "users")}
        members |= set(pages(reading.api, f"{target}/invites", "emails"))
        yield picked(each, ("id", "name")) | {"permissions": _permissions(each), "members": sorted(members)}


def _permissions(subject: Mapping[str, Any]) -> list[Object]:
    """Roles and what they are granted on, in an order that does not depend on who granted what when."""
    found = [
        {"roleId": each["roleId"], "resources": [_resource(one) for one in each["resources"]]}
        for each in subject.get("permissions") or ()
    ]
    return sorted(found, key=lambda each: msgspec.json.encode(each, order="sorted"))


def _resource(resource: Mapping[str, Any]) -> Object:
    marks = sorted(
        ({"key": mark["key"], "value": mark["value"]} for mark in resource.get("labels") or ()), key=_label
    )
    return picked(resource, ("id", "type")) | ({"labels": marks} if marks else {})


class Kind(msgspec.Struct, frozen=True):
    """A section of the file: the `noun` of one object, how all are read, and which fields make two objects without
    the same id the same object (all of them, where objects have no id). What is not `is_told` no API tells."""

    section: str
    noun: str
    read: Read
    same: tuple[str, ...]
    has_id: bool = True
    is_told: bool = True


KINDS: Final = (
    Kind("labels", "label", labels, ("key", "value"), has_id=False),
    Kind("credentials", "credential", credentials, ("name",)),
    Kind("functions", "function", functions, ("resourceType", "displayName")),
    Kind("trackingPlans", "tracking plan", tracking_plans, ("name",)),
    Kind("sources", "source", sources, ("slug",)),
    Kind("trackingPlanConnections", "connection", plan_connections, ("sourceId",), has_id=False),
    Kind("schemaSettings", "schema settings", schema_settings, ("sourceId",), has_id=False),
    Kind("schemaControls", "schema controls", schema_controls, ("sourceId",), has_id=False, is_told=False),
    Kind("livePlugins", "live plugin", live_plugins, ("sourceId",), has_id=False),
    Kind("warehouses", "warehouse", warehouses, ("metadataId", "settings.name")),
    Kind("warehouseConnections", "connection", warehouse_connections, ("warehouseId", "sourceId"), has_id=False),
    Kind("warehouseSchedules", "schedule", warehouse_schedules, ("warehouseId",), has_id=False),
    Kind("selectiveSyncs", "selective sync", selective_syncs, ("warehouseId", "sourceId"), has_id=False),
    Kind("reverseEtlModels", "reverse ETL model", models, ("sourceId", "name")),
    Kind("destinations", "destination", destinations, ("sourceId", "metadataId", "name")),
    Kind("destinationFilters", "destination filter", destination_filters, ("destinationId", "title")),
    Kind("subscriptions", "subscription", subscriptions, ("destinationId", "actionId", "name")),
    Kind("insertFunctionInstances", "insert function", instances, ("integrationId",)),
    Kind("transformations", "transformation", transformations, ("sourceId", "name")),
    Kind("spaces", "space", spaces, ("slug",)),
    Kind("spaceFilters", "space filter", space_filters, ("integrationId", "name")),
    Kind("profilesWarehouses", "profiles warehouse", profiles_warehouses, ("spaceId", "metadataId", "settings.name")),
    Kind("profilesSelectiveSyncs", "selective sync", profiles_syncs, ("warehouseId",), has_id=False),
    Kind("users", "user", users, ("email",)),
    Kind("invites", "invite", invites, ("email",), has_id=False),
    Kind("groups", "group", groups, ("name",)),
)
