from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path

from sqlalchemy import text

from contract.proves import proves
from mainstem.engines.sqlite_control import SqliteControl
from mainstem.public_api import workspaces
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import START, Api


def space_ids(api: Api) -> dict[str, str]:
    """The ids of the workspace's spaces, by slug."""
    return {space["slug"]: space["id"] for space in api.get("/spaces").data["spaces"]}


class TestList:
    @proves("listSpaces", level=3)
    def test_a_new_workspace_has_two_spaces(self, api: Api) -> None:
        listed = api.get("/spaces").data
        assert [(each["slug"], each["name"]) for each in listed["spaces"]] == [("dev", "Dev"), ("prod", "Prod")]
        assert listed["pagination"] == {"current": "MA==", "totalEntries": 2}
        assert all(len(each["id"]) == 22 for each in listed["spaces"])

    def test_spaces_are_listed_in_pages(self, api: Api) -> None:
        first = api.get("/spaces?pagination.count=1").data
        rest = api.get(f"/spaces?pagination.count=1&pagination.cursor={first['pagination']['next']}").data
        assert [each["slug"] for each in (*first["spaces"], *rest["spaces"])] == ["dev", "prod"]

    def test_spaces_of_another_workspace_are_neither_listed_nor_found(self, api: Api) -> None:
        with api.database.transaction(writes=True) as db:
            other = workspaces.create(db, "Other", "other", "owner@localhost", START)
            query = text("SELECT id FROM spaces WHERE workspace_id = :workspace_id")
            theirs = [row[0] for row in db.execute(query, {"workspace_id": other.id})]
        assert len(theirs) == 2
        assert not {*theirs} & {*space_ids(api).values()}
        assert api.get(f"/spaces/{theirs[0]}").status == 404

    def test_a_token_sees_the_spaces_that_its_roles_name(self, api: Api) -> None:
        ids = space_ids(api)
        reader = api.member_with("Unify and Engage Read-only", Resource(ids["dev"], ResourceType.SPACE))
        assert [each["slug"] for each in api.get("/spaces", token=reader).data["spaces"]] == ["dev"]
        assert api.get(f"/spaces/{ids['dev']}", token=reader).status == 200
        assert api.get(f"/spaces/{ids['prod']}", token=reader).status == 404

    def test_a_token_without_a_role_in_spaces_is_refused(self, api: Api) -> None:
        assert api.get("/spaces", token=api.member_with("Source Admin")).status == 403


class TestGet:
    @proves("getSpace", level=3)
    def test_a_space_is_found_by_its_id_bare_and_prefixed(self, api: Api) -> None:
        dev = space_ids(api)["dev"]
        expected = {"space": {"id": dev, "slug": "dev", "name": "Dev"}}
        assert api.get(f"/spaces/{dev}").data == expected
        assert api.get(f"/spaces/spa_{dev}").data == expected

    def test_a_slug_is_no_id(self, api: Api) -> None:
        reply = api.get("/spaces/dev")
        assert (reply.status, reply.messages) == (404, ["Space with id 'dev' not found."])


def test_workspaces_from_before_spaces_get_theirs_by_migration(tmp_path: Path) -> None:
    control = SqliteControl(tmp_path)
    with sqlite3.connect(control.path) as raw:
        for step in sorted((files("mainstem.engines") / "migrations").iterdir(), key=lambda each: each.name):
            if step.name < "0010":
                raw.executescript(step.read_text())
        raw.execute("PRAGMA user_version = 9")
        for number, workspace_id in enumerate(("rh5BDZp6QDHvXFCkibm1pR", "9aQ1Lj62S4bomZKLF4DPqW")):
            row = (workspace_id, f"slug-{number}", "name", 0)
            raw.execute("INSERT INTO workspaces (id, slug, name, created_at) VALUES (?, ?, ?, ?)", row)
    control.migrate()
    with control.transaction(writes=False) as db:
        found = db.exec_driver_sql("SELECT workspace_id, slug, id FROM spaces ORDER BY workspace_id, slug").all()
    control.close()
    assert [(row[0], row[1]) for row in found] == [
        ("9aQ1Lj62S4bomZKLF4DPqW", "dev"),
        ("9aQ1Lj62S4bomZKLF4DPqW", "prod"),
        ("rh5BDZp6QDHvXFCkibm1pR", "dev"),
        ("rh5BDZp6QDHvXFCkibm1pR", "prod"),
    ]
    assert len({row[2] for row in found}) == 4
    assert {len(row[2]) for row in found} == {22}
