import json
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.proves import proves
from mainstem.destinations.actions.catalogue import INSTALL, known
from mainstem.public_api import catalog
from public_api.actions import MAILER, OTHER, definition, field, installed, new_mailer
from public_api.client import Api
from public_api.connections import new_source

KINDS = {"sources": "sourcesCatalog", "destinations": "destinationsCatalog", "warehouses": "warehousesCatalog"}
NOUNS = {"sources": "Source", "destinations": "Destination", "warehouses": "Warehouse"}


def written(kind: str) -> list[dict[str, Any]]:
    text = (resources.files("mainstem.public_api") / "catalog_data" / f"{kind}.json").read_text()
    return [entry["metadata"] for entry in json.loads(text)]


@proves("getSourcesCatalog", "getDestinationsCatalog", "getWarehousesCatalog", level=3)
@pytest.mark.parametrize("kind", KINDS)
def test_a_list_holds_every_entry_as_it_is_written(api: Api, kind: str) -> None:
    data = api.get(f"/catalog/{kind}?pagination.count=1000").data
    open_source = len(known()) if kind == "destinations" else 0
    assert data[KINDS[kind]][: len(written(kind))] == written(kind)
    assert data["pagination"] == {"current": "MA==", "totalEntries": len(written(kind)) + open_source}


@proves("getSourceMetadata", "getDestinationMetadata", "getWarehouseMetadata", level=3)
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("sources", "sourceMetadata"),
        ("destinations", "destinationMetadata"),
        ("warehouses", "warehouseMetadata"),
    ],
)
def test_each_entry_is_found_by_its_id(api: Api, kind: str, key: str) -> None:
    for entry in written(kind):
        assert api.get(f"/catalog/{kind}/{entry['id']}").data == {key: entry}


@proves("getSourceMetadata", "getDestinationMetadata", "getWarehouseMetadata", level=3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", ["nothing", "javascript", "webhooks", "postgres"])
def test_an_unknown_id_is_not_found_and_a_slug_is_no_id(api: Api, kind: str, id: str) -> None:
    reply = api.get(f"/catalog/{kind}/{id}")
    assert (reply.status, reply.messages) == (404, [f"{NOUNS[kind]} metadata with id '{id}' not found."])


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


class TestOpenSourceDestinations:
    WITH_SECRET = definition(MAILER, "Webhook") | {"options": [field("sharedSecret", "password"), field("region")]}

    @proves("getDestinationsCatalog", level=3)
    def test_all_are_listed_by_name_before_anything_is_installed(self, api: Api) -> None:
        listed = api.get("/catalog/destinations?pagination.count=1000").data["destinationsCatalog"][
            len(written("destinations")) :
        ]
        assert [(each["id"], each["slug"], each["name"]) for each in listed] == [
            (metadata_id, each.slug, each.name) for metadata_id, each in known().items()
        ]
        names = [each["name"] for each in listed]
        assert names == sorted(names)

    def test_what_is_not_installed_is_unavailable_and_says_what_to_do(self, api: Api) -> None:
        entry = api.get(f"/catalog/destinations/{MAILER}").data["destinationMetadata"]
        assert (entry["name"], entry["status"]) == ("Webhook", "UNAVAILABLE")
        assert INSTALL in entry["description"]

    def test_what_is_not_installed_cannot_be_connected(self, api: Api) -> None:
        body = {"sourceId": new_source(api), "metadataId": MAILER, "settings": {}}
        assert api.post("/destinations", body).fields == ["metadataId"]

    def test_an_installation_is_seen_at_the_next_look(self, api: Api, tmp_path: Path) -> None:
        with installed(tmp_path):
            assert api.get(f"/catalog/destinations/{MAILER}").data["destinationMetadata"]["status"] == "PUBLIC"
        assert api.get(f"/catalog/destinations/{OTHER}").data["destinationMetadata"]["status"] == "UNAVAILABLE"

    def test_a_destination_outlives_its_package_with_its_secret_masked(self, api: Api, tmp_path: Path) -> None:
        settings = {"sharedSecret": "s3cr3t-of-acme", "region": "eu"}
        with installed(tmp_path, self.WITH_SECRET):
            mailer = new_mailer(api, new_source(api), settings=settings)
        destination = api.get(f"/destinations/{mailer}").data["destination"]
        assert destination["metadata"]["status"] == "UNAVAILABLE"
        assert destination["settings"] == {"sharedSecret": "\u2022" * 10 + "acme", "region": "eu"}
        assert api.get("/destinations").data["destinations"] == [destination]

    def test_a_mask_that_comes_back_keeps_the_secret_without_the_package_too(self, api: Api, tmp_path: Path) -> None:
        with installed(tmp_path, self.WITH_SECRET):
            mailer = new_mailer(api, new_source(api), settings={"sharedSecret": "s3cr3t-of-acme"})
        shown = api.get(f"/destinations/{mailer}").data["destination"]["settings"]
        api.patch(f"/destinations/{mailer}", {"settings": shown | {"region": "us"}})
        with installed(tmp_path / "again", self.WITH_SECRET):
            after = api.get(f"/destinations/{mailer}").data["destination"]["settings"]
        assert after == {"sharedSecret": "s3cr3t-of-acme", "region": "us"}  # this catalogue calls it no secret

    def test_a_deleted_destination_may_be_one_without_its_package(self, api: Api, tmp_path: Path) -> None:
        with installed(tmp_path, self.WITH_SECRET):
            mailer = new_mailer(api, new_source(api))
        assert api.delete(f"/destinations/{mailer}").status == 200
