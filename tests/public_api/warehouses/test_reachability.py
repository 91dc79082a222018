from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from contract.proves import proves
from mainstem.settings import Settings
from public_api.client import Api
from public_api.connections import trail
from public_api.warehousing import DUCKDB, POSTGRES, SERVER, SNOWFLAKE, new_credential, new_warehouse
from warehouses.speaking import PostgresServer

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An instance that may reach loopback."""
    instance = Api(tmp_path, settings=Settings(rate_limits=False, data=tmp_path, allow_private=LOOPBACK))
    yield instance
    instance.database.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(SERVER["password"]) as there:
        yield there


def here(server: PostgresServer, **more: Any) -> dict[str, Any]:
    return SERVER | {"hostname": "127.0.0.1", "port": server.port} | more


def state(api: Api, **more: Any) -> str:
    """The connection state of a new warehouse."""
    found: str = api.get(f"/warehouses/{new_warehouse(api, **more)['id']}/connection-state").data["connectionState"]
    return found


def validated(api: Api, metadata_id: str, settings: dict[str, Any]) -> str:
    reply = api.post("/warehouses/validation", {"metadataId": metadata_id, "settings": settings})
    assert reply.status == 200
    status: str = reply.data["status"]
    return status


@proves("createValidationInWarehouse", level=3)
class TestValidation:
    def test_settings_that_open_the_warehouse_are_connected(self, api: Api, server: PostgresServer) -> None:
        assert validated(api, POSTGRES, here(server)) == "CONNECTED"
        assert api.get("/warehouses").data["warehouses"] == []

    def test_a_wrong_password_is_a_failure_and_no_error(self, api: Api, server: PostgresServer) -> None:
        assert validated(api, POSTGRES, here(server, password="guessed")) == "FAILED"

    @pytest.mark.parametrize("host", ["nobody.invalid", "10.255.255.1"])
    def test_an_unreachable_host_is_a_failure_and_no_error(self, api: Api, host: str) -> None:
        assert validated(api, POSTGRES, SERVER | {"hostname": host}) == "FAILED"

    def test_what_is_missing_is_a_failure_and_no_error(self, api: Api) -> None:
        assert validated(api, POSTGRES, {}) == "FAILED"

    def test_an_unknown_type_is_named(self, api: Api) -> None:
        reply = api.post("/warehouses/validation", {"metadataId": "x", "settings": {}})
        assert (reply.status, reply.fields) == (422, ["metadataId"])

    def test_it_is_in_the_audit_trail(self, api: Api) -> None:
        validated(api, SNOWFLAKE, {})
        assert trail(api) == ["Storage Destination Settings Validation"]

    def test_who_reads_warehouses_tries_no_settings(self, api: Api) -> None:
        token = api.member_with("Warehouse Read-only")
        body = {"metadataId": POSTGRES, "settings": SERVER}
        assert api.post("/warehouses/validation", body, token=token).status == 403


@proves("getConnectionStateFromWarehouse", level=3)
class TestConnectionState:
    def test_it_is_that_of_the_moment(self, api: Api) -> None:
        with PostgresServer(SERVER["password"]) as there:
            url = f"/warehouses/{new_warehouse(api, settings=here(there))['id']}/connection-state"
            assert api.get(url).data == {"connectionState": "CONNECTED"}
        assert api.get(url).data == {"connectionState": "FAILED"}

    def test_a_file_of_the_workspace_is_a_warehouse(self, api: Api, tmp_path: Path) -> None:
        folder = tmp_path / "warehouses" / api.workspace.id
        folder.mkdir(parents=True)
        duckdb.connect(folder / "events.duckdb").close()
        assert state(api, metadataId=DUCKDB, settings={"file": "events.duckdb"}) == "CONNECTED"
        assert state(api, metadataId=DUCKDB, settings={"file": "../events.duckdb"}) == "FAILED"

    def test_a_type_without_a_driver_fails_and_the_log_says_why(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert state(api, metadataId=SNOWFLAKE, settings={"account": "a"}) == "FAILED"
        assert "no driver" in caplog.text

    def test_secrets_stay_out_of_the_log(
        self, api: Api, server: PostgresServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        assert state(api, settings=here(server, password="wrong-secret")) == "FAILED"
        assert "wrong-secret" not in caplog.text

    def test_a_credential_lies_over_the_settings_and_its_change_reaches_every_consumer(
        self, api: Api, server: PostgresServer
    ) -> None:
        authentication = {"type": "password", "password": SERVER["password"]}
        credential = new_credential(api, username="u", authentication=authentication)
        settings = here(server, password="old", credentialId=credential)
        url = f"/warehouses/{new_warehouse(api, settings=settings)['id']}/connection-state"
        assert api.get(url).data == {"connectionState": "CONNECTED"}
        api.patch(f"/credentials/{credential}", {"settings": {"authentication": {"password": "changed"}}})
        assert api.get(url).data == {"connectionState": "FAILED"}
        assert server.passwords == [SERVER["password"], "changed"]

    def test_an_unknown_warehouse_is_not_found(self, api: Api) -> None:
        assert api.get("/warehouses/nothing/connection-state").status == 404


def test_no_transaction_is_open_while_a_warehouse_is_tried(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def opens(workspace_id: str, slug: str, settings: dict[str, Any]) -> bool:
        tried.append(new_warehouse(api)["id"])  # would wait for the lock of the validation
        return True

    monkeypatch.setattr(api.dispatcher._warehouses, "opens", opens)
    assert validated(api, POSTGRES, SERVER) == "CONNECTED"
    assert [each["id"] for each in api.get("/warehouses").data["warehouses"]] == tried
