"""A page with Segment's standard snippet, which loads the library and everything else from `mainstem serve`.

The snippet is what npm @segment/snippet writes, with our host; the page is an origin of its own, so the browser
itself enforces CORS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.clients import PACKAGES, LineProgram, chromium, installed, node_program, run_lines
from journeys.public_api import Connection, PublicApi, eventually
from journeys.running import RunningServer, running_server
from journeys.sink import Sink
from journeys.test_browser_library import (
    JAVASCRIPT_SOURCE,
    SHOPPING,
    Visit,
    assert_the_shopping_arrived,
    site,
)
from mainstem.__main__ import main
from serving import OWNER_TOKEN, make_certificate, served, trusting

pytestmark = pytest.mark.clients

LOOPBACK = "127.0.0.0/8,::1/128"
BATCHING = {"strategy": "batching", "config": {"size": 4, "timeout": 1000}}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A shop</title><script>SNIPPET</script>
<script>
  for (const [method, ...values] of CALLS) analytics[method](...values);
  analytics.ready(() => { document.title = "ready"; });
</script></head><body><h1>A shop</h1></body></html>
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has the browser library."""
    variables = {"MAINSTEM_PACKAGES": str(installed(PACKAGES / "browser").parent)}
    with running_server(tmp_path_factory.mktemp("snippet"), "snippet-" + "0" * 64, variables) as running:
        yield running


def snippet(tracking_url: str, write_key: str) -> str:
    """The standard snippet. It says https; what is tried without a certificate says http there, and no more."""
    scheme, _, host = tracking_url.partition("://")
    options = {"host": host, "apiKey": write_key, "page": False}
    (answer,) = run_lines(node_program("snippet.js"), options)
    text: str = answer["snippet"]
    assert text.count(f"https://{host}/analytics.js/v1/") == 1
    return text.replace(f"https://{host}/", f"{scheme}://{host}/")


@contextmanager
def visit(tracking_url: str, write_key: str, calls: Sequence[Sequence[Any]], profile: Path) -> Iterator[Visit]:
    """Open a page with the snippet and these calls behind it. It asks nobody but its own site and the server."""
    page = PAGE.replace("SNIPPET", snippet(tracking_url, write_key)).replace("CALLS", json.dumps(calls))
    pages = {"/": ("text/html; charset=utf-8", page.encode()), "/favicon.ico": ("image/x-icon", b"-")}
    browser = LineProgram([*node_program("browser.js"), chromium(), str(profile)])
    try:
        with site(pages) as origin:
            browser.ask({"open": origin + "/"})
            found = Visit(browser)
            yield found
            others = [each["url"] for each in found.requests_to("") if not each["url"].startswith(origin)]
            assert [each for each in others if not each.startswith(tracking_url)] == []
    finally:
        browser.close()


def loaded(page: Visit, tracking_url: str) -> list[str]:
    """Paths of the files that the page got from the server, as far as hashes in names."""
    got = [each for each in page.requests_to(tracking_url) if each["method"] == "GET"]
    assert [each for each in got if each["status"] not in (200, 304)] == []
    return [each["url"].removeprefix(tracking_url) for each in got]


def posts(page: Visit, tracking_url: str) -> list[tuple[str, dict[str, Any]]]:
    """Path and body of each call of the page to the server."""
    sent = [each for each in page.requests_to(tracking_url) if each["method"] == "POST"]
    return [(each["url"].removeprefix(tracking_url), json.loads(each["body"])) for each in sent]


def test_the_standard_snippet_loads_the_library_from_the_server_and_sends_each_call(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/snippet", metadata_id=JAVASCRIPT_SOURCE)
    key = connection.write_key
    with visit(server.tracking_url, key, SHOPPING, tmp_path) as page:
        assert_the_shopping_arrived(public_api, connection, sink)
        paths = loaded(page, server.tracking_url)
        assert paths[:2] == [f"/analytics.js/v1/{key}/analytics.min.js", f"/v1/projects/{key}/settings"]
        bundles = {each.removeprefix("/analytics-next/bundles/").partition(".")[0] for each in paths[2:]}
        assert {"ajs-destination", "schemaFilter"} <= bundles
        sent = eventually(lambda: posts(page, server.tracking_url), lambda each: len(each) == len(SHOPPING))
        assert sorted(path for path, _ in sent) == ["/v1/i", "/v1/p", "/v1/t", "/v1/t"]
        assert all(body["_metadata"]["unbundled"] == ["Webhooks"] for _, body in sent)
        assert all(body["_metadata"]["bundled"] == ["Segment.io"] for _, body in sent)


def test_over_tls_the_snippet_is_as_it_was_written_and_the_source_says_that_calls_go_in_batches(
    sink: Sink, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    flags = ["--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0", "--tls-cert", str(certificate)]
    flags += ["--tls-key", str(key), "--allow-private", LOOPBACK, "--packages", str(PACKAGES)]
    with (
        served(tmp_path, *flags) as running,
        PublicApi(running.api_url, OWNER_TOKEN, trusting(certificate)) as public_api,
    ):
        connection = public_api.connect(f"{sink.url}/tls", metadata_id=JAVASCRIPT_SOURCE)
        public_api.patch(f"/sources/{connection.source_id}", {"settings": {"deliveryStrategy": BATCHING}})
        assert running.tracking_url.startswith("https://")
        with visit(running.tracking_url, connection.write_key, SHOPPING, tmp_path / "profile") as page:
            assert_the_shopping_arrived(public_api, connection, sink)
            sent = eventually(lambda: posts(page, running.tracking_url), bool)
            assert [path for path, _ in sent] == ["/v1/b"]


def plan_of(server: RunningServer, connection: Connection) -> dict[str, Any]:
    """What browsers are told of track events."""
    url = f"{server.tracking_url}/v1/projects/{connection.write_key}/settings"
    plan: dict[str, Any] = httpx.get(url).json()["plan"]["track"]
    return plan


def assert_only_the_other_event_arrives(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink, profile: Path, reason: str
) -> None:
    """A page sends Blocked and Allowed. Both are posted, the one for nobody; the server blocks it as well."""
    calls = [["track", "Blocked"], ["track", "Allowed"]]
    with visit(server.tracking_url, connection.write_key, calls, profile) as page:
        (arrival,) = sink.wait_for(1)
        assert arrival.event["event"] == "Allowed"
        # The sink may have the event before the browser has told of its own call.
        both = eventually(lambda: posts(page, server.tracking_url), lambda each: len(each) == len(calls))
        sent = {body["event"]: body["integrations"] for _, body in both}
        assert sent == {"Blocked": {"All": False, "Segment.io": True}, "Allowed": {}}
    blocked = public_api.wait_for_count("filtered-at-source", connection, 1, groupBy="discardReason")
    assert blocked["dataset"][0]["discardReason"] == reason
    public_api.wait_for_count("successful-delivery", connection, 1)


def test_a_disabled_event_is_still_posted_for_nobody_and_blocked_on_the_server(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/disabled", metadata_id=JAVASCRIPT_SOURCE)
    command = ["schema", connection.source_id, "--event", "Blocked", "--off", "--data", str(server.data)]
    assert main(command) == 0
    plan = eventually(lambda: plan_of(server, connection), lambda each: "Blocked" in each)
    assert plan["Blocked"]["enabled"] is False
    assert_only_the_other_event_arrives(server, public_api, connection, sink, tmp_path, "event_setting")


def test_an_unplanned_event_is_still_posted_for_nobody_and_blocked_on_the_server(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/unplanned", metadata_id=JAVASCRIPT_SOURCE)
    plan_id = public_api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"})["trackingPlan"]["id"]
    rule = {"type": "TRACK", "key": "Allowed", "version": 1, "jsonSchema": {"type": "object"}}
    public_api.patch(f"/tracking-plans/{plan_id}/rules", {"rules": [rule]})
    public_api.post(f"/tracking-plans/{plan_id}/sources", {"sourceId": connection.source_id})
    public_api.patch(f"/sources/{connection.source_id}/settings", {"track": {"allowUnplannedEvents": False}})
    plan = eventually(lambda: plan_of(server, connection), lambda each: not each["__default"]["enabled"])
    assert plan["Allowed"]["enabled"] is True
    assert_only_the_other_event_arrives(server, public_api, connection, sink, tmp_path, "unplanned")


def test_a_change_of_the_configuration_is_in_the_settings_within_a_second(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/changed", metadata_id=JAVASCRIPT_SOURCE)
    url = f"{server.tracking_url}/v1/projects/{connection.write_key}/settings"
    first = eventually(lambda: httpx.get(url), lambda answer: "Webhooks" in answer.json()["integrations"])
    assert httpx.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    public_api.patch(f"/destinations/{connection.destination_id}", {"enabled": False})
    known = {"If-None-Match": first.headers["etag"]}
    changed = eventually(lambda: httpx.get(url, headers=known), lambda answer: answer.status_code == 200)
    assert changed.json()["integrations"].keys() == {"Segment.io"}
