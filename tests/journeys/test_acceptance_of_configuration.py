"""What the Public API promises of configuration, over real HTTP, and what events make of each change.

Every reply is held against the contract. Source: Public API reference; what official clients depend on;
judgements are those that the code under test names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import databases
from contract.validator import check_reply
from journeys.public_api import PublicApi, eventually, window
from journeys.running import RunningServer, running_server
from journeys.sink import Sink
from journeys.terminal import mainstem

Fields = dict[str, Any]

OWNER_TOKEN = "configuration-" + "0123456789abcdef" * 4
HTTP_API = "iUM16Md8P2"
CLICK: Fields = {"event": "Clicked", "userId": "u-1"}
UNFILTERED = {"if": "all", "actions": [{"type": "DROP"}], "title": "F", "enabled": True}
PRINTED_SETTINGS: Fields = {
    "forwardingBlockedEventsTo": "",
    "track": {
        "allowUnplannedEvents": False,
        "allowUnplannedEventProperties": False,
        "allowEventOnViolations": False,
        "allowPropertiesOnViolations": False,
        "commonEventOnViolations": "Block",
    },
    "identify": {"allowUnplannedTraits": False, "allowTraitsOnViolations": False, "commonEventOnViolations": "Block"},
    "group": {"allowUnplannedTraits": False, "allowTraitsOnViolations": False, "commonEventOnViolations": "Block"},
}


class Caller:
    """One token's view of the Public API: plain HTTP, each reply checked against the contract."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def call(self, method: str, path: str, body: Fields | None = None, **headers: str) -> httpx.Response:
        """Make a call; `path` holds the query."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.http.request(method, path, json=body, headers=named)
        check_reply(
            method=method,
            path=path,
            status=response.status_code,
            content_type=response.headers["content-type"],
            body=response.content,
        )
        return response

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.call("GET", path, **headers)

    def data(self, method: str, path: str, body: Fields | None = None, status: int = 200) -> dict[str, Any]:
        """What stands under `data` of a call that succeeds with exactly this status."""
        response = self.call(method, path, body)
        assert response.status_code == status, response.text
        assert set(response.json()) == {"data"}
        found: dict[str, Any] = response.json()["data"]
        return found

    def refused(self, status: int, method: str, path: str, body: Fields | None = None) -> list[dict[str, Any]]:
        """The errors of a call that is refused with this status."""
        response = self.call(method, path, body)
        assert response.status_code == status, response.text
        assert set(response.json()) == {"errors"}
        errors: list[dict[str, Any]] = response.json()["errors"]
        return errors


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of this module's own: it counts what there is in the workspace."""
    with running_server(tmp_path_factory.mktemp("configuration"), OWNER_TOKEN) as running:
        yield running


@pytest.fixture
def owner(server: RunningServer) -> Iterator[Caller]:
    """The owner's token."""
    caller = Caller(server.api_url, server.token)
    with caller.http:
        yield caller


@pytest.fixture(scope="module")
def member_token(server: RunningServer) -> str:
    """A token with member access, made at the terminal while the server runs."""
    return mainstem(server, "token", "create", "--description", "member", "--access", "member").strip()


@pytest.fixture
def member(server: RunningServer, member_token: str) -> Iterator[Caller]:
    """The member's token."""
    caller = Caller(server.api_url, member_token)
    with caller.http:
        yield caller


def new_source(owner: Caller, **fields: Any) -> dict[str, Any]:
    """A new HTTP API source."""
    body = {"slug": f"s-{secrets.token_hex(6)}", "enabled": True, "metadataId": HTTP_API, **fields}
    source: dict[str, Any] = owner.data("POST", "/sources", body, 201)["source"]
    return source


def webhooks_id(owner: Caller) -> str:
    """The id of the classic Webhooks destination, found in the catalogue."""
    catalog = owner.data("GET", "/catalog/destinations")["destinationsCatalog"]
    return next(str(each["id"]) for each in catalog if each["slug"] == "webhooks")


def new_webhook(owner: Caller, source_id: str, url: str = "https://sink.example/", **fields: Any) -> dict[str, Any]:
    """A new webhook of a source."""
    body = {"sourceId": source_id, "metadataId": webhooks_id(owner), "settings": {"hooks": [{"hook": url}]}, **fields}
    destination: dict[str, Any] = owner.data("POST", "/destinations", body)["destination"]
    return destination


def track(server: RunningServer, write_key: str, **fields: Any) -> None:
    """One accepted track call."""
    answer = httpx.post(f"{server.tracking_url}/v1/track", json={**CLICK, **fields, "writeKey": write_key})
    assert answer.status_code == 200


class TestTokens:
    """Who is let in, and what a member may do."""

    def test_the_workspace_of_the_token_comes_with_its_limits(self, owner: Caller) -> None:
        answer = owner.get("/")
        assert set(answer.json()["data"]["workspace"]) == {"id", "slug", "name"}
        assert int(answer.headers["x-ratelimit-consumed"]) >= 1
        assert int(answer.headers["x-ratelimit-remaining"]) >= 0
        assert parsedate_to_datetime(answer.headers["x-ratelimit-reset"]).tzinfo is not None

    @pytest.mark.parametrize(
        "authorization", [None, "Token x", "Bearer", "Bearer " + "x" * 300, f"Basic {OWNER_TOKEN}", "Bearer ü"]
    )
    def test_whoever_has_no_token_is_unauthorized(self, server: RunningServer, authorization: str | None) -> None:
        headers = {} if authorization is None else {"Authorization": authorization.encode()}
        answer = httpx.get(f"{server.api_url}/sources", headers=headers)
        assert answer.status_code == 401
        assert set(answer.json()) == {"errors"}
        assert all(each["type"] and each["message"] for each in answer.json()["errors"])

    def test_a_token_made_at_the_terminal_works_at_once_and_not_after_it_was_revoked(
        self, server: RunningServer
    ) -> None:
        description = secrets.token_hex(8)
        made = mainstem(server, "token", "create", "--description", description, "--access", "owner").strip()
        authorization = {"Authorization": f"Bearer {made}"}
        assert httpx.get(server.api_url, headers=authorization).status_code == 200
        listed = mainstem(server, "token", "list")
        assert made not in listed
        (line,) = [each for each in listed.splitlines() if each.endswith(description)]
        mainstem(server, "token", "revoke", line.split()[0])
        assert httpx.get(server.api_url, headers=authorization).status_code == 401
        stored = databases.stored(server.data)
        assert made.encode() not in stored

    def test_a_member_reads_without_write_keys_and_changes_nothing(self, owner: Caller, member: Caller) -> None:
        source = new_source(owner)
        path = f"/sources/{source['id']}"
        assert member.data("GET", path)["source"] == {**source, "writeKeys": []}
        listed = member.data("GET", "/sources?pagination.count=1000")["sources"]
        assert source["id"] in {each["id"] for each in listed}
        assert all(each["writeKeys"] == [] for each in listed)
        label = {"label": {"key": "team", "value": "x"}}
        for method, where, body in (
            ("PATCH", path, {"name": "other"}),
            ("DELETE", path, None),
            ("POST", f"{path}/writekey", None),
            ("POST", "/labels", label),
            ("GET", "/audit-events", None),
        ):
            assert member.refused(403, method, where, body)[0]["type"] == "forbidden"
        assert owner.data("GET", path)["source"] == source


class TestTransport:
    """What holds for every operation."""

    def test_no_website_is_let_in(self, server: RunningServer, owner: Caller) -> None:
        origin = {"Origin": "https://evil.example"}
        preflight = httpx.options(
            f"{server.api_url}/sources", headers={**origin, "Access-Control-Request-Method": "GET"}
        )
        assert preflight.status_code in {404, 405}
        for answer in (preflight, owner.get("/sources", **origin), httpx.get(server.api_url, headers=origin)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    @pytest.mark.parametrize(
        ("path", "only"),
        [("/delivery-overview/successfully-received", "v1beta"), ("/sources/{id}/writekey", "v1alpha")],
    )
    def test_a_version_that_an_operation_lacks_is_not_acceptable(self, owner: Caller, path: str, only: str) -> None:
        source = new_source(owner)
        is_count = "overview" in path
        method = "GET" if is_count else "POST"
        query = "?" + "&".join(f"{name}={quote(value)}" for name, value in window().items())
        where = f"{path}{query}&sourceId={source['id']}" if is_count else path.format(id=source["id"])
        assert owner.call(method, where, Accept="application/vnd.segment.v1+json").status_code == 406
        vendor = f"application/vnd.segment.{only}+json"
        for accept, content_type in ((vendor, vendor), ("application/json", "application/json"), ("*/*", None)):
            answer = owner.call(method, where, Accept=accept)
            assert answer.status_code == 200
            assert content_type in {None, answer.headers["content-type"].partition(";")[0]}

    def test_a_body_too_large_or_of_a_foreign_type_is_refused(self, owner: Caller) -> None:
        large = owner.http.post("/sources", content=b'{"slug":"' + b"x" * 50_000_000 + b'"}')
        assert (large.status_code, set(large.json())) == (413, {"errors"})
        foreign = owner.http.post("/sources", content=b"<source/>", headers={"Content-Type": "text/xml"})
        assert (foreign.status_code, set(foreign.json())) == (415, {"errors"})
        assert owner.get("/").status_code == 200

    def test_every_fault_of_a_body_is_named_at_once(self, owner: Caller) -> None:
        errors = owner.refused(422, "POST", "/sources", {})
        assert {each["field"]: each["message"] for each in errors} == {
            name: f'"{name}" is required' for name in ("slug", "enabled", "metadataId")
        }
        assert {each["type"] for each in errors} == {"input-validation"}

    def test_pages_lead_from_the_first_to_the_last(self, owner: Caller) -> None:
        for _ in range(2):
            new_source(owner)
        seen: list[str] = []
        cursor: str | None = "MA=="
        while cursor:
            page = owner.data("GET", f"/sources?pagination.count=3&pagination.cursor={quote(cursor)}")
            assert ("previous" in page["pagination"]) == bool(seen)
            seen += [each["id"] for each in page["sources"]]
            assert ("next" in page["pagination"]) == (len(seen) < page["pagination"]["totalEntries"])
            cursor = page["pagination"].get("next")
        everything = owner.data("GET", "/sources")["sources"]
        assert seen == [each["id"] for each in everything]
        assert len(set(seen)) == page["pagination"]["totalEntries"]

    def test_every_client_gets_the_same_page(self, owner: Caller) -> None:
        for _ in range(2):
            new_source(owner)
        queries = [
            "pagination%5Bcount%5D=1&pagination%5Bcursor%5D=MA%3D%3D",
            "pagination[count]=1&pagination[cursor]=MA%3D%3D",
            "pagination=%7B%22count%22%3A%201%7D",
            "pagination.count=1",
        ]
        pages = [owner.data("GET", f"/sources?{query}") for query in queries]
        assert all(page == pages[0] for page in pages)
        assert len(pages[0]["sources"]) == 1

    @pytest.mark.parametrize("count", ["0", "1001", "abc", "1.5", "-1"])
    def test_a_count_that_is_none_is_refused(self, owner: Caller, count: str) -> None:
        errors = owner.refused(422, "GET", f"/sources?pagination.count={count}")
        assert [each["field"] for each in errors] == ["pagination.count"]


class TestSources:
    """Sources, and what their events make of a change."""

    def test_a_source_is_named_after_its_slug_and_has_one_key(self, owner: Caller) -> None:
        for more in ({}, {"disconnectAllWarehouses": True}):
            source = new_source(owner, **more)
            assert source["name"] == source["slug"]
            assert [len(each) for each in source["writeKeys"]] == [32]
            assert source["labels"] == []
            path = f"/sources/{source['id']}"
            assert owner.data("GET", path) == {"source": source, "trackingPlanId": None}
            assert owner.data("GET", f"{path}/connected-warehouses")["warehouses"] == []

    def test_a_slug_is_no_id(self, owner: Caller) -> None:
        slug = new_source(owner)["slug"]
        (error,) = owner.refused(404, "GET", f"/sources/{slug}")
        assert (error["type"], error["message"]) == ("not-found", f"Source with id '{slug}' not found.")

    def test_settings_merge_and_null_takes_one_away(self, owner: Caller) -> None:
        path = f"/sources/{new_source(owner)['id']}"
        for sent, expected in (({"a": 1}, {"a": 1}), ({"b": 2}, {"a": 1, "b": 2}), ({"a": None}, {"b": 2})):
            assert owner.data("PATCH", path, {"settings": sent})["source"]["settings"] == expected
        assert owner.data("GET", path)["source"]["settings"] == {"b": 2}

    def test_each_write_key_works_as_long_as_it_is_there(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(sink.url, metadata_id=HTTP_API)
        path = f"/sources/{connection.source_id}/writekey"
        keys = owner.data("POST", path)["source"]["writeKeys"]
        assert keys[0] == connection.write_key
        assert len(keys) == 2
        for number, key in enumerate(keys):
            track(server, key, event=f"with key {number}")
        sink.wait_for(2)
        assert owner.data("DELETE", f"{path}/{keys[0]}") == {"status": "SUCCESS"}
        owner.refused(404, "DELETE", f"{path}/{keys[0]}")
        settings = f"{server.tracking_url}/v1/projects/{keys[0]}/settings"
        eventually(lambda: httpx.get(settings).status_code, lambda status: status == 404)
        track(server, keys[0], event="too late")
        track(server, keys[1], event="in time")
        assert [each.event["event"] for each in sink.wait_for(3)][2] == "in time"

    def test_a_deleted_source_takes_its_destinations_and_its_key_with_it(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(sink.url, metadata_id=HTTP_API)
        path = f"/destination/{connection.destination_id}/filters"
        made = owner.data("POST", path, {**UNFILTERED, "sourceId": connection.source_id})["filter"]
        assert owner.data("DELETE", f"/sources/{connection.source_id}") == {"status": "SUCCESS"}
        owner.refused(404, "DELETE", f"/sources/{connection.source_id}")
        owner.refused(404, "GET", f"/destinations/{connection.destination_id}")
        owner.refused(404, "GET", f"{path}/{made['id']}")
        settings = f"{server.tracking_url}/v1/projects/{connection.write_key}/settings"
        eventually(lambda: httpx.get(settings).status_code, lambda status: status == 404)
        track(server, connection.write_key)

    def test_the_printed_schema_settings_work_but_for_a_forwarding_to_nowhere(self, owner: Caller) -> None:
        source_id = new_source(owner)["id"]
        path = f"/sources/{source_id}/settings"
        plan = owner.data("POST", "/tracking-plans", {"name": "Printed", "type": "LIVE"})["trackingPlan"]
        owner.data("POST", f"/tracking-plans/{plan['id']}/sources", {"sourceId": source_id})
        other = new_source(owner)["id"]
        errors = owner.refused(422, "PATCH", path, PRINTED_SETTINGS)
        assert [each["field"] for each in errors] == ["forwardingBlockedEventsTo"]
        owner.data("PATCH", path, {"forwardingViolationsTo": other})
        assert owner.data("GET", path)["settings"]["forwardingViolationsTo"] == other
        printed = {name: value for name, value in PRINTED_SETTINGS.items() if "forwarding" not in name}
        settings = owner.data("PATCH", path, printed)["settings"]
        assert settings["identify"]["commonEventOnViolations"] == "BLOCK"
        assert settings["track"]["allowUnplannedEvents"] is False
        assert "forwardingViolationsTo" not in settings
        assert owner.data("GET", path)["settings"] == settings

    def test_a_label_in_use_stays_until_no_source_bears_it(self, owner: Caller) -> None:
        value = f"v{secrets.token_hex(4)}"
        label = {"key": "team", "value": value}
        owner.data("POST", "/labels", {"label": label}, 201)
        path = f"/sources/{new_source(owner)['id']}/labels"
        owner.data("PUT", path, {"labels": [label]})
        assert owner.refused(409, "DELETE", f"/labels/team/{value}")
        other = {"key": "team", "value": f"{value}-2"}
        owner.data("POST", "/labels", {"label": other}, 201)
        assert owner.call("PUT", path, {"labels": [label, other]}).status_code in {400, 409, 422}
        owner.data("PUT", path, {"labels": []})
        assert owner.data("DELETE", f"/labels/team/{value}") == {"status": "SUCCESS"}
        owner.refused(404, "DELETE", f"/labels/team/{value}")


class TestDestinations:
    """Destinations and their filters."""

    def test_a_destination_without_a_name_gets_none(self, owner: Caller) -> None:
        destination = new_webhook(owner, new_source(owner)["id"])
        assert destination.get("name") is None
        assert destination["enabled"] is True
        assert owner.data("GET", f"/destinations/{destination['id']}")["destination"] == destination

    def test_an_extra_key_is_ignored(self, owner: Caller) -> None:
        destination = new_webhook(owner, new_source(owner)["id"])
        path = f"/destinations/{destination['id']}"
        body = {"destinationId": "another", "name": "New", "unknown": {"x": 1}}
        assert owner.data("PATCH", path, body)["destination"] == {**destination, "name": "New"}

    def test_two_instances_share_the_id_of_their_type_and_not_their_counts(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(f"{sink.url}/a", metadata_id=HTTP_API)
        other = public_api.add_webhook(connection.source_id, f"{sink.url}/b")
        path = f"/destination/{other}/filters"
        owner.data("POST", path, {**UNFILTERED, "sourceId": connection.source_id})
        track(server, connection.write_key)
        sink.wait_for(1)
        public_api.wait_for_count("successful-delivery", connection, 1)
        metrics = {
            each: owner.data("GET", f"/destinations/{each}/delivery-metrics?sourceId={connection.source_id}")
            for each in (connection.destination_id, other)
        }
        summaries = {each: found["deliveryMetricsSummary"] for each, found in metrics.items()}
        assert {each["destinationMetadataId"] for each in summaries.values()} == {webhooks_id(owner)}
        successes = {
            each: sum(metric["total"] for metric in summary["metrics"] if metric["metricName"] == "successes")
            for each, summary in summaries.items()
        }
        assert successes == {connection.destination_id: 1, other: 0}
        daily = f"/destinations/{other}/delivery-metrics?sourceId={connection.source_id}&granularity=DAY"
        assert owner.get(daily).status_code == 200, "the default start is clamped to the limit"

    def test_a_filter_comes_back_as_it_was_sent(self, owner: Caller) -> None:
        source = new_source(owner)
        path = f"/destination/{new_webhook(owner, source['id'])['id']}/filters"
        body = {**UNFILTERED, "sourceId": source["id"], "description": None}
        made = owner.data("POST", path, body)["filter"]
        assert made["actions"] == [{"type": "DROP"}]
        assert made.get("description") is None
        assert owner.data("GET", f"{path}/{made['id']}")["filter"] == made

    def test_filters_end_at_ten_and_titles_at_64_characters(self, owner: Caller) -> None:
        source = new_source(owner)
        path = f"/destination/{new_webhook(owner, source['id'])['id']}/filters"
        body = {**UNFILTERED, "sourceId": source["id"]}
        assert [each["field"] for each in owner.refused(422, "POST", path, {**body, "title": "t" * 65})] == ["title"]
        for _ in range(10):
            owner.data("POST", path, body)
        assert owner.call("POST", path, body).status_code in {400, 409, 422}
        assert len(owner.data("GET", path)["filters"]) == 10

    def test_a_preview_of_a_dropped_payload_is_null(self, owner: Caller) -> None:
        payload = {"type": "track", "event": "Clicked", "properties": {"price": 1}}
        filter_ = {"if": 'event = "Clicked"', "actions": [{"type": "DROP"}]}
        body = {"filter": filter_, "payload": payload}
        preview = owner.data("POST", "/destination/filters/preview", body)
        assert preview == {"inputPayload": payload, "result": None}

    def test_a_filter_works_as_long_as_it_is_enabled(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(sink.url, metadata_id=HTTP_API)
        path = f"/destination/{connection.destination_id}/filters"
        made = owner.data("POST", path, {**UNFILTERED, "sourceId": connection.source_id})["filter"]
        track(server, connection.write_key, event="while enabled")
        public_api.wait_for_count("filtered-at-destination", connection, 1)
        owner.data("PATCH", f"{path}/{made['id']}", {"enabled": False})
        track(server, connection.write_key, event="while disabled")
        assert [each.event["event"] for each in sink.wait_for(1)] == ["while disabled"]
        owner.data("PATCH", f"{path}/{made['id']}", {"enabled": True})
        owner.data("DELETE", f"{path}/{made['id']}")
        track(server, connection.write_key, event="after it was deleted")
        sink.wait_for(2)

    def test_events_go_to_where_the_settings_point_now(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(f"{sink.url}/before", metadata_id=HTTP_API)
        track(server, connection.write_key)
        sink.wait_for(1, path="/before")
        settings = {"hooks": [{"hook": f"{sink.url}/after", "headers": [{"key": "X-Token", "value": "secret-1"}]}]}
        owner.data("PATCH", f"/destinations/{connection.destination_id}", {"settings": settings})
        track(server, connection.write_key)
        (arrival,) = sink.wait_for(1, path="/after")
        assert arrival.headers["x-token"] == "secret-1"
        assert len(sink.arrivals("/before")) == 1


class TestMetrics:
    """What the counts refuse, and how they are grouped."""

    @pytest.mark.parametrize(
        ("start", "length", "field"),
        [(timedelta(hours=5), timedelta(hours=5), "endTime"), (timedelta(hours=49), timedelta(hours=1), "startTime")],
        ids=["five hours", "from 49 hours ago"],
    )
    def test_a_window_beyond_the_limit_is_refused(
        self, owner: Caller, start: timedelta, length: timedelta, field: str
    ) -> None:
        begin = datetime.now(UTC) - start
        times = f"startTime={_query_time(begin)}&endTime={_query_time(begin + length)}"
        source = new_source(owner)
        path = f"/delivery-overview/successfully-received?sourceId={source['id']}&{times}&granularity=MINUTE"
        assert [each["field"] for each in owner.refused(422, "GET", path)] == [field]

    def test_received_events_have_no_reason_to_be_grouped_by(self, owner: Caller) -> None:
        source = new_source(owner)
        query = "&".join(f"{name}={quote(value)}" for name, value in window().items())
        path = f"/delivery-overview/successfully-received?sourceId={source['id']}&{query}&groupBy.0=discardReason"
        assert owner.call("GET", path).status_code == 422

    def test_a_group_names_its_dimension_and_no_other(
        self, server: RunningServer, owner: Caller, public_api: PublicApi, sink: Sink
    ) -> None:
        connection = public_api.connect(sink.url, metadata_id=HTTP_API)
        for event in ("Clicked", "Bought"):
            track(server, connection.write_key, event=event)
        public_api.wait_for_count("successfully-received", connection, 2)
        query = "&".join(f"{name}={quote(value)}" for name, value in window().items())
        path = f"/delivery-overview/successfully-received?sourceId={connection.source_id}&{query}&groupBy.0=eventName"
        groups = owner.data("GET", path)["dataset"]
        assert {each["eventName"]: each["total"] for each in groups} == {"Clicked": 1, "Bought": 1}
        assert not [each for each in groups if {"eventType", "appVersion", "discardReason"} & set(each)]

    def test_usage_never_shrinks_and_counts_are_text(self, owner: Caller) -> None:
        period = datetime.now(UTC).strftime("%Y-%m-01")
        days = owner.data("GET", f"/usage/mtu/daily?period={period}")["dailyWorkspaceMTUUsage"]
        for name in ("anonymous", "anonymousIdentified", "identified", "neverIdentified"):
            counts = [each[name] for each in days]
            assert all(isinstance(each, str) for each in counts)
            assert [int(each) for each in counts] == sorted(int(each) for each in counts)
        begins = datetime.fromisoformat(period).replace(tzinfo=UTC).timestamp()
        assert {each["periodStart"] for each in days} == {begins}


def _query_time(moment: datetime) -> str:
    return quote(moment.isoformat())


def test_the_audit_trail_does_not_repeat_itself_while_new_events_arrive(owner: Caller, server: RunningServer) -> None:
    for _ in range(3):
        new_source(owner)
    first = owner.data("GET", "/audit-events?pagination.count=2")
    assert [each["type"] for each in first["events"]] == ["Source Created", "Source Created"]
    new_source(owner)
    cursor = quote(first["pagination"]["next"])
    second = owner.data("GET", f"/audit-events?pagination.count=2&pagination.cursor={cursor}")
    assert not {each["id"] for each in first["events"]} & {each["id"] for each in second["events"]}
    mainstem(server, "audit", "verify")


def test_a_workspace_starts_again_with_all_that_was_configured(owner: Caller, server: RunningServer) -> None:
    source = new_source(owner, settings={"a": [1, {"b": None}]})
    destination = new_webhook(owner, source["id"], name="Kept")
    assert server.stop() == 0
    server.start_again()
    server.wait_until_it_answers()
    assert owner.data("GET", f"/sources/{source['id']}")["source"] == source
    assert owner.data("GET", f"/destinations/{destination['id']}")["destination"] == destination
    track(server, source["writeKeys"][0])
    query = "&".join(f"{name}={quote(value)}" for name, value in window().items())
    path = f"/delivery-overview/successfully-received?sourceId={source['id']}&{query}"
    eventually(lambda: owner.data("GET", path)["total"], lambda total: total == 1)
