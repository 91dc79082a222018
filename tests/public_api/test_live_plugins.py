from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.proves import proves
from mainstem.model.snapshot import LivePluginConfig
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from mainstem.settings import Settings
from public_api.client import Api
from public_api.connections import new_source, published, trail

CODE = "analytics.add(new UserIdLivePlugin(LivePluginType.enrichment, null));"


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def url(source_id: str) -> str:
    return f"/sources/{source_id}/live-plugins"


@pytest.fixture
def announced(tmp_path: Path) -> Iterator[Api]:
    """An instance whose Tracking API is known to be elsewhere."""
    folder = tmp_path / "announced"
    folder.mkdir()
    settings = Settings(rate_limits=False, public_tracking_url="https://t.shop.example/")
    instance = Api(folder, settings=settings)
    yield instance
    instance.database.close()


class TestCreate:
    @proves("createLivePlugin", "getLatestFromLivePlugins", level=4)
    def test_the_plugin_of_a_source_has_its_code_and_says_where_it_is_fetched(
        self, api: Api, source_id: str, url: str
    ) -> None:
        reply = api.post(f"{url}/create", {"code": CODE})
        assert reply.status == 200
        created = reply.data["livePlugin"]
        assert created == {
            "id": created["id"],
            "sourceId": source_id,
            "createdAt": "2026-03-10T12:00:00.000Z",
            "createdBy": created["createdBy"],
            "downloadURL": f"http://127.0.0.1:8090/live-plugins/{source_id}.js",
            "version": 1,
            "code": CODE,
        }
        assert api.get(f"{url}/latest").data == {"livePlugin": created}

    @proves("createLivePlugin", level=4)
    def test_every_write_raises_the_version_and_replaces_the_code(self, api: Api, source_id: str, url: str) -> None:
        first = api.post(f"{url}/create", {"code": CODE}).data["livePlugin"]
        api.pass_time(minutes=1)
        second = api.post(f"{url}/create", {"code": "// other"}).data["livePlugin"]
        assert second == first | {"version": 2, "code": "// other"}
        assert published(api, source_id).live_plugin == LivePluginConfig(2, "// other")

    def test_it_is_fetched_where_the_tracking_api_is_announced(self, announced: Api) -> None:
        source_id = new_source(announced)
        made = announced.post(f"/sources/{source_id}/live-plugins/create", {"code": CODE}).data["livePlugin"]
        assert made["downloadURL"] == f"https://t.shop.example/live-plugins/{source_id}.js"

    def test_code_is_needed_and_bounded(self, api: Api, url: str) -> None:
        for body in ({}, {"code": ""}, {"code": None}, {"code": "c" * (256 * 1024 + 1)}):
            reply = api.post(f"{url}/create", body)
            assert (reply.status, reply.fields) == (422, ["code"])
        assert api.post(f"{url}/create", {"code": "c" * 256 * 1024}).status == 200

    def test_an_unknown_source_is_not_found(self, api: Api) -> None:
        assert api.post("/sources/nowhere/live-plugins/create", {"code": CODE}).status == 404


class TestDeleteCode:
    @proves("deleteLivePluginCode", "getLatestFromLivePlugins", level=4)
    def test_the_code_goes_and_the_plugin_stays_in_a_new_version(self, api: Api, source_id: str, url: str) -> None:
        created = api.post(f"{url}/create", {"code": CODE}).data["livePlugin"]
        assert api.delete(f"{url}/delete-code").data == {"status": "SUCCESS"}
        assert api.get(f"{url}/latest").data["livePlugin"] == created | {"version": 2, "code": None}
        assert published(api, source_id).live_plugin == LivePluginConfig(2, "")
        assert api.post(f"{url}/create", {"code": CODE}).data["livePlugin"] == created | {"version": 3}

    def test_what_is_not_there_is_neither_found_nor_deleted(self, api: Api, url: str) -> None:
        assert [api.get(f"{url}/latest").status, api.delete(f"{url}/delete-code").status] == [404, 404]
        api.post(f"{url}/create", {"code": CODE})
        assert [api.delete(f"{url}/delete-code").status for _ in range(2)] == [200, 404]

    def test_a_source_takes_its_plugin_along(self, api: Api, source_id: str, url: str) -> None:
        api.post(f"{url}/create", {"code": CODE})
        assert api.delete(f"/sources/{source_id}").status == 200
        with api.database.transaction(writes=False) as db:
            assert db.exec_driver_sql("SELECT count(*) FROM live_plugins").scalar() == 0

    def test_every_write_is_in_the_audit_trail(self, api: Api, url: str) -> None:
        for _ in range(2):
            api.post(f"{url}/create", {"code": CODE})
        api.delete(f"{url}/delete-code")
        assert trail(api)[1:] == ["Live Plugin Created", "Live Plugin Modified", "Live Plugin Code Deleted"]


def test_a_plugin_is_read_and_written_with_the_roles_of_its_source(api: Api, source_id: str, url: str) -> None:
    api.post(f"{url}/create", {"code": CODE})
    mine, other = (Resource(each, ResourceType.SOURCE) for each in (source_id, new_source(api, "other")))
    reader, stranger = api.member_with("Source Read-only", mine), api.member_with("Source Admin", other)
    assert api.get(f"{url}/latest", token=reader).status == 200
    assert api.post(f"{url}/create", {"code": CODE}, token=reader).status == 403
    assert api.get(f"{url}/latest", token=stranger).status == 404
    assert api.delete(f"{url}/delete-code", token=stranger).status == 404
    assert api.delete(f"{url}/delete-code", token=api.member_with("Source Admin", mine)).status == 200
