from __future__ import annotations

from contract.proves import proves
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import new_source, trail
from public_api.warehousing import connected_sources, connected_warehouses, member_with_roles, new_warehouse


@proves("addConnectionFromSourceToWarehouse", level=3)
def test_connecting_needs_no_body_and_may_be_repeated(api: Api) -> None:
    source_id, warehouse_id = new_source(api), new_warehouse(api)["id"]
    replies = [
        api.post(f"/warehouses/{warehouse_id}/connected-sources/{source_id}", headers={"content-type": ""})
        for _ in range(2)
    ]
    assert [(reply.status, reply.data) for reply in replies] == [(201, {"status": "CONNECTED"})] * 2
    assert connected_sources(api, warehouse_id) == [source_id]
    assert connected_warehouses(api, source_id) == [warehouse_id]


@proves("removeSourceConnectionFromWarehouse", level=3)
def test_a_connection_that_was_taken_away_is_gone_on_both_sides(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    assert connected_warehouses(api, source_id) == [warehouse_id]
    reply = api.delete(f"/warehouses/{warehouse_id}/connected-sources/{source_id}")
    assert (reply.status, reply.data) == (200, {"status": "SUCCESS"})
    assert connected_warehouses(api, source_id) == connected_sources(api, warehouse_id) == []


def test_taking_away_what_is_not_there_succeeds_as_terraform_expects(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    pairs = [("not_found", "not_found"), (warehouse_id, "not_found"), ("not_found", source_id)]
    for warehouse, source in pairs:
        reply = api.delete(f"/warehouses/{warehouse}/connected-sources/{source}")
        assert (reply.status, reply.data) == (200, {"status": "SUCCESS"})
    assert connected_sources(api, warehouse_id) == [source_id]


@proves("listConnectedSourcesFromWarehouse", "listConnectedWarehousesFromSource", level=3)
def test_both_lists_hold_whole_objects_in_pages(api: Api) -> None:
    sources = [api.get(f"/sources/{new_source(api, slug)}").data["source"] for slug in ("one", "two")]
    warehouses = [new_warehouse(api, disconnectAllSources=False) for _ in range(2)]
    of_warehouse = f"/warehouses/{warehouses[0]['id']}/connected-sources?pagination.count=1"
    of_source = f"/sources/{sources[0]['id']}/connected-warehouses?pagination.count=1"
    for url, key, expected in ((of_warehouse, "sources", sources), (of_source, "warehouses", warehouses)):
        first = api.get(url).data
        last = api.get(f"{url}&pagination.cursor={first['pagination']['next']}").data
        assert first[key] + last[key] == expected
        assert first["pagination"]["totalEntries"] == 2
        assert "next" not in last["pagination"]


def test_what_is_unknown_is_not_connected(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    routes = [
        f"POST /warehouses/nothing/connected-sources/{source_id}",
        f"POST /warehouses/{warehouse_id}/connected-sources/nothing",
        "GET /warehouses/nothing/connected-sources",
    ]
    assert [api.call(route).status for route in routes] == [404] * 3


def test_it_takes_a_warehouse_admin_who_is_a_source_admin_too(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    mine, here = Resource(warehouse_id, ResourceType.WAREHOUSE), Resource(source_id, ResourceType.SOURCE)
    url = f"/warehouses/{warehouse_id}/connected-sources/{source_id}"
    of_warehouse = api.member_with("Warehouse Admin", mine)
    both = member_with_roles(api, {"Warehouse Admin": mine, "Source Admin": here})
    reads = member_with_roles(api, {"Warehouse Admin": mine, "Source Read-only": here})
    of_source = api.member_with("Source Admin", here)
    callers = (of_warehouse, reads, of_source, both)
    assert [api.post(url, token=token).status for token in callers] == [404, 403, 403, 201]
    assert [api.delete(url, token=token).status for token in (reads, of_source, both)] == [403, 403, 200]


def test_lists_hold_what_the_caller_may_see(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    of_warehouse, of_source = api.member_with("Warehouse Read-only"), api.member_with("Source Read-only")
    sources = api.get(f"/warehouses/{warehouse_id}/connected-sources", token=of_warehouse).data
    warehouses = api.get(f"/sources/{source_id}/connected-warehouses", token=of_source).data
    assert (sources["sources"], sources["pagination"]["totalEntries"]) == ([], 0)
    assert (warehouses["warehouses"], warehouses["pagination"]["totalEntries"]) == ([], 0)


def test_a_change_of_connections_is_in_the_audit_trail_once(api: Api) -> None:
    warehouse_id, source_id = new_warehouse(api)["id"], new_source(api)
    url = f"/warehouses/{warehouse_id}/connected-sources/{source_id}"
    before = len(trail(api))
    for method in ("POST", "DELETE", "DELETE", "POST", "POST"):
        api.call(f"{method} {url}")
    assert trail(api)[before:] == ["Storage Destination Modified"] * 2
