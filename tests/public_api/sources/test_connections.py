from typing import Any

from contract.proves import proves
from public_api.client import Api

WEBHOOKS = "54521fdc25e721e32a72ef04"


def connect(api: Api, source_id: str) -> dict[str, Any]:
    settings = {"hooks": [{"hook": "https://example.com/hook"}]}
    body = {"sourceId": source_id, "metadataId": WEBHOOKS, "settings": settings, "enabled": True}
    created: dict[str, Any] = api.post("/destinations", body).data["destination"]
    return created


@proves("listConnectedDestinationsFromSource", level=3)
def test_the_destinations_of_a_source_are_whole_and_its_own(api: Api, source: dict[str, Any], url: str) -> None:
    body = {"slug": "other", "enabled": True, "metadataId": "iUM16Md8P2"}
    other = api.post("/sources", body).data["source"]
    mine = [connect(api, source["id"]), connect(api, source["id"])]
    connect(api, other["id"])
    data = api.get(f"{url}/connected-destinations").data
    assert data == {"destinations": mine, "pagination": {"current": "MA==", "totalEntries": 2}}
    api.delete(f"/destinations/{mine[0]['id']}")
    assert api.get(f"{url}/connected-destinations").data["destinations"] == mine[1:]


def test_connected_destinations_come_in_pages(api: Api, source: dict[str, Any], url: str) -> None:
    mine = [connect(api, source["id"])["id"] for _ in range(3)]
    first = api.get(f"{url}/connected-destinations?pagination.count=2").data
    cursor = first["pagination"]["next"]
    last = api.get(f"{url}/connected-destinations?pagination.count=2&pagination.cursor={cursor}").data
    assert [each["id"] for page in (first, last) for each in page["destinations"]] == mine
    assert "next" not in last["pagination"]


@proves("listConnectedWarehousesFromSource", level=3)
def test_no_warehouse_is_connected_where_there_is_none(api: Api, url: str) -> None:
    data = api.get(f"{url}/connected-warehouses").data
    assert data == {"warehouses": [], "pagination": {"current": "MA==", "totalEntries": 0}}


def test_an_unknown_source_is_not_found(api: Api) -> None:
    for kind in ("destinations", "warehouses"):
        reply = api.get(f"/sources/nothing/connected-{kind}")
        assert (reply.status, reply.messages) == (404, ["Source with id 'nothing' not found."])
