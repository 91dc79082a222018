"""A workspace with one of everything, each naming all that it can name."""

from __future__ import annotations

from typing import Any

from mainstem.public_api import publish, suppressions
from mainstem.public_api.sources.schema_controls import Kind, Switch, turn
from mainstem.rest.permissions import ResourceType
from public_api.actions import SEND, new_mailer
from public_api.client import Api, Reply
from public_api.connections import new_database, new_filter, new_model, new_source, new_webhook
from public_api.functions.making import new_function, new_instance, post_destination, post_source
from public_api.iam.people import invite, new_group, new_user, on, on_workspace, permission, token_of
from public_api.warehousing import POSTGRES, SERVER, new_credential, new_warehouse

LABEL = ("team", "growth")
SCHEDULE = {"enabled": True, "schedule": {"times": [{"hourOfDay": 3, "enabled": True}], "timezone": "UTC"}}


class Everything:
    """Ids of what was made; each `*_id` can be deleted by one call. Needs a catalogue with MAILER."""

    def __init__(self, api: Api) -> None:
        self.api = api
        body = {"label": {"key": LABEL[0], "value": LABEL[1]}}
        assert api.post("/labels", body).status == 201
        self.space_id = api.get("/spaces").data["spaces"][0]["id"]
        self.credential_id = new_credential(api)
        self._sources()
        self._functions()
        self._destinations()
        self._warehouses()
        self._spaces()
        self._people()

    def _sources(self) -> None:
        api = self.api
        self.source_id, self.other_source_id = new_source(api), new_source(api, "other")
        self.database_id = new_database(api)
        self.done(api.delete(f"/sources/{new_source(api, 'gone')}"))
        self.model_id = new_model(api, self.database_id)
        self.unused_model_id = new_model(api, self.database_id)
        credential = {"settings": {"credentialId": self.credential_id}}
        self.done(api.patch(f"/sources/{self.database_id}", credential))
        self.done(api.put(f"/sources/{self.source_id}/labels", {"labels": [{"key": LABEL[0], "value": LABEL[1]}]}))
        self.plan_id = api.post("/tracking-plans", {"name": "Shop", "type": "LIVE"}).data["trackingPlan"]["id"]
        rules = [{"type": "TRACK", "key": "Paid", "version": 1, "jsonSchema": {}}]
        self.done(api.put(f"/tracking-plans/{self.plan_id}/rules", {"rules": rules}))
        for source_id in (self.source_id, self.other_source_id):
            self.done(api.post(f"/tracking-plans/{self.plan_id}/sources", {"sourceId": source_id}))
        for one, other in ((self.source_id, self.other_source_id), (self.other_source_id, self.source_id)):
            forwarding = {"forwardingViolationsTo": other, "forwardingBlockedEventsTo": other}
            self.done(api.patch(f"/sources/{one}/settings", forwarding))
        self.done(api.post(f"/sources/{self.source_id}/live-plugins/create", {"code": "export {}"}))
        self._beside_the_api()

    def _beside_the_api(self) -> None:
        """What only commands write."""
        api = self.api
        with api.database.transaction(writes=True) as db:
            turn(db, self.source_id, Switch(Kind.EVENT, "track", "Paid"), on=False)
            for source_id in ("", self.source_id):
                touched = suppressions.suppress(db, api.vault, api.workspace.id, source_id, ["u1"], api.now)
                for key in touched:
                    publish.put(db, api.vault, key, publish.config_of(db, api.vault, key))

    def _functions(self) -> None:
        api = self.api
        self.function_id = new_function(api)["id"]  # at work nowhere
        self.destination_function = new_function(api)
        self.source_function = new_function(api, "SOURCE", code="async function onRequest(request, settings) {}")
        self.hook_id = post_source(api, self.source_function).data["source"]["id"]
        self.insert_function = new_function(api, "INSERT_DESTINATION")
        self.insert_source_function = new_function(api, "INSERT_SOURCE")

    def _destinations(self) -> None:
        api = self.api
        self.webhook_id, self.mailer_id = new_webhook(api, self.source_id), new_mailer(api, self.source_id)
        made = post_destination(api, self.source_id, self.destination_function).data
        self.function_destination_id = made["destination"]["id"]
        self.filter_id = new_filter(api, self.source_id, self.webhook_id).data["filter"]["id"]
        mapping = {"name": "Send", "actionId": SEND, "trigger": 'type = "track"', "enabled": True}
        mapping |= {"settings": {"subject": "Hello"}}
        url = f"/destinations/{self.mailer_id}/subscriptions"
        self.subscription_id = api.post(url, mapping).data["destinationSubscription"]["id"]
        mailer = new_mailer(api, self.database_id)
        url = f"/destinations/{mailer}/subscriptions"
        self.done(api.post(url, mapping | {"modelId": self.model_id, "trigger": 'event = "new"'}))
        self.instance_id = new_instance(api, self.insert_function, self.webhook_id)["id"]
        new_instance(api, self.insert_source_function, self.source_id)
        body = {"name": "Fix", "sourceId": self.source_id, "enabled": True, "if": "event = 'Paid'"}
        self.done(api.post("/transformations", body | {"newEventName": "Paid for"}))

    def _warehouses(self) -> None:
        api = self.api
        settings = SERVER | {"credentialId": self.credential_id}
        self.warehouse_id = new_warehouse(api, settings=settings, disconnectAllSources=False)["id"]
        url = f"/warehouses/{self.warehouse_id}"
        self.done(api.put(f"{url}/advanced-sync-schedule", SCHEDULE))
        overrides = [{"sourceId": self.source_id, "enabled": False, "collection": "tracks"}]
        self.done(api.patch(f"{url}/selective-sync", {"syncOverrides": overrides}))

    def _spaces(self) -> None:
        api = self.api
        body = {"integrationId": self.space_id, "name": "No pings", "if": 'event = "Ping"'}
        self.space_filter_id = api.post("/filters", body).data["filter"]["id"]
        body = {"metadataId": POSTGRES, "settings": SERVER | {"credentialId": self.credential_id}}
        made = api.post(f"/spaces/{self.space_id}/profiles-warehouses", body).data
        self.profiles_warehouse_id = made["profilesWarehouse"]["id"]
        url = f"/spaces/{self.space_id}/profiles-warehouses/{self.profiles_warehouse_id}/selective-syncs"
        self.done(api.patch(url, {"syncOverrides": [{"collection": "user_traits", "enabled": False}]}))

    def _people(self) -> None:
        api = self.api
        permissions = [
            permission(api, "Source Admin", on(ResourceType.SOURCE, self.source_id)),
            permission(api, "Warehouse Admin", on(ResourceType.WAREHOUSE, self.warehouse_id)),
            permission(api, "Function Admin", on(ResourceType.FUNCTION, self.function_id)),
            permission(api, "Unify and Engage Admin", on(ResourceType.SPACE, self.space_id)),
        ]
        self.user_id = new_user(api, "ann@x.example", *permissions)
        token_of(api, self.user_id)
        invite(api, "bob@x.example", *permissions)
        self.group_id = new_group(api, permission(api, "Source Admin", on_workspace(api, ("environment", "dev"))))
        emails = {"emails": ["ann@x.example", "bob@x.example"]}
        self.done(api.post(f"/groups/{self.group_id}/users", emails))

    @staticmethod
    def done(reply: Reply) -> Any:
        assert reply.status < 300, reply.body
        return reply.data
