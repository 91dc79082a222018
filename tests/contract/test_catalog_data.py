"""The catalogue: its shape is the published one, and it names nothing that does not work."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Any

import pytest

from contract.validator import schema_validator
from mainstem.warehouses import DRIVERS

DATA = files("mainstem.public_api") / "catalog_data"
CLIENT_SIDE = {"web": True, "mobile": True, "server": False}


def catalogue(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text())
    return entries


SOURCES = {entry["metadata"]["id"]: entry for entry in catalogue("sources")}
DESTINATIONS = {entry["metadata"]["id"]: entry for entry in catalogue("destinations")}
WAREHOUSES = {entry["metadata"]["id"]: entry for entry in catalogue("warehouses")}


@pytest.mark.parametrize("entry", SOURCES.values(), ids=lambda entry: entry["metadata"]["slug"])
def test_a_source_type_has_the_published_shape(entry: dict[str, Any]) -> None:
    schema_validator("SourceMetadataV1").validate(entry["metadata"])
    assert entry.keys() == {"metadata", "platform", "clientSide"}


@pytest.mark.parametrize("entry", DESTINATIONS.values(), ids=lambda entry: entry["metadata"]["slug"])
def test_a_destination_type_has_the_published_shape(entry: dict[str, Any]) -> None:
    schema_validator("DestinationMetadataV1").validate(entry["metadata"])
    assert entry.keys() == {"metadata"}


@pytest.mark.parametrize("name", ["sources", "destinations", "warehouses"])
def test_ids_and_slugs_are_unique(name: str) -> None:
    entries = [entry["metadata"] for entry in catalogue(name)]
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert len({entry["slug"] for entry in entries}) == len(entries)
    assert not {entry["id"] for entry in entries} & {entry["slug"] for entry in entries}


@pytest.mark.parametrize(
    ("metadata_id", "slug"),
    [
        ("IqDTy1TpoU", "javascript"),
        ("iUM16Md8P2", "http-api"),
        ("XRksQPCr7X", "python"),
        ("U9mT0bPcI6", "node-js"),
        ("yBvi77aEwr", "go"),
        ("V6ynUvQgbc", "java"),
        ("TDO70If4mD", "php"),
        ("aACTBqIbWT", "ruby"),
        ("8HWbgPTt3k", "net"),
        ("dZeHygTSD4", "apple"),
        ("yMu7LRR59b", "kotlin"),
        ("WvlvcGEJsT", "postgres"),
        ("0yMe8VfuDc", "redshift"),
        ("BQp3zGUgjV", "snowflake"),
        ("78PbvP2yv8", "bigquery"),
        ("aSPS4yE0CZ", "databricks"),
        ("xNpohElkX2", "azure"),
        ("fUGdCkAF8f", "db2"),
    ],
)
def test_a_source_type_has_its_published_id_and_slug(metadata_id: str, slug: str) -> None:
    assert SOURCES[metadata_id]["metadata"]["slug"] == slug


def test_no_source_type_needs_more_than_a_write_key() -> None:
    for entry in SOURCES.values():
        assert entry["metadata"]["isCloudEventSource"] is False
        assert not any(option["required"] for option in entry["metadata"]["options"])


def test_secrets_of_databases_are_passwords_so_that_replies_mask_them() -> None:
    databases = [entry["metadata"] for entry in SOURCES.values() if entry["metadata"]["categories"] == ["Warehouse"]]
    assert len(databases) == 7
    for database in databases:
        types = {option["name"]: option["type"] for option in database["options"]}
        secrets = types.keys() & {"password", "credentials", "clientSecret", "privateKey", "privateKeyPassphrase"}
        assert secrets == {name for name in types if types[name] == "password"} != set()


def test_browsers_and_phones_are_client_side_and_servers_are_not() -> None:
    for entry in SOURCES.values():
        assert entry["clientSide"] is CLIENT_SIDE[entry["platform"]]


def test_the_one_destination_is_the_classic_webhook_with_its_published_options() -> None:
    (entry,) = DESTINATIONS.values()
    webhook = entry["metadata"]
    assert (webhook["id"], webhook["slug"]) == ("54521fdc25e721e32a72ef04", "webhooks")
    assert [option["name"] for option in webhook["options"]] == ["globalHook", "hooks", "sharedSecret"]
    assert webhook["actions"] == webhook["presets"] == webhook["contacts"] == []


def test_a_secret_option_is_a_password_so_that_replies_mask_it() -> None:
    (webhook,) = DESTINATIONS.values()
    types = {option["name"]: option["type"] for option in webhook["metadata"]["options"]}
    assert types["sharedSecret"] == "password"


@pytest.mark.parametrize("entry", WAREHOUSES.values(), ids=lambda entry: entry["metadata"]["slug"])
def test_a_warehouse_type_has_the_published_shape(entry: dict[str, Any]) -> None:
    schema_validator("WarehouseMetadataV1").validate(entry["metadata"])
    assert entry.keys() == {"metadata"}


@pytest.mark.parametrize(
    ("metadata_id", "slug"),
    [
        ("55d3d3aea3c", "postgres"),
        ("aea3c55dsz", "redshift"),
        ("CCIl4HLQPz", "snowflake"),
        ("kwX50Df0hr", "bigquery"),
        ("WcjBCzUGff", "azuresqldw"),
        ("VxcZnH5UIM", "azuresqldb"),
        ("CUy2TYfDp0", "db2"),
    ],
)
def test_a_warehouse_type_has_its_published_id_and_slug(metadata_id: str, slug: str) -> None:
    assert WAREHOUSES[metadata_id]["metadata"]["slug"] == slug


def test_a_type_of_our_own_has_an_id_that_its_name_gives() -> None:
    own = hashlib.sha256(b"mainstem/warehouses/duckdb").hexdigest()[:11]
    assert WAREHOUSES[own]["metadata"]["slug"] == "duckdb"


def test_a_warehouse_type_says_which_driver_it_needs_or_that_there_is_none() -> None:
    for entry in WAREHOUSES.values():
        driver, description = DRIVERS.get(entry["metadata"]["slug"]), entry["metadata"]["description"]
        assert (f"mainstem[{driver.extra}]" if driver else "has no driver") in description


def test_a_password_of_a_warehouse_is_an_option_of_that_type() -> None:
    options = [option for entry in WAREHOUSES.values() for option in entry["metadata"]["options"]]
    assert {option["type"] for option in options if option["name"] == "password"} == {"password"}
