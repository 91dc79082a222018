"""Whatever the input, no operation answers a 5xx or a reply outside the contract.

Inputs come from the OpenAPI document that is served, valid and broken ones. Names that mean something here (ids of
objects that exist, moments, filter expressions) are put in for most of the generated text, so that more than the
refusals is reached. The same inputs on every run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core import NotSet

import databases
from contract.validator import check_reply
from mainstem import contract, http_server
from mainstem.model.ports import OutcomeCount, OutcomeQuery, UserCount
from mainstem.public_api import FAMILIES, reference
from mainstem.public_api.http import PublicApi
from public_api.actions import SYNC, installed, new_mailer
from public_api.client import Api
from public_api.connections import new_database, new_model
from public_api.iam.people import new_group, new_user, permission
from public_api.warehousing import POSTGRES, new_credential, new_warehouse

OPERATIONS = sorted(record.id for family in FAMILIES for record in family.operations)
SERVED = schemathesis.openapi.from_dict(json.loads(reference.document()))
EXAMPLES = 8 if databases.SERVER else 25
MODES = [GenerationMode.POSITIVE] if databases.SERVER else list(GenerationMode)  # what fits no shape reaches no row
ROUNDS = 3  # what is generated depends on what is imported: so often more, in earnest, until a call succeeds

JAVASCRIPT, WEBHOOKS = "IqDTy1TpoU", "54521fdc25e721e32a72ef04"
ACCEPTED = [
    "*/*",
    "application/json",
    "application/vnd.segment.v1+json",
    "application/vnd.segment.v1alpha+json, application/json;q=0.5",
    "application/vnd.segment.v1+json, application/json, application/vnd.segment.v1beta+json",
    "text/html",
]
# Text that leads somewhere, by the name it stands under, in a path, a query or anywhere in a body.
MEANINGFUL: Mapping[str, Sequence[Any]] = {
    "metadataId": [JAVASCRIPT, WEBHOOKS, POSTGRES],
    "sourceMetadataId": [JAVASCRIPT],
    "destinationMetadataId": [WEBHOOKS],
    "warehouseMetadataId": [POSTGRES],
    "slug": ["fuzz", "fuzz-2"],
    "settings": [
        {"sharedSecret": "s3cret"},
        {"hooks": [{"hook": "https://example.com/x", "headers": []}]},
        {"type": "Redshift", "password": "s3cret"},
        {},
    ],
    "schedule": [{"times": [{"hourOfDay": 7, "enabled": True}], "timezone": "America/Vancouver"}],
    "collection": ["pages", "unheard_of"],
    "property": ["name", "context_ip"],
    "email": ["ann@x.example", "Bob@x.example"],
    "emails": [["owner@localhost"], ["OWNER@localhost", "ann@x.example"], []],
    "key": ["environment"],
    "value": ["dev", "prod", "qa"],
    "if": ['type = "track"', "all", 'event = "A" and !contains(properties.x, "y")', "type ="],
    "actions": [
        [{"type": "DROP"}],
        [{"type": "SAMPLE", "percent": 0.5, "path": "userId"}],
        [{"type": "ALLOW_PROPERTIES", "fields": {"properties": ["a"]}}],
    ],
    "payload": [{"type": "track", "event": "A", "properties": {"a": 1, "b": 2}}],
    "type": ["DROP", "SAMPLE", "ALLOW_PROPERTIES", "DROP_PROPERTIES", "LIVE"],
    "startTime": ["2026-03-10T10:00:00Z", "2026-03-10T11:30:00.000Z"],
    "endTime": ["2026-03-10T12:00:00Z", "2026-03-10T11:00:00Z"],
    "period": ["2026-03-01", "2026-02-01", "2026-03-02"],
    "groupBy": [["eventName"], ["eventName", "discardReason"], ["eventType"], ["source"]],
    "granularity": ["MINUTE", "HOUR", "DAY"],
    "code": ["async function onTrack(event) { return event }", "async function onTrack(event) {"],
    "resourceType": ["SOURCE", "DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE", "INSERT_TRANSFORMATION"],
    "pagination[count]": [1, 2, 1000],
    "pagination[cursor]": ["MA==", "MQ==", "OTk5OTk="],
    "delay": [0],  # milliseconds that the echo waits
    "actionId": [SYNC],
    "allowProperties": [["a", "order.id"], ["$.a"]],
    "fqlDefinedProperties": [[{"fql": "lowercase(properties.a)", "propertyName": "b"}], []],
    "hashPropertiesConfiguration": [{"algorithm": "SHA256", "paths": ["a"], "key": "k", "encoding": "BASE64"}],
    "newEventName": ["B", ""],
    "propertyRenames": [[{"oldName": "a", "newName": "order.b"}], []],
    "propertyValueTransformations": [[{"propertyPaths": ["context.c"], "propertyValue": "v"}], []],
    "rules": [
        [{"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {"type": "object"}}],
        [{"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {"type": "any"}}, {"type": "PAGE", "version": 2}],
    ],
    "trigger": ['type = "track"', 'event = "A" or type = "page"', "type = 'track'"],
    "reverseETLSchedule": [{"strategy": "PERIODIC", "config": {"interval": "1h"}}, {"strategy": "MANUAL"}],
}


class SomeOutcomes:
    """An OutcomeStore in which each question finds a little."""

    def counts(self, query: OutcomeQuery) -> list[OutcomeCount]:
        first = query.start_minute - query.start_minute % query.bucket_minutes
        group = tuple(query.source_ids[0] if field == "source_id" else "a" for field in query.group_by)
        buckets = range(first, query.end_minute, query.bucket_minutes)[:2]
        return [OutcomeCount(group, minute, 3, 1) for minute in buckets]

    def waiting(self, destination_id: str) -> dict[str, int]:
        return {"": 1, "429": 2}

    def api_calls(self, source_ids: Sequence[str], first_day: int, last_day: int) -> dict[tuple[str, int], int]:
        return {(source_id, first_day): 5 for source_id in source_ids}

    def tracked_users(self, source_ids: Sequence[str], first_day: int, last_day: int) -> list[UserCount]:
        return [UserCount(source_id, first_day, 2, 3, 1) for source_id in ["", *source_ids]]


class Instance:
    """An instance with a source, a webhook, a filter, a destination with actions and a subscription of it, that are
    made anew when an input removes them."""

    def __init__(self, folder: Path) -> None:
        self._installed = installed(folder / "packages")
        self._installed.__enter__()
        self.api = Api(folder, SomeOutcomes())
        self._app = PublicApi(
            self.api.dispatcher, max_request_bytes=1_000_000, is_database_local=not databases.SERVER
        )
        self._runner = asyncio.Runner()
        self._made = 0
        self._is_whole = False  # nothing that was made can be gone
        self._source: dict[str, Any] = {}
        self._destination: dict[str, Any] = {}
        self._filter: dict[str, Any] = {}
        self._transformation = self._plan = ""
        self._function: dict[str, Any] = {}
        self._inserted: dict[str, Any] = {}
        self._mailer = self._subscription = ""
        self._warehouse = self._credential = "none"
        self._user = self._group = "none"
        self._space = self._space_filter = self._profiles_warehouse = self._database = self._model = "none"

    def existing(self, path: str) -> dict[str, Sequence[Any]]:
        """Ids of objects that exist now, by the names that they go by under this path."""
        of_spaces = path.startswith("/filters")
        if not self._is_whole:
            self._make_whole()
        source, destination = self._source["id"], self._destination["id"]
        inserted = (self._inserted["id"], self._inserted["id"].partition("_")[2])
        return {
            "sourceId": [source, self._database],
            "spaceId": [self._space],
            "modelId": [self._model],
            "reverseETLModelId": [self._model, ""],
            "destinationId": [destination, self._mailer],
            "id": [self._space_filter if of_spaces else self._subscription],
            "destinationConfigId": [destination],
            "filterId": [self._filter["id"]],
            "transformationId": [self._transformation, self._filter["id"]],
            "trackingPlanId": [self._plan],
            "writeKey": [*self._source["writeKeys"], "unknown"],
            "functionId": [*inserted, *([] if path.startswith("/insert-function") else [self._function["id"]])],
            "versionId": [self._function["version"], self._inserted["version"]],
            "instanceId": [self._inserted["instance"]],
            "integrationId": [self._space if of_spaces else self._mailer],
            "warehouseId": [self._warehouse, self._profiles_warehouse],
            "credentialId": [self._credential],
            "userId": [self._user],
            "userIds": [[self._user], [""]],
            "userGroupId": [self._group],
            "permissions": [[self._permission], []],
            "forwardingViolationsTo": [source],
            "forwardingBlockedEventsTo": [source],
        }

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a request through HTTP's front door, hold the reply against the contract, return its status."""
        url = httpx.URL(f"http://mainstem.test{target}")
        path, _, query = url.raw_path.decode().partition("?")
        sent = [(name.lower(), value) for name, value in headers.items()]
        request = http_server.Request(method, path, query, sent, "127.0.0.1", "http", body)
        reply = self._runner.run(self._app(request))
        check_reply(method, url.raw_path.decode(), reply.status, dict(reply.headers)["content-type"], reply.body)
        self._is_whole = self._is_whole and (method == "GET" or reply.status >= 400)  # these change nothing
        return reply.status

    def _make_whole(self) -> None:
        """Everything, as far as it is gone."""
        if not self._is_there():
            self._make()
        self._make_functions()
        self._make_plan()
        self._make_warehouse()
        self._make_in_space()
        self._make_model()
        self._make_people()
        self._permission = permission(self.api, "Source Admin")
        self._is_whole = True

    def close(self) -> None:
        """Release what the instance holds."""
        self._runner.close()
        self._installed.__exit__(None, None, None)
        self.api.database.close()

    def _is_there(self) -> bool:
        if not self._filter:
            return False
        paths = (
            f"/destination/{self._destination['id']}/filters/{self._filter['id']}",
            f"/destinations/{self._mailer}/subscriptions/{self._subscription}",
            f"/transformations/{self._transformation}",
        )
        return all(self.api.get(path).status == 200 for path in paths)

    def _make_functions(self) -> None:
        """A source function, and an insert function at work, as far as they are gone."""
        if not self._function or self.api.get(f"/functions/{self._function['id']}").status == 404:
            self._function = self._new_function("SOURCE")
        path = f"/insert-function-instances/{self._inserted.get('instance')}"
        if not self._inserted or self.api.get(path).status == 404:
            self._inserted = self._inserted or self._new_function("INSERT_DESTINATION")
            use = {"functionId": self._inserted["id"], "integrationId": self._destination["id"], "settings": {}}
            made = self.api.post("/insert-function-instances", use | {"name": "Insert"})
            self._inserted["instance"] = made.data["insertFunctionInstance"]["id"]

    def _make_plan(self) -> None:
        """A tracking plan with a rule and the source, as far as they are gone."""
        if not self._plan or self.api.get(f"/tracking-plans/{self._plan}").status == 404:
            made = self.api.post("/tracking-plans", {"name": "Made", "type": "LIVE"})
            self._plan = made.data["trackingPlan"]["id"]
        path = f"/tracking-plans/{self._plan}"
        self.api.patch(f"{path}/rules", {"rules": [{"type": "TRACK", "key": "A", "version": 1, "jsonSchema": {}}]})
        self.api.post(f"{path}/sources", {"sourceId": self._source["id"]})

    def _make_warehouse(self) -> None:
        """A warehouse, and a credential that it does not use, as far as they are gone."""
        if self.api.get(f"/warehouses/{self._warehouse}").status == 404:
            self._warehouse = new_warehouse(self.api, settings={})["id"]
        if self.api.get(f"/credentials/{self._credential}").status == 404:
            self._credential = new_credential(self.api)

    def _make_in_space(self) -> None:
        """A filter, a profiles warehouse and a live plugin, as far as they are gone."""
        self._space = self.api.get("/spaces").data["spaces"][0]["id"]
        if self.api.get(f"/filters/{self._space_filter}").status == 404:
            body: dict[str, Any] = {"integrationId": self._space, "name": "Made", "if": "all"}
            self._space_filter = self.api.post("/filters", body).data["filter"]["id"]
        path = f"/spaces/{self._space}/profiles-warehouses"
        if self.api.get(f"{path}/{self._profiles_warehouse}/selective-syncs").status == 404:
            made = self.api.post(path, {"metadataId": POSTGRES, "settings": {}}).data["profilesWarehouse"]
            self._profiles_warehouse = made["id"]
        self.api.post(f"/sources/{self._source['id']}/live-plugins/create", {"code": "// made"})

    def _make_model(self) -> None:
        """A database and a model of it, as far as they are gone."""
        if self.api.get(f"/sources/{self._database}").status == 404:
            self._made += 1
            self._database = new_database(self.api, f"rows-{self._made}")
        if self.api.get(f"/reverse-etl-models/{self._model}").status == 404:
            self._model = new_model(self.api, self._database)

    def _make_people(self) -> None:
        """A user and a group, as far as they are gone."""
        if self.api.get(f"/users/{self._user}").status == 404:
            self._made += 1
            self._user = new_user(self.api, f"user-{self._made}@x.example")
        if self.api.get(f"/groups/{self._group}").status == 404:
            self._group = new_group(self.api)

    def _new_function(self, kind: str) -> dict[str, Any]:
        body = {"displayName": "Made", "code": "async function onPage(event) {}", "resourceType": kind}
        function: dict[str, Any] = self.api.post("/functions", body).data["function"]
        (version,) = self.api.get(f"/functions/{function['id']}/versions").data["versions"]
        return function | {"version": version["id"]}

    def _make(self) -> None:
        self._made += 1
        source = {"slug": f"made-{self._made}", "enabled": True, "metadataId": JAVASCRIPT}
        self._source = self.api.post("/sources", source).data["source"]
        destination = {"sourceId": self._source["id"], "metadataId": WEBHOOKS, "settings": {}}
        self._destination = self.api.post("/destinations", destination).data["destination"]
        filter_ = {
            "sourceId": self._source["id"],
            "title": "Drop",
            "if": 'type = "track"',
            "actions": [{"type": "DROP"}],
            "enabled": True,
        }
        reply = self.api.post(f"/destination/{self._destination['id']}/filters", filter_)
        self._filter = reply.data["filter"]
        transformation = {"name": "Made", "sourceId": self._source["id"], "enabled": True, "if": "event = 'made'"}
        self._transformation = self.api.post("/transformations", transformation).data["transformation"]["id"]
        self._mailer = new_mailer(self.api, self._source["id"])
        subscription = {"name": "Sync", "actionId": SYNC, "trigger": 'type = "track"', "enabled": True}
        made = self.api.post(f"/destinations/{self._mailer}/subscriptions", subscription)
        self._subscription = made.data["destinationSubscription"]["id"]


class Chance(Random):
    """What is drawn for one case. In every fifth case all that can mean something does, and an owner asks for
    JSON, so that each operation is sure to be reached."""

    is_earnest = False

    def takes(self, share: float) -> bool:
        """Whether to take the meaningful one of two."""
        return self.random() < share or self.is_earnest


def mended(chance: Chance, value: Any, name: str, meanings: Mapping[str, Sequence[Any]]) -> Any:
    """The generated value, or (three times in four) one that means something under this name."""
    if name in meanings and chance.takes(0.75):
        return chance.choice(meanings[name])
    if isinstance(value, dict):
        return {key: mended(chance, inner, key, meanings) for key, inner in value.items()}
    if isinstance(value, list):
        return [mended(chance, inner, "", meanings) for inner in value]
    return value


def send(instance: Instance, case: Case, chance: Chance) -> int:
    """Send a generated case, mended; return the status of the reply."""
    meanings = {**MEANINGFUL, **instance.existing(case.path)}
    path = re.sub(
        r"{(\w+)}",
        lambda found: quote(str(mended(chance, case.path_parameters[found[1]], found[1], meanings)), safe="%"),
        case.path,
    )
    query = {name: mended(chance, value, name, meanings) for name, value in (case.query or {}).items()}
    body = b""
    if isinstance(case.body, bytes):
        body = case.body
    elif not isinstance(case.body, NotSet):
        body = json.dumps(mended(chance, case.body, "", meanings)).encode()
    token = instance.api.owner if chance.takes(0.75) else chance.choice([instance.api.member, ""])
    headers = {
        "accept": "application/json" if chance.is_earnest else chance.choice(ACCEPTED),
        "content-type": case.media_type or "application/json",
        "authorization": f"Bearer {token}",
    }
    return instance.send(case.method, f"{path}?{urlencode(query, doseq=True)}", headers, body)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_no_input_leads_to_a_5xx_or_outside_the_contract(
    operation_id: str, mode: GenerationMode, tmp_path: Path
) -> None:
    chance = Chance(operation_id)  # not drawn from hypothesis, which likes to repeat itself
    success = contract.operations()[operation_id].success_status
    with closing(Instance(tmp_path)) as instance:
        seen = statuses(instance, operation_id, mode, chance)
        if mode is GenerationMode.POSITIVE:
            for _ in range(ROUNDS):
                seen |= set() if success in seen else statuses(instance, operation_id, mode, chance, earnest_every=1)
            assert success in seen, f"only refusals: {seen}"


def statuses(
    instance: Instance, operation_id: str, mode: GenerationMode, chance: Chance, earnest_every: int = 5
) -> set[int]:
    """The statuses seen while trying this operation; fails at a reply that should not be."""
    cases = SERVED.find_operation_by_id(operation_id).as_strategy(generation_mode=mode)
    seen: set[int] = set()
    number = itertools.count()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def hold(case: Case) -> None:
        chance.is_earnest = next(number) % earnest_every == 0
        status = send(instance, case, chance)
        assert status < 500 or operation_id == "echo"
        seen.add(status)

    hold()
    return seen
