from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.proves import proves
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api, Reply
from public_api.connections import trail
from public_api.test_spaces import space_ids

Create = Callable[..., Reply]


@pytest.fixture
def space_id(api: Api) -> str:
    return space_ids(api)["dev"]


@pytest.fixture
def create(api: Api, space_id: str) -> Create:
    """createFilterForSpace for a filter of pings, unless told otherwise."""

    def post(**more: Any) -> Reply:
        body = {"integrationId": space_id, "name": "No pings", "if": 'type = "track" and event = "Ping"'}
        return api.post("/filters", body | more)

    return post


class TestCreate:
    @proves("createFilterForSpace", "getFilterById", level=4)
    def test_a_filter_comes_back_as_it_was_sent_and_drops_unless_told_otherwise(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        reply = create(description="noise")
        assert reply.status == 200
        created = reply.data["filter"]
        assert created == {
            "id": created["id"],
            "workspaceId": api.workspace.id,
            "integrationId": space_id,
            "name": "No pings",
            "description": "noise",
            "if": 'type = "track" and event = "Ping"',
            "enabled": True,
            "drop": True,
            "createdAt": "2026-03-10T12:00:00.000Z",
            "updatedAt": "2026-03-10T12:00:00.000Z",
        }
        assert len(created["id"]) == 27
        assert api.get(f"/filters/{created['id']}").data == {"filter": created}

    def test_what_is_left_out_or_null_is_absent(self, create: Create) -> None:
        assert "description" not in create().data["filter"]
        assert "description" not in create(description=None).data["filter"]

    def test_switches_that_are_off_stay_off(self, create: Create) -> None:
        created = create(enabled=False, drop=False).data["filter"]
        assert (created["enabled"], created["drop"]) == (False, False)

    def test_a_space_may_be_spelled_with_its_prefix(self, space_id: str, create: Create) -> None:
        assert create(integrationId=f"spa_{space_id}").data["filter"]["integrationId"] == space_id

    def test_every_fault_of_space_and_condition_is_named(self, create: Create) -> None:
        reply = create(integrationId="nowhere", **{"if": "type ="})
        assert (reply.status, reply.fields) == (422, ["integrationId", "if"])
        assert "line 1, column" in reply.messages[1]

    def test_missing_fields_are_all_named(self, api: Api) -> None:
        assert sorted(api.post("/filters", {}).fields) == ["if", "integrationId", "name"]

    @proves("createFilterForSpace", level=4)
    def test_the_eleventh_filter_of_a_space_is_refused(self, api: Api, create: Create) -> None:
        for number in range(10):
            assert create(name=f"Filter {number}").status == 200
        assert create().status == 400
        assert create(integrationId=space_ids(api)["prod"]).status == 200


class TestUpdate:
    @proves("updateFilterById", level=4)
    def test_an_update_replaces_the_filter_so_that_what_it_leaves_out_is_gone(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        created = create(description="noise", enabled=False, drop=False).data["filter"]
        api.pass_time(minutes=1)
        body = {"integrationId": space_id, "name": "Other", "if": "all"}
        changed = api.patch(f"/filters/{created['id']}", body).data["filter"]
        kept = {key: created[key] for key in ("id", "workspaceId", "integrationId", "createdAt")}
        own = {"name": "Other", "if": "all", "enabled": True, "drop": True, "updatedAt": "2026-03-10T12:01:00.000Z"}
        assert changed == kept | own
        assert api.get(f"/filters/{created['id']}").data["filter"] == changed

    def test_even_name_and_condition_are_gone_when_they_are_left_out(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        created = create().data["filter"]
        changed = api.patch(f"/filters/{created['id']}", {"integrationId": space_id}).data["filter"]
        assert not changed.keys() & {"name", "if", "description"}

    def test_an_update_must_name_the_space_of_the_filter(self, api: Api, create: Create) -> None:
        created = create().data["filter"]
        path = f"/filters/{created['id']}"
        assert api.patch(path, {"name": "n", "if": "all"}).fields == ["integrationId"]
        moved = api.patch(path, {"integrationId": space_ids(api)["prod"], "name": "n", "if": "("})
        assert (moved.status, moved.fields) == (422, ["integrationId", "if"])
        assert api.get(path).data["filter"] == created


class TestList:
    @proves("listFiltersForSpace", level=4)
    def test_filters_are_listed_by_numbered_pages_in_order_of_creation(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        made = [create(name=str(number)).data["filter"] for number in range(3)]
        create(integrationId=space_ids(api)["prod"])
        first = api.get(f"/filters?integrationId={space_id}&pagination.count=2").data
        assert first == {"filters": made[:2], "pagination": {"current": 0, "next": 2, "totalEntries": 3}}
        rest = api.get(f"/filters?integrationId={space_id}&pagination[count]=2&pagination[cursor]=2").data
        assert rest == {"filters": made[2:], "pagination": {"current": 2, "totalEntries": 3}}

    def test_without_a_page_all_filters_of_a_space_come(self, api: Api, space_id: str, create: Create) -> None:
        for number in range(10):
            create(name=str(number))
        assert len(api.get(f"/filters?integrationId=spa_{space_id}").data["filters"]) == 10

    @pytest.mark.parametrize("count", ["0", "11", "x", "1.5"])
    def test_a_page_has_one_to_ten_filters(self, api: Api, space_id: str, count: str) -> None:
        reply = api.get(f"/filters?integrationId={space_id}&pagination.count={count}")
        assert (reply.status, reply.fields) == (422, ["pagination.count"])

    @pytest.mark.parametrize("cursor", ["-1", "MA==", "99999999999999999999"])
    def test_a_cursor_is_an_offset(self, api: Api, space_id: str, cursor: str) -> None:
        reply = api.get(f"/filters?integrationId={space_id}&pagination.count=1&pagination.cursor={cursor}")
        assert (reply.status, reply.fields) == (422, ["pagination.cursor"])

    def test_the_space_is_required_and_must_exist(self, api: Api) -> None:
        assert api.get("/filters").fields == ["integrationId"]
        assert api.get("/filters?integrationId=nowhere").status == 404


class TestDelete:
    @proves("deleteFilterById", level=4)
    def test_a_deleted_filter_is_gone_and_the_reply_says_deleted(self, api: Api, create: Create) -> None:
        path = f"/filters/{create().data['filter']['id']}"
        assert api.delete(path).data == {"deleted": True}
        assert [api.get(path).status, api.delete(path).status] == [404, 404]

    def test_every_write_is_in_the_audit_trail(self, api: Api, space_id: str, create: Create) -> None:
        path = f"/filters/{create().data['filter']['id']}"
        api.patch(path, {"integrationId": space_id, "name": "n", "if": "all"})
        api.delete(path)
        assert trail(api) == ["Filter Created", "Filter Updated", "Filter Deleted"]


class TestAccess:
    def test_filters_are_read_and_written_within_the_spaces_that_roles_name(
        self, api: Api, space_id: str, create: Create
    ) -> None:
        body = {"integrationId": space_id, "name": "n", "if": "all"}
        path = f"/filters/{create().data['filter']['id']}"
        dev, prod = (Resource(space_ids(api)[slug], ResourceType.SPACE) for slug in ("dev", "prod"))
        reader = api.member_with("Unify and Engage Read-only", dev)
        assert [api.get(path, token=reader).status, api.patch(path, body, token=reader).status] == [200, 403]
        stranger = api.member_with("Unify and Engage Admin", prod)
        assert [api.get(path, token=stranger).status, api.delete(path, token=stranger).status] == [404, 404]
        assert api.post("/filters", body, token=stranger).fields == ["integrationId"]
        admin = api.member_with("Unify and Engage Admin", dev)
        assert [api.patch(path, body, token=admin).status, api.delete(path, token=admin).status] == [200, 200]
