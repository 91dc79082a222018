"""Who may call what: every operation, called by everybody.

Who may is written down here once more, by family, from the reference and the guide to roles, and not taken from the
code. Each call is undone after it was answered, so that all of them meet the same workspace; what a refused caller
would have changed is looked for before that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from contract.test_published_examples import OR_ELSE, READS, THEN, WRITES, Stand
from mainstem import contract
from mainstem.public_api import FAMILIES, labels, workspaces
from mainstem.rest import tokens
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import ROLES
from mainstem.rest.rows import metadata
from mainstem.rest.tokens import Access
from public_api.actions import SYNC, installed, new_mailer
from public_api.client import START, Api, Reply
from public_api.connections import new_database, new_model
from public_api.functions.making import new_function
from public_api.iam.people import new_group, new_user
from public_api.warehousing import new_warehouse

PUBLISHED = contract.operations()
OPERATIONS = sorted(record.id for family in FAMILIES for record in family.operations)
OWNER = "Workspace Owner"
NAMES = [role.name for role in ROLES]
EVERYBODY = set(NAMES)
MEMBERS = EVERYBODY - {"Minimal Workspace Access"}
SOURCE_ADMIN, SOURCE_READ = {OWNER, "Source Admin"}, {OWNER, "Source Admin", "Source Read-only"}
FUNCTION_ADMIN, FUNCTION_READ = {OWNER, "Function Admin"}, {OWNER, "Function Admin", "Function Read-only"}
PLAN_ADMIN = {OWNER, "Tracking Plan Admin"}
PLAN_READ = PLAN_ADMIN | {"Tracking Plan Read-only"}
WAREHOUSE_ADMIN = {OWNER, "Warehouse Admin"}
WAREHOUSE_READ = WAREHOUSE_ADMIN | {"Warehouse Read-only"}
SPACE_ADMIN = {OWNER, "Unify and Engage Admin"}
SPACE_READ = SPACE_ADMIN | {"Unify and Engage Read-only", "Unify Read-only, Engage User", "Identity Admin"}

# By tag: who may read, and who may write.
ALLOWED: Mapping[str, tuple[set[str], set[str]]] = {
    "Workspaces": (EVERYBODY, set()),
    "Testing": (MEMBERS, set()),
    "Catalog": (MEMBERS, set()),
    "Labels": (MEMBERS, {OWNER}),
    "API Calls": (MEMBERS, set()),
    "Monthly Tracked Users": (MEMBERS, set()),
    "Sources": (SOURCE_READ, SOURCE_ADMIN),
    "Live Plugins": (SOURCE_READ, SOURCE_ADMIN),
    "Destinations": (SOURCE_READ, SOURCE_ADMIN),
    "Destination Filters": (SOURCE_READ, SOURCE_ADMIN),
    "Reverse ETL": (SOURCE_READ, SOURCE_ADMIN),
    "Transformations": (SOURCE_READ, SOURCE_ADMIN),
    "Delivery Overview": (SOURCE_READ, set()),
    "Events": (SOURCE_READ, set()),
    "Tracking Plans": (PLAN_READ, PLAN_ADMIN),
    "Functions": (FUNCTION_READ, FUNCTION_ADMIN),
    "Warehouses": (WAREHOUSE_READ, WAREHOUSE_ADMIN),
    "Selective Sync": (WAREHOUSE_READ, WAREHOUSE_ADMIN),
    "Spaces": (SPACE_READ, SPACE_ADMIN),
    "Space Filters": (SPACE_READ, SPACE_ADMIN),
    "Profiles Sync": (SPACE_READ, SPACE_ADMIN),
    "IAM Users": ({OWNER}, {OWNER}),
    "IAM Groups": ({OWNER}, {OWNER}),
    "IAM Roles": ({OWNER}, {OWNER}),
    "Audit Trail": ({OWNER}, {OWNER}),
}
# What a tag does not tell. One role is never enough for what connects two kinds of objects.
EXCEPTIONS: Mapping[str, set[str]] = {
    "previewDestinationFilter": SOURCE_READ,  # a POST that changes nothing
    "addSourceToTrackingPlan": {OWNER},
    "removeSourceFromTrackingPlan": {OWNER},
    "listSourcesFromTrackingPlan": {OWNER},
    "addConnectionFromSourceToWarehouse": {OWNER},
    "removeSourceConnectionFromWarehouse": {OWNER},
    "listSelectiveSyncsFromWarehouseAndSource": {OWNER},
    "listSyncsFromWarehouseAndSource": {OWNER},
    "updateSelectiveSyncForWarehouse": {OWNER},
    "createInsertFunctionInstance": {OWNER},
}

SEND = {"name": "Sync", "actionId": SYNC, "trigger": 'type = "track"', "enabled": True}
MODEL = {
    "sourceId": "{databaseId}", "name": "People", "description": "", "enabled": True, "query": "SELECT 1",
    "queryIdentifierColumn": "id",
}  # fmt: skip
PLACE = {"hostname": "db.example", "port": "5432", "database": "d", "username": "u", "password": "p"}
PERMISSIONS = {
    "permissions": [{"roleId": "1WDUuSF1kN1xis2lp09RVKOsnnL", "resources": [{"id": "{sourceId}", "type": "SOURCE"}]}]
}
# The operations without a printed request: query, body, and the path where its names mean several things.
MORE: Mapping[str, tuple[str, Any, str]] = {
    "createLivePlugin": ("", {"code": "0"}, ""),
    "getLatestFromLivePlugins": ("", None, ""),
    "deleteLivePluginCode": ("", None, ""),
    "listDeliveryMetricsSummaryFromDestination": ("sourceId={sourceId}", None, ""),
    "listSubscriptionsFromDestination": ("", None, "/destinations/{mailerId}/subscriptions"),
    "createDestinationSubscription": ("", SEND, "/destinations/{mailerId}/subscriptions"),
    "getSubscriptionFromDestination": ("", None, "/destinations/{mailerId}/subscriptions/{subscriptionId}"),
    "updateSubscriptionForDestination": (
        "", {"input": {"name": "Other"}}, "/destinations/{mailerId}/subscriptions/{subscriptionId}"
    ),
    "removeSubscriptionFromDestination": ("", None, "/destinations/{mailerId}/subscriptions/{subscriptionId}"),
    "listReverseEtlModels": ("", None, ""),
    "createReverseEtlModel": ("", MODEL, ""),
    "getReverseEtlModel": ("", None, ""),
    "updateReverseEtlModel": ("", {"name": "Other"}, ""),
    "deleteReverseEtlModel": ("", None, ""),
    "removeRulesFromTrackingPlan": ('rules={"type":"TRACK","key":"A","version":1}', None, ""),
    "removeSourceFromTrackingPlan": ("sourceId={sourceId}", None, ""),
    "listSpaces": ("", None, ""),
    "getSpace": ("", None, ""),
    "listFiltersForSpace": ("integrationId={spaceId}&pagination.count=10", None, ""),
    "createFilterForSpace": ("", {"integrationId": "{spaceId}", "name": "n", "if": 'type = "track"'}, ""),
    "getFilterById": ("", None, "/filters/{spaceFilterId}"),
    "updateFilterById": ("", {"integrationId": "{spaceId}", "name": "m", "if": "all"}, "/filters/{spaceFilterId}"),
    "deleteFilterById": ("", None, "/filters/{spaceFilterId}"),
    "listProfilesWarehouseInSpace": ("", None, ""),
    "createProfilesWarehouse": ("", {"metadataId": "55d3d3aea3c", "settings": PLACE, "schemaName": "b"}, ""),
    "updateProfilesWarehouseForSpaceWarehouse": (
        "", {"settings": {}, "enabled": False}, "/spaces/{spaceId}/profiles-warehouses/{profilesId}"
    ),
    "removeProfilesWarehouseFromSpace": ("", None, "/spaces/{spaceId}/profiles-warehouses/{profilesId}"),
    "listSelectiveSyncsFromWarehouseAndSpace": (
        "", None, "/spaces/{spaceId}/profiles-warehouses/{profilesId}/selective-syncs"
    ),
    "updateSelectiveSyncForWarehouseAndSpace": (
        "",
        {"syncOverrides": [{"collection": "user_traits", "enabled": False}]},
        "/spaces/{spaceId}/profiles-warehouses/{profilesId}/selective-syncs",
    ),
    "listUsers": ("", None, ""),
    "getUser": ("", None, ""),
    "deleteUsers": ("userIds.0={userId}", None, ""),
    "addPermissionsToUser": ("", PERMISSIONS, ""),
    "replacePermissionsForUser": ("", PERMISSIONS, ""),
    "listUserGroupsFromUser": ("", None, ""),
    "createInvites": ("", {"invites": [{"email": "new@example.com"}]}, ""),
    "listInvites": ("", None, ""),
    "deleteInvites": ("emails.0=pending@example.com", None, ""),
    "listUserGroups": ("", None, ""),
    "createUserGroup": ("", {"name": "Other"}, ""),
    "getUserGroup": ("", None, ""),
    "updateUserGroup": ("", {"name": "Other"}, ""),
    "deleteUserGroup": ("", None, ""),
    "addPermissionsToUserGroup": ("", PERMISSIONS, ""),
    "replacePermissionsForUserGroup": ("", PERMISSIONS, ""),
    "listUsersFromUserGroup": ("", None, ""),
    "listInvitesFromUserGroup": ("", None, ""),
    "addUsersToUserGroup": ("", {"emails": ["pending@example.com"]}, ""),
    "replaceUsersInUserGroup": ("", {"emails": []}, ""),
    "removeUsersFromUserGroup": ("emails.0=member@example.com", None, ""),
    "listRoles": ("", None, ""),
}  # fmt: skip
CALLS: Mapping[str, tuple[str, Any, str]] = {
    **{name: (query, None, "") for name, query in READS},
    **{name: ("", body, "") for name, body in WRITES},
    **MORE,
}


class Undo(Exception):
    """Ends a transaction without its changes."""


class Undoing:
    """A database whose transactions are undone; `changed` names the tables in which the last one would have changed
    a row."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.changed: set[str] = set()
        with self._database.transaction(writes=False) as db:
            self._before = rows_of(db)

    @contextlib.contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        with contextlib.suppress(Undo), self._database.transaction(writes=writes) as db:
            yield db
            if writes:
                after = rows_of(db)
                self.changed = {name for name, rows in self._before.items() if rows != after[name]}
            raise Undo


def rows_of(db: Connection) -> dict[str, Any]:
    """Everything in the database, by table."""
    return {name: db.execute(select(table)).all() for name, table in metadata.tables.items()}


class World(Stand):
    """A workspace with one of everything, a second workspace, and callers of every kind."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        source_id = self.ids["sourceId"]
        mailer = new_mailer(api, source_id)
        subscription = api.post(f"/destinations/{mailer}/subscriptions", SEND).data["destinationSubscription"]
        database = new_database(api)
        space = api.get("/spaces").data["spaces"][0]["id"]
        space_filter = {"integrationId": space, "name": "n", "if": "all"}
        profiles = {"metadataId": "55d3d3aea3c", "settings": PLACE}
        self.ids |= {
            "mailerId": mailer,
            "subscriptionId": subscription["id"],
            "databaseId": database,
            "modelId": new_model(api, database),
            "spaceId": space,
            "spaceFilterId": api.post("/filters", space_filter).data["filter"]["id"],
            "profilesId": api.post(f"/spaces/{space}/profiles-warehouses", profiles).data["profilesWarehouse"]["id"],
            "userId": new_user(api, "member@example.com"),
            "userGroupId": new_group(api),
        }
        api.post(f"/sources/{source_id}/live-plugins/create", {"code": "0"})
        api.post("/invites", {"invites": [{"email": "pending@example.com"}]})
        api.post(f"/groups/{self.ids['userGroupId']}/users", {"emails": ["member@example.com"]})
        rule = {"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {}}
        api.patch(f"/tracking-plans/{self.ids['trackingPlanId']}/rules", {"rules": [rule]})
        self.tokens = {name: api.member_with(name) for name in NAMES}
        self.elsewhere = {
            name: api.member_with(name, Resource(self.others().get(kind, "another"), kind))
            for name, (kind, _) in SCOPES.items()
        }
        self.revoked, self.stranger = self._revoked(), self._stranger()
        self.database = Undoing(api.database)
        api.dispatcher._database = self.database

    def others(self) -> dict[ResourceType, str]:
        """An object of each kind that is not the one that calls name."""
        spaces = self.api.get("/spaces").data["spaces"]
        return {
            ResourceType.SOURCE: self.ids["otherSourceId"],
            ResourceType.WAREHOUSE: new_warehouse(self.api, settings={})["id"],
            ResourceType.SPACE: spaces[1]["id"],
            ResourceType.FUNCTION: new_function(self.api)["id"],
        }

    def _revoked(self) -> str:
        secret = tokens.new_secret()
        with self.api.database.transaction(writes=True) as db:
            made = tokens.create(db, self.api.vault, self.api.workspace.id, "r", Access.OWNER, START, secret)
            tokens.revoke(db, made.id, START)
        return secret

    def _stranger(self) -> str:
        """The token of an owner of another workspace."""
        secret = tokens.new_secret()
        with self.api.database.transaction(writes=True) as db:
            other = workspaces.create(db, "Other", "other", "other@localhost", START)
            labels.add_default_labels(db, other.id)
            tokens.create(db, self.api.vault, other.id, "other", Access.OWNER, START, secret)
        return secret

    def ask(self, operation_id: str, token: str) -> Reply:
        """Call an operation; what it changes is undone."""
        query, body, path = CALLS[operation_id]
        operation = PUBLISHED[operation_id]
        target = self.fill(path or operation.path) + (f"?{self.fill_query(query)}" if query else "")
        self.database.changed = set()
        self.api.now = THEN.get(operation_id, OR_ELSE) if operation.method == "GET" else START
        return self.api.call(f"{operation.method} {target}", self._filled(body), token=token)

    def fill_query(self, query: str) -> str:
        """A query with our ids; what looks like JSON in it has no names of ours."""
        return query if query.startswith("rules=") else self.fill(query)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("authorization")
    with installed(folder / "packages"):
        api = Api(folder)
        yield World(api)
        api.database.close()


def allowed(operation_id: str) -> set[str]:
    """Names of the roles each of which is enough."""
    operation = PUBLISHED[operation_id]
    if operation.tags == ("Credentials",):
        return set(operation.required_roles)
    reads, writes = ALLOWED[operation.tags[0]]
    return EXCEPTIONS.get(operation_id, reads if operation.method == "GET" else writes)


# Who sees the function and not the source, or the warehouse and not the source, hears of one that is not there: for a
# body that is a fault of it, and to disconnect what is not there is done.
REFUSED = {"createInsertFunctionInstance": (403, 422), "removeSourceConnectionFromWarehouse": (200, 403)}


def test_every_operation_is_called() -> None:
    assert sorted(CALLS) == OPERATIONS


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_without_a_token_and_with_a_revoked_one_nothing_is_answered(world: World, operation_id: str) -> None:
    assert [world.ask(operation_id, token).status for token in ("", "x", world.revoked)] == [401, 401, 401]


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_each_role_may_what_it_should_and_no_more(world: World, operation_id: str) -> None:
    accepted = PUBLISHED[operation_id].success_status
    for name in NAMES:
        reply = world.ask(operation_id, world.tokens[name])
        if name in allowed(operation_id):
            assert reply.status == accepted, f"{name}: {reply.body}"
        else:
            assert reply.status in REFUSED.get(operation_id, (403, 404)), f"{name}: {reply.status} {reply.body}"
            assert not world.database.changed, name


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_another_workspace_sees_nothing_and_changes_nothing(world: World, operation_id: str) -> None:
    reply = world.ask(operation_id, world.stranger)
    names_ours = "{" in PUBLISHED[operation_id].path and PUBLISHED[operation_id].tags != ("Catalog",)
    assert reply.status == 404 if names_ours and operation_id not in FOUND_ANYWAY else reply.status != 401, reply.body
    assert_nothing_of_ours(world, reply)


# A disconnection of what is not there is done; a label is found by its name.
FOUND_ANYWAY = {"removeSourceConnectionFromWarehouse", "deleteLabel"}
NOT_SECRET = {"warehouseMetadataId", "sourceMetadataId", "destinationMetadataId", "key", "value", "nobody"}


def assert_nothing_of_ours(world: World, reply: Reply) -> None:
    """No id of what the caller may not see is in a reply, but in the words that refuse the caller's own."""
    if reply.status < 400:
        text = msgspec.json.encode(reply.body).decode()
        assert [name for name, ours in world.ids.items() if name not in NOT_SECRET and ours in text] == []


# A role on one object of a kind, and ids of what belongs to another one of that kind.
OF_ANOTHER_SOURCE = (
    "sourceId",
    "writeKey",
    "destinationId",
    "filterId",
    "mailerId",
    "subscriptionId",
    "transformationId",
)
SCOPES: Mapping[str, tuple[ResourceType, tuple[str, ...]]] = {
    "Source Admin": (ResourceType.SOURCE, OF_ANOTHER_SOURCE),
    "Source Read-only": (ResourceType.SOURCE, OF_ANOTHER_SOURCE),
    "Function Admin": (ResourceType.FUNCTION, ("functionId", "versionId", "instanceId")),
    "Warehouse Admin": (ResourceType.WAREHOUSE, ("warehouseId",)),
    "Unify and Engage Admin": (ResourceType.SPACE, ("spaceId", "spaceFilterId", "profilesId")),
}
# Who administers one source, warehouse or space may use credentials; a trial of settings is in the audit trail.
OF_THE_WORKSPACE = {"createCredential", "createValidationInWarehouse"}


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_role_on_another_object_reaches_nothing_of_this_one(world: World, operation_id: str) -> None:
    for name, (kind, ids) in SCOPES.items():
        reply = world.ask(operation_id, world.elsewhere[name])
        text = msgspec.json.encode(reply.body).decode() if reply.status < 400 else ""
        assert [each for each in ids if world.ids[each] in text] == [], f"{name} on one {kind}: {reply.body}"
        may = operation_id in OF_THE_WORKSPACE
        assert may or not world.database.changed, f"{name} on one {kind}: {reply.status} {reply.body}"


# A trial, and calls that in this world find done what they ask for.
CHANGES_NOTHING = {
    "previewDestinationFilter",
    "removeSourceConnectionFromWarehouse",
    "updateSelectiveSyncForWarehouse",
}


@pytest.mark.parametrize("operation_id", [each for each in OPERATIONS if PUBLISHED[each].method != "GET"])
def test_whatever_an_owner_changes_is_in_the_audit_trail(world: World, operation_id: str) -> None:
    reply = world.ask(operation_id, world.tokens[OWNER])
    assert reply.status == PUBLISHED[operation_id].success_status, reply.body
    assert bool(world.database.changed) is (operation_id not in CHANGES_NOTHING)
    assert ("audit_events" in world.database.changed) is bool(world.database.changed)


def test_a_role_on_one_object_reaches_it(world: World) -> None:
    other = world.ids["otherSourceId"]
    (listed,) = world.api.get("/sources", token=world.elsewhere["Source Admin"]).data["sources"]
    assert listed["id"] == other
    assert world.api.patch(f"/sources/{other}", {"name": "x"}, token=world.elsewhere["Source Admin"]).status == 200
    assert (
        world.api.patch(f"/sources/{other}", {"name": "x"}, token=world.elsewhere["Source Read-only"]).status == 403
    )
