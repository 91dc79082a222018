import re
from typing import Any

import msgspec
import pytest

import databases
from contract.proves import proves
from mainstem.destinations import CONNECTORS
from mainstem.destinations.actions.catalogue import known
from mainstem.model.event import EVENT_TYPES
from mainstem.public_api import catalog
from public_api.client import Api
from public_api.connections import HOOK, WEBHOOKS, new_filter, new_source, new_webhook, post_webhook, published, trail

SECRET = "s3cr3t-of-acme"
MASKED = "\u2022" * 10 + "acme"


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


def limit_to(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A catalogue whose webhooks differ."""
    webhooks = catalog.find_destination_metadata(WEBHOOKS)
    assert webhooks is not None
    features = {**webhooks.supported_features, **changes.pop("features", {})}
    other = msgspec.structs.replace(webhooks, supported_features=features, **changes)
    monkeypatch.setattr(catalog, "find_destination_metadata", {WEBHOOKS: other}.get)


class TestCreate:
    @proves("createDestination", "getDestination", level=3)
    def test_a_destination_without_a_name_gets_none_and_is_enabled(self, api: Api, source_id: str) -> None:
        reply = post_webhook(api, source_id)
        assert reply.status == 200
        created = reply.data["destination"]
        assert "name" not in created
        assert created["enabled"] is True
        assert re.fullmatch(r"[0-9a-f]{24}", created["id"])
        assert created["sourceId"] == source_id
        assert created["id"] != created["metadata"]["id"] == WEBHOOKS
        assert created["settings"] == {"hooks": [HOOK]}
        assert api.get(f"/destinations/{created['id']}").data["destination"] == created

    def test_the_metadata_is_the_same_bytes_as_in_the_catalog(self, api: Api, source_id: str) -> None:
        created = post_webhook(api, source_id, name="Sink").data["destination"]
        described = api.get(f"/catalog/destinations/{WEBHOOKS}").data["destinationMetadata"]
        changed = api.patch(f"/destinations/{created['id']}", {"enabled": False}).data["destination"]
        expected = msgspec.json.encode(described)
        assert [msgspec.json.encode(each["metadata"]) for each in (created, changed)] == [expected, expected]
        assert (created["name"], changed["name"]) == ("Sink", "Sink")

    @proves("createDestination", level=4)
    def test_the_data_plane_gets_it_with_its_secrets(self, api: Api, source_id: str) -> None:
        created = new_webhook(api, source_id, settings={"hooks": [HOOK], "sharedSecret": SECRET}, enabled=False)
        (config,) = published(api, source_id).destinations
        assert (config.id, config.metadata_id, config.name, config.enabled) == (created, WEBHOOKS, "Webhooks", False)
        assert config.settings == {"hooks": [HOOK], "sharedSecret": SECRET}
        assert config.event_types == EVENT_TYPES

    def test_nothing_but_missing_fields_is_refused_all_at_once(self, api: Api) -> None:
        reply = api.post("/destinations", {})
        assert reply.status == 422
        assert sorted(reply.fields) == ["metadataId", "settings", "sourceId"]

    def test_an_unknown_source_and_an_unknown_type_are_refused_naming_both(self, api: Api) -> None:
        reply = api.post("/destinations", {"sourceId": "no", "metadataId": "no", "settings": {}})
        assert (reply.status, reply.fields) == (422, ["sourceId", "metadataId"])

    def test_the_slug_of_a_source_is_not_its_id(self, api: Api, source_id: str) -> None:
        assert post_webhook(api, "site").fields == ["sourceId"]

    def test_a_withdrawn_type_is_refused(self, api: Api, source_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        limit_to(monkeypatch, status="UNAVAILABLE")
        assert post_webhook(api, source_id).fields == ["metadataId"]

    def test_an_empty_name_is_refused_and_null_is_none(self, api: Api, source_id: str) -> None:
        assert post_webhook(api, source_id, name="").fields == ["name"]
        assert "name" not in post_webhook(api, source_id, name=None).data["destination"]

    def test_members_may_not_create_one(self, api: Api, source_id: str) -> None:
        body = {"sourceId": source_id, "metadataId": WEBHOOKS, "settings": {}}
        assert api.post("/destinations", body, token=api.member).status == 403


class TestInstances:
    def test_a_second_instance_of_a_single_instance_type_is_refused_in_the_published_words(
        self, api: Api, source_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit_to(monkeypatch, features={"cloudModeInstances": "SINGLE"})
        new_webhook(api, source_id)
        reply = post_webhook(api, source_id, name="another")
        assert (reply.status, reply.body) == (
            400,
            {
                "errors": [
                    {
                        "type": "bad-request",
                        "message": "Multiple configurations of this destination type not supported.",
                    }
                ]
            },
        )
        assert post_webhook(api, new_source(api, "other")).status == 200

    def test_a_version_that_supports_several_instances_allows_them(
        self, api: Api, source_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        features = {"cloudModeInstances": "SINGLE"}
        limit_to(monkeypatch, features=features, multi_instance_supported_version="4.0.0")
        new_webhook(api, source_id)
        assert post_webhook(api, source_id).status == 200

    def test_the_twenty_sixth_instance_is_refused(self, api: Api, source_id: str) -> None:
        for _ in range(25):
            new_webhook(api, source_id)
        assert post_webhook(api, source_id).status == 400
        assert post_webhook(api, new_source(api, "other")).status == 200

    def test_names_of_one_type_on_one_source_differ(self, api: Api, source_id: str) -> None:
        new_webhook(api, source_id, name="Sink")
        reply = post_webhook(api, source_id, name="Sink")
        assert (reply.status, reply.fields) == (409, ["name"])
        assert post_webhook(api, new_source(api, "other"), name="Sink").status == 200

    def test_a_rename_to_a_taken_name_is_refused_and_to_its_own_is_not(self, api: Api, source_id: str) -> None:
        new_webhook(api, source_id, name="Sink")
        other = new_webhook(api, source_id, name="Drain")
        assert api.patch(f"/destinations/{other}", {"name": "Sink"}).status == 409
        assert api.patch(f"/destinations/{other}", {"name": "Drain"}).status == 200


class TestUpdate:
    @proves("updateDestination", level=3)
    def test_settings_are_merged_and_null_deletes(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id, settings={'a': 1})}"
        merged = [
            api.patch(url, {"settings": sent}).data["destination"]["settings"]
            for sent in ({"b": {"x": 1, "y": 2}}, {"b": {"x": 3}}, {"a": None})
        ]
        assert merged == [{"a": 1, "b": {"x": 1, "y": 2}}, {"a": 1, "b": {"x": 3}}, {"b": {"x": 3}}]
        assert api.get(url).data["destination"]["settings"] == {"b": {"x": 3}}

    def test_name_null_clears_the_name_and_an_absent_one_stays(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id, name='Sink')}"
        assert api.patch(url, {"enabled": True}).data["destination"]["name"] == "Sink"
        assert "name" not in api.patch(url, {"name": None}).data["destination"]

    def test_a_body_of_read_only_fields_alone_is_refused(self, api: Api, source_id: str) -> None:
        created = post_webhook(api, source_id).data["destination"]
        reply = api.patch(f"/destinations/{created['id']}", {"sourceId": "x", "metadata": {}, "id": "y"})
        assert reply.status == 400

    def test_read_only_fields_among_others_are_ignored(self, api: Api, source_id: str) -> None:
        created = post_webhook(api, source_id).data["destination"]
        body = {"sourceId": "x", "metadataId": "y", "destinationId": "z", "enabled": False}
        changed = api.patch(f"/destinations/{created['id']}", body).data["destination"]
        assert changed == created | {"enabled": False}

    def test_an_extra_key_or_nothing_changes_nothing(self, api: Api, source_id: str) -> None:
        created = post_webhook(api, source_id).data["destination"]
        url = f"/destinations/{created['id']}"
        for body in ({"destinationId": created["id"]}, {}):
            assert api.patch(url, body).data["destination"] == created

    def test_null_where_none_is_possible_is_refused(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id)}"
        assert api.patch(url, {"enabled": None, "settings": None}).fields == ["enabled", "settings"]

    @proves("updateDestination", level=4)
    def test_the_data_plane_gets_the_change(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id)}"
        api.patch(url, {"enabled": False, "settings": {"sharedSecret": SECRET}})
        (config,) = published(api, source_id).destinations
        assert config.enabled is False
        assert config.settings == {"hooks": [HOOK], "sharedSecret": SECRET}

    def test_every_change_is_in_the_audit_trail_once(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id)}"
        for enabled in (False, False, True):
            api.patch(url, {"enabled": enabled})
        elsewhere = {"settings": {"hooks": [{"hook": "https://else.example/where"}]}}
        for change in (elsewhere, elsewhere, {"name": "Elsewhere"}, {"name": "Elsewhere"}, {}):
            assert api.patch(url, change).status == 200
        changes = ["Disabled", "Enabled", "Modified", "Modified"]
        assert trail(api)[1:] == ["Integration Created", *(f"Integration {each}" for each in changes)]


class TestSecrets:
    def test_the_shared_secret_is_masked_in_every_reply(self, api: Api, source_id: str) -> None:
        created = post_webhook(api, source_id, settings={"sharedSecret": SECRET}).data["destination"]
        url = f"/destinations/{created['id']}"
        replies = [
            created,
            api.patch(url, {"name": "Sink"}).data["destination"],
            api.get(url).data["destination"],
            *api.get("/destinations").data["destinations"],
            *api.get(f"/sources/{source_id}/connected-destinations").data["destinations"],
        ]
        assert [each["settings"] for each in replies] == [{"sharedSecret": MASKED}] * 5

    def test_a_mask_that_is_written_back_keeps_the_secret(self, api: Api, source_id: str) -> None:
        url = f"/destinations/{new_webhook(api, source_id, settings={'sharedSecret': SECRET})}"
        api.patch(url, {"settings": {"sharedSecret": MASKED, "globalHook": "https://sink.example/b"}})
        (config,) = published(api, source_id).destinations
        assert config.settings == {"sharedSecret": SECRET, "globalHook": "https://sink.example/b"}

    def test_a_mask_of_nothing_is_refused(self, api: Api, source_id: str) -> None:
        assert post_webhook(api, source_id, settings={"sharedSecret": MASKED}).fields == ["settings.sharedSecret"]

    def test_only_those_who_may_change_a_webhook_see_its_headers(self, api: Api, source_id: str) -> None:
        hooks = [HOOK, {"hook": "https://sink.example/b", "headers": {"X-Key": "1234"}}, {"hook": ""}]
        url = f"/destinations/{new_webhook(api, source_id, settings={'hooks': hooks})}"
        assert api.get(url).data["destination"]["settings"]["hooks"] == hooks
        seen = api.get(url, token=api.member).data["destination"]["settings"]["hooks"]
        mask = "\u2022" * 10
        assert seen == [
            {"hook": "https://sink.example/a", "headers": [{"key": "Authorization", "value": mask}]},
            {"hook": "https://sink.example/b", "headers": {"X-Key": mask}},
            {"hook": ""},
        ]

    def test_no_secret_lies_in_plain_text_on_disk(self, api: Api, source_id: str) -> None:
        new_webhook(api, source_id, settings={"hooks": [HOOK], "sharedSecret": SECRET})
        on_disk = databases.stored(api.folder)
        assert source_id.encode() in on_disk
        assert SECRET.encode() not in on_disk
        assert b"Basic abcdef" not in on_disk


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"globalHook": 5}, "settings.globalHook"),
            ({"sharedSecret": True}, "settings.sharedSecret"),
            ({"globalHook": "ftp://sink.example"}, "settings.globalHook"),
            ({"hooks": [HOOK] * 6}, "settings.hooks"),
            ({"hooks": [{"hook": "https://a.example", "headers": {"Host": "b"}}]}, "settings.hooks[0].headers"),
        ],
    )
    def test_what_the_connector_cannot_use_is_refused(
        self, api: Api, source_id: str, settings: dict[str, Any], field: str
    ) -> None:
        created = post_webhook(api, source_id, settings=settings)
        changed = api.patch(f"/destinations/{new_webhook(api, source_id)}", {"settings": settings})
        assert [(each.status, each.fields) for each in (created, changed)] == [(422, [field])] * 2

    def test_keys_that_the_catalogue_does_not_know_are_kept(self, api: Api, source_id: str) -> None:
        settings = {"siteId": "12345", "nested": {"list": [1, None, {"a": "ü"}]}}
        assert post_webhook(api, source_id, settings=settings).data["destination"]["settings"] == settings

    def test_every_type_that_is_built_in_has_its_connector(self, api: Api) -> None:
        everything = api.get("/catalog/destinations").data["destinationsCatalog"]
        listed = [each for each in everything if each["id"] not in known()]
        assert {each["id"]: (each["slug"], each["name"]) for each in listed} == {
            each.metadata_id: (each.slug, each.name) for each in CONNECTORS.values()
        }


class TestList:
    @proves("listDestinations", level=3)
    def test_destinations_are_listed_in_pages_in_order_of_creation(self, api: Api, source_id: str) -> None:
        made = [new_webhook(api, source_id) for _ in range(3)]
        first = api.get("/destinations?pagination.count=2").data
        second = api.get(f"/destinations?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert [each["id"] for each in first["destinations"] + second["destinations"]] == made
        assert "next" not in second["pagination"]

    def test_a_source_lists_its_own_destinations_alone(self, api: Api, source_id: str) -> None:
        made = new_webhook(api, source_id)
        new_webhook(api, new_source(api, "other"))
        listed = api.get(f"/sources/{source_id}/connected-destinations").data["destinations"]
        assert [each["id"] for each in listed] == [made]


class TestDelete:
    @proves("deleteDestination", level=4)
    def test_a_deleted_destination_is_gone_with_its_filters(self, api: Api, source_id: str) -> None:
        destination_id = new_webhook(api, source_id)
        new_filter(api, source_id, destination_id)
        url = f"/destinations/{destination_id}"
        assert api.delete(url).data == {"status": "SUCCESS"}
        assert (api.get(url).status, api.delete(url).status) == (404, 404)
        assert api.get(url).messages == [f"Destination with id '{destination_id}' not found."]
        assert published(api, source_id).destinations == ()
        assert trail(api)[-2:] == ["Destination Filter Deleted", "Integration Deleted"]

    def test_deleting_a_source_deletes_its_destinations_and_says_so(self, api: Api, source_id: str) -> None:
        kept = new_webhook(api, new_source(api, "other"))
        destination_id = new_webhook(api, source_id)
        new_filter(api, source_id, destination_id)
        api.delete(f"/sources/{source_id}")
        assert [each["id"] for each in api.get("/destinations").data["destinations"]] == [kept]
        assert trail(api)[-3:] == ["Destination Filter Deleted", "Integration Deleted", "Source Deleted"]
