"""What published replies hold, by object: every key, its type, and the values that are facts.

Source: replies in the tests of Segment's Terraform provider and of its TypeScript SDK, and the reply examples of the
reference. Where these disagree, or the contract declares otherwise, the difference stands here with its reason.
"""

from __future__ import annotations

import re
from typing import Any

from contract.published import (
    CURSOR,
    EMAIL,
    FUNCTION_ID,
    ID,
    INSERT_SOURCE_ID,
    MOMENT,
    PLAN_ID,
    SLUG,
    Added,
    Anything,
    Many,
    Number,
    Otherwise,
    Sometimes,
    Withheld,
)

UNDECLARED = Withheld("the contract does not declare it")
PERMISSIONS_ANYWAY = "the contract declares them for every user and group; clients need not ask again"

DONE = {"status": "SUCCESS"}
CONNECTED = {"status": "CONNECTED"}
CONNECTED_TO_PLAN = {"status": Otherwise("SUCCESS", "the provider's test says CONNECTED, the contract SUCCESS alone")}


def page_of(total: int, **more: Any) -> dict[str, Any]:
    """The pagination of a first page that holds everything, unless `next` says otherwise."""
    return {"current": "MA==", "totalEntries": total} | more


FIRST_OF_SEVERAL = {"current": "MA==", "next": CURSOR, "totalEntries": Number}

OPTION = {
    "name": str,
    "type": str,
    "required": bool,
    "description": Sometimes(str),
    "label": Sometimes(str),
    "defaultValue": Sometimes(Anything),
}
LOGOS = {"default": str, "alt": Sometimes(str), "mark": Sometimes(str)}
SOURCE_TYPE = {
    "id": ID,
    "slug": SLUG,
    "name": str,
    "categories": Many(str),
    "description": str,
    "logos": LOGOS,
    "options": Many(OPTION),
    "isCloudEventSource": bool,
    "partnerOwned": Sometimes(bool),
    "status": Sometimes(str),
}
JAVASCRIPT = SOURCE_TYPE | {
    "id": "IqDTy1TpoU",
    "slug": "javascript",
    "name": "Javascript",
    "categories": ["Website"],
    "isCloudEventSource": False,
    "partnerOwned": False,
    "status": "PUBLIC",
}
WAREHOUSE_TYPE = {
    "id": ID,
    "slug": SLUG,
    "name": str,
    "description": str,
    "logos": {"default": str, "mark": str, "alt": str},
    "options": Many(OPTION),
}
POSTGRES_TYPE = WAREHOUSE_TYPE | {
    "id": "55d3d3aea3c",
    "slug": "postgres",
    "name": "Postgres",
    "logos": {"default": str, "mark": "", "alt": ""},
}
SNOWFLAKE_TYPE = WAREHOUSE_TYPE | {
    "slug": "snowflake",
    "name": "Snowflake",
    "logos": {"default": str, "mark": str, "alt": ""},
}
ACTION_FIELD = {
    "id": str,
    "sortOrder": Otherwise(Number, "the provider's test spells it sort_order, as text; the contract declares this"),
    "fieldKey": str,
    "label": str,
    "type": str,
    "description": str,
    "placeholder": Sometimes(str),
    "required": bool,
    "multiple": bool,
    "dynamic": bool,
    "allowNull": bool,
    "defaultValue": Sometimes(Anything),
    "choices": Sometimes(Anything),
}
ACTION = {
    "id": str,
    "slug": str,
    "name": str,
    "description": str,
    "platform": str,
    "hidden": bool,
    "defaultTrigger": str,
    "fields": Many(ACTION_FIELD),
}
PRESET = {
    "actionId": str,
    "name": str,
    "trigger": str,
    "fields": Added(dict, "the contract requires them"),
}
PLATFORMS = {
    "browser": bool,
    "mobile": bool,
    "server": bool,
    "warehouse": Sometimes(bool),
    "cloudAppObject": Added(bool, "declared later than the examples were printed"),
    "linkedAudiences": Added(bool, "declared later than the examples were printed"),
}
DESTINATION_TYPE = {
    "id": ID,
    "name": str,
    "description": str,
    "slug": SLUG,
    "logos": LOGOS,
    "options": Many(OPTION),
    "status": "PUBLIC",
    "categories": Many(str, at_least=1),
    "website": str,
    "components": Many({"code": str, "type": str, "owner": Sometimes(str)}),
    "previousNames": Many(str, at_least=1),
    "supportedMethods": dict.fromkeys(("track", "pageview", "identify", "group", "alias"), bool),
    "supportedPlatforms": PLATFORMS,
    "supportedFeatures": {
        "cloudModeInstances": str,
        "deviceModeInstances": str,
        "replay": bool,
        "browserUnbundling": bool,
        "browserUnbundlingPublic": bool,
    },
    "actions": Many(ACTION),
    "presets": Many(PRESET),
    "contacts": Many({"name": str, "email": EMAIL, "role": str, "isPrimary": bool}),
    "partnerOwned": False,
    "supportedRegions": Sometimes(Many(str)),
    "regionEndpoints": Sometimes(Many(str)),
}


WRITE_KEY = re.compile(r"[0-9A-Za-z]{22,32}")


def source(workspace_id: str, **values: Any) -> dict[str, Any]:
    """A Javascript source."""
    return {
        "id": ID,
        "slug": SLUG,
        "name": str,
        "workspaceId": workspace_id,
        "enabled": True,
        "writeKeys": [WRITE_KEY],
        "metadata": JAVASCRIPT,
        "settings": {},
        "labels": [],
    } | values


def destination(source_id: str, **values: Any) -> dict[str, Any]:
    """A destination; its name is a key once it has been given."""
    return {"id": ID, "enabled": True, "sourceId": source_id, "settings": dict, "metadata": DESTINATION_TYPE} | values


def destination_filter(source_id: str, destination_id: str, **values: Any) -> dict[str, Any]:
    """A filter of a destination."""
    return {
        "id": ID,
        "sourceId": source_id,
        "destinationId": destination_id,
        "if": str,
        "actions": Many(dict, at_least=1),
        "title": str,
        "description": str,
        "enabled": True,
        "createdAt": MOMENT,
        "updatedAt": MOMENT,
    } | values


def subscription(destination_id: str, **values: Any) -> dict[str, Any]:
    """A subscription of a destination; `modelId` is the empty text where there is none."""
    return {
        "id": ID,
        "name": str,
        "actionId": ID,
        "actionSlug": SLUG,
        "destinationId": destination_id,
        "modelId": "",
        "enabled": True,
        "trigger": str,
        "settings": dict,
    } | values


def warehouse(workspace_id: str, settings: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A warehouse; its name is one of its settings."""
    secrets_are_kept = Added(True, "says that there are secrets, which are not shown")
    return {
        "id": ID,
        "workspaceId": workspace_id,
        "enabled": True,
        "metadata": POSTGRES_TYPE,
        "settings": settings | {"encrypted": secrets_are_kept},
    } | values


LISTED_FUNCTION = {
    "id": FUNCTION_ID,
    "displayName": str,
    "description": str,
    "logoUrl": str,
    "createdAt": MOMENT,
    "createdBy": ID,
    "catalogId": ID,
    "resourceType": str,
}
FUNCTION = LISTED_FUNCTION | {
    "workspaceId": UNDECLARED,
    "code": str,
    "previewWebhookUrl": "",
    "settings": Many(
        {"name": str, "label": str, "description": str, "type": str, "required": bool, "sensitive": bool}
    ),
    "buildpack": UNDECLARED,
    "batchMaxCount": 0,
    "deployedAt": Added(None, "the contract declares it; null until it is deployed"),
    "isLatestVersion": Added(False, "the contract declares it"),
}
INSERT_SOURCE = {
    "id": INSERT_SOURCE_ID,
    "displayName": Otherwise("My test function (Acme)", "real ones bear the name of the workspace, sources apart"),
    "deployedAt": Added(MOMENT, "the contract declares it; all but sources are deployed when they are written"),
    "isLatestVersion": Added(True, "the contract declares it"),
}
"""What is of its own in a function that is inserted at a source."""

INSTANCE = {
    "id": ID,
    "name": str,
    "integrationId": ID,
    "classId": ID,
    "enabled": True,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "settings": dict,
    "encryptedSettings": {},
}
MODEL = {
    "id": ID,
    "sourceId": ID,
    "name": str,
    "description": str,
    "enabled": True,
    "query": str,
    "queryIdentifierColumn": str,
}
PLAN = {
    "id": PLAN_ID,
    "name": str,
    "resourceSchemaId": UNDECLARED,
    "slug": SLUG,
    "description": str,
    "type": "LIVE",
    "updatedAt": MOMENT,
    "createdAt": MOMENT,
}
RULE = {
    "type": str,
    "version": Number,
    "jsonSchema": dict,
    "createdAt": MOMENT,
    "updatedAt": MOMENT,
    "deprecatedAt": "0001-01-01T00:00:00.000Z",
}
TRANSFORMATION = {
    "id": ID,
    "name": str,
    "workspaceId": UNDECLARED,
    "sourceId": ID,
    "enabled": True,
    "if": str,
    "newEventName": Sometimes(str),
    "destinationMetadataId": Sometimes(ID),
    "propertyDrops": UNDECLARED,
    "propertyRenames": Many({"oldName": str, "newName": str}),
    "propertyValueTransformations": Many({"propertyPaths": Many(str, at_least=1), "propertyValue": str}),
    "fqlDefinedProperties": Sometimes(Many({"fql": str, "propertyName": str})),
}
PERSON = {"id": ID, "name": str, "email": EMAIL}


def permission(workspace_id: str, role_name: str, labels: list[dict[str, str]]) -> dict[str, Any]:
    """A role on the workspace, narrowed to labels."""
    resource = {"id": workspace_id, "type": "WORKSPACE", "labels": labels}
    return {"roleId": ID, "roleName": role_name, "resources": [resource]}


def group(name: str, members: int, permissions: Any) -> dict[str, Any]:
    """A user group."""
    return {"id": ID, "name": name, "memberCount": members, "permissions": permissions}
