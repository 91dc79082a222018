"""Replies are the published ones field by field: their keys, types and values, and what is null or absent.

Each test sends what the published object was made from. See `published_bodies` for what is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract import published_bodies as published
from contract.proves import proves
from contract.published import ID, MOMENT, Added, Many, Number, Withheld, differences
from contract.published_bodies import CONNECTED, CONNECTED_TO_PLAN, DONE, page_of
from public_api.actions import SEND, installed, new_mailer
from public_api.client import Api
from public_api.connections import HOOK, WEBHOOKS, new_database, new_model, new_source, new_webhook
from public_api.functions.making import bare, new_function, setting
from public_api.iam import people
from public_api.warehousing import POSTGRES, SERVER, SNOWFLAKE

DEV = {"key": "environment", "value": "dev"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with installed(tmp_path):
        instance = Api(tmp_path)
        yield instance
        instance.database.close()


def same(body: Any, reply: Any) -> None:
    """Raise AssertionError, a line per field, when `reply` is not as published."""
    found = differences(body, reply)
    assert not found, "\n".join(found)


def javascript(api: Api, slug: str = "my-test-source") -> Any:
    """Reply of createSource for the source of the SDK's test."""
    return api.post("/sources", {"enabled": True, "metadataId": "IqDTy1TpoU", "slug": slug}).data


class TestSources:
    @proves("createSource", "getSource", "listSources", "updateSource", "deleteSource", level=5)
    def test_a_source_from_creation_to_removal(self, api: Api) -> None:
        body = published.source(api.workspace.id, slug="my-test-source", name="my-test-source")
        made = javascript(api)
        same({"source": body}, made)
        route = f"/sources/{made['source']['id']}"
        same({"source": body, "trackingPlanId": None}, api.get(route).data)
        javascript(api, "other")
        listed = api.get("/sources?pagination.count=1").data
        same({"sources": [body], "pagination": page_of(2, next="MQ==")}, listed)
        renamed = body | {"name": "My updated source", "enabled": False}
        same({"source": renamed}, api.patch(route, {"name": "My updated source", "enabled": False}).data)
        same(DONE, api.delete(route).data)

    @proves("updateSource", "getSource", level=5)
    def test_a_source_with_settings_labels_and_another_slug(self, api: Api) -> None:
        route = f"/sources/{javascript(api)['source']['id']}"
        api.put(f"{route}/labels", {"labels": [DEV]})
        sent = {"slug": "my-new-source-slug", "name": "New", "settings": {"website_url": "https://a.example"}}
        body = published.source(api.workspace.id, labels=[DEV], **sent)
        same({"source": body}, api.patch(route, sent).data)
        same({"source": body, "trackingPlanId": None}, api.get(route).data)

    @proves("deleteSource", level=5)
    def test_a_source_that_is_not_there(self, api: Api) -> None:
        error = {"type": "not-found", "message": "Source with id '404' not found.", "data": None}
        same({"errors": [error]}, api.delete("/sources/404").body)

    @proves(
        "listSchemaSettingsInSource",
        "updateSchemaSettingsInSource",
        "addSourceToTrackingPlan",
        "removeSourceFromTrackingPlan",
        "getSource",
        level=5,
    )
    def test_a_source_with_a_tracking_plan_and_its_schema_settings(self, api: Api) -> None:
        source_id, other_id = javascript(api)["source"]["id"], new_source(api, "other")
        plan = api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"}).data["trackingPlan"]["id"]
        same(CONNECTED_TO_PLAN, api.post(f"/tracking-plans/{plan}/sources", {"sourceId": source_id}).data)
        body = {"source": published.source(api.workspace.id), "trackingPlanId": plan}
        same(body, api.get(f"/sources/{source_id}").data)
        settings = {
            "track": {
                "allowUnplannedEvents": True,
                "allowUnplannedEventProperties": True,
                "allowEventOnViolations": True,
                "allowPropertiesOnViolations": True,
                "commonEventOnViolations": "OMIT_PROPERTIES",
            },
            "group": {
                "allowTraitsOnViolations": True,
                "allowUnplannedTraits": True,
                "commonEventOnViolations": "ALLOW",
            },
            "identify": {
                "allowTraitsOnViolations": True,
                "allowUnplannedTraits": True,
                "commonEventOnViolations": "BLOCK",
            },
            "forwardingBlockedEventsTo": other_id,
            "forwardingViolationsTo": other_id,
        }
        route = f"/sources/{source_id}/settings"
        same({"sourceId": source_id, "settings": settings}, api.patch(route, settings).data)
        same({"sourceId": source_id, "settings": settings}, api.get(route).data)
        same(DONE, api.delete(f"/tracking-plans/{plan}/sources?sourceId={source_id}").data)

    @proves("listSchemaSettingsInSource", level=5)
    def test_what_nothing_is_forwarded_to_has_no_key(self, api: Api) -> None:
        source_id = javascript(api)["source"]["id"]
        people_traits = {
            "allowTraitsOnViolations": bool,
            "allowUnplannedTraits": bool,
            "commonEventOnViolations": "ALLOW",
        }
        track = dict.fromkeys(
            (
                "allowUnplannedEvents",
                "allowUnplannedEventProperties",
                "allowEventOnViolations",
                "allowPropertiesOnViolations",
            ),
            bool,
        )
        settings = {"track": track | {"commonEventOnViolations": "ALLOW"}}
        settings |= {"group": people_traits, "identify": people_traits}
        same({"sourceId": source_id, "settings": settings}, api.get(f"/sources/{source_id}/settings").data)


class TestDestinations:
    @proves("createDestination", "getDestination", "updateDestination", "listDestinations", level=5)
    def test_a_destination_has_a_name_once_it_is_given(self, api: Api) -> None:
        source_id = new_source(api)
        sent = {"sourceId": source_id, "metadataId": WEBHOOKS, "settings": {"hooks": [HOOK]}, "enabled": True}
        made = api.post("/destinations", sent).data
        same({"destination": published.destination(source_id)}, made)
        route = f"/destinations/{made['destination']['id']}"
        same({"destination": published.destination(source_id)}, api.get(route).data)
        changes = {"name": "My destination name", "enabled": False}
        body = published.destination(source_id, **changes)
        same({"destination": body}, api.patch(route, changes).data)
        same({"destination": body}, api.get(route).data)
        new_webhook(api, source_id)
        listed = api.get("/destinations?pagination.count=1").data
        same({"destinations": [body], "pagination": page_of(2, next="MQ==")}, listed)

    @proves("createFilterForDestination", "getFilterInDestination", "updateFilterForDestination", level=5)
    def test_a_filter_of_a_destination(self, api: Api) -> None:
        source_id = new_source(api)
        destination_id = new_webhook(api, source_id)
        sent = {
            "if": 'type = "identify"',
            "actions": [
                {"type": "SAMPLE", "percent": 0.2},
                {"type": "DROP_PROPERTIES", "fields": {"properties": ["a"]}},
            ],
            "title": "my filter",
            "description": "my filter description",
            "enabled": True,
        }
        body = published.destination_filter(source_id, destination_id, **sent)
        made = api.post(f"/destination/{destination_id}/filters", sent | {"sourceId": source_id}).data
        same({"filter": body}, made)
        route = f"/destination/{destination_id}/filters/{made['filter']['id']}"
        same({"filter": body}, api.get(route).data)
        sent = {
            "if": 'type = "track"',
            "actions": [{"type": "SAMPLE", "percent": 0.3}],
            "title": "my new filter",
            "description": "my new filter description",
            "enabled": False,
        }
        changed = published.destination_filter(source_id, destination_id, **sent)
        same({"filter": changed}, api.patch(route, sent).data)
        same({"filter": changed}, api.get(route).data)

    @proves(
        "createDestinationSubscription",
        "getSubscriptionFromDestination",
        "updateSubscriptionForDestination",
        "listSubscriptionsFromDestination",
        level=5,
    )
    def test_a_subscription_to_events(self, api: Api) -> None:
        destination_id = new_mailer(api, new_source(api))
        route = f"/destinations/{destination_id}/subscriptions"
        sent = {"name": "My subscription name", "actionId": SEND, "trigger": 'type = "track"'}
        body = published.subscription(destination_id, **sent, enabled=False, actionSlug="send", settings={})
        made = api.post(route, sent | {"enabled": False, "settings": {}}).data
        same({"destinationSubscription": body}, made)
        same({"subscriptions": [body], "pagination": page_of(1)}, api.get(route).data)
        one = f"{route}/{made['destinationSubscription']['id']}"
        same({"subscription": body}, api.get(one).data)
        changes = {"name": "New", "enabled": True, "settings": {"subject": "Hello"}}
        same({"subscription": body | changes}, api.patch(one, {"input": changes}).data)

    @proves("createDestinationSubscription", "updateSubscriptionForDestination", level=5)
    @proves("getSubscriptionFromDestination", level=5)
    def test_a_subscription_to_the_rows_of_a_model(self, api: Api) -> None:
        database_id = new_database(api)
        model_id, destination_id = new_model(api, database_id), new_mailer(api, database_id)
        route = f"/destinations/{destination_id}/subscriptions"
        sent = {"name": "n", "actionId": SEND, "trigger": 'event = "new"', "modelId": model_id}
        sent |= {"settings": {"subject": "Hello"}}
        body = published.subscription(destination_id, **sent, actionSlug="send")
        made = api.post(route, sent | {"enabled": True}).data
        same({"destinationSubscription": body}, made)
        schedule = {"strategy": "PERIODIC", "config": {"interval": "1d"}}
        one = f"{route}/{made['destinationSubscription']['id']}"
        scheduled = body | {"reverseETLSchedule": schedule}
        same({"subscription": scheduled}, api.patch(one, {"input": {"reverseETLSchedule": schedule}}).data)
        same({"subscription": scheduled}, api.get(one).data)


class TestFunctions:
    @pytest.mark.parametrize(("kind", "own"), [("SOURCE", {}), ("INSERT_SOURCE", published.INSERT_SOURCE)])
    @proves("createFunction", "getFunction", "updateFunction", "listFunctions", level=5)
    def test_a_function_is_answered_as_published(self, api: Api, kind: str, own: dict[str, Any]) -> None:
        sent = {
            "displayName": "My test function",
            "description": "My function description",
            "logoUrl": "https://acme.example/cool-logo.png",
            "code": "// My test code!",
            "settings": [setting("mySettingName")],
        }
        body = published.FUNCTION | sent | {"resourceType": kind} | own
        made = api.post("/functions", sent | {"resourceType": kind}).data
        same({"function": body}, made)
        route = f"/functions/{made['function']['id']}"
        same({"function": body}, api.get(route).data)
        listed = api.get(f"/functions?resourceType={kind}").data
        shown = {key: body[key] for key in published.LISTED_FUNCTION}
        same({"functions": [shown], "pagination": page_of(1)}, listed)
        changes = {"code": "// New!", "settings": [setting("myNew", required=True, sensitive=True)]}
        same({"function": body | changes}, api.patch(route, changes).data)

    @proves(
        "createInsertFunctionInstance",
        "getInsertFunctionInstance",
        "updateInsertFunctionInstance",
        level=5,
    )
    def test_an_instance_of_an_insert_function(self, api: Api) -> None:
        function = new_function(api, "INSERT_DESTINATION", settings=[setting()])
        names = {"integrationId": new_webhook(api, new_source(api)), "name": "My instance name"}
        sent = names | {"enabled": True, "settings": {"apiKey": "abc123"}}
        body = published.INSTANCE | sent | {"classId": bare(function)}
        made = api.post("/insert-function-instances", sent | {"functionId": bare(function)}).data
        same({"insertFunctionInstance": body}, made)
        route = f"/insert-function-instances/{made['insertFunctionInstance']['id']}"
        same({"insertFunctionInstance": body}, api.get(route).data)
        changes = {"name": "My new instance name", "enabled": False, "settings": {"apiKey": "cba321"}}
        same({"insertFunctionInstance": body | changes}, api.patch(route, changes).data)


@proves("createReverseEtlModel", "getReverseEtlModel", "updateReverseEtlModel", level=5)
def test_a_reverse_etl_model(api: Api) -> None:
    sent = {
        "sourceId": new_database(api),
        "name": "My reverse etl model name",
        "description": "My reverse etl model description",
        "enabled": True,
        "query": "SELECT hi FROM greetings",
        "queryIdentifierColumn": "hi",
    }
    body = published.MODEL | sent
    made = api.post("/reverse-etl-models", sent).data
    same({"reverseEtlModel": body}, made)
    route = f"/reverse-etl-models/{made['reverseEtlModel']['id']}"
    same({"reverseEtlModel": body}, api.get(route).data)
    changes = {"name": "New", "description": "d", "enabled": False, "query": "SELECT hello FROM greetings"}
    changes |= {"queryIdentifierColumn": "hello"}
    same({"reverseEtlModel": body | changes}, api.patch(route, changes).data)


@proves("createLabel", "listLabels", level=5)
def test_labels_are_answered_as_published(api: Api) -> None:
    label = {"key": "region", "value": "eu", "description": "European Union"}
    same({"label": label}, api.post("/labels", {"label": label}).data)
    prod = {"key": "environment", "value": "prod"}
    same({"labels": [DEV, prod, label]}, api.get("/labels").data)


class TestWarehouses:
    @proves("createWarehouse", "getWarehouse", "updateWarehouse", "listWarehouses", "deleteWarehouse", level=5)
    def test_a_warehouse_has_its_name_among_its_settings(self, api: Api) -> None:
        shown = {key: value for key, value in SERVER.items() if key != "password"}
        body = published.warehouse(api.workspace.id, shown | {"name": "My warehouse name"})
        sent = {"metadataId": POSTGRES, "name": "My warehouse name", "enabled": True, "settings": SERVER}
        made = api.post("/warehouses", sent).data
        same({"warehouse": body}, made)
        route = f"/warehouses/{made['warehouse']['id']}"
        same({"warehouse": body}, api.get(route).data)
        changes = {"name": "New", "enabled": False, "settings": {"database": "other"}}
        renamed = shown | {"name": "New", "database": "other"}
        changed = published.warehouse(api.workspace.id, renamed, enabled=False)
        same({"warehouse": changed}, api.patch(route, changes).data)
        same({"warehouses": [changed], "pagination": page_of(1)}, api.get("/warehouses").data)
        same(DONE, api.delete(route).data)

    @proves(
        "addConnectionFromSourceToWarehouse",
        "removeSourceConnectionFromWarehouse",
        "listConnectedWarehousesFromSource",
        level=5,
    )
    def test_a_source_is_connected_to_a_warehouse(self, api: Api) -> None:
        source_id = new_source(api)
        sent = {"metadataId": POSTGRES, "settings": {}, "disconnectAllSources": True}
        warehouse = api.post("/warehouses", sent).data["warehouse"]
        connection = f"/warehouses/{warehouse['id']}/connected-sources/{source_id}"
        same(CONNECTED, api.post(connection).data)
        body = published.warehouse(api.workspace.id, {}) | {"id": warehouse["id"], "settings": {}}
        listed = api.get(f"/sources/{source_id}/connected-warehouses").data
        same({"warehouses": [body], "pagination": page_of(1)}, listed)
        same(DONE, api.delete(connection).data)

    @proves(
        "createProfilesWarehouse",
        "updateProfilesWarehouseForSpaceWarehouse",
        "listProfilesWarehouseInSpace",
        level=5,
    )
    def test_a_warehouse_of_a_space(self, api: Api) -> None:
        space_id = api.get("/spaces").data["spaces"][0]["id"]
        settings = {"account": "acme", "username": "u"}
        body = published.warehouse(api.workspace.id, {}) | {
            "spaceId": space_id,
            "metadata": published.SNOWFLAKE_TYPE,
            "settings": settings | {"name": "My warehouse name"},
            "schemaName": "my-schema-name",
        }
        sent = {"metadataId": SNOWFLAKE, "name": "My warehouse name", "schemaName": "my-schema-name"}
        route = f"/spaces/{space_id}/profiles-warehouses"
        made = api.post(route, sent | {"enabled": True, "settings": settings}).data
        same({"profilesWarehouse": body}, made)
        same({"profilesWarehouses": [body], "pagination": Added(page_of(1), "required")}, api.get(route).data)
        changes = {"name": "New", "enabled": False, "settings": settings, "schemaName": "my-new-schema-name"}
        changed = body | changes | {"settings": settings | {"name": "New"}}
        del changed["name"]
        one = f"{route}/{made['profilesWarehouse']['id']}"
        same({"profilesWarehouse": changed}, api.patch(one, changes).data)


class TestTrackingPlans:
    @proves("createTrackingPlan", "getTrackingPlan", level=5)
    def test_a_tracking_plan_is_answered_as_published(self, api: Api) -> None:
        sent = {"name": "My Tracking Plan", "description": "My Tracking Plan Description", "type": "LIVE"}
        made = api.post("/tracking-plans", sent).data
        same({"trackingPlan": published.PLAN | sent}, made)
        same({"trackingPlan": published.PLAN | sent}, api.get(f"/tracking-plans/{made['trackingPlan']['id']}").data)

    @proves("listRulesFromTrackingPlan", level=5)
    def test_rules_with_and_without_a_key(self, api: Api) -> None:
        schema = {"properties": {"context": {}, "traits": {}, "properties": {}}}
        track = {"key": "Add Rule", "type": "TRACK", "version": 1, "jsonSchema": schema}
        identify = {"type": "IDENTIFY", "version": 2, "jsonSchema": schema}
        plan = api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"}).data["trackingPlan"]["id"]
        api.put(f"/tracking-plans/{plan}/rules", {"rules": [track, identify]})
        rules = [published.RULE | track, published.RULE | identify]
        same({"rules": rules, "pagination": page_of(2)}, api.get(f"/tracking-plans/{plan}/rules").data)
        first = api.get(f"/tracking-plans/{plan}/rules?pagination.count=1").data
        same({"rules": rules[:1], "pagination": published.FIRST_OF_SEVERAL}, first)


class TestTransformations:
    RENAMES = (("old-name", "new-name"), ("another-name-old", "another-name-new"))
    VALUES = ({"propertyPaths": ["properties.some-property", "context.some-property"], "propertyValue": "v"},)

    def sent(self, source_id: str) -> dict[str, Any]:
        return {
            "name": "My transformation name",
            "sourceId": source_id,
            "enabled": True,
            "if": "event = 'Bad Event'",
            "newEventName": "Good Event",
            "propertyRenames": [{"oldName": old, "newName": new} for old, new in self.RENAMES],
            "propertyValueTransformations": [*self.VALUES],
            "fqlDefinedProperties": [],
        }

    @proves("createTransformation", "getTransformation", "updateTransformation", level=5)
    def test_what_is_sent_empty_is_shown_empty(self, api: Api) -> None:
        sent = self.sent(new_source(api))
        body = published.TRANSFORMATION | sent
        made = api.post("/transformations", sent).data
        same({"transformation": body}, made)
        route = f"/transformations/{made['transformation']['id']}"
        same({"transformation": body}, api.get(route).data)
        changes = {"sourceId": new_source(api, "other"), "enabled": False, "newEventName": "Other Event"}
        changes |= {"propertyRenames": [], "propertyValueTransformations": []}
        same({"transformation": body | changes}, api.patch(route, changes).data)

    @proves("listTransformations", "updateTransformation", "deleteTransformation", level=5)
    def test_for_one_type_of_destination(self, api: Api) -> None:
        source_id = new_source(api)
        new_webhook(api, source_id)
        sent = self.sent(source_id)
        del sent["fqlDefinedProperties"]
        made = api.post("/transformations", sent).data["transformation"]
        changes = {"destinationMetadataId": WEBHOOKS}
        body = published.TRANSFORMATION | sent | changes | {"fqlDefinedProperties": Withheld("none was sent")}
        same({"transformation": body}, api.patch(f"/transformations/{made['id']}", changes).data)
        same({"transformations": [body], "pagination": page_of(1)}, api.get("/transformations").data)
        same(DONE, api.delete(f"/transformations/{made['id']}").data)


class TestPeople:
    @proves("createInvites", "deleteInvites", level=5)
    def test_invites_are_answered_as_published(self, api: Api) -> None:
        asked = people.permission(api, "Source Admin")
        sent = {"invites": [{"email": "foo@example.com", "permissions": [asked]}]}
        same({"emails": ["foo@example.com"]}, api.post("/invites", sent).data)
        same(DONE, api.delete("/invites?emails.0=foo@example.com").data)

    @proves("getUser", "listUsers", "replacePermissionsForUser", level=5)
    def test_users_and_their_permissions(self, api: Api) -> None:
        asked = people.permission(api, "Source Admin", people.on_workspace(api, ("environment", "dev")))
        people.invite(api, "sloth@example.com", asked)
        user_id = people.accept(api, "sloth@example.com", "Sloth")
        user = {"id": user_id, "name": "Sloth", "email": "sloth@example.com"}
        admin = published.permission(api.workspace.id, "Source Admin", [DEV])
        same({"user": user | {"permissions": [admin]}}, api.get(f"/users/{user_id}").data)
        anyway = {"permissions": Added(Many(dict), published.PERMISSIONS_ANYWAY)}
        users = [published.PERSON | anyway, user | anyway]
        same({"users": users, "pagination": page_of(2)}, api.get("/users").data)
        body = {"permissions": [people.permission(api, "Source Read-only")]}
        reader = published.permission(api.workspace.id, "Source Read-only", [])
        same({"permissions": [reader]}, api.put(f"/users/{user_id}/permissions", body).data)

    @proves(
        "createUserGroup",
        "getUserGroup",
        "updateUserGroup",
        "deleteUserGroup",
        "replacePermissionsForUserGroup",
        level=5,
    )
    def test_a_group_and_its_permissions(self, api: Api) -> None:
        none = Added([], published.PERMISSIONS_ANYWAY)
        made = api.post("/groups", {"name": "my group name"}).data
        same({"userGroup": published.group("my group name", 0, none)}, made)
        route = f"/groups/{made['userGroup']['id']}"
        asked = people.permission(api, "Source Admin", people.on_workspace(api, ("environment", "dev")))
        admin = published.permission(api.workspace.id, "Source Admin", [DEV])
        same({"permissions": [admin]}, api.put(f"{route}/permissions", {"permissions": [asked]}).data)
        same({"userGroup": published.group("my group name", 0, [admin])}, api.get(route).data)
        renamed = published.group("my new group name", 0, Added([admin], published.PERMISSIONS_ANYWAY))
        same({"userGroup": renamed}, api.patch(route, {"name": "my new group name"}).data)
        same(DONE, api.delete(route).data)

    @proves("replaceUsersInUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup", level=5)
    def test_members_of_a_group(self, api: Api) -> None:
        group_id, user_id = people.new_group(api), people.new_user(api, "test@example.com")
        people.invite(api, "test-invite@example.com")
        nobody = {"emails": [], "pagination": page_of(0)}
        same(nobody, api.get(f"/groups/{group_id}/invites").data)
        emails = ["test@example.com", "test-invite@example.com"]
        replaced = api.put(f"/group/{group_id}/users", {"emails": emails}).data
        same({"userGroup": published.group("Team", 2, Added([], published.PERMISSIONS_ANYWAY))}, replaced)
        member = published.PERSON | {"id": user_id, "email": "test@example.com"}
        users = api.get(f"/groups/{group_id}/users").data
        same({"users": [member], "pagination": page_of(1)}, users)
        invited = {"emails": ["test-invite@example.com"], "pagination": page_of(1)}
        same(invited, api.get(f"/groups/{group_id}/invites").data)

    @proves("listRoles", level=5)
    def test_roles_are_answered_as_published(self, api: Api) -> None:
        roles = api.get("/roles").data
        same({"roles": Many({"id": ID, "name": str, "description": str}, at_least=2), "pagination": dict}, roles)
        assert {"Source Read-only", "Workspace Owner"} <= {each["name"] for each in roles["roles"]}


@proves("getWorkspace", level=5)
def test_the_workspace_is_answered_as_published(api: Api) -> None:
    same({"workspace": {"id": api.workspace.id, "name": "Acme", "slug": "acme"}}, api.get("/").data)


class TestCatalog:
    @pytest.mark.parametrize(
        ("route", "name", "kind"),
        [
            ("sources", "sourcesCatalog", published.SOURCE_TYPE),
            ("warehouses", "warehousesCatalog", published.WAREHOUSE_TYPE),
        ],
    )
    @proves("getSourcesCatalog", "getWarehousesCatalog", level=5)
    def test_every_entry_of_a_page(self, api: Api, route: str, name: str, kind: dict[str, Any]) -> None:
        reply = api.get(f"/catalog/{route}?pagination.count=2").data
        same({name: [kind, kind], "pagination": published.FIRST_OF_SEVERAL | {"next": "Mg=="}}, reply)

    @proves("getDestinationsCatalog", "getDestinationMetadata", level=5)
    def test_a_type_of_destination(self, api: Api) -> None:
        reply = api.get(f"/catalog/destinations/{WEBHOOKS}").data
        same({"destinationMetadata": published.DESTINATION_TYPE}, reply)
        listed = api.get("/catalog/destinations?pagination.count=1").data
        assert listed["destinationsCatalog"] == [reply["destinationMetadata"]]
        same(published.FIRST_OF_SEVERAL, listed["pagination"])

    @proves("getSourceMetadata", "getWarehouseMetadata", level=5)
    def test_a_type_of_source_and_one_of_warehouse(self, api: Api) -> None:
        same({"sourceMetadata": published.JAVASCRIPT}, api.get("/catalog/sources/IqDTy1TpoU").data)
        same({"warehouseMetadata": published.POSTGRES_TYPE}, api.get(f"/catalog/warehouses/{POSTGRES}").data)


@proves("getEventsVolumeFromWorkspace", level=5)
def test_the_volume_of_two_days(api: Api) -> None:
    window = "startTime=2026-03-08T00:00:00Z&endTime=2026-03-10T00:00:00Z&granularity=DAY"
    query = {"workspaceId": api.workspace.id, "startTime": MOMENT, "endTime": MOMENT, "granularity": "DAY"}
    day = {"time": MOMENT, "count": Number}
    body = {"path": str, "query": query, "result": [{"total": Number, "series": [day, day]}]}
    same(body | {"pagination": page_of(1)}, api.get(f"/events/volume?{window}").data)
