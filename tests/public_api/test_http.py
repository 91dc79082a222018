"""HTTP in front of the operations: bodies in pieces, cut and too large, and headers that never appear."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mainstem.public_api import FAMILIES
from mainstem.public_api import http as public_http
from mainstem.public_api.http import PublicApi
from mainstem.rest.operation import Operation
from public_api.client import Api

LIMIT = 1000
EVERY_OPERATION = [operation for family in FAMILIES for operation in family.operations]


class Sent:
    """What an ASGI server would have sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]

    @property
    def types(self) -> list[str]:
        return [each["type"] for each in json.loads(self.body)["errors"]]


def pieces(*parts: bytes, cut: bool = False) -> list[dict[str, Any]]:
    """The messages in which a server hands over a body."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False})
    return messages


async def ask(
    api: Api, route: str, messages: Sequence[dict[str, Any]] = (), headers: Sequence[tuple[str, str]] = ()
) -> Sent:
    app = PublicApi(api.dispatcher, max_request_bytes=LIMIT)
    method, _, target = route.partition(" ")
    path, _, query = target.partition("?")
    sent, waiting = Sent(), list(messages or pieces())
    named = [("Authorization", f"Bearer {api.owner}"), ("Content-Type", "application/json"), *headers]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named],
    }
    await app(scope, receive, sent)
    return sent


def label(value: str) -> bytes:
    return json.dumps({"label": {"key": "n", "value": value}}).encode()


def values(api: Api) -> list[str]:
    return [each["value"] for each in api.get("/labels").data["labels"]][2:]


async def test_a_body_in_pieces_is_put_together(api: Api) -> None:
    body = label("a")
    sent = await ask(api, "POST /labels", pieces(body[:5], b"", body[5:]))
    assert (sent.status, values(api)) == (201, ["a"])
    assert sent.headers["content-length"] == str(len(sent.body))


async def test_a_request_that_was_cut_short_is_not_carried_out(api: Api) -> None:
    body = label("a")
    chunked = await ask(api, "POST /labels", pieces(body, cut=True))
    shorter = await ask(api, "POST /labels", pieces(body), [("Content-Length", str(len(body) + 5))])
    assert (chunked.status, shorter.status, values(api)) == (0, 0, [])


@pytest.mark.parametrize("headers", [[("Content-Length", "1001")], []])
async def test_a_body_over_the_limit_is_413_and_not_carried_out(api: Api, headers: list[tuple[str, str]]) -> None:
    body = label("a")
    sent = await ask(api, "POST /labels", pieces(body, b" " * LIMIT), headers)
    assert (sent.status, sent.types, values(api)) == (413, ["payload-too-large"], [])


async def test_a_body_of_exactly_the_limit_is_read(api: Api) -> None:
    body = label("a")
    assert (await ask(api, "POST /labels", pieces(body, b" " * (LIMIT - len(body))))).status == 201


async def test_a_body_without_end_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_http, "READ_PAST_BYTES", 10_000)
    endless = pieces(*[b" " * 100] * 1000)
    assert (await ask(api, "POST /labels", endless)).status == 413


async def test_a_path_is_decoded_once(api: Api) -> None:
    assert (await ask(api, "DELETE /labels/environment/%2564ev")).status == 404
    assert (await ask(api, "DELETE /labels/environment/%64ev")).status == 200


ASKED_BY_A_BROWSER = [
    ("Origin", "https://shop.example"),
    ("Access-Control-Request-Method", "POST"),
    ("Access-Control-Request-Headers", "authorization"),
]


def allowed_origins(sent: Sent) -> list[str]:
    return [name for name in sent.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("operation", EVERY_OPERATION, ids=lambda operation: operation.id)
async def test_no_browser_of_another_site_is_let_in_anywhere(api: Api, operation: Operation) -> None:
    path = "/".join("x" if part.startswith("{") else part for part in operation.path.split("/"))
    preflight = await ask(api, f"OPTIONS {path}", headers=ASKED_BY_A_BROWSER)
    assert preflight.status == 405
    real = await ask(api, f"{operation.method} {path}", headers=ASKED_BY_A_BROWSER)
    assert allowed_origins(preflight) == allowed_origins(real) == []


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/reference.css", "/docs/reference.js", "/openapi.json"])
async def test_the_reference_is_for_its_own_origin_alone(api: Api, path: str) -> None:
    sent = await ask(api, f"GET {path}", headers=ASKED_BY_A_BROWSER)
    assert sent.status == 200
    assert allowed_origins(sent) == []
    assert "default-src 'self'" in sent.headers["content-security-policy"]
    assert sent.headers["x-content-type-options"] == "nosniff"
    head = await ask(api, f"HEAD {path}")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", sent.headers["content-length"])
    assert (await ask(api, f"POST {path}")).status == 404


@pytest.mark.parametrize("route", ["GET /nothing", "PUT /labels", "GET /labels?pagination", "POST /labels"])
async def test_every_refusal_is_json_with_its_length(api: Api, route: str) -> None:
    sent = await ask(api, route, headers=[("Accept", "text/html")])
    assert sent.status >= 400
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["content-length"] == str(len(sent.body))
    assert list(json.loads(sent.body)) == ["errors"]
