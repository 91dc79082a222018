from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.proves import proves
from mainstem.model.learned import JsonType, LearnedEvent, LearnedField
from mainstem.settings import Settings
from public_api.client import Api
from public_api.connections import new_source, trail
from public_api.warehousing import new_warehouse

SEEN = {
    ("track", "Checkout Started"): ["orderTotal", "products.$.sku", "address.street"],
    ("track", "注文"): ["total"],
    ("track", "Users"): ["count"],
    ("identify", ""): ["plan"],
    ("group", ""): ["seats"],
    ("page", "Home"): ["title"],
}
FIXED = ["accounts", "aliases", "groups", "identifies", "pages", "screens", "tracks", "users"]


class Seen:
    """LearnedSchemas in which every source sent the same."""

    def events(self, source_id: str) -> Sequence[LearnedEvent]:
        return [LearnedEvent(kind, name, 0, 0, len(fields)) for (kind, name), fields in SEEN.items()]

    def fields(self, source_id: str, event_type: str, event_name: str) -> Sequence[LearnedField]:
        return [LearnedField(path, JsonType.STRING, 0, 0) for path in SEEN[event_type, event_name]]


class Stand:
    """A warehouse with a source that sent what is in SEEN."""

    def __init__(self, api: Api) -> None:
        self.api, self.source = api, new_source(api)
        self.url = f"/warehouses/{new_warehouse(api)['id']}"

    def override(self, enabled: bool, *path: str) -> tuple[str, list[str]]:
        """Switch the source, a collection or a property; the status and the warnings."""
        target = dict(zip(("collection", "property"), path, strict=False))
        body = {"syncOverrides": [{"sourceId": self.source, "enabled": enabled, **target}]}
        data = self.api.patch(f"{self.url}/selective-sync", body).data
        return data["status"], data["warnings"]

    def items(self) -> dict[str, Any]:
        """The list, by collection."""
        url = f"{self.url}/connected-sources/{self.source}/selective-syncs?pagination.count=1000"
        return {each["collection"]: each for each in self.api.get(url).data["items"]}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    api = Api(tmp_path)
    api.dispatcher._learned = Seen()
    yield Stand(api)
    api.database.close()


UPDATED: tuple[str, list[str]] = ("UPDATED", [])
UNCHANGED: tuple[str, list[str]] = ("UNCHANGED", [])


@proves("listSelectiveSyncsFromWarehouseAndSource", level=3)
def test_everything_is_on_at_first(stand: Stand) -> None:
    items = stand.items()
    assert sorted(items) == sorted([*FIXED, "checkout_started", "_users"])
    assert all(item["enabled"] and all(item["properties"].values()) for item in items.values())
    own = {(item["sourceId"], item["warehouseId"]) for item in items.values()}
    assert own == {(stand.source, stand.url.removeprefix("/warehouses/"))}


def test_properties_are_the_columns_of_what_was_sent(stand: Stand) -> None:
    items = stand.items()
    assert {"order_total", "products", "address_street", "event_text"} <= items["checkout_started"][
        "properties"
    ].keys()
    assert "order_total" not in items["tracks"]["properties"]
    assert "plan" in items["users"]["properties"].keys() & items["identifies"]["properties"].keys()
    assert "seats" in items["groups"]["properties"].keys() & items["accounts"]["properties"].keys()
    assert "count" in items["_users"]["properties"]
    assert "title" in items["pages"]["properties"]


@proves("updateSelectiveSyncForWarehouse", level=3)
@pytest.mark.parametrize(
    "path",
    [("checkout_started",), ("checkout_started", "order_total"), ("checkout_started", "context_ip"), ("tracks",)],
    ids=str,
)
def test_what_is_switched_off_is_off_until_it_is_switched_on(stand: Stand, path: tuple[str, ...]) -> None:
    def is_on() -> bool:
        item = stand.items()[path[0]]
        shown: bool = item["properties"].get(path[1], True) if len(path) > 1 else item["enabled"]
        return shown

    assert stand.override(True, *path) == UNCHANGED
    assert stand.override(False, *path) == UPDATED
    assert not is_on()
    assert stand.override(False, *path) == UNCHANGED
    assert stand.override(True, *path) == UPDATED
    assert is_on()


def test_a_source_that_is_off_leaves_no_collection_on(stand: Stand) -> None:
    stand.override(False, "tracks")
    assert stand.override(False) == UPDATED
    assert not any(item["enabled"] for item in stand.items().values())
    stand.override(True)
    assert [name for name, item in stand.items().items() if not item["enabled"]] == ["tracks"]


@pytest.mark.parametrize("path", [("Checkout Started",), ("unheard_of",), ("tracks", "unheard_of")], ids=str)
def test_what_is_not_known_of_a_source_changes_nothing_and_is_told(stand: Stand, path: tuple[str, ...]) -> None:
    status, (warning,) = stand.override(False, *path)
    assert status == "UNCHANGED"
    assert path[-1] in warning
    assert all(item["enabled"] for item in stand.items().values())


def test_what_breaks_syncs_is_told(stand: Stand) -> None:
    status, (warning,) = stand.override(False, "tracks", "received_at")
    assert (status, "received_at" in warning) == ("UPDATED", True)


def test_overrides_of_one_call_count_in_order(stand: Stand) -> None:
    override = {"sourceId": stand.source, "collection": "pages"}
    flags = [{"enabled": enabled} for enabled in (False, True, False)]
    body = {"syncOverrides": [override | flag for flag in flags]}
    assert stand.api.patch(f"{stand.url}/selective-sync", body).data == {"status": "UPDATED", "warnings": []}
    assert stand.items()["pages"]["enabled"] is False


def test_other_sources_and_warehouses_are_left_alone(stand: Stand) -> None:
    stand.override(False, "pages")
    other, elsewhere = new_source(stand.api, "other"), f"/warehouses/{new_warehouse(stand.api)['id']}"
    for url in (f"{stand.url}/connected-sources/{other}", f"{elsewhere}/connected-sources/{stand.source}"):
        items = stand.api.get(f"{url}/selective-syncs").data["items"]
        assert all(item["enabled"] for item in items)


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ({"enabled": False}, "syncOverrides[0].sourceId"),
        ({"sourceId": "nothing", "enabled": False}, "syncOverrides[0].sourceId"),
        ({"sourceId": "{source}"}, "syncOverrides[0].enabled"),
        ({"sourceId": "{source}", "enabled": False, "property": "a"}, "syncOverrides[0].collection"),
        ({"sourceId": "{source}", "enabled": False, "collection": ""}, "syncOverrides[0].collection"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(stand: Stand, override: dict[str, Any], field: str) -> None:
    sent = {key: stand.source if value == "{source}" else value for key, value in override.items()}
    reply = stand.api.patch(f"{stand.url}/selective-sync", {"syncOverrides": [sent]})
    assert (reply.status, reply.fields) == (422, [field])


def test_the_list_comes_in_pages(stand: Stand) -> None:
    url = f"{stand.url}/connected-sources/{stand.source}/selective-syncs?pagination.count=6"
    first = stand.api.get(url).data
    last = stand.api.get(f"{url}&pagination.cursor={first['pagination']['next']}").data
    assert [each["collection"] for each in first["items"] + last["items"]] == sorted(stand.items())
    assert "next" not in last["pagination"]


def test_a_change_is_in_the_audit_trail_and_no_change_is_not(stand: Stand) -> None:
    before = len(trail(stand.api))
    stand.override(True, "pages")
    stand.override(False, "pages")
    assert trail(stand.api)[before:] == ["Storage Destination Modified"]


def test_what_is_unknown_is_not_found(stand: Stand) -> None:
    replies = [
        stand.api.patch("/warehouses/nothing/selective-sync", {"syncOverrides": []}),
        stand.api.get(f"/warehouses/nothing/connected-sources/{stand.source}/selective-syncs"),
        stand.api.get(f"{stand.url}/connected-sources/nothing/selective-syncs"),
    ]
    assert [reply.status for reply in replies] == [404] * 3


def test_owners_alone_decide(stand: Stand) -> None:
    body = {"syncOverrides": [{"sourceId": stand.source, "enabled": False}]}
    callers = [stand.api.member_with(role) for role in ("Warehouse Admin", "Workspace Owner")]
    url = f"{stand.url}/selective-sync"
    assert [stand.api.patch(url, body, token=token).status for token in callers] == [403, 200]


def test_the_third_call_within_a_minute_waits(tmp_path: Path) -> None:
    api = Api(tmp_path, settings=Settings(rate_limits=True))
    url = f"/warehouses/{new_warehouse(api)['id']}/selective-sync"
    replies = [api.patch(url, {"syncOverrides": []}) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert int(replies[2].headers["Retry-After"]) <= 60
    api.pass_time(minutes=1)
    assert api.patch(url, {"syncOverrides": []}).status == 200
    api.database.close()
