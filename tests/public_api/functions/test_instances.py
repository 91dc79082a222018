"""Insert function instances: where a function is inserted, with which settings."""

from __future__ import annotations

from typing import Any

import pytest

from contract.proves import proves
from mainstem.model.snapshot import FunctionUse
from public_api.client import Api
from public_api.connections import new_source, new_webhook, published, trail
from public_api.functions.making import (
    BULLETS,
    SECRET,
    bare,
    new_function,
    new_instance,
    post_instance,
    setting,
    token_of_another_workspace,
)

DEFINITIONS = [setting("apiKey", required=True), setting("secret", sensitive=True), setting("on", type="BOOLEAN")]
VALUES = {"apiKey": "abc", "secret": SECRET}


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def destination_id(api: Api, source_id: str) -> str:
    return new_webhook(api, source_id)


@pytest.fixture
def function(api: Api) -> dict[str, Any]:
    return new_function(api, "INSERT_DESTINATION", settings=DEFINITIONS)


def path(instance: dict[str, Any]) -> str:
    return f"/insert-function-instances/{instance['id']}"


class TestCreate:
    @proves("createInsertFunctionInstance", "getInsertFunctionInstance", level=3)
    def test_an_instance_comes_back_with_its_secrets_hidden(
        self, api: Api, function: dict[str, Any], destination_id: str
    ) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES, name="mine")
        assert instance == {
            "id": instance["id"],
            "name": "mine",
            "integrationId": destination_id,
            "classId": bare(function),
            "enabled": True,
            "createdAt": "2026-03-10T12:00:00.000Z",
            "updatedAt": "2026-03-10T12:00:00.000Z",
            "settings": {"apiKey": "abc", "secret": BULLETS},
            "encryptedSettings": {"secret": BULLETS},
        }
        assert api.get(path(instance)).data == {"insertFunctionInstance": instance}

    @proves("createInsertFunctionInstance", level=4)
    def test_it_is_at_work_in_front_of_its_destination(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES)
        config = published(api, source_id)
        assert config.destinations[0].insert == FunctionUse(instance["id"], function["id"], VALUES, ("secret",))
        assert config.insert is None

    def test_a_function_of_a_source_is_at_work_behind_it(self, api: Api, source_id: str, destination_id: str) -> None:
        function = new_function(api, "INSERT_SOURCE")
        instance = new_instance(api, function, source_id)
        config = published(api, source_id)
        assert config.insert == FunctionUse(instance["id"], function["id"], {})
        assert [each.insert for each in config.destinations] == [None]

    def test_only_enabled_instances_are_at_work(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES, enabled=False)
        assert published(api, source_id).destinations[0].insert is None
        api.patch(path(instance), {"settings": {}, "enabled": True})
        assert published(api, source_id).destinations[0].insert

    @pytest.mark.parametrize("kind", ["INSERT_DESTINATION", "INSERT_SOURCE"])
    def test_the_function_is_known_with_its_prefix_too(
        self, api: Api, kind: str, source_id: str, destination_id: str
    ) -> None:
        function = new_function(api, kind)
        target = destination_id if kind == "INSERT_DESTINATION" else source_id
        assert new_instance(api, function, target, functionId=function["id"])["classId"] == bare(function)

    @proves("createInsertFunctionInstance", level=5)
    def test_what_is_no_insert_function_is_not_found(self, api: Api, destination_id: str) -> None:
        destination_function = new_function(api, "DESTINATION")
        for name in (destination_function["id"], bare(destination_function), "none"):
            reply = post_instance(api, destination_function, destination_id, functionId=name)
            (error,) = reply.body["errors"]
            assert (reply.status, error["type"]) == (400, "bad-request")
            assert error["message"] == f"Insert function {name} not found."

    def test_the_integration_must_be_of_the_functions_kind(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        at_source = new_function(api, "INSERT_SOURCE")
        for inserted, target in ((function, source_id), (at_source, destination_id), (at_source, "none")):
            reply = post_instance(api, inserted, target, settings=VALUES if inserted is function else {})
            assert (reply.status, reply.fields) == (422, ["integrationId"])

    def test_a_destination_has_one_instance(self, api: Api, function: dict[str, Any], destination_id: str) -> None:
        new_instance(api, function, destination_id, settings=VALUES)
        reply = post_instance(api, function, destination_id, settings=VALUES)
        assert (reply.status, reply.fields) == (409, ["integrationId"])

    def test_every_missing_field_is_named(self, api: Api) -> None:
        reply = api.post("/insert-function-instances", {})
        assert set(reply.fields) == {"functionId", "integrationId", "name", "settings"}

    @pytest.mark.parametrize(
        ("values", "fields"),
        [
            ({}, ["settings.apiKey"]),
            ({"apiKey": ""}, ["settings.apiKey"]),
            ({"apiKey": None}, ["settings.apiKey"]),
            ({"apiKey": 1, "on": "yes"}, ["settings.apiKey", "settings.on"]),
            ({"apiKey": "a", "other": 1}, ["settings.other"]),
            ({"apiKey": "a", "secret": BULLETS}, ["settings.secret"]),
            ({"apiKey": "a" * 65_537}, ["settings"]),
        ],
    )
    def test_settings_must_fit_what_the_function_asks_for(
        self, api: Api, function: dict[str, Any], destination_id: str, values: dict[str, Any], fields: list[str]
    ) -> None:
        reply = post_instance(api, function, destination_id, settings=values)
        assert (reply.status, reply.fields) == (422, fields)


class TestList:
    @proves("listInsertFunctionInstances", level=3)
    def test_instances_of_a_function_are_listed(self, api: Api, function: dict[str, Any], source_id: str) -> None:
        other = new_function(api, "INSERT_DESTINATION")
        made = [new_instance(api, function, new_webhook(api, source_id), settings=VALUES) for _ in range(2)]
        new_instance(api, other, new_webhook(api, source_id))
        for name in (bare(function), function["id"]):
            data = api.get(f"/insert-function-instances?functionId={name}&pagination.count=1").data
            assert data["instances"] == made[:1]
            assert data["pagination"]["totalEntries"] == 2
        rest = f"functionId={bare(function)}&pagination.count=1&pagination.cursor={data['pagination']['next']}"
        assert api.get(f"/insert-function-instances?{rest}").data["instances"] == made[1:]

    def test_the_function_must_be_named_and_exist(self, api: Api) -> None:
        assert api.get("/insert-function-instances").fields == ["functionId"]
        reply = api.get("/insert-function-instances?functionId=none")
        assert (reply.status, reply.messages) == (400, ["Insert function none not found."])


class TestUpdate:
    @proves("updateInsertFunctionInstance", level=4)
    def test_settings_merge_and_a_mask_keeps_the_secret(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES)
        api.pass_time(minutes=1)
        sent = {"settings": {"on": True, "secret": BULLETS}, "name": "other"}
        after = api.patch(path(instance), sent).data["insertFunctionInstance"]
        assert after["settings"] == {"apiKey": "abc", "secret": BULLETS, "on": True}
        assert (after["name"], after["updatedAt"]) == ("other", "2026-03-10T12:01:00.000Z")
        use = published(api, source_id).destinations[0].insert
        assert use
        assert use.settings == {**VALUES, "on": True}
        after = api.patch(path(instance), {"settings": {"secret": None}}).data["insertFunctionInstance"]
        assert (after["settings"], after["encryptedSettings"]) == ({"apiKey": "abc", "on": True}, {})

    def test_what_changes_nothing_is_no_change(self, api: Api, function: dict[str, Any], destination_id: str) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES)
        api.pass_time(minutes=1)
        sent = {"settings": instance["settings"], "name": instance["name"], "enabled": True}
        assert api.patch(path(instance), sent).data["insertFunctionInstance"] == instance
        assert trail(api)[-1] == "Insert Function Instance Created"

    def test_settings_are_required_and_checked(self, api: Api, function: dict[str, Any], destination_id: str) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES)
        assert api.patch(path(instance), {"enabled": False}).fields == ["settings"]
        assert api.patch(path(instance), {"settings": {"apiKey": None}}).fields == ["settings.apiKey"]
        assert api.get(path(instance)).data["insertFunctionInstance"] == instance


class TestDelete:
    @proves("deleteInsertFunctionInstance", level=4)
    def test_a_deleted_instance_is_at_work_no_more(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        instance = new_instance(api, function, destination_id, settings=VALUES)
        assert api.delete(path(instance)).data == {"status": "SUCCESS"}
        assert published(api, source_id).destinations[0].insert is None
        for reply in (
            api.get(path(instance)),
            api.delete(path(instance)),
            api.patch(path(instance), {"settings": {}}),
        ):
            assert reply.status == 404
            assert reply.messages == [f"Insert function instance with id '{instance['id']}' not found."]

    def test_an_instance_goes_with_its_destination_or_source(
        self, api: Api, function: dict[str, Any], source_id: str, destination_id: str
    ) -> None:
        at_source = new_function(api, "INSERT_SOURCE")
        made = [
            new_instance(api, function, destination_id, settings=VALUES),
            new_instance(api, function, new_webhook(api, source_id), settings=VALUES),
            new_instance(api, at_source, source_id),
        ]
        api.delete(f"/destinations/{destination_id}")
        assert [api.get(path(each)).status for each in made] == [404, 200, 200]
        api.delete(f"/sources/{source_id}")
        assert [api.get(path(each)).status for each in made] == [404, 404, 404]
        assert trail(api).count("Insert Function Instance Deleted") == 3


def test_a_member_reads_instances_and_changes_none(api: Api, function: dict[str, Any], destination_id: str) -> None:
    instance = new_instance(api, function, destination_id, settings=VALUES)
    assert api.get(path(instance), token=api.member).data["insertFunctionInstance"] == instance
    assert api.patch(path(instance), {"settings": {}}, token=api.member).status == 403
    assert api.delete(path(instance), token=api.member).status == 403


def test_instances_of_another_workspace_do_not_exist(api: Api, function: dict[str, Any], destination_id: str) -> None:
    instance = new_instance(api, function, destination_id, settings=VALUES)
    elsewhere = token_of_another_workspace(api)
    assert api.get(path(instance), token=elsewhere).status == 404
    assert api.get(f"/insert-function-instances?functionId={bare(function)}", token=elsewhere).status == 400
