from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import new_filter, new_source, new_webhook, published, trail


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def destination_id(api: Api, source_id: str) -> str:
    return new_webhook(api, source_id)


@pytest.fixture
def url(destination_id: str) -> str:
    return f"/destination/{destination_id}/filters"


class TestCreate:
    @proves("createFilterForDestination", "getFilterInDestination", level=3)
    def test_a_filter_comes_back_as_it_was_sent(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        reply = new_filter(api, source_id, destination_id, description=None)
        assert reply.status == 200
        created = reply.data["filter"]
        assert created == {
            "id": created["id"],
            "sourceId": source_id,
            "destinationId": destination_id,
            "if": 'type = "identify"',
            "actions": [{"type": "DROP"}],
            "title": "No identifies",
            "enabled": True,
            "createdAt": "2026-03-10T12:00:00.000Z",
            "updatedAt": "2026-03-10T12:00:00.000Z",
        }
        assert len(created["id"]) == 27
        assert api.get(f"{url}/{created['id']}").data["filter"] == created

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ({"type": "drop"}, {"type": "DROP"}),
            ({"type": "DROP", "fields": {}, "percent": 0, "path": None}, {"type": "DROP"}),
            ({"type": "Sample", "percent": 0.05}, {"type": "SAMPLE", "percent": 0.05}),
            ({"type": "SAMPLE", "percent": 1, "path": ""}, {"type": "SAMPLE", "percent": 1, "path": ""}),
            (
                {"type": "DROP_PROPERTIES", "fields": {"": ["ip"]}},
                {"type": "DROP_PROPERTIES", "fields": {"": ["ip"]}},
            ),
            (
                {"type": "ALLOW_PROPERTIES", "fields": {"context.device": ["id"], "properties": []}},
                {"type": "ALLOW_PROPERTIES", "fields": {"context.device": ["id"], "properties": []}},
            ),
        ],
    )
    def test_an_action_comes_back_in_upper_case_without_added_keys(
        self, api: Api, source_id: str, destination_id: str, sent: dict[str, Any], kept: dict[str, Any]
    ) -> None:
        created = new_filter(api, source_id, destination_id, actions=[sent]).data["filter"]
        assert created["actions"] == [kept]

    @proves("createFilterForDestination", level=4)
    def test_the_data_plane_gets_filters_in_order_of_creation(
        self, api: Api, source_id: str, destination_id: str
    ) -> None:
        sample = [{"type": "SAMPLE", "percent": 0.5}]
        first = new_filter(api, source_id, destination_id, actions=sample, enabled=False).data["filter"]["id"]
        second = new_filter(api, source_id, destination_id).data["filter"]["id"]
        (config,) = published(api, source_id).destinations
        assert [(each.id, each.condition, each.actions, each.enabled) for each in config.filters] == [
            (first, 'type = "identify"', ({"type": "SAMPLE", "percent": 0.5},), False),
            (second, 'type = "identify"', ({"type": "DROP"},), True),
        ]

    def test_a_condition_that_cannot_be_read_is_refused_with_line_and_column(
        self, api: Api, source_id: str, destination_id: str
    ) -> None:
        reply = new_filter(api, source_id, destination_id, **{"if": "type ="})
        assert (reply.status, reply.fields) == (422, ["if"])
        assert "line 1, column" in reply.messages[0]

    def test_every_fault_of_condition_and_actions_is_named(
        self, api: Api, source_id: str, destination_id: str
    ) -> None:
        actions = [{"type": "SAMPLE", "percent": 2}, {"type": "DROP_PROPERTIES"}, {"type": "KEEP"}]
        reply = new_filter(api, source_id, destination_id, actions=actions, **{"if": "("})
        assert reply.status == 422
        assert reply.fields == ["if", "actions[0].percent", "actions[1].fields", "actions[2].type"]

    def test_drop_stands_alone(self, api: Api, source_id: str, destination_id: str) -> None:
        actions = [{"type": "DROP"}, {"type": "SAMPLE", "percent": 1}]
        assert new_filter(api, source_id, destination_id, actions=actions).fields == ["actions"]

    def test_missing_fields_are_all_named(self, api: Api, url: str) -> None:
        assert sorted(api.post(url, {}).fields) == ["actions", "enabled", "if", "sourceId", "title"]

    def test_a_title_has_at_most_64_characters(self, api: Api, source_id: str, destination_id: str) -> None:
        assert new_filter(api, source_id, destination_id, title="t" * 65).fields == ["title"]
        assert new_filter(api, source_id, destination_id, title="t" * 64).status == 200

    def test_the_eleventh_filter_of_a_destination_is_refused(
        self, api: Api, source_id: str, destination_id: str
    ) -> None:
        for _ in range(10):
            new_filter(api, source_id, destination_id)
        assert new_filter(api, source_id, destination_id).status == 400
        assert new_filter(api, source_id, new_webhook(api, source_id)).status == 200

    def test_the_source_must_be_that_of_the_destination(self, api: Api, destination_id: str) -> None:
        reply = new_filter(api, new_source(api, "other"), destination_id)
        assert (reply.status, reply.fields) == (422, ["sourceId"])

    def test_an_unknown_destination_is_not_found(self, api: Api, source_id: str) -> None:
        assert new_filter(api, source_id, "nowhere").status == 404

    def test_members_may_not_create_one_but_read_them(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        body = {key: created[key] for key in ("sourceId", "if", "actions", "title", "enabled")}
        assert api.post(url, body, token=api.member).status == 403
        assert api.get(url, token=api.member).data["filters"] == [created]


class TestUpdate:
    @proves("updateFilterForDestination", level=4)
    def test_what_is_sent_changes_and_the_rest_stays(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        created = new_filter(api, source_id, destination_id, description="why").data["filter"]
        api.pass_time(minutes=1)
        changed = api.patch(f"{url}/{created['id']}", {"if": "all", "title": "Nothing"}).data["filter"]
        assert changed == created | {"if": "all", "title": "Nothing", "updatedAt": "2026-03-10T12:01:00.000Z"}
        (config,) = published(api, source_id).destinations
        assert config.filters[0].condition == "all"

    def test_actions_are_replaced(self, api: Api, source_id: str, destination_id: str, url: str) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        actions = [{"type": "SAMPLE", "percent": 0.25, "path": "userId"}]
        assert api.patch(f"{url}/{created['id']}", {"actions": actions}).data["filter"]["actions"] == actions

    def test_description_null_clears_it(self, api: Api, source_id: str, destination_id: str, url: str) -> None:
        created = new_filter(api, source_id, destination_id, description="why").data["filter"]
        assert created["description"] == "why"
        changed = api.patch(f"{url}/{created['id']}", {"description": None}).data["filter"]
        assert "description" not in changed
        assert "description" not in api.get(f"{url}/{created['id']}").data["filter"]

    def test_an_invalid_condition_changes_nothing(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        assert api.patch(f"{url}/{created['id']}", {"if": "!", "title": "New"}).fields == ["if"]
        assert api.get(f"{url}/{created['id']}").data["filter"] == created

    def test_every_change_is_in_the_audit_trail(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        for enabled in (True, False, False, True):
            api.patch(f"{url}/{created['id']}", {"enabled": enabled})
        for change in ({"if": 'event = "Paid"'}, {"if": 'event = "Paid"', "enabled": True}, {}):
            assert api.patch(f"{url}/{created['id']}", change).status == 200
        api.delete(f"{url}/{created['id']}")
        assert trail(api)[2:] == [
            "Destination Filter Created",
            "Destination Filter Disabled",
            "Destination Filter Enabled",
            "Destination Filter Modified",
            "Destination Filter Deleted",
        ]


class TestListAndDelete:
    @proves("listFiltersFromDestination", level=3)
    def test_filters_are_listed_in_pages_in_order_of_creation(
        self, api: Api, source_id: str, destination_id: str, url: str
    ) -> None:
        made = [new_filter(api, source_id, destination_id, title=str(n)).data["filter"] for n in range(3)]
        new_filter(api, source_id, new_webhook(api, source_id))
        first = api.get(f"{url}?pagination.count=2").data
        assert first["filters"] == made[:2]
        rest = api.get(f"{url}?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
        assert rest["filters"] == made[2:]

    @proves("removeFilterFromDestination", level=4)
    def test_a_removed_filter_is_gone(self, api: Api, source_id: str, destination_id: str, url: str) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        assert api.delete(f"{url}/{created['id']}").data == {"status": "SUCCESS"}
        assert api.delete(f"{url}/{created['id']}").status == 404
        assert published(api, source_id).destinations[0].filters == ()

    def test_a_filter_is_not_found_under_another_destination(
        self, api: Api, source_id: str, destination_id: str
    ) -> None:
        created = new_filter(api, source_id, destination_id).data["filter"]
        other = f"/destination/{new_webhook(api, source_id)}/filters/{created['id']}"
        assert [api.get(other).status, api.patch(other, {}).status, api.delete(other).status] == [404] * 3


class TestPreview:
    @proves("previewDestinationFilter", level=4)
    def test_a_dropped_payload_has_a_null_result(self, api: Api) -> None:
        payload = {"type": "identify", "userId": "u1"}
        body = {"filter": {"if": "type = 'identify'", "actions": [{"type": "DROP"}]}, "payload": payload}
        assert api.post("/destination/filters/preview", body).data == {"inputPayload": payload, "result": None}

    @proves("previewDestinationFilter", level=4)
    def test_the_published_example_keeps_the_allowed_properties(self, api: Api) -> None:
        product = {"name": "Fake mustache", "referrer": "www.example.com", "requestedFrom": "/products/123/checkout"}
        payload = {"event": "Order Completed", "product": product, "type": "track"}
        body = {
            "filter": {
                "if": 'type = "track" AND event = "Order Completed"',
                "actions": [{"type": "ALLOW_PROPERTIES", "fields": {"product": ["event", "requestedFrom"]}}],
            },
            "payload": payload,
        }
        reply = api.post("/destination/filters/preview", body).data
        assert reply["inputPayload"] == payload
        assert reply["result"] == payload | {"product": {"requestedFrom": "/products/123/checkout"}}

    def test_a_payload_that_does_not_match_comes_out_as_it_went_in(self, api: Api) -> None:
        body = {"filter": {"if": "type = 'track'", "actions": [{"type": "DROP"}]}, "payload": {"type": "page"}}
        assert api.post("/destination/filters/preview", body, token=api.member).data["result"] == {"type": "page"}

    def test_faults_are_named_by_their_whole_path(self, api: Api) -> None:
        body = {"filter": {"if": "type =", "actions": [{"type": "SAMPLE"}]}, "payload": {}}
        reply = api.post("/destination/filters/preview", body)
        assert (reply.status, reply.fields) == (422, ["filter.if", "filter.actions[0].percent"])
        assert reply.messages[0].startswith('"filter.if" ')
        assert reply.messages[1] == '"filter.actions[0].percent" is required'
