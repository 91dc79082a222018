"""Upgrades: what every former schema held is there after the migrations, and the Public API works on it.

`released/NNNN.json` holds the rows of a workspace as mainstem wrote them when that schema was the newest: all tables,
with what is sealed under the key of these tests. A schema gets the rows of the newest that is not newer than itself;
those before the first get what of it they had room for. The rows of schema 13 are those of schema 6 after the
upgrade, and one of everything that came since.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, text

import databases
from databases import Control
from mainstem import public_api
from mainstem.engines.schema import migrations
from mainstem.model.snapshot import LiveSnapshot
from mainstem.public_api import orphans, suppressions, workspaces
from mainstem.rest import audit
from mainstem.rest.rows import metadata
from mainstem.settings import Settings
from mainstem.vault import Vault
from public_api.client import START, Api, NoOutcomes

Rows = dict[str, list[dict[str, Any]]]
RELEASED: dict[int, Rows] = {
    int(path.stem): msgspec.json.decode(path.read_bytes())
    for path in sorted((Path(__file__).parent / "released").glob("*.json"))
}
FIRST = min(RELEASED)
NEWEST = migrations()[-1].number
OWNER = "mst_OwnerOwnerOwnerOwnerOwnerOwnerOwnerOwnerabc0Azq6a"
MEMBER = "mst_MembrMembrMembrMembrMembrMembrMembrMembrabc2w2jul"
GIVEN_NUMBERS = {"audit_events", "audit_head"}  # elsewhere the database numbers the rows
CONTROL_PLANE = 13
SINCE = {"tracking_plans": 2, "transformations": 4, "functions": 5, "subscriptions": 6}

NEW_SINCE_7 = {"warehouses", "credentials", "reverse_etl_models", "user_groups", "invites", "live_plugins"}
NEW_SINCE_7 |= {"space_filters", "profiles_warehouses", "suppressions"}

every_schema = pytest.mark.parametrize("number", range(1, NEWEST + 1))


def old_database(folder: Path, number: int) -> Control:
    """A control database with this schema and the rows of that time."""
    control = databases.empty_control(folder)
    control.migrate(migrations()[: min(number, release_of(number))])
    with control.transaction(writes=True) as db:
        for table, rows in kept(db, number).items():
            for row in rows:
                names = [name for name in row if name != "seq" or table in GIVEN_NUMBERS]
                columns = ", ".join(f'"{name}"' for name in names)
                values = ", ".join(f":{name}" for name in names)
                db.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), {n: row[n] for n in names})
    control.migrate(migrations()[:number])
    return control


def release_of(number: int) -> int:
    """Whose rows a schema gets."""
    return max((each for each in RELEASED if each <= number), default=FIRST)


def rows_of(number: int) -> Rows:
    """The rows that a schema gets, as far as it has room for them."""
    return RELEASED[release_of(number)]


def kept(db: Connection, number: int) -> Rows:
    """What the schema has room for: by table, the columns that it has."""
    found = {}
    for table, rows in rows_of(number).items():
        columns = columns_of(db, table)
        if columns and rows:
            found[table] = [{name: plain(row[name]) for name in row if name in columns} for row in rows]
    return found


def columns_of(db: Connection, table: str) -> list[str]:
    if db.dialect.name == "sqlite":
        return [row.name for row in db.execute(text(f"PRAGMA table_info({table})"))]
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = :name AND table_schema = 'public'"
    return list(db.execute(text(query), {"name": table}).scalars())


def plain(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def stored(db: Connection, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    columns = ", ".join(f'"{name}"' for name in names)
    return [tuple(row) for row in db.execute(text(f"SELECT {columns} FROM {table}"))]


def api_on(folder: Path, control: Control) -> Api:
    """The Public API of today on a database that is there already."""
    api = object.__new__(Api)
    api.folder, api.database, api.vault, api.now = folder, control, Vault(b"k" * 32), START
    api.owner, api.member = OWNER, MEMBER
    api.dispatcher = public_api.build(Settings(rate_limits=False), control, api.vault, NoOutcomes(), lambda: api.now)
    return api


@pytest.fixture(scope="module", params=range(1, NEWEST + 1))
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Api]]:
    """A schema, and the Public API on what was upgraded from it."""
    folder = tmp_path_factory.mktemp("upgraded")
    control = old_database(folder, request.param)
    control.migrate()
    yield request.param, api_on(folder, control)
    control.close()
    databases.clean(folder)


@every_schema
def test_the_rows_of_every_schema_survive_the_upgrade(tmp_path: Path, number: int) -> None:
    control = old_database(tmp_path, number)
    with control.transaction(writes=False) as db:
        before = kept(db, number)
        names = {table: list(rows[0]) for table, rows in before.items()}
        rows_before = {table: stored(db, table, names[table]) for table in before}
    assert [step.number for step in control.migrate()] == list(range(number + 1, NEWEST + 1))
    with control.transaction(writes=False) as db:
        for table, rows in rows_before.items():
            after = stored(db, table, names[table])
            assert [row for row in rows if row not in after] == []
        for name, table in metadata.tables.items():
            assert set(columns_of(db, name)) == {column.name for column in table.columns}, name
    control.close()


def test_the_public_api_works_on_what_was_upgraded(upgraded: tuple[int, Api]) -> None:
    number, api = upgraded
    shop, off, *_ = api.get("/sources").data["sources"]
    assert (shop["slug"], shop["enabled"], off["slug"], off["enabled"]) == ("shop", True, "off", False)
    assert shop["settings"]["apiHost"] == "events.example.com"
    keys = rows_of(number)["write_keys"]
    assert shop["writeKeys"] == [row["write_key"] for row in keys if row["source_id"] == shop["id"]]
    assert [label["value"] for label in shop["labels"]] == ["growth"]
    assert api.get(f"/sources/{shop['id']}", token=MEMBER).status == 200
    destinations = api.get("/destinations").data["destinations"]
    assert destinations[0]["settings"]["hooks"] == [{"hook": "https://example.com/hook"}]
    assert len(api.get(f"/destination/{destinations[0]['id']}/filters").data["filters"]) == 1


def test_what_a_schema_had_room_for_is_shown(upgraded: tuple[int, Api]) -> None:
    number, api = upgraded
    mailer = rows_of(number)["subscriptions"][0]["destination_id"]
    shown = {
        "tracking_plans": api.get("/tracking-plans").data["trackingPlans"],
        "transformations": [
            each for each in api.get("/transformations").data["transformations"] if "drop" not in each
        ],
        "functions": api.get("/functions?resourceType=DESTINATION").data["functions"],
        "subscriptions": api.get(f"/destinations/{mailer}/subscriptions").data["subscriptions"],
    }
    assert {table: len(found) for table, found in shown.items()} == {
        table: int(number >= SINCE[table]) for table in shown
    }


def test_what_came_with_the_control_plane_is_shown_where_there_is_any(upgraded: tuple[int, Api]) -> None:
    number, api = upgraded
    sources = [each["id"] for each in api.get("/sources").data["sources"]]
    spaces = [each["id"] for each in api.get("/spaces").data["spaces"]]
    assert len(spaces) == 2
    plugins = [api.get(f"/sources/{each}/live-plugins/latest") for each in sources]
    with api.database.transaction(writes=False) as db:
        workspace = workspaces.find_first(db)
        assert workspace is not None
        discarded = [*suppressions.suppressed(db, api.vault, workspace.id)]
        assert number < FIRST or [str(each) for each in orphans.find(db)] == []
    shown: dict[str, Any] = {
        "warehouses": api.get("/warehouses").data["warehouses"],
        "credentials": api.get("/credentials").data["credentials"],
        "reverse_etl_models": api.get("/reverse-etl-models").data["models"],
        "user_groups": api.get("/groups").data["userGroups"],
        "invites": api.get("/invites").data["invites"],
        "live_plugins": [each for each in plugins if each.status == 200 and each.data["livePlugin"].get("code")],
        "space_filters": [
            one for each in spaces for one in api.get(f"/filters?integrationId={each}").data["filters"]
        ],
        "profiles_warehouses": [
            one
            for each in spaces
            for one in api.get(f"/spaces/{each}/profiles-warehouses").data["profilesWarehouses"]
        ],
        "suppressions": discarded,
    }
    assert shown.keys() == NEW_SINCE_7
    assert {name: len(found) for name, found in shown.items()} == {
        name: len(rows_of(number).get(name, ())) for name in NEW_SINCE_7
    }
    people = {each["email"]: each["permissions"] for each in api.get("/users").data["users"]}
    assert [each["roleName"] for each in people.get("ann@x.example", ())] == (
        ["Source Admin", "Warehouse Admin", "Unify and Engage Admin"] if number >= CONTROL_PLANE else []
    )


def test_the_rows_of_the_newest_release_are_of_every_table() -> None:
    newest = max(RELEASED)
    made = re.findall(
        r"CREATE TABLE (\w+)", " ".join(sql for step in migrations()[:newest] for sql in step.statements)
    )
    assert {*made} == {table for table, rows in RELEASED[newest].items() if rows}


def test_a_change_after_the_upgrade_is_audited_in_the_same_chain_and_published(upgraded: tuple[int, Api]) -> None:
    number, api = upgraded
    with api.database.transaction(writes=False) as db:
        before, broken = audit.verify(db, api.vault)
    assert (before >= len(rows_of(number)["audit_events"]), broken) == (True, None)
    shop = api.get("/sources").data["sources"][0]
    assert api.post("/labels", {"label": {"key": "new", "value": "one"}}).status == 201
    assert api.patch(f"/sources/{shop['id']}", {"name": "Renamed"}).status == 200
    with api.database.transaction(writes=False) as db:
        rows, broken = audit.verify(db, api.vault)
    assert (rows, broken) == (before + 2, None)
    store = databases.snapshot_store(api.folder, api.vault.open)
    assert LiveSnapshot(store).refresh().sources[shop["id"]].name == "Renamed"
    store.close()
