"""Publication: seen through the store that the data plane reads, as another process would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

import databases
from contract.proves import proves
from mainstem.model.event import EVENT_TYPES
from mainstem.model.snapshot import DestinationConfig, FilterConfig, LiveSnapshot, SourceConfig
from mainstem.public_api import FAMILIES
from mainstem.public_api.publish import publish_touched, published
from mainstem.rest.dispatch import Dispatcher, Request
from mainstem.rest.limits import Limiter
from mainstem.rest.operation import Call
from public_api.client import Api, NoOutcomes

WEBHOOKS = "54521fdc25e721e32a72ef04"
SITE = b'{"slug": "site", "enabled": true, "metadataId": "IqDTy1TpoU"}'


@pytest.fixture
def data_plane(api: Api, tmp_path: Path) -> Iterator[LiveSnapshot]:
    store = databases.snapshot_store(api.folder, api.vault.open)
    yield LiveSnapshot(store)
    store.close()


def create(api: Api, slug: str = "site", **more: Any) -> dict[str, Any]:
    body = {"slug": slug, "enabled": True, "metadataId": "IqDTy1TpoU"} | more
    created: dict[str, Any] = api.post("/sources", body).data["source"]
    return created


def connect(api: Api, source_id: str, **more: Any) -> dict[str, Any]:
    settings = {"hooks": [{"hook": "https://example.com/hook"}], "sharedSecret": "a secret of ours"}
    body = {"sourceId": source_id, "metadataId": WEBHOOKS, "settings": settings, "enabled": True} | more
    created: dict[str, Any] = api.post("/destinations", body).data["destination"]
    return created


def versions(api: Api) -> dict[str, int]:
    with api.database.transaction(writes=False) as db:
        return {row.source_id: row.version for row in db.execute(select(published))}


@proves("createSource", level=4)
def test_a_source_is_published_whole(api: Api, data_plane: LiveSnapshot) -> None:
    source = create(
        api, name="My site", enabled=False, settings={"apiHost": "events.example.com", "own": [1.5, None]}
    )
    destination = connect(api, source["id"], enabled=False)
    rule = {"sourceId": source["id"], "if": "event = 'x'", "actions": [{"type": "DROP"}], "title": "t"}
    filters = [
        api.post(f"/destination/{destination['id']}/filters", rule | {"enabled": enabled}).data["filter"]
        for enabled in (True, False)
    ]
    assert data_plane.refresh().sources[source["id"]] == SourceConfig(
        id=source["id"],
        workspace_id=api.workspace.id,
        slug="site",
        name="My site",
        metadata_id="IqDTy1TpoU",
        platform="web",
        enabled=False,
        write_keys=tuple(source["writeKeys"]),
        settings={"apiHost": "events.example.com", "own": [1.5, None]},
        destinations=(
            DestinationConfig(
                id=destination["id"],
                metadata_id=WEBHOOKS,
                name="Webhooks",
                enabled=False,
                settings={"hooks": [{"hook": "https://example.com/hook"}], "sharedSecret": "a secret of ours"},
                filters=tuple(
                    FilterConfig(each["id"], "event = 'x'", ({"type": "DROP"},), each["enabled"]) for each in filters
                ),
                event_types=EVENT_TYPES,
            ),
        ),
    )


@pytest.mark.parametrize(("metadata_id", "platform"), [("iUM16Md8P2", "server"), ("dZeHygTSD4", "mobile")])
def test_the_platform_comes_from_the_catalog(
    api: Api, data_plane: LiveSnapshot, metadata_id: str, platform: str
) -> None:
    source = create(api, metadataId=metadata_id)
    assert data_plane.refresh().sources[source["id"]].platform == platform


@proves("createWriteKeyForSource", "removeWriteKeyFromSource", level=4)
def test_the_data_plane_knows_exactly_the_write_keys_that_there_are(api: Api, data_plane: LiveSnapshot) -> None:
    source = create(api)
    keys = api.post(f"/sources/{source['id']}/writekey").data["source"]["writeKeys"]
    config = data_plane.refresh().sources[source["id"]]
    assert (list(config.write_keys), data_plane.current.by_write_key.keys()) == (keys, set(keys))
    api.delete(f"/sources/{source['id']}/writekey/{keys[0]}")
    assert data_plane.refresh().by_write_key.keys() == {keys[1]}


@proves("updateSource", level=4)
def test_each_change_is_published(api: Api, data_plane: LiveSnapshot) -> None:
    source = create(api)
    changes: list[dict[str, Any]] = [
        {"enabled": False},
        {"name": "n"},
        {"slug": "s"},
        {"settings": {"a": 1}},
        {"settings": {"a": None}},
    ]
    for change in changes:
        api.patch(f"/sources/{source['id']}", change)
        config = data_plane.refresh().sources[source["id"]]
        seen = api.get(f"/sources/{source['id']}").data["source"]
        assert (config.enabled, config.name, config.slug, config.settings) == (
            seen["enabled"],
            seen["name"],
            seen["slug"],
            seen["settings"],
        )


@proves("deleteSource", level=4)
def test_a_deleted_source_leaves_a_row_without_a_body(api: Api, data_plane: LiveSnapshot) -> None:
    source, kept = create(api), create(api, "kept")
    connect(api, source["id"])
    assert data_plane.refresh().destinations
    before = max(versions(api).values())
    api.delete(f"/sources/{source['id']}")
    with api.database.transaction(writes=False) as db:
        (row,) = db.execute(select(published).where(published.c.source_id == source["id"])).all()
    assert (row.version, row.body) == (before + 1, None)
    snapshot = data_plane.refresh()
    assert (snapshot.sources.keys(), snapshot.destinations) == ({kept["id"]}, {})
    assert snapshot.by_write_key.keys() == set(kept["writeKeys"])


def test_the_version_grows_with_each_change_and_only_then(api: Api) -> None:
    one, two = create(api, "one"), create(api, "two")
    assert versions(api) == {one["id"]: 1, two["id"]: 2}
    api.patch(f"/sources/{one['id']}", {"enabled": False})
    assert versions(api) == {one["id"]: 3, two["id"]: 2}
    api.patch(f"/sources/{one['id']}", {"enabled": False})
    api.get("/sources")
    assert versions(api) == {one["id"]: 3, two["id"]: 2}
    for _ in range(2):
        api.patch(f"/sources/{one['id']}/settings", {"track": {"allowUnplannedEvents": False}})
        assert versions(api) == {one["id"]: 4, two["id"]: 2}


def test_a_refused_change_publishes_nothing(api: Api) -> None:
    one, _ = create(api, "one"), create(api, "two")
    before = versions(api)
    assert api.patch(f"/sources/{one['id']}", {"enabled": False, "slug": "two"}).status == 409
    assert api.post("/sources", {"slug": "one", "enabled": True, "metadataId": "IqDTy1TpoU"}).status == 409
    assert versions(api) == before


def dispatcher(api: Api, before_commit: Any) -> Dispatcher:
    limiter = Limiter(1000, {}, enforced=False)
    return Dispatcher(
        FAMILIES,
        database=api.database,
        vault=api.vault,
        limiter=limiter,
        outcomes=NoOutcomes(),
        clock=lambda: api.now,
        before_commit=before_commit,
    )


def request(api: Api, method: str, path: str, body: bytes = b"") -> Request:
    return Request(method, path, "", [("authorization", f"Bearer {api.owner}")], body)


def test_a_publication_that_fails_takes_the_change_back(api: Api, data_plane: LiveSnapshot) -> None:
    def fails(call: Call) -> None:
        publish_touched(call)
        raise OSError("no space left on device")

    answer = dispatcher(api, fails).serve(request(api, "POST", "/sources", SITE))
    assert answer.status == 500
    assert api.get("/sources").data["sources"] == []
    assert api.get("/audit-events").data["events"] == []
    assert (versions(api), data_plane.refresh().sources) == ({}, {})


def test_others_see_the_change_and_its_publication_at_the_same_moment(api: Api, data_plane: LiveSnapshot) -> None:
    seen: list[int] = []

    def look() -> None:
        with api.database.transaction(writes=False) as db:
            seen.append(len(db.exec_driver_sql("SELECT id FROM sources").all()))
        seen.append(len(data_plane.refresh().sources))

    def publish_and_look(call: Call) -> None:
        publish_touched(call)
        assert published_in(call.db) == 1
        look()

    answer = dispatcher(api, publish_and_look).serve(request(api, "POST", "/sources", SITE))
    look()
    assert (answer.status, seen) == (201, [0, 0, 1, 1])


def published_in(db: Connection) -> int:
    return len(db.execute(select(published)).all())
