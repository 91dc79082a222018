from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.proves import proves
from mainstem.destinations.actions import catalogue
from mainstem.settings import Settings
from public_api.actions import MAILER, OTHER, SEND, SYNC, definition, installed, new_mailer
from public_api.client import Api, Reply
from public_api.connections import new_source, new_webhook, published, trail

Create = Callable[..., Reply]
PATH = {"@path": "$.properties.name"}


def mappings(api: Api, source_id: str) -> Any:
    """What the data plane gets of the only destination's subscriptions."""
    (config,) = published(api, source_id).destinations
    return config.subscriptions


class TestCreate:
    @proves("createDestinationSubscription", "getSubscriptionFromDestination", level=3)
    def test_a_subscription_comes_back_as_it_was_sent(
        self, api: Api, destination_id: str, url: str, create: Create
    ) -> None:
        reply = create()
        assert reply.status == 200
        created = reply.data["destinationSubscription"]
        assert created == {
            "id": created["id"],
            "name": "Send",
            "actionId": SEND,
            "actionSlug": "send",
            "destinationId": destination_id,
            "enabled": True,
            "settings": {"subject": {"@template": "Hello {{properties.name}}"}},
            "trigger": 'type = "track"',
            "modelId": "",
        }
        assert len(created["id"]) == 22
        assert api.get(f"{url}/{created['id']}").data == {"subscription": created}

    def test_the_answer_to_a_creation_has_another_key_than_that_to_a_reading(
        self, api: Api, url: str, create: Create
    ) -> None:
        created = create().data
        assert list(created) == ["destinationSubscription"]
        own_id = created["destinationSubscription"]["id"]
        assert list(api.get(f"{url}/{own_id}").data) == ["subscription"]

    def test_settings_are_echoed_exactly(self, create: Create) -> None:
        settings = {
            "subject": "s",
            "extra": {"a": [1, 1.0, None, {"@path": "$.x", "_metadata": {"l": 1}}]},
            "no": None,
        }
        assert create(settings=settings).data["destinationSubscription"]["settings"] == settings
        assert create(settings={}, enabled=False).data["destinationSubscription"]["settings"] == {}

    @proves("createDestinationSubscription", level=4)
    def test_the_data_plane_gets_mappings_in_order_with_the_defaults_of_the_action(
        self, api: Api, source_id: str, create: Create
    ) -> None:
        create(settings={"subject": "s", "enable_batching": False})
        create(name="Sync", actionId=SYNC, enabled=False, settings={})
        send, sync = mappings(api, source_id)
        assert (send.name, send.action, send.trigger, send.enabled) == ("Send", "send", 'type = "track"', True)
        assert send.mapping == {"to": {"@path": "$.traits.email"}, "subject": "s", "enable_batching": False}
        assert (send.can_batch, send.batch_keys) == (True, ("format",))
        assert (sync.action, sync.enabled, sync.can_batch) == ("sync", False, False)
        assert sync.mapping == {"__segment_internal_sync_mode": "add"}

    def test_the_defaults_of_a_mapping_stay_when_a_new_package_has_others(
        self, api: Api, source_id: str, url: str, create: Create, tmp_path: Path
    ) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        newer = definition(MAILER, "Mailer")
        fields = {**newer["actions"]["send"]["fields"]}
        fields["to"] = fields["to"] | {"default": {"@path": "$.other"}}
        newer["actions"] = {"send": newer["actions"]["send"] | {"fields": fields}}
        with installed(tmp_path / "newer", newer):
            api.patch(f"{url}/{own_id}", {"input": {"name": "Renamed"}})
            assert mappings(api, source_id)[0].mapping["to"] == {"@path": "$.traits.email"}

    def test_one_on_a_model_is_kept_and_no_event_goes_through_it(
        self, api: Api, source_id: str, model_id: str, create: Create
    ) -> None:
        created = create(modelId=model_id).data["destinationSubscription"]
        assert created["modelId"] == model_id
        assert mappings(api, source_id) == ()

    def test_a_model_that_is_not_there_is_refused(self, api: Api, url: str, create: Create) -> None:
        refused = create(modelId="nowhere", trigger="(")
        assert (refused.status, refused.fields) == (422, ["trigger", "modelId"])
        assert refused.messages[1] == "\"modelId\" names no model: Model with id 'nowhere' not found."
        own_id = create().data["destinationSubscription"]["id"]
        changed = api.patch(f"{url}/{own_id}", {"input": {"reverseETLModelId": "nowhere"}})
        assert (changed.status, changed.fields) == (422, ["input.reverseETLModelId"])

    def test_missing_fields_are_all_named(self, api: Api, url: str) -> None:
        assert sorted(api.post(url, {}).fields) == ["actionId", "enabled", "name", "trigger"]

    @pytest.mark.parametrize("action_id", ["send", "", "nothing"])
    def test_the_action_must_be_one_of_the_destinations_type(self, create: Create, action_id: str) -> None:
        reply = create(actionId=action_id)
        assert (reply.status, reply.fields) == (422, ["actionId"])

    def test_a_destination_without_actions_takes_none(self, api: Api, source_id: str) -> None:
        body = {"name": "n", "actionId": SEND, "trigger": 'type = "track"', "enabled": True}
        reply = api.post(f"/destinations/{new_webhook(api, source_id)}/subscriptions", body)
        assert (reply.status, reply.fields) == (422, ["actionId"])

    @pytest.mark.parametrize("text", ["type = 'track'", "type =", "all", 'event in ["A"]', "(", ""])
    def test_a_trigger_that_can_never_fire_is_refused_with_the_reason(self, create: Create, text: str) -> None:
        reply = create(trigger=text)
        assert (reply.status, set(reply.fields)) == (422, {"trigger"})
        assert '"trigger" can never fire: ' in reply.messages[0]

    def test_a_trigger_that_is_read_otherwise_than_written_is_kept_and_logged(
        self, create: Create, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            assert create(trigger='type = "track" and event = "A" or event = "B"').status == 200
        assert "and and or are mixed" in caplog.text

    def test_every_fault_is_named_with_its_path(self, create: Create) -> None:
        settings = {"subject": {"@path": 5}, "extra": {"a": [{"@unknown": 1}]}}
        reply = create(trigger="type = 'track'", settings=settings)
        assert reply.status == 422
        assert reply.fields == ["trigger", "settings.subject.@path", "settings.extra.a[0]"]

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"retries": "many"}, "settings.retries"),
            ({"urgent": "yes"}, "settings.urgent"),
            ({"extra": "text"}, "settings.extra"),
            ({"format": "pdf"}, "settings.format"),
            ({"subject": {"a": 1}}, "settings.subject"),
            ({"subject": ["a"]}, "settings.subject"),
            ({"__segment_internal_sync_mode": "never"}, "settings.__segment_internal_sync_mode"),
        ],
    )
    def test_what_a_field_can_never_take_is_refused(self, create: Create, settings: Any, field: str) -> None:
        reply = create(settings={"subject": "s"} | settings)
        assert (reply.status, reply.fields) == (422, [field])

    @pytest.mark.parametrize(
        "settings",
        [
            {"retries": "5", "urgent": "true", "subject": 5},
            {"retries": PATH, "urgent": PATH, "extra": PATH, "format": PATH},
            {"retries": None, "urgent": "", "tags": "one", "extra": [1]},
            {"tags": [PATH, "x"]},
            {"unknown": "left out by the runner", "batch_size": 5},
        ],
    )
    def test_what_the_runner_turns_into_the_fields_kind_is_accepted(self, create: Create, settings: Any) -> None:
        assert create(settings={"subject": "s"} | settings).status == 200

    def test_a_sync_mode_is_one_of_the_actions(self, create: Create) -> None:
        mode = {"__segment_internal_sync_mode": "mirror"}
        assert create(actionId=SYNC, settings=mode).fields == ["settings.__segment_internal_sync_mode"]
        assert create(actionId=SYNC, settings={"__segment_internal_sync_mode": "delete"}).status == 200

    def test_an_enabled_one_needs_a_value_for_each_required_field(self, create: Create) -> None:
        assert create(settings={}).fields == ["settings.subject"]
        assert create(settings={"subject": "s", "to": None}).fields == ["settings.to"]
        assert create(settings={}, enabled=False).status == 200

    def test_the_fifty_first_of_a_destination_is_refused(self, api: Api, source_id: str, create: Create) -> None:
        for _ in range(50):
            assert create().status == 200
        assert create().status == 400
        another = f"/destinations/{new_mailer(api, source_id)}/subscriptions"
        body = {"name": "n", "actionId": SYNC, "trigger": 'type = "track"', "enabled": True}
        assert api.post(another, body).status == 200

    def test_an_unknown_destination_is_not_found(self, api: Api) -> None:
        body = {"name": "n", "actionId": SEND, "trigger": 'type = "track"', "enabled": True}
        assert api.post("/destinations/nowhere/subscriptions", body).status == 404


class TestRead:
    @proves("listSubscriptionsFromDestination", level=4)
    def test_they_are_listed_in_order_of_creation_by_page(self, api: Api, url: str, create: Create) -> None:
        made = [create(name=name).data["destinationSubscription"] for name in ("a", "b", "c")]
        first = api.get(f"{url}?pagination.count=2").data
        assert first["subscriptions"] == made[:2]
        following = api.get(f"{url}?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert following["subscriptions"] == made[2:]
        assert following["pagination"]["totalEntries"] == 3

    def test_a_new_destination_has_none(self, api: Api, url: str, source_id: str) -> None:
        """Presets are for whoever wants them: the API applies none."""
        assert api.get(url).data["subscriptions"] == []
        assert mappings(api, source_id) == ()

    def test_a_subscription_of_another_destination_is_not_found(
        self, api: Api, source_id: str, create: Create
    ) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        other = f"/destinations/{new_mailer(api, source_id, OTHER)}/subscriptions"
        assert api.get(f"{other}/{own_id}").status == 404
        assert api.delete(f"{other}/{own_id}").status == 404
        assert api.get(other).data["subscriptions"] == []

    def test_it_exists_in_alpha_alone(self, api: Api, url: str) -> None:
        versions = {"v1": 406, "v1beta": 406, "v1alpha": 200}
        for version, status in versions.items():
            accept = {"accept": f"application/vnd.segment.{version}+json"}
            assert api.get(url, headers=accept).status == status
        assert api.get(url, headers={"accept": "application/json"}).status == 200

    def test_members_read_them_without_secrets_and_change_nothing(self, api: Api, url: str, create: Create) -> None:
        settings = {"subject": "s", "signature": "planted-secret"}
        created = create(settings=settings).data["destinationSubscription"]
        shown = api.get(f"{url}/{created['id']}", token=api.member).data["subscription"]
        assert created["settings"] == settings
        assert shown["settings"] == {"subject": "s", "signature": "\u2022" * 10}
        body = {key: created[key] for key in ("name", "actionId", "trigger", "enabled")}
        assert api.post(url, body, token=api.member).status == 403
        assert api.patch(f"{url}/{created['id']}", {"input": {}}, token=api.member).status == 403
        assert api.delete(f"{url}/{created['id']}", token=api.member).status == 403

    def test_what_is_mapped_lies_sealed(self, api: Api, create: Create) -> None:
        create(settings={"subject": "planted-secret"})
        with api.database.transaction(writes=False) as db:
            (row,) = db.exec_driver_sql("SELECT mapping FROM subscriptions").all()
        assert b"planted-secret" not in row.mapping


class TestUpdate:
    @proves("updateSubscriptionForDestination", level=4)
    def test_what_is_sent_changes_and_the_rest_stays(
        self, api: Api, source_id: str, url: str, create: Create
    ) -> None:
        created = create().data["destinationSubscription"]
        body = {"input": {"trigger": 'event = "A"', "enabled": False}}
        changed = api.patch(f"{url}/{created['id']}", body).data
        assert changed == {"subscription": created | {"trigger": 'event = "A"', "enabled": False}}
        (mapping,) = mappings(api, source_id)
        assert (mapping.trigger, mapping.enabled, mapping.name) == ('event = "A"', False, "Send")

    def test_settings_are_replaced_as_a_whole(self, api: Api, source_id: str, url: str, create: Create) -> None:
        own_id = create(settings={"subject": "s", "urgent": True}).data["destinationSubscription"]["id"]
        body = {"input": {"settings": {"subject": PATH}}}
        assert api.patch(f"{url}/{own_id}", body).data["subscription"]["settings"] == {"subject": PATH}
        (mapping,) = mappings(api, source_id)
        assert mapping.mapping == {"to": {"@path": "$.traits.email"}, "subject": PATH, "enable_batching": True}

    def test_a_body_without_input_is_refused(self, api: Api, url: str, create: Create) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        reply = api.patch(f"{url}/{own_id}", {"name": "New"})
        assert (reply.status, reply.fields) == (422, ["input"])

    def test_the_update_that_follows_every_creation_by_terraform_changes_nothing(
        self, api: Api, url: str, create: Create
    ) -> None:
        created = create().data["destinationSubscription"]
        body = {"input": {key: created[key] for key in ("name", "trigger", "enabled", "settings")}}
        assert api.patch(f"{url}/{created['id']}", body).data["subscription"] == created

    def test_faults_are_named_within_the_input(self, api: Api, url: str, create: Create) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        body = {"input": {"trigger": "type =", "settings": {"subject": {"@x": 1}}}}
        reply = api.patch(f"{url}/{own_id}", body)
        assert (reply.status, reply.fields) == (422, ["input.trigger", "input.settings.subject"])

    def test_one_that_lacks_a_required_field_cannot_be_enabled(self, api: Api, url: str, create: Create) -> None:
        own_id = create(settings={}, enabled=False).data["destinationSubscription"]["id"]
        assert api.patch(f"{url}/{own_id}", {"input": {"enabled": True}}).fields == ["input.settings.subject"]
        enabled = {"input": {"enabled": True, "settings": {"subject": "s"}}}
        assert api.patch(f"{url}/{own_id}", enabled).status == 200

    def test_it_works_without_the_package_except_for_the_checks_on_fields(
        self, api: Api, url: str, create: Create, package: Path
    ) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        catalogue.use(None)
        try:
            assert api.patch(f"{url}/{own_id}", {"input": {"settings": {"retries": "many"}}}).status == 200
            assert api.patch(f"{url}/{own_id}", {"input": {"settings": {"retries": {"@x": 1}}}}).status == 422
            assert create().fields == ["actionId"]
        finally:
            catalogue.use(package)

    def test_the_model_can_be_set_and_cleared(
        self, api: Api, source_id: str, model_id: str, url: str, create: Create
    ) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        set_ = api.patch(f"{url}/{own_id}", {"input": {"reverseETLModelId": model_id}}).data["subscription"]
        assert set_["modelId"] == model_id
        assert mappings(api, source_id) == ()
        cleared = api.patch(f"{url}/{own_id}", {"input": {"reverseETLModelId": ""}}).data["subscription"]
        assert cleared["modelId"] == ""
        assert len(mappings(api, source_id)) == 1


class TestDelete:
    @proves("removeSubscriptionFromDestination", level=4)
    def test_it_is_gone_for_everybody(self, api: Api, source_id: str, url: str, create: Create) -> None:
        own_id = create().data["destinationSubscription"]["id"]
        assert api.delete(f"{url}/{own_id}").data == {"status": "SUCCESS"}
        assert api.get(f"{url}/{own_id}").status == 404
        assert api.delete(f"{url}/{own_id}").status == 404
        assert mappings(api, source_id) == ()

    def test_they_go_with_their_destination_and_the_trail_says_so(
        self, api: Api, destination_id: str, create: Create
    ) -> None:
        create()
        api.delete(f"/destinations/{destination_id}")
        assert trail(api)[-2:] == ["Destination Subscription Deleted", "Integration Deleted"]
        with api.database.transaction(writes=False) as db:
            assert db.exec_driver_sql("SELECT count(*) FROM subscriptions").scalar() == 0

    def test_they_go_with_their_source(self, api: Api, source_id: str, create: Create) -> None:
        create()
        assert api.delete(f"/sources/{source_id}").status == 200
        with api.database.transaction(writes=False) as db:
            assert db.exec_driver_sql("SELECT count(*) FROM subscriptions").scalar() == 0


@proves(
    "createDestinationSubscription",
    "getSubscriptionFromDestination",
    "listSubscriptionsFromDestination",
    "removeSubscriptionFromDestination",
    "updateSubscriptionForDestination",
    level=5,
)
def test_the_requests_that_the_reference_prints_are_accepted_with_the_ids_of_this_instance(
    api: Api, url: str
) -> None:
    body = {"actionId": SEND, "enabled": False, "name": "Example Subscription", "trigger": 'type = "track"'}
    created = api.post(url, body).data["destinationSubscription"]
    one = f"{url}/{created['id']}"
    updated = api.patch(one, {"input": {"name": "Updated name"}}).data["subscription"]
    assert updated == created | {"name": "Updated name"}
    assert api.get(one).data["subscription"] == updated
    assert api.get(f"{url}?pagination.count=10").data["subscriptions"] == [updated]
    assert api.delete(one).data == {"status": "SUCCESS"}
    assert api.get(one).body["errors"][0]["type"] == "not-found"


def test_every_change_is_in_the_audit_trail(api: Api, url: str, create: Create) -> None:
    own_id = create().data["destinationSubscription"]["id"]
    api.patch(f"{url}/{own_id}", {"input": {"name": "Renamed"}})
    api.patch(f"{url}/{own_id}", {"input": {}})
    api.delete(f"{url}/{own_id}")
    assert [each for each in trail(api) if "Subscription" in each] == [
        "Destination Subscription Created",
        "Destination Subscription Modified",
        "Destination Subscription Deleted",
    ]


def test_the_sixth_write_within_a_minute_waits(tmp_path: Path) -> None:
    api = Api(tmp_path, settings=Settings(rate_limits=True))
    url = f"/destinations/{new_mailer(api, new_source(api))}/subscriptions"
    body = {"name": "n", "actionId": SYNC, "trigger": 'type = "track"', "enabled": True}
    assert [api.post(url, body).status for _ in range(5)] == [200] * 5
    reply = api.post(url, body)
    assert reply.status == 429
    assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert {"remainingPoints", "msBeforeNext", "consumedPoints"} <= reply.body["errors"][0]["data"].keys()
    assert api.get(url).status == 200
    api.pass_time(minutes=1)
    assert api.post(url, body).status == 200
    api.database.close()
