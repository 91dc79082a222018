"""What lets a page of another website send events and read the answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from mainstem.tracking_api.answers import ACCEPTED
from mainstem.tracking_api.browser import for_origin
from mainstem.tracking_api.routes import ROUTES
from tracking_api.serving import TRACK, WRITE_KEY, Served, basic

ORIGIN = "https://shop.example"
EXPOSED = "Retry-After, X-RateLimit-Reset"


def assert_readable_by_page(answer: httpx.Response) -> None:
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == EXPOSED
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", [*sorted(ROUTES), f"/v1/projects/{WRITE_KEY}/settings", "/v1/no-such-route"])
def test_a_preflight_is_allowed_on_every_path_without_a_key(served: Served, path: str) -> None:
    asked = "authorization,content-type,x-retry-count,x-own-header"
    answer = served.client.options(
        path,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert_readable_by_page(answer)
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == asked
    assert int(answer.headers["access-control-max-age"]) > 0


def test_a_preflight_that_asks_for_nothing_allows_what_the_library_sends(served: Served) -> None:
    answer = served.client.options("/v1/t", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, x-retry-count"


def test_a_preflight_that_asks_for_too_much_to_remember_allows_what_the_library_sends(served: Served) -> None:
    answer = served.client.options("/v1/t", headers={"Access-Control-Request-Headers": "x" * 1025})
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, x-retry-count"


def test_a_page_can_read_success_and_every_kind_of_error(served: Served) -> None:
    headers = {**basic(WRITE_KEY), "Origin": ORIGIN}
    answers = [
        served.post("/v1/t", TRACK, headers=headers),
        served.post("/v1/t", b"{", headers=headers),
        served.post("/v1/t", b" " * 40_000, headers=headers),
        served.post("/v1/t", TRACK, headers={"Origin": ORIGIN}),
        served.post("/v1/x", TRACK, headers=headers),
        served.post("/v1/m", {}, headers=headers),
        served.client.get("/v1/t", headers=headers),
        served.client.put("/v1/t", headers=headers),
        served.client.get("/v1/pixel/track", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 400, 400, 404, 200, 400, 405, 200]
    for answer in answers:
        assert_readable_by_page(answer)


def test_an_unknown_key_is_readable_when_keys_are_strict(serve: Callable[..., Served]) -> None:
    headers = {**basic("WriteKeyThatBelongsToNoSource000"), "Origin": ORIGIN}
    answer = serve(strict_write_keys=True).post("/v1/t", TRACK, headers=headers)
    assert answer.status_code == 401
    assert_readable_by_page(answer)


def test_without_an_origin_anybody_may_read(served: Served) -> None:
    answer = served.post("/v1/track")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["null", "http://localhost:3000", "capacitor://localhost"])
def test_odd_origins_are_echoed(origin: str) -> None:
    assert ("access-control-allow-origin", origin) in for_origin(ACCEPTED, origin).headers


@pytest.mark.parametrize("origin", ["https://é.example", "https://a\nb", "https://" + "x" * 300])
def test_an_origin_that_no_browser_sends_is_not_echoed(origin: str) -> None:
    assert ("access-control-allow-origin", "*") in for_origin(ACCEPTED, origin).headers
