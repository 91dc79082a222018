"""Fifty connections create, change and delete the same handful of things of every family at once.

No call fails on the server's side, no update that was answered is lost, and nothing is left that names what is gone.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.furnished import flags
from mainstem.__main__ import main
from mainstem.rest.roles import find_role_by_name
from serving import OWNER_TOKEN, Served, served

CONNECTIONS = 50
TURNS = 6  # of each connection, one after the other
TIMEOUT_SECONDS = 60
JAVASCRIPT, WEBHOOKS, POSTGRES = "iUM16Md8P2", "54521fdc25e721e32a72ef04", "55d3d3aea3c"
STORE = {"hostname": "db.example", "port": "5432", "database": "d", "username": "u", "password": "p"}
CODE = "async function onTrack(event) { return event }"
HANDFUL = 4  # ids of a family that are known at most, so that connections meet
AUTHORIZED = {"Authorization": f"Bearer {OWNER_TOKEN}"}


class Kept:
    """What nobody deletes: what was changed of it must stay changed."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        source = {"enabled": True, "metadataId": JAVASCRIPT}
        self.workspace = ask("GET", "/")["workspace"]["id"]
        self.space = ask("GET", "/spaces")["spaces"][0]["id"]
        self.source = ask("POST", "/sources", source | {"slug": "kept"})["source"]["id"]
        self.plan = ask("POST", "/tracking-plans", {"name": "Kept", "type": "LIVE"})["trackingPlan"]["id"]
        self.group = ask("POST", "/groups", {"name": "Kept"})["userGroup"]["id"]
        body = {"sourceId": self.source, "metadataId": WEBHOOKS, "settings": {}}
        self.destination = ask("POST", "/destinations", body)["destination"]["id"]


class Crowd:
    """All that the connections share: the ids that they heard of, every status, and what was answered as done."""

    def __init__(self, http: httpx.AsyncClient, kept: Kept) -> None:
        self.http, self.kept = http, kept
        self.ids: dict[str, list[str]] = defaultdict(lambda: ["nobody"])
        self.statuses: dict[str, list[int]] = defaultdict(list)
        self.faults: list[str] = []
        self.done: dict[str, list[str]] = defaultdict(list)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """What is answered; None for a refusal."""
        reply = await self.http.request(method, path, json=body)
        self.statuses[f"{method} {path.split('/')[1].partition('?')[0]}"].append(reply.status_code)
        if reply.status_code >= 500:
            self.faults.append(f"{method} {path}: {reply.status_code} {reply.text}")
        return reply.json()["data"] if reply.status_code < 300 else None


class Connection:
    """One connection's calls. What it writes bears its number and turn, so that it can be told from all others."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd, self.kept, self.call = crowd, crowd.kept, crowd.call
        self.number, self.random = number, random.Random(number)
        self.mark = ""

    async def run(self) -> None:
        for turn in range(TURNS):
            self.mark = f"c{self.number}-{turn}"
            await self.random.choice(self.acts())()
            await self.random.choice(self.updates())()

    def acts(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return (
            self.sources, self.sources, self.destinations, self.destinations, self.filters, self.plans, self.rules,
            self.functions, self.labels, self.groups, self.invites, self.warehouses, self.connections, self.spaces,
        )  # fmt: skip

    def updates(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return self.rename, self.merge_settings, self.add_rule, self.add_member, self.add_write_key, self.rename_other

    def any(self, family: str) -> str:
        return self.random.choice(self.crowd.ids[family])

    async def one_of(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        await self.random.choice(calls)()

    async def make(self, family: str, path: str, body: Any, envelope: str) -> None:
        made = await self.call("POST", path, body)
        if made:
            self.crowd.ids[family] = [*self.crowd.ids[family][-HANDFUL + 1 :], made[envelope]["id"]]

    # ---- what comes and goes

    async def sources(self) -> None:
        source = self.any("sources")
        body = {"slug": f"s{self.random.randrange(6)}", "enabled": True, "metadataId": JAVASCRIPT}
        await self.one_of(
            lambda: self.make("sources", "/sources", body, "source"),
            lambda: self.call("PATCH", f"/sources/{source}", {"name": self.mark, "enabled": False}),
            lambda: self.call("DELETE", f"/sources/{source}"),
        )

    async def destinations(self) -> None:
        body = {"sourceId": self.any("sources"), "metadataId": WEBHOOKS, "settings": {}, "name": self.mark}
        path = f"/destinations/{self.any('destinations')}"
        await self.one_of(
            lambda: self.make("destinations", "/destinations", body, "destination"),
            lambda: self.call("PATCH", path, {"name": self.mark}),
            lambda: self.call("DELETE", path),
        )

    async def filters(self) -> None:
        body = {"sourceId": self.kept.source, "title": self.mark, "enabled": True}
        body |= {"if": "type = 'track'", "actions": [{"type": "DROP"}]}
        path = f"/destination/{self.kept.destination}/filters"
        await self.one_of(
            lambda: self.make("filters", path, body, "filter"),
            lambda: self.call("PATCH", f"{path}/{self.any('filters')}", {"title": self.mark}),
            lambda: self.call("DELETE", f"{path}/{self.any('filters')}"),
        )

    async def plans(self) -> None:
        path = f"/tracking-plans/{self.any('plans')}"
        await self.one_of(
            lambda: self.make("plans", "/tracking-plans", {"name": "P", "type": "LIVE"}, "trackingPlan"),
            lambda: self.call("POST", f"{path}/sources", {"sourceId": self.any("sources")}),
            lambda: self.call("DELETE", path),
        )

    async def rules(self) -> None:
        rules = [{"type": "TRACK", "key": self.mark, "version": 1, "jsonSchema": {}}]
        await self.call("PUT", f"/tracking-plans/{self.any('plans')}/rules", {"rules": rules})

    async def functions(self) -> None:
        body = {"code": CODE, "displayName": "F", "resourceType": "INSERT_DESTINATION"}
        path = f"/functions/{self.any('functions')}"
        instance = {"functionId": self.any("functions"), "integrationId": self.any("destinations"), "name": "i"}
        await self.one_of(
            lambda: self.make("functions", "/functions", body, "function"),
            lambda: self.call("PATCH", path, {"displayName": self.mark}),
            lambda: self.call("POST", "/insert-function-instances", instance | {"settings": {}, "enabled": True}),
            lambda: self.call("DELETE", path),
        )

    async def labels(self) -> None:
        label = {"key": "k", "value": f"v{self.random.randrange(3)}"}
        await self.one_of(
            lambda: self.call("POST", "/labels", {"label": label}),
            lambda: self.call("PUT", f"/sources/{self.any('sources')}/labels", {"labels": [label]}),
            lambda: self.call("PUT", f"/groups/{self.any('groups')}/permissions", self.granted(label)),
            lambda: self.call("DELETE", f"/labels/k/{label['value']}"),
        )

    def granted(self, label: dict[str, str]) -> Any:
        role = find_role_by_name("Source Admin")
        assert role is not None
        on_label = {"id": self.kept.workspace, "type": "WORKSPACE", "labels": [label]}
        on_source = {"id": self.any("sources"), "type": "SOURCE"}
        return {"permissions": [{"roleId": role.id, "resources": [self.random.choice((on_label, on_source))]}]}

    async def groups(self) -> None:
        path = f"/groups/{self.any('groups')}"
        await self.one_of(
            lambda: self.make("groups", "/groups", {"name": self.mark}, "userGroup"),
            lambda: self.call("POST", f"{path}/users", {"emails": [f"p{self.random.randrange(4)}@x.example"]}),
            lambda: self.call("DELETE", path),
        )

    async def invites(self) -> None:
        email = f"p{self.random.randrange(4)}@x.example"
        await self.one_of(
            lambda: self.call("POST", "/invites", {"invites": [{"email": email}]}),
            lambda: self.call("DELETE", f"/invites?emails.0={email}"),
        )

    async def warehouses(self) -> None:
        path = f"/warehouses/{self.any('warehouses')}"
        await self.one_of(
            lambda: self.make("warehouses", "/warehouses", {"metadataId": POSTGRES, "settings": STORE}, "warehouse"),
            lambda: self.call("PATCH", path, {"settings": {"database": self.mark}}),
            lambda: self.call("DELETE", path),
        )

    async def connections(self) -> None:
        path = f"/warehouses/{self.any('warehouses')}/connected-sources/{self.any('sources')}"
        await self.one_of(lambda: self.call("POST", path), lambda: self.call("DELETE", path))

    async def spaces(self) -> None:
        body = {"integrationId": self.kept.space, "name": self.mark, "if": 'event = "Ping"', "enabled": True}
        path, settings = f"/spaces/{self.kept.space}/profiles-warehouses", {"metadataId": POSTGRES, "settings": STORE}
        await self.one_of(
            lambda: self.make("space filters", "/filters", body, "filter"),
            lambda: self.make("profiles", path, settings, "profilesWarehouse"),
            lambda: self.call("DELETE", f"/filters/{self.any('space filters')}?integrationId={self.kept.space}"),
            lambda: self.call("DELETE", f"{path}/{self.any('profiles')}"),
        )

    # ---- what must not be lost

    async def note(self, what: str, value: str, answered: Any) -> None:
        if answered is not None:
            self.crowd.done[what].append(value)

    async def rename(self) -> None:
        answered = await self.call("PATCH", f"/sources/{self.kept.source}", {"name": self.mark})
        assert answered is None or answered["source"]["name"] == self.mark
        await self.note("names", self.mark, answered)

    async def rename_other(self) -> None:
        answered = await self.call("PATCH", f"/destinations/{self.kept.destination}", {"name": self.mark})
        await self.note("names of the destination", self.mark, answered)

    async def merge_settings(self) -> None:
        settings = {"settings": {self.mark: True}}
        await self.note("settings", self.mark, await self.call("PATCH", f"/sources/{self.kept.source}", settings))

    async def add_rule(self) -> None:
        rules = [{"type": "TRACK", "key": self.mark, "version": 1, "jsonSchema": {}}]
        answered = await self.call("PATCH", f"/tracking-plans/{self.kept.plan}/rules", {"rules": rules})
        await self.note("rules", self.mark, answered)

    async def add_member(self) -> None:
        email = f"{self.mark}@x.example"
        await self.call("POST", "/invites", {"invites": [{"email": email}]})
        answered = await self.call("POST", f"/groups/{self.kept.group}/users", {"emails": [email]})
        await self.note("members", email, answered)

    async def add_write_key(self) -> None:
        answered = await self.call("POST", f"/sources/{self.kept.source}/writekey")
        if answered:
            await self.note("write keys", answered["source"]["writeKeys"][-1], answered)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, "--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0", "--rate-limits", "off") as running:
        yield running


def test_fifty_connections_at_the_same_things_break_nothing_and_lose_nothing(
    server: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with httpx.Client(base_url=server.api_url, headers=AUTHORIZED, timeout=TIMEOUT_SECONDS) as http:

        def ask(method: str, path: str, body: Any = None) -> Any:
            reply = http.request(method, path, json=body)
            assert reply.status_code < 300, reply.text
            return reply.json()["data"]

        def all_of(path: str, field: str) -> list[Any]:
            found, after = [], ""
            while True:
                data = ask("GET", f"{path}?pagination.count=200{after}")
                found += data[field]
                if "next" not in data["pagination"]:
                    return found
                after = f"&pagination.cursor={data['pagination']['next']}"

        kept = Kept(ask)
        crowd = asyncio.run(rush(server.api_url, kept))
        assert crowd.faults == []
        assert all(len(crowd.done[what]) > 20 for what in WATCHED), "too few updates to prove anything"
        refused = {status for statuses in crowd.statuses.values() for status in statuses if status >= 300}
        assert refused >= {404, 409}, "they did not meet"

        source = ask("GET", f"/sources/{kept.source}")["source"]
        destination = ask("GET", f"/destinations/{kept.destination}")["destination"]
        rules = {rule["key"] for rule in all_of(f"/tracking-plans/{kept.plan}/rules", "rules")}
        assert source["settings"].keys() == {*crowd.done["settings"]}
        assert {*crowd.done["write keys"]} == {*source["writeKeys"][1:]}
        assert len(source["writeKeys"]) == 1 + len(crowd.done["write keys"])
        assert rules == {*crowd.done["rules"]}
        assert {*all_of(f"/groups/{kept.group}/invites", "emails")} == {*crowd.done["members"]}

        trail = all_of("/audit-events", "events")
        names = told(trail, "Source Modified", kept.source)
        assert {*names} - {"kept"} == {*crowd.done["names"]}
        assert source["name"] == names[0], "the newest update is the one that holds"
        assert destination["name"] in crowd.done["names of the destination"]
        renamed = told(trail, "Integration Modified", kept.destination)
        assert len(renamed) == len(crowd.done["names of the destination"])
        assert len(told(trail, "Source Settings Modified", kept.source)) == len(crowd.done["settings"])
    assert main(["doctor", "--deep", *flags(tmp_path / "data")]) == 0, capsys.readouterr().out


WATCHED = ("names", "names of the destination", "settings", "rules", "members", "write keys")


def told(trail: Sequence[Any], type: str, id: str) -> list[str]:
    """What the trail says a resource was called each time, the newest first."""
    return [each["resourceName"] for each in trail if each["type"] == type and each["resourceId"] == id]


async def rush(url: str, kept: Kept) -> Crowd:
    """Let all of them loose at once."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=url, headers=AUTHORIZED, timeout=TIMEOUT_SECONDS, limits=limits) as http:
        crowd = Crowd(http, kept)
        await asyncio.gather(*(Connection(crowd, number).run() for number in range(CONNECTIONS)))
    return crowd
