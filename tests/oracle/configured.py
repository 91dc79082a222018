"""A trial of what is configured: a plan, functions and Actions destinations that fail at random, while processes die.

    generator ─▶ source ─▶ insert ─▶ plan ─┬▶ webhook
                                           ├▶ function
                                           ├▶ Actions: single, batched
                                           └▶ Actions: brittle

The verdict knows of each acknowledged event how it must end at each place, and holds arrivals and counts against it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journeys.public_api import Connection, PublicApi
from journeys.running import MAINSTEM, RunningServer, clean_environment
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow
from oracle.comparison import Findings, compare
from oracle.generator import Generator
from oracle.numbered import LEFT_OUT, NUMBERED, POISON, Id
from oracle.partners import (
    ACTIONS,
    BATCHED,
    BRITTLE,
    CODE,
    FUNCTION,
    FUNCTIONS,
    INSERT,
    SINGLE,
    WEBHOOK,
    Partners,
    is_set_aside,
    refuses,
)
from oracle.sink import OK, Arrival
from oracle.trial import BACK_SECONDS, DRAIN_SECONDS, OWNER_TOKEN, SETTINGS, Kill, Trial, until

PACKAGES = Path(__file__).parents[2] / ".packages"
SANDBOX, RUNNER = "sandbox", "runner"
PROGRAMS = {SANDBOX: "bridge.js", RUNNER: "runner.cjs"}
ACTIONS_WEBHOOK, ATTIO = "614a3c7d791c91c41bae7599", "64c031541451bb784943f809"
ALPHA = {"Accept": "application/vnd.segment.v1alpha+json"}
SETTING = {"name": "url", "label": "URL", "description": "d", "type": "STRING", "required": True, "sensitive": False}
PLACES_OF = {WEBHOOK: (WEBHOOK,), FUNCTION: (FUNCTION,), SINGLE: (SINGLE, BATCHED), BRITTLE: (BRITTLE,)}
"""The places behind each destination, which is known by the first of them."""
DOUBT_SECONDS = 3.0
"""For so long after a process was killed, or told to loop or crash, the sink may still read what was sent before: it
competes with many processes for the machine, and some of those killed here end a moment later."""


@dataclass
class ConfiguredTrial(Trial):
    """A trial whose sink is `Partners`. `subscriptions` are the ids of the mappings by place."""

    subscriptions: dict[str, str] = field(default_factory=dict)
    drain_seconds: float = DRAIN_SECONDS

    @property
    def partners(self) -> Partners:
        """The sink."""
        assert isinstance(self.sink, Partners)
        return self.sink

    @property
    def places(self) -> tuple[str, ...]:
        """Where events arrive, behind the function at the source."""
        return tuple(place for name in self.webhooks for place in PLACES_OF[name])

    def kill(self, name: str) -> None:
        """SIGKILL as in any trial, or to one of the processes that run functions or destinations."""
        if name not in PROGRAMS:
            super().kill(name)
            return
        assert self.server.is_running, self.server.log_tail()
        found: list[int] = []

        def runs() -> bool:
            found[:] = self._programs(PROGRAMS[name])
            return bool(found)

        until(f"a process of {name} runs", runs, BACK_SECONDS)
        self.kills.append(Kill(name, time.monotonic()))
        for pid in found[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                self.notes.append(f"{name} had ended by itself")

    def _programs(self, program: str) -> list[int]:
        """Of the server's delivery workers the children that run this."""
        workers = {pid for name, pid in self.server.processes().items() if name.startswith("delivery")}
        table = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 2) for line in table.stdout.splitlines()]
        return [int(pid) for pid, parent, words in rows if int(parent) in workers and program in words]

    # ---- the verdict

    def _closer_look(self) -> str:
        acknowledged = self.generator.acknowledged()
        looks = [f"{place}\n{self._findings(place, acknowledged)}" for place in (INSERT, *self.places)]
        return "\n".join([*looks, f"waiting: {self._waiting_by_destination()}", self._letters()])

    def _judge(self) -> str:
        acknowledged = self._ended_load()
        faults = [line for line in self.server.log_tail(10_000).splitlines() if "(exit code" in line]
        assert not faults, f"processes that ended by themselves: {faults}"
        self._drain()
        duplicates = {place: self._judge_place(place, acknowledged) for place in (INSERT, *self.places)}
        poison = {place: self._poison(place, acknowledged) for place in self.places}
        self._check_configured_counts(acknowledged, is_mended=False)
        letters = sum(map(len, poison.values()))
        assert self._letters().count("\n") == letters + 1, f"not {letters} dead letters:\n{self._letters()}"
        self.partners.mend()
        assert self._deadletter("redrive", "--all") == f"{letters} dead letters re-driven.\n"
        self._drain()
        for place, ids in poison.items():
            arrived = Counter(each.id for each in self._arrivals(place, is_mended=True) if each.status == OK)
            assert arrived == Counter(ids), f"re-driven to {place}: {arrived} instead of {ids}"
        assert self._letters() == "There are no dead letters.\n"
        self._check_configured_counts(acknowledged, is_mended=True)
        return (
            f"{len(self.kills)} kills, {len(acknowledged)} events acknowledged, one outcome each at "
            f"{len(self.places)} places, 0 out of order, {letters} set aside and re-driven, duplicates {duplicates}; "
            f"{len(self.partners.troubles)} loops, crashes and requests given up"
        )

    def expected(self, place: str, acknowledged: Collection[Id]) -> list[Id]:
        """What must be tried there."""
        if place == INSERT:
            return list(acknowledged)
        names = {BATCHED: {NUMBERED}, BRITTLE: {POISON}}.get(place, {NUMBERED, POISON})
        return [each for each in acknowledged if not refuses(INSERT, each) and each.name in names]

    def _poison(self, place: str, acknowledged: Collection[Id]) -> list[Id]:
        return [each for each in self.expected(place, acknowledged) if is_set_aside(place, each)]

    def _arrivals(self, place: str, *, is_mended: bool) -> list[Arrival]:
        return [each for each in self.sink.arrivals(place) if (each.at >= self.partners.mended_at) is is_mended]

    def _findings(self, place: str, acknowledged: Collection[Id]) -> Findings:
        return compare(
            self.expected(place, acknowledged),
            self._arrivals(place, is_mended=False),
            lambda each: refuses(place, each) or is_set_aside(place, each),
        )

    def _judge_place(self, place: str, acknowledged: Collection[Id]) -> int:
        """How many arrived there twice; each of them for a reason."""
        findings = self._findings(place, acknowledged)
        assert findings.is_flawless, f"at {place}\n{findings}"
        for again in findings.duplicates:
            reasons = [at for at, doubt in self._repeating(place) if again.first_at - doubt < at < again.again_at]
            before = " ".join(f"{each.name} {again.first_at - each.at:.2f} s" for each in self.kills)
            assert reasons, f"{again} arrived twice at {place} for no reason; kills before it: {before}\n{findings}"
        return len(findings.duplicates)

    def _repeating(self, place: str) -> Iterator[tuple[float, float]]:
        """When calls towards a place began once more, and for how long before it the sink may be behind."""
        programs = {SANDBOX} if place in FUNCTIONS else {RUNNER} if place in ACTIONS else set()
        for kill in self.kills:
            if kill.repeats_deliveries or kill.name in programs:
                yield kill.at, DOUBT_SECONDS
        for trouble in self.partners.troubles:
            if trouble.place == place:
                yield trouble.at, DOUBT_SECONDS

    def _drain(self) -> None:
        """Wait until nothing is under way anywhere."""
        log, flow = SqliteEventLog(self.server.data / "events.db"), SqliteFlow(self.server.data)

        def is_empty() -> bool:
            is_read = flow.pipeline.position() >= log.newest()
            was_queued, entered = flow.queue.destinations(), flow.pipeline.entries(1)
            return is_read and not was_queued and not entered and not flow.queue.destinations()

        try:
            until("nothing is under way", is_empty, self.drain_seconds)
        finally:
            flow.close()
            log.close()

    def _waiting_by_destination(self) -> Mapping[str, Mapping[str, int]]:
        flow = SqliteFlow(self.server.data)
        try:
            return {each: flow.outcomes.waiting(each) for each in flow.queue.destinations()}
        finally:
            flow.close()

    def _check_configured_counts(self, acknowledged: Sequence[Id], *, is_mended: bool) -> None:
        """The Public API's counts are those of the model, to the event and the reason."""
        refused = [each for each in acknowledged if refuses(INSERT, each)]
        unplanned = [each for each in acknowledged if each.name == LEFT_OUT and not refuses(INSERT, each)]
        source = self.webhooks[WEBHOOK]
        assert self._overview("successfully-received", source)["total"] == len(acknowledged)
        at_source = {"message_rejected": len(refused), "unplanned": len(unplanned)}
        assert self._reasons("filtered-at-source", source) == at_source
        assert self._reasons("failed-on-ingest", source) == {}
        kept = len(acknowledged) - len(refused) - len(unplanned)
        for name, connection in self.webhooks.items():
            places = PLACES_OF[name]
            told = {
                stage: self._reasons(stage, connection)
                for stage in ("filtered-at-destination", "failed-delivery", "successful-delivery")
            }
            taken = {place: self._taken(place, acknowledged, is_mended=is_mended) for place in places}
            assert sum(told["successful-delivery"].values()) == sum(map(len, taken.values())), (name, told)
            ended = Counter[str]()
            for place in places:
                ended += self._ended(place, acknowledged, is_mended=is_mended)
            if name == BRITTLE:
                ended["NO_MATCHING_MAPPING"] = kept - len(self.expected(BRITTLE, acknowledged))
            assert told["filtered-at-destination"] | told["failed-delivery"] == dict(+ended), (name, told)
            for place in set(places) & set(self.subscriptions):
                more = {"filter.subscriptionId.0": self.subscriptions[place]}
                delivered = self._overview("successful-delivery", connection, **more)["total"]
                assert delivered == len(taken[place]), f"{delivered} delivered to {place}, not {len(taken[place])}"

    def _taken(self, place: str, acknowledged: Collection[Id], *, is_mended: bool) -> list[Id]:
        return [
            each
            for each in self.expected(place, acknowledged)
            if not refuses(place, each) and (is_mended or not is_set_aside(place, each))
        ]

    def _ended(self, place: str, acknowledged: Collection[Id], *, is_mended: bool) -> Counter[str]:
        """Reasons of what was not delivered to a place."""
        refused = sum(refuses(place, each) for each in self.expected(place, acknowledged))
        broken = 0 if is_mended else len(self._poison(place, acknowledged))
        if place == FUNCTION:
            return Counter({"message_rejected": refused, "bad_request": broken})
        return Counter({"400": refused, "INTERNAL": broken})

    def _reasons(self, stage: str, connection: Connection) -> dict[str, int]:
        dataset = self._overview(stage, connection, **{"groupBy.0": "discardReason"})["dataset"]
        return {each["discardReason"]: each["total"] for each in dataset if each["total"]}

    def _letters(self) -> str:
        return self._deadletter("list")

    def _deadletter(self, *words: str) -> str:
        command = [MAINSTEM, "deadletter", *words, "--data", self.server.data]
        done = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True, check=True)
        return done.stdout


@contextmanager
def configured_trial(
    folder: Path, seed: int, *, has_actions: bool, hangs: int = 2, drain_seconds: float = DRAIN_SECONDS
) -> Iterator[ConfiguredTrial]:
    """Start everything in `folder`, with load until the trial is judged; at the end SIGTERM must stop it."""
    with Partners(seed, hangs=hangs) as partners:
        more = {"MAINSTEM_PACKAGES": str(PACKAGES), "MAINSTEM_DIVERT_TO": partners.diverted_url}
        server = RunningServer(folder, OWNER_TOKEN, {**SETTINGS, **(more if has_actions else {})})
        try:
            server.wait_until_it_answers()
            with PublicApi(server.api_url, server.token) as api:
                made, subscriptions = _configured(api, partners, has_actions=has_actions)
                key = made[WEBHOOK].write_key
                load = Generator(server.tracking_url, key, clients=3, pause_seconds=0.1, seed=seed)
                with load:
                    yield ConfiguredTrial(
                        seed, server, partners, load, api, made,
                        subscriptions=subscriptions, drain_seconds=drain_seconds,
                    )  # fmt: skip
        finally:
            code = server.stop()
        assert code == 0, f"exit code {code}:\n{server.log_tail()}"


def _configured(
    api: PublicApi, partners: Partners, *, has_actions: bool
) -> tuple[dict[str, Connection], dict[str, str]]:
    """Destinations by name, and mappings by place."""
    webhook = api.connect(partners.url(WEBHOOK))
    source_id = webhook.source_id
    made = {WEBHOOK: webhook}
    _plan(api, source_id)
    insert = _function(api, "INSERT_SOURCE")
    body = {"functionId": insert["id"].partition("_")[2], "integrationId": source_id, "name": "i", "enabled": True}
    api.post("/insert-function-instances", body | {"settings": {"url": partners.url(INSERT)}})
    metadata_id = _function(api, "DESTINATION")["catalogId"]
    made[FUNCTION] = _destination(api, webhook, metadata_id, {"url": partners.url(FUNCTION)})[0]
    subscriptions: dict[str, str] = {}
    if has_actions:
        made[SINGLE], actions = _destination(api, webhook, ACTIONS_WEBHOOK, {})
        for place, trigger in ((SINGLE, 'type = "track"'), (BATCHED, f'event = "{NUMBERED}"')):
            mapping = {"url": f"https://hooks.example.com/{place}", "method": "POST", "data": {"@path": "$."}}
            mapping |= {"enable_batching": place == BATCHED}
            subscriptions[place] = _mapping(api, made[SINGLE], actions["send"], trigger, mapping)
        made[BRITTLE], actions = _destination(api, webhook, ATTIO, {})
        mapping = {name: {"@path": "$.messageId"} for name in ("domain", "workspace_id")}
        action_id = actions["groupWorkspace"]
        subscriptions[BRITTLE] = _mapping(api, made[BRITTLE], action_id, f'event = "{POISON}"', mapping)
    return made, subscriptions


def _plan(api: PublicApi, source_id: str) -> None:
    """What is to be left out is not planned."""
    plan_id = api.post("/tracking-plans", {"name": "Oracle", "type": "LIVE"})["trackingPlan"]["id"]
    schema = {"type": "object", "properties": {"properties": {"type": "object", "required": ["number"]}}}
    rules = [{"type": "TRACK", "version": 1, "key": name, "jsonSchema": schema} for name in (NUMBERED, POISON)]
    assert api._http.put(f"/tracking-plans/{plan_id}/rules", json={"rules": rules}).is_success
    api.post(f"/tracking-plans/{plan_id}/sources", {"sourceId": source_id})
    api.patch(f"/sources/{source_id}/settings", {"track": {"allowUnplannedEvents": False}})


def _function(api: PublicApi, kind: str) -> dict[str, Any]:
    body = {"code": CODE, "displayName": f"Oracle {kind}", "resourceType": kind, "settings": [SETTING]}
    function: dict[str, Any] = api.post("/functions", body)["function"]
    return function


def _destination(
    api: PublicApi, webhook: Connection, metadata_id: str, settings: Mapping[str, Any]
) -> tuple[Connection, dict[str, str]]:
    """One more destination of the source, and the ids of its actions."""
    body = {"sourceId": webhook.source_id, "metadataId": metadata_id, "settings": settings, "enabled": True}
    made = api.post("/destinations", body | {"name": f"oracle-{secrets.token_hex(4)}"})["destination"]
    actions = {each["slug"]: each["id"] for each in made["metadata"].get("actions", ())}
    return Connection(webhook.source_id, webhook.write_key, made["id"]), actions


def _mapping(api: PublicApi, connection: Connection, action_id: str, trigger: str, mapping: Mapping[str, Any]) -> str:
    body = {"name": "Mapping", "actionId": action_id, "trigger": trigger, "enabled": True, "settings": mapping}
    path = f"/destinations/{connection.destination_id}/subscriptions"
    made = api._http.post(path, json=body, headers=ALPHA)
    assert made.is_success, made.text
    return str(made.json()["data"]["destinationSubscription"]["id"])
