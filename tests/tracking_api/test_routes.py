"""Paths and methods."""

from __future__ import annotations

import pytest

from mainstem.tracking_api.routes import ROUTES, find_route
from tracking_api.serving import TRACK, WRITE_KEY, Served

EVENT_ROUTES = sorted(path for path, route in ROUTES.items() if "POST" in route.methods)
PIXELS = sorted(path for path in ROUTES if "pixel" in path)
SETTINGS = f"/v1/projects/{WRITE_KEY}/settings"


def test_the_table_has_every_published_path() -> None:
    calls = ["identify", "track", "page", "screen", "group", "alias"]
    expected = {f"/v1/{call}" for call in calls} | {f"/v1/{call[0]}" for call in calls}
    expected |= {f"/v1/pixel/{call}" for call in calls}
    expected |= {"/v1/batch", "/v1/import", "/v1/b", "/v1/m", "/health"}
    assert set(ROUTES) == expected


@pytest.mark.parametrize("path", EVENT_ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_on_a_post_route_is_answered_like_malformed_json(served: Served, path: str, method: str) -> None:
    answer = served.client.request(method, path)
    assert answer.status_code == 400
    if method == "GET":
        assert answer.json()["message"] == "malformed JSON"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_told_what_is_allowed(served: Served, method: str) -> None:
    for path, allowed in (("/v1/track", "POST, OPTIONS"), ("/v1/pixel/track", "GET, HEAD, OPTIONS")):
        answer = served.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", [PIXELS[0], SETTINGS, "/health"])
def test_post_on_a_get_route_is_not_allowed(served: Served, path: str) -> None:
    assert served.post(path, TRACK).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/tracks",
        "/v1/track/",
        "/V1/track",
        "/v2/track",
        "/v1/set",
        "/v1/x",
        "/track",
        "/v1/pixel/batch",
        "/v1/projects/settings",
        "/v1/projects//settings",
        f"/v1/projects/{WRITE_KEY}",
        f"/v2/projects/{WRITE_KEY}/settings",
        f"/analytics.js/v1/{WRITE_KEY}/analytics.classic.js",
        f"/analytics.js/v1/{WRITE_KEY}/platform/platform/analytics.min.js",
        "/analytics.js/v1/analytics.min.js",
        "/analytics-next/bundles/",
        "/analytics-next/bundles/a/index.js",
        "/analytics-next/bundles/../../package.json",
        "/analytics-next/bundles/..%2f..%2fpackage.json",
        "/next-integrations/integrations/vendor/x.js",
        "/%2e%2e/etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_served_is_not_found(served: Served, path: str, method: str) -> None:
    answer = served.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    body = answer.json()
    assert (body["success"], body["code"], body["error"]) == (False, "not_found", body["message"])


@pytest.mark.parametrize("path", ["/health", SETTINGS, PIXELS[0]])
def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    got, head = served.client.get(path), served.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_health_is_answered_without_a_key(served: Served) -> None:
    answer = served.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_finding_a_route_takes_the_whole_path() -> None:
    assert find_route("/v1/projects/a/settings") is not None
    assert find_route("/v1/projects/a/settings/more") is None
    assert find_route("/v1/projects/a/b/settings") is None
