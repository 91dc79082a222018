from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.proves import proves
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.actions import SEND, installed, new_mailer
from public_api.client import Api
from public_api.connections import new_database, new_model, new_source, post_model, trail

URL = "/reverse-etl-models"


@pytest.fixture
def source_id(api: Api) -> str:
    return new_database(api)


def map_model(api: Api, folder: Path, model_id: str) -> str:
    """The path of a new subscription of the model on a destination of another source."""
    with installed(folder):
        destination_id = new_mailer(api, new_source(api, "elsewhere"))
        body = {"name": "Rows", "actionId": SEND, "trigger": 'event = "new"', "enabled": False, "modelId": model_id}
        made = api.post(f"/destinations/{destination_id}/subscriptions", body).data["destinationSubscription"]
    return f"/destinations/{destination_id}/subscriptions/{made['id']}"


class TestCreate:
    @proves("createReverseEtlModel", "getReverseEtlModel", level=4)
    def test_all_texts_come_back_to_the_letter(self, api: Api, source_id: str) -> None:
        texts = {
            "name": " Customers ",
            "description": " ",
            "query": "SELECT id, 'ä' FROM customers;\n-- all\n",
            "queryIdentifierColumn": '"Id" ',
        }
        reply = post_model(api, source_id, enabled=False, **texts)
        assert reply.status == 201
        created = reply.data["reverseEtlModel"]
        assert created == {"id": created["id"], "sourceId": source_id, "enabled": False} | texts
        assert len(created["id"]) == 22
        assert api.get(f"{URL}/{created['id']}").data == {"reverseEtlModel": created}

    def test_missing_fields_are_all_named(self, api: Api) -> None:
        names = ["description", "enabled", "name", "query", "queryIdentifierColumn", "sourceId"]
        assert sorted(api.post(URL, {}).fields) == names

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            ("name", ""),
            ("query", ""),
            ("query", "q" * 65_536),
            ("queryIdentifierColumn", ""),
            ("queryIdentifierColumn", "c" * 192),
        ],
    )
    def test_a_text_within_its_limits_is_needed(self, api: Api, source_id: str, field: str, text: str) -> None:
        reply = post_model(api, source_id, **{field: text})
        assert (reply.status, reply.fields) == (422, [field])

    def test_a_description_may_be_empty_and_a_query_long(self, api: Api, source_id: str) -> None:
        assert post_model(api, source_id, description="", query="q" * 65_535).status == 201

    @proves("createReverseEtlModel", level=4)
    def test_the_source_must_exist_and_be_a_database(self, api: Api) -> None:
        unknown = post_model(api, "nowhere")
        assert (unknown.status, unknown.fields) == (422, ["sourceId"])
        sends_events = post_model(api, new_source(api))
        assert (sends_events.status, sends_events.fields) == (422, ["sourceId"])


class TestUpdate:
    @proves("updateReverseEtlModel", level=4)
    def test_what_is_sent_changes_and_the_rest_stays(self, api: Api, source_id: str) -> None:
        created = post_model(api, source_id).data["reverseEtlModel"]
        path = f"{URL}/{created['id']}"
        changed = api.patch(path, {"query": "SELECT 1 AS id", "description": ""}).data["reverseEtlModel"]
        assert changed == created | {"query": "SELECT 1 AS id", "description": ""}
        assert api.get(path).data["reverseEtlModel"] == changed
        assert api.patch(path, {}).data["reverseEtlModel"] == changed

    def test_a_model_stays_with_its_source(self, api: Api, source_id: str) -> None:
        created = post_model(api, source_id).data["reverseEtlModel"]
        other = new_database(api, "other")
        changed = api.patch(f"{URL}/{created['id']}", {"sourceId": other, "name": "New"}).data["reverseEtlModel"]
        assert (changed["sourceId"], changed["name"]) == (source_id, "New")

    def test_texts_and_the_switch_have_audit_events_of_their_own(self, api: Api, source_id: str) -> None:
        path = f"{URL}/{new_model(api, source_id)}"
        for body in ({"name": "A"}, {"enabled": False}, {"enabled": False}, {"name": "B", "enabled": True}):
            assert api.patch(path, body).status == 200
        api.delete(path)
        assert trail(api)[1:] == [
            "Model Created",
            "Model Settings Saved",
            "Model State Change Toggled",
            "Model Settings Saved",
            "Model State Change Toggled",
            "Model Deleted",
        ]

    def test_null_is_no_text(self, api: Api, source_id: str) -> None:
        path = f"{URL}/{new_model(api, source_id)}"
        nothing: dict[str, Any] = {"name": None, "query": None}
        assert sorted(api.patch(path, nothing).fields) == ["name", "query"]


class TestList:
    @proves("listReverseEtlModels", level=4)
    def test_models_are_listed_in_pages_in_order_of_creation(self, api: Api, source_id: str) -> None:
        made = [post_model(api, source_id, name=str(number)).data["reverseEtlModel"] for number in range(3)]
        first = api.get(f"{URL}?pagination.count=2").data
        assert first["models"] == made[:2]
        rest = api.get(f"{URL}?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert rest["models"] == made[2:]
        assert "next" not in rest["pagination"]


class TestDelete:
    @proves("deleteReverseEtlModel", level=4)
    def test_a_deleted_model_is_gone(self, api: Api, source_id: str) -> None:
        path = f"{URL}/{new_model(api, source_id)}"
        assert api.delete(path).data == {"status": "SUCCESS"}
        assert [api.get(path).status, api.delete(path).status] == [404, 404]

    @proves("deleteReverseEtlModel", level=4)
    def test_a_model_in_use_stays_until_no_subscription_has_it(
        self, api: Api, source_id: str, tmp_path: Path
    ) -> None:
        model_id = new_model(api, source_id)
        subscription = map_model(api, tmp_path / "packages", model_id)
        refused = api.delete(f"{URL}/{model_id}")
        assert refused.status == 409
        assert subscription.rpartition("/")[2] in refused.messages[0]
        api.delete(subscription)
        assert api.delete(f"{URL}/{model_id}").status == 200

    def test_a_source_takes_its_models_along_and_their_subscriptions(
        self, api: Api, source_id: str, tmp_path: Path
    ) -> None:
        model_id = new_model(api, source_id)
        kept = new_model(api, new_database(api, "other"))
        subscription = map_model(api, tmp_path / "packages", model_id)
        assert api.delete(f"/sources/{source_id}").status == 200
        assert [each["id"] for each in api.get(URL).data["models"]] == [kept]
        assert api.get(subscription).status == 404
        assert trail(api)[-3:] == ["Destination Subscription Deleted", "Model Deleted", "Source Deleted"]


class TestAccess:
    def test_models_are_read_and_written_with_the_roles_of_their_source(self, api: Api, source_id: str) -> None:
        model_id, hidden = new_model(api, source_id), new_model(api, new_database(api, "other"))
        mine = Resource(source_id, ResourceType.SOURCE)
        reader, admin = (api.member_with(role, mine) for role in ("Source Read-only", "Source Admin"))
        assert [each["id"] for each in api.get(URL, token=reader).data["models"]] == [model_id]
        assert api.get(f"{URL}/{hidden}", token=reader).status == 404
        assert api.patch(f"{URL}/{model_id}", {"name": "n"}, token=reader).status == 403
        assert api.patch(f"{URL}/{hidden}", {"name": "n"}, token=admin).status == 404
        assert api.patch(f"{URL}/{model_id}", {"name": "n"}, token=admin).status == 200
        assert api.delete(f"{URL}/{model_id}", token=admin).status == 200
