"""Events sent with npm @segment/analytics-next in headless Chromium, from a page of another origin.

The page is served by the journey; settings come from the Tracking API, events go to it, so every request
crosses origins and the browser itself enforces CORS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from journeys.clients import CLIENTS, NODE_MODULES, LineProgram, chromium, installed, node_program
from journeys.public_api import PublicApi
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.six_calls import assert_is_a_delivered_event

pytestmark = pytest.mark.clients

JAVASCRIPT_SOURCE = "IqDTy1TpoU"
LIBRARY = "analytics.js"


@contextmanager
def site(pages: dict[str, tuple[str, bytes]]) -> Iterator[str]:
    """Serve files, path by path, as an origin of its own; gives the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = pages.get(self.path.partition("?")[0], ("text/plain", b""))
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Visit:
    """A page with the library, open in the browser."""

    def __init__(self, browser: LineProgram) -> None:
        self._browser = browser

    def run(self, script: str) -> None:
        """Run a line of JavaScript in the page."""
        self._browser.ask({"run": script})

    def requests_to(self, url: str) -> list[dict[str, Any]]:
        """The requests of the page whose URL begins so, with both sides' headers."""
        seen = self._browser.ask({"seen": True})
        assert seen["failures"] == [], seen
        return [each for each in seen["requests"] if each["url"].startswith(url)]


@contextmanager
def visit(
    server: RunningServer,
    write_key: str,
    calls: Sequence[Sequence[Any]],
    profile: Path,
    page: str = "snippet.html",
    **segment_io: Any,
) -> Iterator[Visit]:
    """Open a page that makes these calls before and while the library loads."""
    journey = {
        "writeKey": write_key,
        "cdnURL": server.tracking_url,
        "loadOptions": {"integrations": {"Segment.io": segment_io}} if segment_io else {},
        "calls": calls,
    }
    text = (CLIENTS / "browser" / page).read_text().replace("/* journey */ {}", json.dumps(journey))
    library = installed(NODE_MODULES) / "@segment" / "analytics-next" / "dist" / "umd"
    pages = {
        "/": ("text/html; charset=utf-8", text.encode()),
        "/standalone.js": ("text/javascript", (library / "standalone.js").read_bytes()),
        "/index.js": ("text/javascript", (library / "index.js").read_bytes()),
        "/favicon.ico": ("image/x-icon", b"-"),
    }
    browser = LineProgram([*node_program("browser.js"), chromium(), str(profile)])
    try:
        with site(pages) as origin:
            browser.ask({"open": origin + "/"})
            yield Visit(browser)
    finally:
        browser.close()


SHOPPING = (
    ("page", "Shop", "Start"),
    ("identify", "u-browser", {"email": "b@shop.example"}),
    ("track", "Paid", {"total": 5, "note": "größer ✓"}),
    ("track", "Not for all", {}, {"integrations": {"All": False, "Segment.io": True}}),
)


def assert_the_shopping_arrived(public_api: PublicApi, connection: Any, sink: Sink) -> None:
    """Three of the four events arrive; the one for nobody is filtered and counted."""
    sink.wait_for(3)
    public_api.wait_for_count("successful-delivery", connection, 3)
    public_api.wait_for_count("successfully-received", connection, 4)
    filtered = public_api.wait_for_count("filtered-at-destination", connection, 1, groupBy="discardReason")
    assert filtered["dataset"][0]["discardReason"] == "FILTERED_BY_INTEGRATIONS_OBJECT"
    events = {each.event["type"]: each.event for each in sink.arrivals()}
    assert set(events) == {"page", "identify", "track"}
    assert events["page"]["name"] == "Start"
    assert events["page"]["properties"]["title"]
    assert events["identify"]["traits"] == {"email": "b@shop.example"}
    assert events["track"]["event"] == "Paid"
    assert events["track"]["properties"] == {"total": 5, "note": "größer ✓"}
    assert events["track"]["userId"] == "u-browser"
    assert len({event["anonymousId"] for event in events.values()}) == 1
    for event in events.values():
        assert_is_a_delivered_event(event, LIBRARY)
        assert event["context"]["ip"] == "127.0.0.1"
        assert "Chrome" in event["context"]["userAgent"]


def test_a_page_sends_each_call_by_itself_to_where_its_settings_say(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/single", metadata_id=JAVASCRIPT_SOURCE)
    with visit(server, connection.write_key, SHOPPING, tmp_path) as page:
        assert_the_shopping_arrived(public_api, connection, sink)
        (settings,) = page.requests_to(f"{server.tracking_url}/v1/projects/{connection.write_key}/settings")
        assert settings["status"] == 200
        sent = page.requests_to(f"{server.tracking_url}/v1/")
        paths = sorted(each["url"].removeprefix(server.tracking_url) for each in sent if each["method"] == "POST")
        assert paths == ["/v1/i", "/v1/p", "/v1/t", "/v1/t"]
        assert all(each["received"]["access-control-allow-origin"] for each in sent)


def test_a_page_in_batching_mode_sends_its_calls_together(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/batching", metadata_id=JAVASCRIPT_SOURCE)
    batching = {"strategy": "batching", "config": {"size": 4, "timeout": 1000}}
    with visit(server, connection.write_key, SHOPPING, tmp_path, deliveryStrategy=batching) as page:
        assert_the_shopping_arrived(public_api, connection, sink)
        posts = [each["url"] for each in page.requests_to(server.tracking_url) if each["method"] == "POST"]
        assert posts == [f"{server.tracking_url}/v1/b"]


def test_a_page_may_name_the_tracking_api_itself(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/named", metadata_id=JAVASCRIPT_SOURCE)
    named = {"apiHost": f"{server.tracking_host}/v1", "protocol": "http"}
    with visit(server, connection.write_key, [["track", "Named"]], tmp_path, **named) as page:
        page.run("analytics.group('g-1', {employees: 3})")
        page.run("analytics.alias('u-new', 'u-old')")
        arrivals = sink.wait_for(3)
        public_api.wait_for_count("successful-delivery", connection, 3)
    events = {each.event["type"]: each.event for each in arrivals}
    assert events["group"]["groupId"] == "g-1"
    assert events["group"]["traits"] == {"employees": 3}
    assert (events["alias"]["userId"], events["alias"]["previousId"]) == ("u-new", "u-old")


def test_a_page_that_bundles_the_library_loads_it_with_the_cdn_url_alone(
    server: RunningServer, public_api: PublicApi, sink: Sink, tmp_path: Path
) -> None:
    connection = public_api.connect(f"{sink.url}/bundled", metadata_id=JAVASCRIPT_SOURCE)
    with visit(server, connection.write_key, SHOPPING, tmp_path, page="bundled.html"):
        assert_the_shopping_arrived(public_api, connection, sink)
