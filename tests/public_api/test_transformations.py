from typing import Any

import pytest

import databases
from contract.proves import proves
from mainstem.model.snapshot import TransformationConfig
from public_api.client import Api, Reply
from public_api.connections import WEBHOOKS, new_filter, new_source, new_webhook, published, trail

BULLETS = "\u2022" * 10
KEY = "k3y-of-acme"
HASHED = {"algorithm": "SHA256", "paths": ["email"]}


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


def create(api: Api, source_id: str, condition: str = "event = 'Paid'", **more: Any) -> Reply:
    """createTransformation with a name, enabled."""
    body = {"name": "Fix", "sourceId": source_id, "enabled": True, "if": condition}
    return api.post("/transformations", body | more)


def created(api: Api, source_id: str, condition: str = "event = 'Paid'", **more: Any) -> dict[str, Any]:
    """The new transformation."""
    found: dict[str, Any] = create(api, source_id, condition, **more).data["transformation"]
    return found


def listed(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/transformations").data["transformations"]
    return found


EVERY_PART: dict[str, Any] = {
    "drop": False,
    "newEventName": "Order Paid",
    "propertyRenames": [{"oldName": "revenue", "newName": "order.total"}],
    "propertyValueTransformations": [
        {"propertyPaths": ["properties.currency", "context.app.currency"], "propertyValue": "USD"}
    ],
    "fqlDefinedProperties": [],
    "allowProperties": ["order", "currency"],
    "hashPropertiesConfiguration": {"algorithm": "SHA256", "encoding": "BASE64", "paths": ["order.email"]},
}


class TestCreate:
    @proves("createTransformation", "getTransformation", level=3)
    def test_a_transformation_comes_back_as_it_was_sent(self, api: Api, source_id: str) -> None:
        reply = create(api, source_id, destinationMetadataId=WEBHOOKS, **EVERY_PART)
        assert reply.status == 200
        made = reply.data["transformation"]
        assert made == EVERY_PART | {
            "id": made["id"],
            "name": "Fix",
            "sourceId": source_id,
            "destinationMetadataId": WEBHOOKS,
            "enabled": True,
            "if": "event = 'Paid'",
        }
        assert len(made["id"]) == 27
        assert api.get(f"/transformations/{made['id']}").data["transformation"] == made

    @proves("createTransformation", level=4)
    def test_the_data_plane_gets_both_scopes_in_order_of_creation(self, api: Api, source_id: str) -> None:
        first = created(api, source_id, destinationMetadataId=WEBHOOKS, **EVERY_PART)["id"]
        second = created(api, source_id, enabled=False, drop=True)["id"]
        assert published(api, source_id).transformations == (
            TransformationConfig(
                first,
                "event = 'Paid'",
                enabled=True,
                destination_metadata_id=WEBHOOKS,
                new_event_name="Order Paid",
                property_renames=(("revenue", "order.total"),),
                property_value_transformations=((("properties.currency", "context.app.currency"), "USD"),),
                allow_properties=("order", "currency"),
                hash_properties={"algorithm": "SHA256", "encoding": "BASE64", "paths": ["order.email"]},
            ),
            TransformationConfig(second, "event = 'Paid'", enabled=False, drop=True),
        )

    def test_what_was_not_sent_is_absent(self, api: Api, source_id: str) -> None:
        assert created(api, source_id).keys() == {"id", "name", "sourceId", "enabled", "if"}

    def test_an_empty_list_stays_one_and_nothing_is_filled_in(self, api: Api, source_id: str) -> None:
        lists = {name: [] for name in ("propertyRenames", "propertyValueTransformations", "fqlDefinedProperties")}
        made = created(api, source_id, **lists)
        assert made == lists | {key: made[key] for key in ("id", "name", "sourceId", "enabled", "if")}
        assert api.get(f"/transformations/{made['id']}").data["transformation"] == made

    @pytest.mark.parametrize("none", [None, ""])
    def test_null_and_an_empty_text_are_as_absent(self, api: Api, source_id: str, none: str | None) -> None:
        made = created(api, source_id, newEventName=none, destinationMetadataId=none)
        assert {"newEventName", "destinationMetadataId"}.isdisjoint(made)
        assert published(api, source_id).transformations[0].destination_metadata_id == ""

    def test_everything_that_is_wrong_is_named(self, api: Api, source_id: str) -> None:
        reply = create(
            api,
            "nowhere",
            "type =",
            destinationMetadataId="nothing",
            propertyRenames=[{"oldName": "products.$.sku", "newName": "a"}],
            propertyValueTransformations=[{"propertyPaths": ["userId"], "propertyValue": "x"}],
            hashPropertiesConfiguration={"algorithm": "ROT13", "paths": ["a..b"]},
        )
        assert reply.status == 422
        assert reply.fields == [
            "sourceId",
            "destinationMetadataId",
            "if",
            "propertyRenames[0].oldName",
            "propertyValueTransformations[0].propertyPaths[0]",
            "hashPropertiesConfiguration.paths[0]",
            "hashPropertiesConfiguration.algorithm",
        ]

    def test_shapes_are_checked_before_rules(self, api: Api, source_id: str) -> None:
        reply = create(
            api,
            source_id,
            name="",
            propertyRenames=[{"oldName": 1}],
            hashPropertiesConfiguration={"algorithm": "MD5", "paths": "a", "encoding": "BASE58"},
        )
        assert reply.status == 422
        assert sorted(reply.fields) == [
            "hashPropertiesConfiguration.encoding",
            "hashPropertiesConfiguration.paths",
            "name",
            "propertyRenames[0].newName",
            "propertyRenames[0].oldName",
        ]

    def test_missing_fields_are_all_named(self, api: Api) -> None:
        assert sorted(api.post("/transformations", {}).fields) == ["enabled", "if", "name", "sourceId"]

    def test_fql_defined_properties_and_property_renames_are_refused_together(self, api: Api, source_id: str) -> None:
        fql = [{"fql": "lowercase(properties.a)", "propertyName": "b"}]
        renames = [{"oldName": "a", "newName": "c"}]
        reply = create(api, source_id, fqlDefinedProperties=fql, propertyRenames=renames)
        assert (reply.status, reply.fields) == (422, ["fqlDefinedProperties"])
        assert create(api, source_id, fqlDefinedProperties=fql, propertyRenames=[]).status == 200

    def test_renaming_products_dollar_sku_is_refused(self, api: Api, source_id: str) -> None:
        reply = create(api, source_id, propertyRenames=[{"oldName": "products.$.sku", "newName": "sku"}])
        assert (reply.status, reply.fields) == (422, ["propertyRenames[0].oldName"])

    def test_members_may_not_create_one_but_read_them(self, api: Api, source_id: str) -> None:
        made = created(api, source_id)
        body = {key: made[key] for key in ("name", "sourceId", "if", "enabled")}
        assert api.post("/transformations", body, token=api.member).status == 403
        path = f"/transformations/{made['id']}"
        assert api.patch(path, {"name": "N"}, token=api.member).status == 403
        assert api.delete(path, token=api.member).status == 403
        assert api.get(path, token=api.member).data["transformation"] == made


class TestConflicts:
    @pytest.mark.parametrize("same", ["event='Paid'", "type = 'track' and event = \"Paid\"", "'Paid' = event"])
    def test_a_second_one_for_the_same_event_is_refused(self, api: Api, source_id: str, same: str) -> None:
        created(api, source_id)
        reply = create(api, source_id, same, newEventName="X")
        assert (reply.status, reply.fields) == (409, ["if"])
        assert "Fix" in reply.messages[0]

    def test_another_event_type_source_or_destination_is_another_matter(self, api: Api, source_id: str) -> None:
        created(api, source_id)
        for condition in ("event = 'Sold'", "type = 'identify'", "type = 'group'", "all"):
            assert create(api, source_id, condition).status == 200
        assert create(api, new_source(api, "other")).status == 200
        assert create(api, source_id, destinationMetadataId=WEBHOOKS).status == 200
        assert create(api, source_id, destinationMetadataId=WEBHOOKS).status == 409

    def test_a_disabled_one_is_in_the_way_too(self, api: Api, source_id: str) -> None:
        created(api, source_id, enabled=False)
        assert create(api, source_id).status == 409

    def test_a_property_that_another_scope_sets_is_refused(self, api: Api, source_id: str) -> None:
        values = [{"propertyPaths": ["properties.currency"], "propertyValue": "USD"}]
        created(api, source_id, propertyValueTransformations=values)
        reply = create(api, source_id, destinationMetadataId=WEBHOOKS, propertyValueTransformations=values)
        assert (reply.status, reply.fields) == (409, ["propertyValueTransformations"])
        others = [{"propertyPaths": ["properties.country"], "propertyValue": "US"}]
        assert (
            create(api, source_id, destinationMetadataId=WEBHOOKS, propertyValueTransformations=others).status == 200
        )

    def test_a_change_may_not_bring_a_conflict_either(self, api: Api, source_id: str) -> None:
        created(api, source_id)
        other = created(api, source_id, "event = 'Sold'")
        path = f"/transformations/{other['id']}"
        assert api.patch(path, {"if": "event = 'Paid'"}).status == 409
        assert api.patch(path, {"if": "event = 'Sold'", "name": "Again"}).status == 200


class TestUpdate:
    @proves("updateTransformation", level=4)
    def test_what_is_sent_changes_and_the_rest_stays(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, **EVERY_PART)
        path = f"/transformations/{made['id']}"
        renames = [{"oldName": "a", "newName": "b"}]
        changed = api.patch(path, {"name": "New", "enabled": False, "propertyRenames": renames}).data[
            "transformation"
        ]
        assert changed == made | {"name": "New", "enabled": False, "propertyRenames": renames}
        (config,) = published(api, source_id).transformations
        assert (config.enabled, config.property_renames) == (False, (("a", "b"),))
        assert config.new_event_name == "Order Paid"

    @proves("updateTransformation", level=3)
    def test_null_and_an_empty_name_take_a_part_away(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, destinationMetadataId=WEBHOOKS, **EVERY_PART)
        path = f"/transformations/{made['id']}"
        gone = {"newEventName": "", "allowProperties": None, "destinationMetadataId": None, "drop": None}
        changed = api.patch(path, gone).data["transformation"]
        assert changed == {key: value for key, value in made.items() if key not in gone}
        assert api.get(path).data["transformation"] == changed

    def test_what_a_change_makes_of_the_whole_is_checked(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, **EVERY_PART)
        path = f"/transformations/{made['id']}"
        reply = api.patch(path, {"if": "type = 'identify'"})
        assert (reply.status, reply.fields) == (422, ["newEventName"])
        reply = api.patch(path, {"fqlDefinedProperties": [{"fql": "'v'", "propertyName": "x"}]})
        assert set(reply.fields) == {"fqlDefinedProperties"}
        assert api.patch(path, {"sourceId": "nowhere"}).fields == ["sourceId"]
        assert api.get(path).data["transformation"] == made

    def test_it_may_move_to_another_source(self, api: Api, source_id: str) -> None:
        made = created(api, source_id)
        other = new_source(api, "other")
        assert api.patch(f"/transformations/{made['id']}", {"sourceId": other}).status == 200
        assert published(api, source_id).transformations == ()
        assert len(published(api, other).transformations) == 1

    def test_what_changes_nothing_leaves_no_trace(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, **EVERY_PART)
        same = {key: made[key] for key in made if key != "id"}
        assert api.patch(f"/transformations/{made['id']}", same).data["transformation"] == made
        assert api.patch(f"/transformations/{made['id']}", {}).data["transformation"] == made
        assert trail(api)[1:] == ["Transformation Created"]


class TestTheKeyOfAHash:
    def test_it_leaves_as_bullets_and_the_data_plane_gets_it(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, hashPropertiesConfiguration=HASHED | {"key": KEY})
        assert made["hashPropertiesConfiguration"] == HASHED | {"key": BULLETS}
        assert listed(api) == [made]
        (config,) = published(api, source_id).transformations
        assert config.hash_properties == HASHED | {"key": KEY}

    def test_it_does_not_lie_in_plain_text_on_the_disk(self, api: Api, source_id: str) -> None:
        created(api, source_id, hashPropertiesConfiguration=HASHED | {"key": KEY})
        stored = databases.stored(api.folder)
        assert b"event = 'Paid'" in stored
        assert KEY.encode() not in stored

    def test_bullets_that_come_back_mean_the_key_that_is_kept(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, hashPropertiesConfiguration=HASHED | {"key": KEY})
        path = f"/transformations/{made['id']}"
        sent = made["hashPropertiesConfiguration"] | {"encoding": "BASE64"}
        changed = api.patch(path, {"hashPropertiesConfiguration": sent}).data["transformation"]
        assert changed["hashPropertiesConfiguration"] == sent
        (config,) = published(api, source_id).transformations
        assert config.hash_properties == HASHED | {"key": KEY, "encoding": "BASE64"}

    def test_bullets_for_a_key_that_is_not_kept_are_refused(self, api: Api, source_id: str) -> None:
        masked = HASHED | {"key": BULLETS}
        reply = create(api, source_id, hashPropertiesConfiguration=masked)
        assert (reply.status, reply.fields) == (422, ["hashPropertiesConfiguration.key"])
        made = created(api, source_id, hashPropertiesConfiguration=HASHED)
        reply = api.patch(f"/transformations/{made['id']}", {"hashPropertiesConfiguration": masked})
        assert (reply.status, reply.fields) == (422, ["hashPropertiesConfiguration.key"])

    def test_a_configuration_without_a_key_has_none(self, api: Api, source_id: str) -> None:
        made = created(api, source_id, hashPropertiesConfiguration=HASHED | {"key": KEY})
        sent = {"hashPropertiesConfiguration": HASHED | {"key": None}}
        changed = api.patch(f"/transformations/{made['id']}", sent).data["transformation"]
        assert changed["hashPropertiesConfiguration"] == HASHED


class TestListAndDelete:
    @proves("listTransformations", level=3)
    def test_they_are_listed_in_pages_in_order_of_creation(self, api: Api, source_id: str) -> None:
        made = [created(api, source_id, f"event = '{n}'", name=str(n)) for n in range(3)]
        first = api.get("/transformations?pagination.count=2").data
        assert first["transformations"] == made[:2]
        rest = api.get(f"/transformations?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert rest["transformations"] == made[2:]
        assert "next" not in rest["pagination"]

    @proves("listTransformations", level=4)
    def test_destination_filters_are_listed_with_the_type_of_their_destination(
        self, api: Api, source_id: str
    ) -> None:
        before = created(api, source_id)
        api.pass_time(minutes=1)
        filter_id = new_filter(api, source_id, new_webhook(api, source_id)).data["filter"]["id"]
        api.pass_time(minutes=1)
        after = created(api, source_id, "event = 'Sold'")
        shown = {
            "id": filter_id,
            "name": "No identifies",
            "sourceId": source_id,
            "destinationMetadataId": WEBHOOKS,
            "enabled": True,
            "if": 'type = "identify"',
            "drop": True,
        }
        assert listed(api) == [before, shown, after]
        assert api.get(f"/transformations/{filter_id}").data["transformation"] == shown

    def test_a_destination_filter_is_changed_and_removed_as_such(self, api: Api, source_id: str) -> None:
        destination_id = new_webhook(api, source_id)
        made = new_filter(api, source_id, destination_id).data["filter"]
        assert api.patch(f"/transformations/{made['id']}", {"name": "X"}).status == 400
        assert api.delete(f"/transformations/{made['id']}").status == 400
        assert api.get(f"/destination/{destination_id}/filters/{made['id']}").data["filter"] == made

    @proves("deleteTransformation", level=4)
    def test_a_deleted_one_is_gone(self, api: Api, source_id: str) -> None:
        made = created(api, source_id)
        assert api.delete(f"/transformations/{made['id']}").data == {"status": "SUCCESS"}
        assert api.delete(f"/transformations/{made['id']}").status == 404
        assert api.get(f"/transformations/{made['id']}").status == 404
        assert published(api, source_id).transformations == ()
        assert create(api, source_id).status == 200

    def test_they_go_with_their_source(self, api: Api, source_id: str) -> None:
        made = created(api, source_id)
        api.delete(f"/sources/{source_id}")
        assert listed(api) == []
        assert api.get(f"/transformations/{made['id']}").status == 404
        assert trail(api)[1:] == ["Transformation Created", "Transformation Deleted", "Source Deleted"]

    def test_every_change_is_in_the_audit_trail(self, api: Api, source_id: str) -> None:
        made = created(api, source_id)
        api.patch(f"/transformations/{made['id']}", {"enabled": False})
        api.delete(f"/transformations/{made['id']}")
        assert trail(api)[1:] == ["Transformation Created", "Transformation Updated", "Transformation Deleted"]
