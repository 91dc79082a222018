"""Functions as types of sources and destinations."""

from __future__ import annotations

from typing import Any

import pytest

from contract.proves import proves
from mainstem.model.event import EVENT_TYPES
from mainstem.model.snapshot import FunctionUse
from mainstem.settings import Settings
from public_api.client import Api
from public_api.connections import new_source, published
from public_api.functions.making import (
    BULLETS,
    DROP,
    PASS_ON,
    SECRET,
    deployed,
    get_function,
    new_function,
    post_destination,
    post_source,
    setting,
)

DEFINITIONS = [setting("apiKey", required=True), setting("secret", sensitive=True), setting("map", type="TEXT_MAP")]
VALUES = {"apiKey": "abc", "secret": SECRET, "map": {"a": "b"}}
SHOWN = VALUES | {"secret": BULLETS}


class TestDestination:
    @proves("createDestination", level=4)
    def test_a_destination_function_is_a_type_of_destination(self, api: Api) -> None:
        function, source_id = new_function(api, settings=DEFINITIONS, logoUrl="https://x.test/l"), new_source(api)
        destination = post_destination(api, source_id, function, settings=VALUES).data["destination"]
        assert destination["settings"] == SHOWN
        described = destination["metadata"]
        assert (described["id"], described["name"]) == (function["catalogId"], "F (Acme)")
        assert {each["name"]: (each["type"], each["required"]) for each in described["options"]} == {
            "apiKey": ("string", True),
            "secret": ("password", False),
            "map": ("map", False),
        }
        assert api.get(f"/catalog/destinations/{function['catalogId']}").data == {"destinationMetadata": described}
        assert api.get(f"/destinations/{destination['id']}").data == {"destination": destination}
        assert api.get("/destinations").data["destinations"] == [destination]
        (config,) = published(api, source_id).destinations
        assert config.function == FunctionUse(destination["id"], function["id"], VALUES, ("secret",))
        assert (config.name, config.settings, config.event_types) == ("F (Acme)", VALUES, EVENT_TYPES)

    def test_a_source_may_have_several(self, api: Api) -> None:
        function, source_id = new_function(api), new_source(api)
        assert [post_destination(api, source_id, function, name=name).status for name in "ab"] == [200, 200]

    @proves("updateDestination", level=4)
    def test_its_settings_must_fit_and_merge(self, api: Api) -> None:
        function, source_id = new_function(api, settings=DEFINITIONS), new_source(api)
        for values, field in (
            ({}, "settings.apiKey"),
            ({"apiKey": "a", "map": {"a": 1}}, "settings.map"),
            ({"apiKey": "a", "x": 1}, "settings.x"),
        ):
            reply = post_destination(api, source_id, function, settings=values)
            assert (reply.status, reply.fields) == (422, [field])
        destination_id = post_destination(api, source_id, function, settings=VALUES).data["destination"]["id"]
        sent = {"settings": {"map": {"c": "d"}, "secret": BULLETS}}
        after = api.patch(f"/destinations/{destination_id}", sent).data["destination"]
        assert after["settings"] == SHOWN | {"map": {"c": "d"}}
        (config,) = published(api, source_id).destinations
        assert config.settings == VALUES | {"map": {"c": "d"}}

    def test_consent_categories_are_none_of_its_settings(self, api: Api) -> None:
        function, source_id = new_function(api), new_source(api)
        consent = {"consentSettings": {"categories": ["ads"]}}
        assert post_destination(api, source_id, function, settings=consent).status == 200
        api.patch(f"/functions/{function['id']}", {"settings": DEFINITIONS})
        (config,) = published(api, source_id).destinations
        assert (config.consent_categories, config.settings) == (("ads",), {})
        assert config.function
        assert config.function.settings == {}

    @pytest.mark.parametrize("kind", ["SOURCE", "INSERT_DESTINATION", "INSERT_SOURCE"])
    def test_functions_of_other_kinds_are_none(self, api: Api, kind: str) -> None:
        reply = post_destination(api, new_source(api), new_function(api, kind))
        assert (reply.status, reply.fields) == (422, ["metadataId"])

    def test_a_sensitive_setting_of_any_type_is_hidden_whole(self, api: Api) -> None:
        definitions = [
            setting(name, type=kind, sensitive=True)
            for name, kind in (("a", "ARRAY"), ("b", "BOOLEAN"), ("m", "TEXT_MAP"), ("s", "STRING"))
        ]
        values = {"a": ["x"], "b": False, "m": {"k": "v"}, "s": "ab"}
        function, source_id = new_function(api, settings=definitions), new_source(api)
        destination = post_destination(api, source_id, function, settings=values).data["destination"]
        assert destination["settings"] == dict.fromkeys(values, BULLETS)
        path = f"/destinations/{destination['id']}"
        assert api.patch(path, {"settings": destination["settings"]}).data["destination"] == destination
        (config,) = published(api, source_id).destinations
        assert config.settings == values


class TestSource:
    @proves("createSource", level=4)
    def test_a_source_function_is_a_type_of_source(self, api: Api) -> None:
        function = new_function(api, "SOURCE", settings=DEFINITIONS)
        source = post_source(api, function, settings=VALUES).data["source"]
        assert (source["settings"], source["metadata"]["name"]) == (SHOWN, "F")
        assert len(source["writeKeys"]) == 1
        described = api.get(f"/catalog/sources/{function['catalogId']}").data
        assert described == {"sourceMetadata": source["metadata"]}
        assert api.get(f"/sources/{source['id']}").data["source"] == source
        assert api.get("/sources").data["sources"] == [source]
        config = published(api, source["id"])
        assert config.function == FunctionUse(source["id"], function["id"], VALUES, ("secret",))
        assert config.platform == "server"

    def test_the_first_source_deploys_its_function_and_later_ones_run_what_runs(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        post_source(api, function)
        assert getattr(deployed(api, function), "code", None) == PASS_ON
        api.patch(f"/functions/{function['id']}", {"code": DROP})
        post_source(api, function, slug="second")
        assert getattr(deployed(api, function), "code", None) == PASS_ON

    @proves("updateSource", level=4)
    def test_its_settings_must_fit_and_merge(self, api: Api) -> None:
        function = new_function(api, "SOURCE", settings=DEFINITIONS)
        assert post_source(api, function).fields == ["settings.apiKey"]
        source_id = post_source(api, function, settings=VALUES).data["source"]["id"]
        path = f"/sources/{source_id}"
        assert api.patch(path, {"settings": {"apiKey": 1}}).fields == ["settings.apiKey"]
        assert api.patch(path, {"name": "N"}).data["source"]["settings"] == SHOWN
        api.patch(path, {"settings": {"secret": BULLETS, "map": None}})
        assert published(api, source_id).settings == {"apiKey": "abc", "secret": SECRET}

    def test_functions_of_other_kinds_are_none(self, api: Api) -> None:
        assert post_source(api, new_function(api)).fields == ["metadataId"]

    def test_the_function_shows_where_its_oldest_source_is_called(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        key = post_source(api, function).data["source"]["writeKeys"][0]
        post_source(api, function, slug="second")
        url = get_function(api, function)["previewWebhookUrl"]
        assert url == f"http://{Settings().tracking}/functions/v1/{key}"
        shown = api.get(f"/functions/{function['id']}", token=api.member).data["function"]
        assert shown["previewWebhookUrl"] == "", "a member sees no write keys"


class TestChangedDefinitions:
    """Values that no definition covers any more are forgotten, and no secret comes to light."""

    def change(self, api: Api, *definitions: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings of a destination as shown and as used, after its function's definitions changed."""
        function, source_id = new_function(api, settings=DEFINITIONS), new_source(api)
        destination_id = post_destination(api, source_id, function, settings=VALUES).data["destination"]["id"]
        api.patch(f"/functions/{function['id']}", {"settings": list(definitions)})
        shown = api.get(f"/destinations/{destination_id}").data["destination"]["settings"]
        (config,) = published(api, source_id).destinations
        return shown, config.settings

    def test_a_value_without_a_definition_is_forgotten(self, api: Api) -> None:
        shown, used = self.change(api, setting("apiKey"))
        assert shown == used == {"apiKey": "abc"}

    def test_a_value_of_another_type_is_forgotten(self, api: Api) -> None:
        shown, used = self.change(api, setting("apiKey", type="BOOLEAN"), setting("map", type="TEXT_MAP"))
        assert shown == used == {"map": {"a": "b"}}

    def test_a_secret_does_not_come_to_light(self, api: Api) -> None:
        shown, used = self.change(api, setting("apiKey"), setting("secret", sensitive=False))
        assert shown == used == {"apiKey": "abc"}

    def test_what_becomes_sensitive_is_hidden_and_kept(self, api: Api) -> None:
        shown, used = self.change(api, setting("apiKey", sensitive=True))
        assert (shown, used) == ({"apiKey": BULLETS}, {"apiKey": "abc"})
