"""Fifty clients create, change and delete the same things of every family: no call fails on the server's side, no
update is lost, and nothing is left that names what is gone."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import databases
from mainstem import public_api
from mainstem.public_api import orphans
from mainstem.public_api.http import THREADS
from mainstem.rest import audit
from mainstem.settings import Settings
from public_api.actions import SEND, installed
from public_api.client import Api, NoOutcomes, Reply
from public_api.connections import HOOK, HTTP_API, WEBHOOKS
from public_api.everything import Everything
from public_api.iam.people import permission
from public_api.warehousing import POSTGRES, SERVER

CLIENTS = 50
CALLS = 12  # of each client, one after the other
SEED = 1
CROWDED = 6  # as many ids of a family as are known at most, so that clients meet


class Known:
    """The ids that clients heard of, each family's; some are gone by now, as with any two clients."""

    def __init__(self, seed: int, first: dict[str, list[str]]) -> None:
        self._random, self._ids, self._lock = random.Random(seed), first, threading.Lock()

    def any(self, family: str) -> str:
        """One of them, or one that never was."""
        with self._lock:
            return self._random.choice(self._ids.get(family) or ["nobody"])

    def add(self, family: str, reply: Reply, *path: str) -> None:
        """Keep the id of what was made."""
        if reply.status < 300:
            made: Any = reply.data
            for key in path:
                made = made[key]
            with self._lock:
                self._ids[family] = [*self._ids.get(family, [])[-CROWDED + 1 :], made]


Instance = tuple[Api, threading.Semaphore]
"""An instance and how many calls it serves at once, as many as the server has threads."""


class Client:
    """One client's calls: each draws what it does to which of the shared things."""

    def __init__(self, instance: Instance, known: Known, everything: Everything, number: int) -> None:
        self.api, self.slots = instance
        self.known, self.of, self.number = known, everything, number
        self.random = random.Random(SEED * 1000 + number)
        self.replies: list[tuple[str, Reply]] = []

    def run(self) -> list[tuple[str, Reply]]:
        """Do it; returns every call with its reply."""
        for turn in range(CALLS):
            self.random.choice(self.acts())(turn)
        return self.replies

    def acts(self) -> Sequence[Callable[[int], None]]:
        return (
            self.sources, self.sources, self.destinations, self.destinations, self.filters, self.subscriptions,
            self.plans, self.connections_of_plans, self.functions, self.instances, self.warehouses,
            self.connections_of_warehouses, self.labels, self.labels_of_sources, self.models, self.spaces,
            self.groups, self.people, self.settings, self.transformations, self.credentials, self.live_plugins,
            self.forwarding,
        )  # fmt: skip

    def call(self, route: str, body: Any = None) -> Reply:
        with self.slots:
            reply = self.api.call(route, body)
        self.replies.append((route, reply))
        return reply

    def one_of(self, *choices: Callable[[], Any]) -> None:
        self.random.choice(choices)()

    def id(self, family: str) -> str:
        return self.known.any(family)

    def sources(self, turn: int) -> None:
        body = {"slug": f"s{self.random.randrange(8)}", "enabled": True, "metadataId": HTTP_API}
        self.one_of(
            lambda: self.known.add("sources", self.call("POST /sources", body), "source", "id"),
            lambda: self.call(f"PATCH /sources/{self.id('sources')}", {"name": f"n{turn}", "enabled": turn % 2 == 0}),
            lambda: self.call(f"POST /sources/{self.id('sources')}/writekey"),
            lambda: self.call(f"DELETE /sources/{self.id('sources')}"),
        )

    def destinations(self, turn: int) -> None:
        body = {"sourceId": self.id("sources"), "metadataId": WEBHOOKS, "settings": {"hooks": [HOOK]}}
        self.one_of(
            lambda: self.known.add("destinations", self.call("POST /destinations", body), "destination", "id"),
            lambda: self.call(f"PATCH /destinations/{self.id('destinations')}", {"name": f"d{turn}"}),
            lambda: self.call(f"DELETE /destinations/{self.id('destinations')}"),
        )

    def filters(self, turn: int) -> None:
        body = {"sourceId": self.id("sources"), "if": "type = 'track'", "actions": [{"type": "DROP"}]}
        url = f"/destination/{self.id('destinations')}/filters"
        self.call(f"POST {url}", body | {"title": f"t{turn}", "enabled": True})

    def subscriptions(self, turn: int) -> None:
        url = f"/destinations/{self.of.mailer_id}/subscriptions"
        body = {"name": "Send", "actionId": SEND, "trigger": 'type = "track"', "enabled": True}
        body |= {"settings": {"subject": f"{turn}"}}
        made = "destinationSubscription"
        self.one_of(
            lambda: self.known.add("subscriptions", self.call(f"POST {url}", body), made, "id"),
            lambda: self.call(f"DELETE {url}/{self.id('subscriptions')}"),
            lambda: self.call(f"DELETE /destinations/{self.of.mailer_id}") if turn == CALLS - 1 else None,
        )

    def plans(self, turn: int) -> None:
        rules = [{"type": "TRACK", "key": f"e{turn}", "version": 1, "jsonSchema": {}}]
        url = f"/tracking-plans/{self.id('plans')}"
        made = "trackingPlan"
        self.one_of(
            lambda: self.known.add(
                "plans", self.call("POST /tracking-plans", {"name": "P", "type": "LIVE"}), made, "id"
            ),
            lambda: self.call(f"PATCH {url}/rules", {"rules": rules}),
            lambda: self.call(f"PUT {url}/rules", {"rules": rules}),
            lambda: self.call(f"DELETE {url}"),
        )

    def connections_of_plans(self, _: int) -> None:
        url = f"/tracking-plans/{self.id('plans')}/sources"
        self.one_of(
            lambda: self.call(f"POST {url}", {"sourceId": self.id("sources")}),
            lambda: self.call(f"DELETE {url}?sourceId={self.id('sources')}"),
        )

    def functions(self, turn: int) -> None:
        body = {"code": "async function onTrack(event) { return event }", "displayName": "F"}
        body |= {"resourceType": "INSERT_DESTINATION"}
        self.one_of(
            lambda: self.known.add("functions", self.call("POST /functions", body), "function", "id"),
            lambda: self.call(f"PATCH /functions/{self.id('functions')}", {"displayName": f"F{turn}"}),
            lambda: self.call(f"DELETE /functions/{self.id('functions')}"),
        )

    def instances(self, _: int) -> None:
        body = {"functionId": self.id("functions"), "integrationId": self.id("destinations"), "name": "i"}
        self.call("POST /insert-function-instances", body | {"settings": {}, "enabled": True})

    def warehouses(self, _: int) -> None:
        settings = SERVER | {"credentialId": self.id("credentials")}
        body = {"metadataId": POSTGRES, "settings": self.random.choice((SERVER, settings))}
        self.one_of(
            lambda: self.known.add("warehouses", self.call("POST /warehouses", body), "warehouse", "id"),
            lambda: self.call(f"PATCH /warehouses/{self.id('warehouses')}", {"settings": settings}),
            lambda: self.call(f"DELETE /warehouses/{self.id('warehouses')}"),
        )

    def connections_of_warehouses(self, _: int) -> None:
        url = f"/warehouses/{self.id('warehouses')}"
        overrides = [{"sourceId": self.id("sources"), "enabled": False, "collection": "tracks"}]
        self.one_of(
            lambda: self.call(f"POST {url}/connected-sources/{self.id('sources')}"),
            lambda: self.call(f"DELETE {url}/connected-sources/{self.id('sources')}"),
            lambda: self.call(f"PATCH {url}/selective-sync", {"syncOverrides": overrides}),
        )

    def labels(self, _: int) -> None:
        value = f"v{self.random.randrange(3)}"
        self.one_of(
            lambda: self.call("POST /labels", {"label": {"key": "k", "value": value}}),
            lambda: self.call(f"DELETE /labels/k/{value}"),
        )

    def labels_of_sources(self, _: int) -> None:
        body = {"labels": [{"key": "k", "value": f"v{self.random.randrange(3)}"}]}
        self.call(f"PUT /sources/{self.id('sources')}/labels", body)

    def models(self, turn: int) -> None:
        body = {
            "sourceId": self.of.database_id,
            "name": "M",
            "description": " ",
            "enabled": True,
            "query": "SELECT 1",
        }
        body |= {"queryIdentifierColumn": "id"}
        self.one_of(
            lambda: self.known.add("models", self.call("POST /reverse-etl-models", body), "reverseEtlModel", "id"),
            lambda: self.call(f"PATCH /reverse-etl-models/{self.id('models')}", {"name": f"M{turn}"}),
            lambda: self.call(f"DELETE /reverse-etl-models/{self.id('models')}"),
        )

    def spaces(self, _: int) -> None:
        body = {"integrationId": self.of.space_id, "name": "f", "if": 'event = "Ping"'}
        url = f"/spaces/{self.of.space_id}/profiles-warehouses"
        self.one_of(
            lambda: self.known.add("space filters", self.call("POST /filters", body), "filter", "id"),
            lambda: self.call(f"DELETE /filters/{self.id('space filters')}?integrationId={self.of.space_id}"),
            lambda: self.call(f"DELETE {url}/{self.of.profiles_warehouse_id}"),
        )

    def groups(self, turn: int) -> None:
        on_source = {"id": self.id("sources"), "type": "SOURCE"}
        url = f"/groups/{self.id('groups')}"
        permissions = {"permissions": [permission(self.api, "Source Admin", on_source)]}
        self.one_of(
            lambda: self.known.add("groups", self.call("POST /groups", {"name": f"G{turn}"}), "userGroup", "id"),
            lambda: self.call(f"PUT {url}/permissions", permissions),
            lambda: self.call(f"POST {url}/users", {"emails": [f"p{self.random.randrange(4)}@x.example"]}),
            lambda: self.call(f"DELETE {url}"),
        )

    def people(self, _: int) -> None:
        email = f"p{self.random.randrange(4)}@x.example"
        on_warehouse = {"id": self.id("warehouses"), "type": "WAREHOUSE"}
        permissions = [permission(self.api, "Warehouse Admin", on_warehouse)]
        self.one_of(
            lambda: self.call("POST /invites", {"invites": [{"email": email, "permissions": permissions}]}),
            lambda: self.call(f"DELETE /invites?emails.0={email}"),
            lambda: self.call(f"POST /users/{self.of.user_id}/permissions", {"permissions": permissions}),
        )

    def settings(self, turn: int) -> None:
        """The update that must not be lost: each adds a key of its own to the one source that nobody deletes."""
        path = f"/sources/{self.of.other_source_id}"
        self.call(f"PATCH {path}", {"settings": {f"c{self.number}-{turn}": turn}})

    def transformations(self, turn: int) -> None:
        body = {"name": "T", "sourceId": self.id("sources"), "enabled": True, "if": f"event = 'e{turn}'"}
        self.call("POST /transformations", body | {"newEventName": f"n{turn}"})

    def credentials(self, _: int) -> None:
        body = {"name": "C", "settings": {"type": "Postgres", "username": "u"}}
        self.one_of(
            lambda: self.known.add("credentials", self.call("POST /credentials", body), "credential", "id"),
            lambda: self.call(f"DELETE /credentials/{self.id('credentials')}"),
        )

    def live_plugins(self, turn: int) -> None:
        self.call(f"POST /sources/{self.id('sources')}/live-plugins/create", {"code": f"export const n = {turn}"})

    def forwarding(self, _: int) -> None:
        self.call(f"PATCH /sources/{self.id('sources')}/settings", {"forwardingViolationsTo": self.id("sources")})


@pytest.fixture
def everything(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with installed(tmp_path_factory.mktemp("packages")):
        yield Everything(api)


@pytest.fixture
def instances(everything: Everything) -> Iterator[list[Instance]]:
    """An instance, and a second one on the same database, as another process would have it."""
    api = everything.api
    other = object.__new__(Api)
    other.__dict__ |= api.__dict__
    other.database = databases.control(api.folder)
    other.dispatcher = public_api.build(
        Settings(rate_limits=False), other.database, api.vault, NoOutcomes(), lambda: api.now
    )
    yield [(each, threading.Semaphore(THREADS)) for each in (api, other)]
    other.database.close()


def test_many_clients_at_the_same_things_break_nothing(everything: Everything, instances: list[Instance]) -> None:
    of, api = everything, everything.api
    first = {
        "sources": [of.source_id, of.hook_id], "destinations": [of.webhook_id], "plans": [of.plan_id],
        "functions": [of.function_id, of.insert_function["id"]], "warehouses": [of.warehouse_id],
        "models": [of.model_id, of.unused_model_id], "groups": [of.group_id], "credentials": [of.credential_id],
        "subscriptions": [of.subscription_id], "space filters": [of.space_filter_id],
    }  # fmt: skip
    known = Known(SEED, first)
    barrier = threading.Barrier(CLIENTS)

    def run(number: int) -> list[tuple[str, Reply]]:
        client = Client(instances[number % 2], known, everything, number)
        barrier.wait()
        return client.run()

    with ThreadPoolExecutor(CLIENTS) as threads:
        replies = [each for several in threads.map(run, range(CLIENTS)) for each in several]
    assert [(route, reply.body) for route, reply in replies if reply.status >= 500] == []
    done = {route.split("/")[0] + route.split("/")[1] for route, reply in replies if reply.status < 300}
    assert len(done) > 20, "too few kinds of calls came through for this to prove anything"
    added = {key for route, reply in replies for key in _keys(route, reply, of)}
    shown = api.get(f"/sources/{of.other_source_id}").data["source"]["settings"]
    assert added
    assert {key for key in shown if key.startswith("c")} == added
    with api.database.transaction(writes=False) as db:
        assert [str(each) for each in orphans.find(db)] == []
        assert audit.verify(db, api.vault)[1] is None


def _keys(route: str, reply: Reply, of: Everything) -> set[str]:
    """The keys that the settings of the source that stays had after this call."""
    if route != f"PATCH /sources/{of.other_source_id}":
        return set()
    return {key for key in reply.data["source"]["settings"] if key.startswith("c")}
