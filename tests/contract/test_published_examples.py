"""Every request that the reference shows is accepted as it is printed.

Ids of objects are those of this instance, and a destination is of the type that we have; all else is the printed
request. Queries are written as the reference writes them, with dots. The printed request for
delivery metrics is left out: its span is empty, from a moment to the same moment.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstem import contract
from public_api.client import Api
from public_api.warehousing import new_credential, new_warehouse

PUBLISHED = contract.operations()
PAGE = "pagination.count=10"
JANUARY = f"startTime=2024-01-01T00:00:00Z&endTime=2024-01-03T00:00:00Z&granularity=DAY&groupBy.0=eventName&{PAGE}"
FEBRUARY = f"period=2021-02-01&{PAGE}"

# Metrics reach back so far and no further: the clock stands a day after the moments that are printed.
THEN = {"getEventsVolumeFromWorkspace": dt.datetime(2021, 10, 30, tzinfo=dt.UTC)}
OR_ELSE = dt.datetime(2024, 1, 4, tzinfo=dt.UTC)

READS = [
    ("getWorkspace", ""),
    ("echo", "message=Hello, World!"),
    ("getSourcesCatalog", PAGE),
    ("getDestinationsCatalog", PAGE),
    ("getWarehousesCatalog", PAGE),
    ("getSourceMetadata", ""),
    ("getDestinationMetadata", ""),
    ("listSources", PAGE),
    ("getSource", ""),
    ("listSchemaSettingsInSource", ""),
    ("listConnectedDestinationsFromSource", PAGE),
    ("listConnectedWarehousesFromSource", PAGE),
    ("getWarehouseMetadata", ""),
    ("listWarehouses", PAGE),
    ("getWarehouse", ""),
    ("getConnectionStateFromWarehouse", ""),
    ("listConnectedSourcesFromWarehouse", PAGE),
    ("getAdvancedSyncScheduleFromWarehouse", ""),
    ("listSelectiveSyncsFromWarehouseAndSource", PAGE),
    ("listSyncsFromWarehouse", PAGE),
    ("listSyncsFromWarehouseAndSource", PAGE),
    ("listCredentials", PAGE),
    ("getCredential", ""),
    ("listCredentialConsumers", "sourcesPagination.count=10&warehousesPagination.count=10"),
    ("listLabels", ""),
    ("listDestinations", PAGE),
    ("getDestination", ""),
    ("listFiltersFromDestination", PAGE),
    ("getFilterInDestination", ""),
    ("listTrackingPlans", f"type=LIVE&{PAGE}"),
    ("getTrackingPlan", ""),
    ("listRulesFromTrackingPlan", PAGE),
    ("listSourcesFromTrackingPlan", PAGE),
    ("listTransformations", PAGE),
    ("getTransformation", ""),
    ("listFunctions", f"resourceType=SOURCE&{PAGE}"),
    ("getFunction", ""),
    ("listFunctionVersions", PAGE),
    ("getFunctionVersion", ""),
    ("listInsertFunctionInstances", f"functionId={{insertFunctionId}}&{PAGE}"),
    ("getInsertFunctionInstance", ""),
    ("listAuditEvents", f"resourceId=9aQ1Lj62S4bomZKLF4DPqW&{PAGE}"),
    ("getIngressSuccessMetricsFromDeliveryOverview", f"sourceId={{sourceId}}&{JANUARY}"),
    ("getIngressFailedMetricsFromDeliveryOverview", f"sourceId={{sourceId}}&{JANUARY}"),
    ("getFilteredAtSourceMetricsFromDeliveryOverview", f"sourceId={{sourceId}}&{JANUARY}"),
    (
        "getFilteredAtDestinationMetricsFromDeliveryOverview",
        f"sourceId={{sourceId}}&destinationConfigId={{destinationId}}&{JANUARY}&groupBy.1=subscriptionId",
    ),
    (
        "getEgressFailedMetricsFromDeliveryOverview",
        f"sourceId={{sourceId}}&destinationConfigId={{destinationId}}&{JANUARY}",
    ),
    (
        "getEgressSuccessMetricsFromDeliveryOverview",
        f"sourceId={{sourceId}}&destinationConfigId={{destinationId}}&{JANUARY}",
    ),
    (
        "getEventsVolumeFromWorkspace",
        f"startTime=2021-10-28T00:00:00Z&endTime=2021-10-29T16:40:00Z&granularity=DAY&groupBy.0=eventType&{PAGE}",
    ),
    ("getDailyPerSourceAPICallsUsage", FEBRUARY),
    ("getDailyWorkspaceAPICallsUsage", FEBRUARY),
    ("getDailyPerSourceMTUUsage", FEBRUARY),
    ("getDailyWorkspaceMTUUsage", FEBRUARY),
]
WRITES: list[tuple[str, Any]] = [
    ("createTrackingPlan", {"name": "New TP", "type": "LIVE"}),
    ("updateTrackingPlan", {"name": "Updated TP"}),
    ("deleteTrackingPlan", None),
    (
        "replaceRulesInTrackingPlan",
        {"rules": [{"jsonSchema": {}, "key": "New Replaced Rule", "type": "TRACK", "version": 1}]},
    ),
    (
        "updateRulesInTrackingPlan",
        {"rules": [{"jsonSchema": {}, "key": "New Rule", "type": "TRACK", "version": 1}]},
    ),
    ("addSourceToTrackingPlan", {"sourceId": "{otherSourceId}"}),
    (
        "createLabel",
        {"label": {"description": "an environment for courageous devs", "key": "environment", "value": "yolo"}},
    ),
    ("deleteLabel", None),
    ("createSource", {"enabled": True, "metadataId": "IqDTy1TpoU", "settings": {}, "slug": "my-test-source-2gwoon"}),
    ("updateSource", {"enabled": False, "name": "My updated source"}),
    ("deleteSource", None),
    ("addLabelsToSource", {"labels": [{"key": "type", "value": "web"}]}),
    ("replaceLabelsInSource", {"labels": [{"key": "environment", "value": "prod"}]}),
    ("createWriteKeyForSource", None),
    ("removeWriteKeyFromSource", None),
    (
        "updateSchemaSettingsInSource",
        {
            "forwardingBlockedEventsTo": "{otherSourceId}",
            "forwardingViolationsTo": "{otherSourceId}",
            "group": {
                "allowTraitsOnViolations": False,
                "allowUnplannedTraits": False,
                "commonEventOnViolations": "ALLOW",
            },
            "identify": {
                "allowTraitsOnViolations": True,
                "allowUnplannedTraits": True,
                "commonEventOnViolations": "BLOCK",
            },
            "track": {
                "allowEventOnViolations": False,
                "allowPropertiesOnViolations": False,
                "allowUnplannedEventProperties": False,
                "allowUnplannedEvents": False,
                "commonEventOnViolations": "OMIT_PROPERTIES",
            },
        },
    ),
    (
        "createDestination",
        {
            "metadataId": "54521fdc25e721e32a72ef04",
            "name": "my destination v1",
            "settings": {"siteId": "12345"},
            "sourceId": "{sourceId}",
        },
    ),
    ("updateDestination", {"enabled": False}),
    ("deleteDestination", None),
    (
        "createFilterForDestination",
        {
            "actions": [{"type": "DROP"}],
            "description": "Drop Identify tracking from this destination",
            "enabled": True,
            "if": 'type = "identify"',
            "sourceId": "{sourceId}",
            "title": 'Filter "Identify" events',
        },
    ),
    (
        "updateFilterForDestination",
        {
            "actions": [{"type": "DROP"}],
            "description": "Allows track calls through to the destination.",
            "enabled": True,
            "if": '!(type = "track")',
            "title": "Allow Track",
        },
    ),
    ("removeFilterFromDestination", None),
    (
        "createWarehouse",
        {
            "metadataId": "CCIl4HLQPz",
            "settings": {
                "account": "segment",
                "auth_type": "password_auth",
                "database": "TEST_DB",
                "password": "test_pass",
                "username": "CONNECTOR_UNIT_TEST_USER",
                "warehouse": "ENGINEERING",
            },
        },
    ),
    ("updateWarehouse", {"name": "Redshift Dev", "settings": {}}),
    ("deleteWarehouse", None),
    (
        "createValidationInWarehouse",
        {
            "metadataId": "55d3d3aea3c",
            "settings": {
                "database": "db",
                "hostname": "{nobody}",
                "password": "test",
                "port": "5439",
                "username": "user",
            },
        },
    ),
    ("addConnectionFromSourceToWarehouse", None),
    ("removeSourceConnectionFromWarehouse", None),
    (
        "replaceAdvancedSyncScheduleForWarehouse",
        {
            "enabled": True,
            "schedule": {
                "times": [
                    {"enabled": True, "hourOfDay": 7},
                    {"enabled": False, "hourOfDay": 5},
                    {"enabled": True, "hourOfDay": 23},
                ],
                "timezone": "America/Vancouver",
            },
        },
    ),
    (
        "updateSelectiveSyncForWarehouse",
        {
            "syncOverrides": [
                {
                    "collection": "checkout_started",
                    "enabled": True,
                    "property": "context_ip",
                    "sourceId": "{sourceId}",
                }
            ]
        },
    ),
    (
        "createCredential",
        {
            "name": "Production Snowflake",
            "settings": {
                "account": "xy12345.us-east-1",
                "authentication": {
                    "privateKey": "<privateKey>",
                    "privateKeyPassphrase": "<privateKeyPassphrase>",
                    "type": "keypair",
                },
                "database": "ANALYTICS_DB",
                "type": "Snowflake",
                "username": "prod_user",
                "warehouse": "COMPUTE_WH",
            },
        },
    ),
    (
        "updateCredential",
        {
            "name": "Updated Snowflake Prod",
            "settings": {
                "authentication": {
                    "privateKey": "<newPrivateKey>",
                    "privateKeyPassphrase": "<newPrivateKeyPassphrase>",
                    "type": "keypair",
                },
                "username": "new_prod_user",
            },
        },
    ),
    ("deleteCredential", None),
    (
        "createTransformation",
        {
            "enabled": True,
            "if": "event = 'Example Event V1'",
            "name": "Name of the new transformation",
            "newEventName": "new-event-name",
            "propertyRenames": [
                {"newName": "new-name", "oldName": "old-name"},
                {"newName": "another-name-new", "oldName": "another-name-old"},
            ],
            "propertyValueTransformations": [
                {
                    "propertyPaths": ["properties.some-property", "context.some-property"],
                    "propertyValue": "some property value",
                }
            ],
            "sourceId": "{sourceId}",
        },
    ),
    (
        "updateTransformation",
        {
            "destinationMetadataId": "{destinationMetadataId}",
            "enabled": True,
            "if": 'event="my-event"',
            "name": "updated-name",
            "newEventName": "my-updated-event",
            "propertyRenames": [{"newName": "new-property", "oldName": "old-property"}],
            "propertyValueTransformations": [
                {"propertyPaths": ["properties.another-property"], "propertyValue": "another property value"}
            ],
            "sourceId": "{sourceId}",
        },
    ),
    ("deleteTransformation", None),
    (
        "createFunction",
        {
            "code": "// Learn more about source functions API at"
            " https://segment.com/docs/connections/sources/source-functions",
            "description": "My source function",
            "displayName": "PAPI Source Function",
            "logoUrl": "https://placekitten.com/200/139",
            "resourceType": "SOURCE",
            "settings": [
                {
                    "description": "api key",
                    "label": "api key",
                    "name": "apiKey",
                    "required": False,
                    "sensitive": False,
                    "type": "STRING",
                },
                {
                    "description": "secret key",
                    "label": "my secret key",
                    "name": "mySecret",
                    "required": False,
                    "sensitive": True,
                    "type": "STRING",
                },
            ],
        },
    ),
    (
        "updateFunction",
        {
            "code": "// Learn more about source functions API at"
            " https://segment.com/docs/connections/sources/source-functions",
            "logoUrl": "https://placekitten.com/200/139",
        },
    ),
    ("createFunctionDeployment", None),
    ("restoreFunctionVersion", {"versionId": "{versionId}"}),
    ("deleteFunction", None),
    (
        "createInsertFunctionInstance",
        {
            "functionId": "{insertFunctionId}",
            "integrationId": "{otherSourceId}",
            "name": "Example insert function instance",
            "settings": {"apiKey": "XYZ"},
        },
    ),
    ("updateInsertFunctionInstance", {"enabled": False, "settings": {"apiKey": "XYZ-new"}}),
    ("deleteInsertFunctionInstance", None),
    (
        "previewDestinationFilter",
        {
            "filter": {
                "actions": [{"fields": {"product": ["event", "requestedFrom"]}, "type": "ALLOW_PROPERTIES"}],
                "if": 'type = "track" AND event = "Order Completed"',
            },
            "payload": {
                "event": "Order Completed",
                "product": {
                    "name": "Fake mustache",
                    "referrer": "www.example.com",
                    "requestedFrom": "/products/123/checkout",
                },
                "type": "track",
            },
        },
    ),
]


class Stand:
    """An instance with what the printed requests speak of, and the ids of it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        for key, value in (("type", "web"), ("environment", "obsolete")):
            api.post("/labels", {"label": {"key": key, "value": value}})
        source, other = (
            api.post("/sources", {"slug": slug, "enabled": True, "metadataId": "IqDTy1TpoU"}).data["source"]
            for slug in ("site", "other")
        )
        plan = api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"}).data["trackingPlan"]
        api.post(f"/tracking-plans/{plan['id']}/sources", {"sourceId": source["id"]})
        new = {"sourceId": source["id"], "metadataId": "54521fdc25e721e32a72ef04", "settings": {}}
        destination = api.post("/destinations", new).data["destination"]
        new = {"sourceId": source["id"], "title": "t", "if": "all", "actions": [{"type": "DROP"}], "enabled": True}
        filter_ = api.post(f"/destination/{destination['id']}/filters", new).data["filter"]
        self.ids = {
            "sourceId": source["id"],
            "trackingPlanId": plan["id"],
            "otherSourceId": other["id"],
            "writeKey": source["writeKeys"][0],
            "destinationId": destination["id"],
            "filterId": filter_["id"],
            "transformationId": self._transformation(source["id"]),
            "warehouseId": new_warehouse(api, settings={})["id"],
            "credentialId": new_credential(api),
            "warehouseMetadataId": "55d3d3aea3c",
            "nobody": "127.0.0.1",
            **self._functions(source["id"]),
            "sourceMetadataId": "IqDTy1TpoU",
            "destinationMetadataId": "54521fdc25e721e32a72ef04",
            "key": "environment",
            "value": "obsolete",
        }

    def _transformation(self, source_id: str) -> str:
        new = {"name": "t", "sourceId": source_id, "enabled": True, "if": "event = 'x'"}
        return str(self.api.post("/transformations", new).data["transformation"]["id"])

    def _functions(self, source_id: str) -> dict[str, str]:
        """Ids of a source function, and of an insert function that is at work at this source."""
        setting = {"name": "apiKey", "label": "", "description": "", "type": "STRING"}
        new = {"code": "0", "displayName": "F", "settings": [setting | {"required": True, "sensitive": True}]}
        function, inserted = (
            self.api.post("/functions", new | {"resourceType": kind}).data["function"]
            for kind in ("SOURCE", "INSERT_SOURCE")
        )
        (version,) = self.api.get(f"/functions/{function['id']}/versions").data["versions"]
        bare = inserted["id"].partition("_")[2]
        use = {"functionId": bare, "integrationId": source_id, "name": "i", "settings": {"apiKey": "a"}}
        instance = self.api.post("/insert-function-instances", use).data["insertFunctionInstance"]
        return {
            "functionId": function["id"],
            "versionId": version["id"],
            "insertFunctionId": bare,
            "instanceId": instance["id"],
        }

    def fill(self, text: str) -> str:
        """Text with our ids for its {names}."""
        return re.sub(r"{(\w+)}", lambda found: self.ids[found[1]], text)

    def call(self, operation_id: str, query: str = "", body: Any = None) -> int:
        """Send a printed request; return the status."""
        operation = PUBLISHED[operation_id]
        target = self.fill(operation.path) + (f"?{self.fill(query)}" if query else "")
        return self.api.call(f"{operation.method} {target}", self._filled(body)).status

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return self.fill(value) if isinstance(value, str) else value


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    api = Api(tmp_path)
    yield Stand(api)
    api.database.close()


@pytest.mark.parametrize(("operation_id", "query"), READS, ids=[read[0] for read in READS])
def test_a_printed_read_is_answered(stand: Stand, operation_id: str, query: str) -> None:
    stand.api.now = THEN.get(operation_id, OR_ELSE)
    assert stand.call(operation_id, query) == 200


@pytest.mark.parametrize(("operation_id", "body"), WRITES, ids=[write[0] for write in WRITES])
def test_a_printed_write_is_accepted(stand: Stand, operation_id: str, body: Any) -> None:
    assert stand.call(operation_id, body=body) == PUBLISHED[operation_id].success_status


def test_the_printed_disconnection_of_a_source_is_accepted(stand: Stand) -> None:
    assert stand.call("removeSourceFromTrackingPlan", "sourceId={sourceId}") == 200


def test_the_printed_preview_keeps_the_allowed_properties(stand: Stand) -> None:
    body = dict(WRITES)["previewDestinationFilter"]
    reply = stand.api.post("/destination/filters/preview", body).data
    assert reply["inputPayload"] == body["payload"]
    assert reply["result"] is not None
