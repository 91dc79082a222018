import json
from importlib import resources
from typing import Any

import msgspec
import pytest

from contract.proves import proves
from mainstem.public_api import catalog
from public_api.client import Api

KINDS = {"sources": "sourcesCatalog", "destinations": "destinationsCatalog", "warehouses": "warehousesCatalog"}
NOUNS = {"sources": "Source", "destinations": "Destination", "warehouses": "Warehouse"}


def written(kind: str) -> list[dict[str, Any]]:
    text = (resources.files("mainstem.public_api") / "catalog_data" / f"{kind}.json").read_text()
    return [entry["metadata"] for entry in json.loads(text)]


@proves("getSourcesCatalog", "getDestinationsCatalog", "getWarehousesCatalog", level=3)
@pytest.mark.parametrize("kind", KINDS)
def test_a_list_holds_every_entry_as_it_is_written(api: Api, kind: str) -> None:
    data = api.get(f"/catalog/{kind}").data
    assert data[KINDS[kind]] == written(kind)
    assert data["pagination"] == {"current": "MA==", "totalEntries": len(written(kind))}


@proves("getSourceMetadata", "getDestinationMetadata", level=3)
@pytest.mark.parametrize(("kind", "key"), [("sources", "sourceMetadata"), ("destinations", "destinationMetadata")])
def test_each_entry_is_found_by_its_id(api: Api, kind: str, key: str) -> None:
    for entry in written(kind):
        assert api.get(f"/catalog/{kind}/{entry['id']}").data == {key: entry}


@proves("getSourceMetadata", "getDestinationMetadata", "getWarehouseMetadata", level=3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", ["nothing", "javascript", "webhooks", "postgres"])
def test_an_unknown_id_is_not_found_and_a_slug_is_no_id(api: Api, kind: str, id: str) -> None:
    reply = api.get(f"/catalog/{kind}/{id}")
    assert (reply.status, reply.messages) == (404, [f"{NOUNS[kind]} metadata with id '{id}' not found."])


def test_a_warehouse_that_does_not_work_yet_is_not_offered(api: Api) -> None:
    assert api.get("/catalog/warehouses/55d3d3aea3c").status == 404


@proves("getSourcesCatalog", level=3)
def test_pages_cover_the_catalog_without_repetition(api: Api) -> None:
    seen, query = [], "pagination.count=5"
    while query:
        data = api.get(f"/catalog/sources?{query}").data
        seen += [entry["id"] for entry in data["sourcesCatalog"]]
        following = data["pagination"].get("next")
        query = f"pagination.count=5&pagination.cursor={following}" if following else ""
    assert seen == [entry["id"] for entry in written("sources")]


def test_metadata_is_the_same_bytes_in_every_reply(api: Api) -> None:
    replies = {msgspec.json.encode(api.get("/catalog/sources/IqDTy1TpoU").data) for _ in range(3)}
    assert len(replies) == 1


def test_members_read_the_catalog(api: Api) -> None:
    assert api.get("/catalog/sources", token=api.member).status == 200


def test_every_platform_is_one_that_the_data_plane_knows() -> None:
    assert {catalog.source_platform(entry["id"]) for entry in written("sources")} == {"web", "mobile", "server"}
