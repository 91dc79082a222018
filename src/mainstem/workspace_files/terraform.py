"""A workspace as a configuration for Segment's Terraform provider, with a block that imports each resource.

Resources are named after what they are called, and refer to each other by those names. Secrets are variables. What
the provider has no resource for, or cannot hold, is a comment that says so.
Source: the provider's documentation of its resources (attributes, and what an import takes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from mainstem.workspace_files.document import Document
from mainstem.workspace_files.kinds import Object
from mainstem.workspace_files.secrets import name_of

_INDENT: Final = "  "
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_HEAD: Final = """terraform {
  required_providers {
    segment = { source = "segmentio/segment" }
  }
}

provider "segment" {}
"""
NOT_THERE: Final[Mapping[str, str]] = {
    "credentials": "credential",
    "schemaControls": "list of switches in a schema",
    "livePlugins": "live plugin",
    "warehouseSchedules": "schedule of a warehouse",
    "selectiveSyncs": "selective sync of a warehouse",
    "spaces": "space",
    "spaceFilters": "filter of a space",
    "profilesSelectiveSyncs": "selective sync of profiles",
    "invites": "pending invite (the provider imports users alone: let it be accepted first)",
}
"""Sections that the provider has no resource for, and what one object of them is called."""


class Raw(msgspec.Struct, frozen=True):
    """An expression that stands as it is."""

    text: str


class Json(msgspec.Struct, frozen=True):
    """A value that the provider takes as JSON."""

    value: Any


class Resource(msgspec.Struct):
    """A resource: its attributes, and what its import takes ("" when it cannot be imported)."""

    type: str
    name: str
    attributes: Object
    import_id: str


class Names:
    """Names of resources: of what they are called, each once; and by which expression an id is to be written."""

    def __init__(self, workspace_id: str) -> None:
        self.expressions: dict[str, Raw] = {workspace_id: Raw("data.segment_workspace.this.id")}
        self.labels: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def new(self, type: str, called: str, id: str = "") -> str:
        """A name that no other resource of the type has."""
        bare = re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_") or "unnamed"
        bare = bare if bare[0].isalpha() else f"_{bare}"
        name, number = bare, 1
        while (type, name) in self._taken:
            number += 1
            name = f"{bare}_{number}"
        self._taken.add((type, name))
        if id:
            self.expressions[id] = Raw(f"{type}.{name}.id")
        return name

    def of(self, id: str) -> Any:
        """The expression for an id: a reference where there is a resource, else the id itself."""
        return self.expressions.get(id, id)


def text_of(document: Document) -> str:
    """The configuration, the same text for the same document."""
    names = Names(document.workspace["id"])
    found = [each for make in _MAKERS for each in make(document, names)]
    secrets = sorted({name for each in found for name in _secrets(each.attributes)})
    parts = [_HEAD, 'data "segment_workspace" "this" {}\n']
    parts += [_variable(name) for name in secrets]
    parts += [_resource(each) for each in found]
    parts += [_import(each) for each in found if each.import_id]
    return "\n".join([*parts, *_comments(document)])


# ---- resources, by type


def _labels(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["labels"]:
        name = names.new("segment_label", f"{each['key']}_{each['value']}")
        names.labels[each["key"], each["value"]] = f"segment_label.{name}"
        yield Resource("segment_label", name, dict(each), f"{each['key']}:{each['value']}")


def _marks(names: Names, marks: Iterable[Mapping[str, str]]) -> list[Object]:
    """Labels as they stand on something."""
    known = ((names.labels.get((mark["key"], mark["value"])), mark) for mark in marks)
    return [
        {"key": Raw(f"{at}.key"), "value": Raw(f"{at}.value")} if at else {"key": mark["key"], "value": mark["value"]}
        for at, mark in known
    ]


def _functions(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["functions"]:
        name = names.new("segment_function", each["displayName"], each["id"])
        attributes = _renamed(each, "code", "displayName", "resourceType", "description", "logoUrl", "settings")
        yield Resource("segment_function", name, attributes, each["id"])
        names.expressions.setdefault(each.get("catalogId", ""), Raw(f"segment_function.{name}.catalog_id"))


def _sources(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["sources"]:
        name = names.new("segment_source", each["slug"], each["id"])
        attributes = _renamed(each, "slug", "name", "enabled") | {
            "metadata": {"id": each["metadataId"]},
            "settings": Json(each["settings"]),
        }
        if each["labels"]:
            attributes["labels"] = _marks(names, each["labels"])
        yield Resource("segment_source", name, attributes, each["id"])


def _plans(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["trackingPlans"]:
        name = names.new("segment_tracking_plan", each["name"], each["id"])
        rules = [
            _renamed(rule, "key", "type", "version") | {"json_schema": Json(rule["jsonSchema"])}
            for rule in each["rules"]
        ]
        attributes = _renamed(each, "name", "type", "description") | {"rules": rules}
        yield Resource("segment_tracking_plan", name, attributes, each["id"])


def _plan_connections(document: Document, names: Names) -> Iterator[Resource]:
    settings = {each["sourceId"]: each["settings"] for each in document.sections["schemaSettings"]}
    for each in document.sections["trackingPlanConnections"]:
        source, plan = each["sourceId"], each["trackingPlanId"]
        name = names.new("segment_source_tracking_plan_connection", _called(names, source))
        attributes: Object = {"source_id": names.of(source), "tracking_plan_id": names.of(plan)}
        if source in settings:
            attributes["schema_settings"] = _schema(settings[source], names)
        yield Resource("segment_source_tracking_plan_connection", name, attributes, f"{source}:{plan}")


def _schema(settings: Mapping[str, Any], names: Names) -> Object:
    return {
        snake(key): {snake(one): value for one, value in each.items()} if isinstance(each, dict) else names.of(each)
        for key, each in settings.items()
    }


def _warehouses(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["warehouses"]:
        settings = dict(each["settings"])
        called = settings.pop("name", None)
        name = names.new("segment_warehouse", called or each["metadataId"], each["id"])
        attributes = ({"name": called} if called else {}) | {
            "enabled": each["enabled"],
            "metadata": {"id": each["metadataId"]},
            "settings": Json(settings),
        }
        yield Resource("segment_warehouse", name, attributes, each["id"])


def _warehouse_connections(document: Document, names: Names) -> Iterator[Resource]:
    kind = "segment_source_warehouse_connection"
    for each in document.sections["warehouseConnections"]:
        called = f"{_called(names, each['sourceId'])}_{_called(names, each['warehouseId'])}"
        attributes = {"source_id": names.of(each["sourceId"]), "warehouse_id": names.of(each["warehouseId"])}
        yield Resource(kind, names.new(kind, called), attributes, "")


def _models(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["reverseEtlModels"]:
        name = names.new("segment_reverse_etl_model", each["name"], each["id"])
        attributes = {"source_id": names.of(each["sourceId"])} | _renamed(
            each, "name", "enabled", "description", "query", "queryIdentifierColumn"
        )
        yield Resource("segment_reverse_etl_model", name, attributes, each["id"])


def _destinations(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["destinations"]:
        called = each.get("name") or f"{_called(names, each['sourceId'])}_{each['metadataId']}"
        name = names.new("segment_destination", called, each["id"])
        attributes = _renamed(each, "name", "enabled") | {
            "source_id": names.of(each["sourceId"]),
            "metadata": {"id": names.of(each["metadataId"])},
            "settings": Json(each["settings"]),
        }
        yield Resource("segment_destination", name, attributes, each["id"])


def _filters(document: Document, names: Names) -> Iterator[Resource]:
    kind = "segment_destination_filter"
    for each in document.sections["destinationFilters"]:
        name = names.new(kind, each["title"], each["id"])
        attributes = _renamed(each, "if", "title", "enabled", "description") | {
            "destination_id": names.of(each["destinationId"]),
            "source_id": names.of(each["sourceId"]),
            "actions": [_action(action) for action in each["actions"]],
        }
        yield Resource(kind, name, attributes, f"{each['destinationId']}:{each['id']}")


def _action(action: Mapping[str, Any]) -> Object:
    return {name: Json(value) if name == "fields" else value for name, value in action.items() if value is not None}


def _subscriptions(document: Document, names: Names) -> Iterator[Resource]:
    kind = "segment_destination_subscription"
    for each in document.sections["subscriptions"]:
        name = names.new(kind, each["name"], each["id"])
        attributes = _renamed(each, "name", "enabled", "actionId", "trigger") | {
            "destination_id": names.of(each["destinationId"]),
            "settings": Json(each["settings"]),
        }
        if "modelId" in each:
            attributes["model_id"] = names.of(each["modelId"])
        schedule = each.get("reverseETLSchedule")
        if schedule:
            config = {"config": Json(schedule["config"])} if schedule.get("config") else {}
            attributes["reverse_etl_schedule"] = {"strategy": schedule["strategy"]} | config
        yield Resource(kind, name, attributes, f"{each['destinationId']}:{each['id']}")


def _instances(document: Document, names: Names) -> Iterator[Resource]:
    kind = "segment_insert_function_instance"
    for each in document.sections["insertFunctionInstances"]:
        name = names.new(kind, each["name"], each["id"])
        attributes = _renamed(each, "name", "enabled") | {
            "integration_id": names.of(each["integrationId"]),
            "function_id": names.of(each["functionId"]),
            "settings": Json(each["settings"]),
        }
        yield Resource(kind, name, attributes, each["id"])


def _transformations(document: Document, names: Names) -> Iterator[Resource]:
    lists = ("propertyRenames", "propertyValueTransformations", "fqlDefinedProperties")
    for each in document.sections["transformations"]:
        if each.keys() & {"allowProperties", "hashPropertiesConfiguration"}:
            continue  # a comment tells
        name = names.new("segment_transformation", each["name"], each["id"])
        attributes = _renamed(each, "name", "enabled", "if", "drop", "newEventName") | {
            "source_id": names.of(each["sourceId"])
        }
        if "destinationMetadataId" in each:
            attributes["destination_metadata_id"] = names.of(each["destinationMetadataId"])
        attributes |= {snake(key): _deeply(each.get(key, [])) for key in lists}
        yield Resource("segment_transformation", name, attributes, each["id"])


def _profiles(document: Document, names: Names) -> Iterator[Resource]:
    kind = "segment_profiles_warehouse"
    for each in document.sections["profilesWarehouses"]:
        settings = dict(each["settings"])
        called = settings.pop("name", None)
        name = names.new(kind, called or each["metadataId"], each["id"])
        attributes = (
            ({"name": called} if called else {})
            | _renamed(each, "enabled", "schemaName")
            | {
                "space_id": each["spaceId"],
                "metadata_id": each["metadataId"],
                "settings": Json(settings),
            }
        )
        yield Resource(kind, name, attributes, f"{each['spaceId']}:{each['id']}")


def _users(document: Document, names: Names) -> Iterator[Resource]:
    for each in document.sections["users"]:
        name = names.new("segment_user", each["email"], each["id"])
        attributes = {"email": each["email"], "permissions": _permissions(each, names)}
        yield Resource("segment_user", name, attributes, each["id"])


def _groups(document: Document, names: Names) -> Iterator[Resource]:
    users = {each["email"]: names.of(each["id"]) for each in document.sections["users"]}
    for each in document.sections["groups"]:
        name = names.new("segment_user_group", each["name"], each["id"])
        members = [_email(users.get(email), email) for email in each["members"]]
        attributes = {"name": each["name"], "permissions": _permissions(each, names), "members": members}
        yield Resource("segment_user_group", name, attributes, each["id"])


def _email(expression: Any, email: str) -> Any:
    return Raw(expression.text.removesuffix(".id") + ".email") if isinstance(expression, Raw) else email


def _permissions(subject: Mapping[str, Any], names: Names) -> list[Object]:
    return [
        {
            "role_id": each["roleId"],
            "resources": [
                {"id": names.of(one["id"]), "type": one["type"], "labels": _marks(names, one.get("labels", ()))}
                for one in each["resources"]
            ],
        }
        for each in subject["permissions"]
    ]


Maker = Callable[[Document, Names], Iterator[Resource]]
_MAKERS: Final[Sequence[Maker]] = (
    _labels, _functions, _sources, _plans, _plan_connections, _warehouses, _warehouse_connections, _models,
    _destinations, _filters, _subscriptions, _instances, _transformations, _profiles, _users, _groups,
)  # fmt: skip


# ---- what there is no resource for


def _comments(document: Document) -> list[str]:
    lines = []
    for section, noun in NOT_THERE.items():
        told = f"The provider has no resource for this {noun}"
        lines += [f"# {told}: {_brief(each)}" for each in document.sections[section]]
    connected = {each["sourceId"] for each in document.sections["trackingPlanConnections"]}
    for each in document.sections["schemaSettings"]:
        if each["sourceId"] not in connected:
            told = "The provider has schema settings only beside a tracking plan, not these"
            lines.append(f"# {told}: {_brief(each)}")
    for each in document.sections["transformations"]:
        if each.keys() & {"allowProperties", "hashPropertiesConfiguration"}:
            told = "The provider cannot hold what this transformation allows or hashes"
            lines.append(f"# {told}: {_brief(each)}")
    for each in document.sections["functions"]:
        if "deployedCode" in each:
            lines.append(
                f"# The provider knows the newest code alone; this function runs an older one: {_brief(each)}"
            )
    lines += [f"# {section} could not be read: {reason}" for section, reason in sorted(document.skipped.items())]
    return [*lines, ""] if lines else []


def _brief(each: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in each.items() if key not in {"code", "settings", "excluded"}}
    return json.dumps(shown, sort_keys=True)


# ---- the language


def snake(name: str) -> str:
    """displayName is display_name."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _renamed(value: Mapping[str, Any], *fields: str) -> Object:
    """These fields, as the provider spells them."""
    return {snake(name): _deeply(value[name]) for name in fields if name in value}


def _deeply(value: Any) -> Any:
    if isinstance(value, dict) and name_of(value) is None:
        return {snake(key): _deeply(each) for key, each in value.items()}
    return [_deeply(each) for each in value] if isinstance(value, list) else value


def _called(names: Names, id: str) -> str:
    """The name of the resource with this id."""
    known = names.of(id)
    return known.text.split(".")[1] if isinstance(known, Raw) else str(known)


def variable_of(secret: str) -> str:
    """The variable that holds a secret."""
    return re.sub(r"[^A-Za-z0-9]+", "_", secret)


def _variable(secret: str) -> str:
    return f'variable "{variable_of(secret)}" {{\n  type      = string\n  sensitive = true\n}}\n'


def _resource(each: Resource) -> str:
    lines = [f'resource "{each.type}" "{each.name}" {{']
    lines += [f"{_INDENT}{key} = {_text(value, 1)}" for key, value in each.attributes.items()]
    return "\n".join([*lines, "}"]) + "\n"


def _import(each: Resource) -> str:
    return f"import {{\n  to = {each.type}.{each.name}\n  id = {_quoted(each.import_id)}\n}}\n"


def _secrets(value: Any) -> Iterator[str]:
    """Names of the secrets in a value."""
    inner = value.value if isinstance(value, Json) else value
    name = name_of(inner)
    if name is not None:
        yield name
    elif isinstance(inner, (dict, list)):
        for each in inner.values() if isinstance(inner, dict) else inner:
            yield from _secrets(each)


def _text(value: Any, depth: int) -> str:
    """A value in the language, at an indent."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Json):
        return f"jsonencode({_text(value.value, depth)})"
    name = name_of(value)
    if name is not None:
        return f"var.{variable_of(name)}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (dict, list)):
        return _nested(value, depth)
    return json.dumps(value)


def _nested(value: Mapping[str, Any] | Sequence[Any], depth: int) -> str:
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if not value:
        return start + end
    inner, outer = _INDENT * (depth + 1), _INDENT * depth
    if isinstance(value, dict):
        lines = [f"{inner}{_key(key)} = {_text(each, depth + 1)}" for key, each in value.items()]
        return "\n".join([start, *lines, outer + end])
    lines = [f"{inner}{_text(each, depth + 1)}," for each in value]
    return "\n".join([start, *lines, outer + end])


def _key(key: str) -> str:
    return key if _PLAIN_KEY.match(key) else _quoted(key)


def _quoted(text: str) -> str:
    """A literal: what would begin an expression in it is escaped."""
    quoted = json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
    return re.sub(r"(\\\\)|\\b|\\f", _as_code, quoted)  # two escapes of JSON that the language does not know


def _as_code(found: re.Match[str]) -> str:
    return found[1] or {"\\b": "\\u0008", "\\f": "\\u000c"}[found[0]]
