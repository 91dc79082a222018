"""HTTP in front of the operations: where they run, bodies cut and too large, and headers that never appear."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import databases
from http_server.serving import PATIENCE_SECONDS, Running
from mainstem import http_server
from mainstem.public_api import FAMILIES
from mainstem.public_api.http import THREADS, PublicApi
from mainstem.rest.dispatch import Answer, Request, _by_beginning, _routes
from mainstem.rest.operation import Call, Family, Operation
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire
from public_api.client import Api
from public_api.outcomes import ListedOutcomes

LIMIT = 1000
IS_LOCAL = not databases.SERVER
EVERY_OPERATION = [operation for family in FAMILIES for operation in family.operations]


class Sent:
    """What goes back."""

    def __init__(self, answer: http_server.Answer) -> None:
        self.status, self.body, self.headers = answer.status, answer.body, dict(answer.headers)

    @property
    def types(self) -> list[str]:
        return [each["type"] for each in json.loads(self.body)["errors"]]


async def ask(
    api: Api, route: str, body: bytes = b"", headers: Sequence[tuple[str, str]] = (), *, is_too_long: bool = False
) -> Sent:
    app = PublicApi(api.dispatcher, max_request_bytes=LIMIT, is_database_local=IS_LOCAL)
    method, _, target = route.partition(" ")
    path, _, query = target.partition("?")
    named = [("authorization", f"Bearer {api.owner}"), ("content-type", "application/json"), *headers]
    sent = [(name.lower(), value) for name, value in named]
    return Sent(await app(http_server.Request(method, path, query, sent, "127.0.0.1", "http", body, is_too_long)))


def label(value: str) -> bytes:
    return json.dumps({"label": {"key": "n", "value": value}}).encode()


def values(api: Api) -> list[str]:
    return [each["value"] for each in api.get("/labels").data["labels"]][2:]


async def test_a_body_over_the_limit_is_413_and_not_carried_out(api: Api) -> None:
    sent = await ask(api, "POST /labels", is_too_long=True)
    assert (sent.status, sent.types, values(api)) == (413, ["payload-too-large"], [])


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
    assert (head.status, head.headers) == (200, sent.headers)
    assert (await ask(api, f"POST {path}")).status == 404


@pytest.mark.parametrize("route", ["GET /nothing", "PUT /labels", "GET /labels?pagination", "POST /labels"])
async def test_every_refusal_is_json(api: Api, route: str) -> None:
    sent = await ask(api, route, headers=[("Accept", "text/html")])
    assert sent.status >= 400
    assert sent.headers["content-type"] == "application/json"
    assert list(json.loads(sent.body)) == ["errors"]


# ---- over the wire


def served(api: Api, *pages: Callable[[Request], Answer | None]) -> Running:
    app = PublicApi(api.dispatcher, max_request_bytes=LIMIT, is_database_local=IS_LOCAL, pages=pages)
    return Running(app, app.terms)


def client(api: Api, running: Running) -> httpx.Client:
    headers = {"Authorization": f"Bearer {api.owner}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{running.port}", headers=headers, timeout=PATIENCE_SECONDS)


def request_for(api: Api, body: bytes, declared: int) -> bytes:
    lines = ["POST /labels HTTP/1.1", "Host: x", f"Authorization: Bearer {api.owner}", f"Content-Length: {declared}"]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body


def test_a_body_of_exactly_the_limit_is_carried_out_and_one_byte_more_is_not(api: Api) -> None:
    body = label("a")
    with served(api) as running, client(api, running) as http:
        http.headers["Content-Type"] = "application/json"
        assert http.post("/labels", content=label("b") + b" " * (LIMIT + 1 - len(body))).status_code == 413
        assert http.post("/labels", content=body + b" " * (LIMIT - len(body))).status_code == 201
    assert values(api) == ["a"]


def test_a_client_that_sends_all_before_it_reads_is_told_that_it_was_too_much(api: Api) -> None:
    body = label("a")
    with served(api) as running:
        assert running.reply(request_for(api, body.ljust(8_000_000), 8_000_000)).startswith(b"HTTP/1.1 413 ")
    assert values(api) == []


def test_a_request_that_was_cut_short_is_not_carried_out(api: Api) -> None:
    body = label("a")
    with served(api) as running:
        assert running.reply(request_for(api, body, len(body) + 1)) == b""
        assert running.reply(request_for(api, body, len(body))).startswith(b"HTTP/1.1 201 ")
    assert values(api) == ["a"]


# ---- who waits for whom


METERED = "GET /usage/api-calls/daily?period=2026-03-01"


class Noted(Wire, frozen=True):
    """The thread that an operation ran in."""

    thread: str


class Held:
    """Operations that note the thread they run in; the slow ones wait until `may_end`."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.family = Family("Held")
        owner = Needs.WORKSPACE_OWNER
        self.family.operation("GET /held/quick", needs=owner)(self.note)
        self.family.operation("GET /held/slow", needs=owner, id="slow", is_slow=True)(self.wait)
        self.family.operation("GET /held/looked-at", needs=owner, id="lookedAt", prepare=self.prepare)(self.note)
        self.family.operation("POST /held/write", needs=owner, id="write")(self.note)
        self.family.operation("POST /held/write-slowly", needs=owner, id="writeSlowly", prepare=self.prepare)(
            self.note
        )

    def note(self, call: Call) -> Noted:
        """Note"""
        return Noted(thread=threading.current_thread().name)

    def wait(self, call: Call) -> Noted:
        """Wait"""
        self.prepare()
        return self.note(call)

    def prepare(self) -> None:
        self.waiting.release()
        assert self.may_end.wait(PATIENCE_SECONDS)

    def page(self, request: Request) -> Answer | None:
        if request.path != "/page":
            return None
        self.prepare()
        return Answer(200, {}, b"")


@pytest.fixture
def held(api: Api, monkeypatch: pytest.MonkeyPatch) -> Held:
    found = Held()
    monkeypatch.setattr(api.dispatcher, "_routes", api.dispatcher._routes | _by_beginning(_routes([found.family])))
    return found


def thread_of(reply: httpx.Response) -> str:
    thread: str = reply.json()["data"]["thread"]
    return thread


@pytest.mark.parametrize(
    "slow", ["GET /held/slow", "GET /held/looked-at", "POST /held/write-slowly", "GET /page", METERED]
)
def test_what_is_slow_holds_up_nobody_however_often_it_is_asked_for(
    api: Api, held: Held, outcomes: ListedOutcomes, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    def api_calls(*_: Any) -> dict[tuple[str, int], int]:
        held.prepare()
        return {}

    monkeypatch.setattr(outcomes, "api_calls", api_calls)
    source = {"slug": "shop", "enabled": True, "metadataId": "IqDTy1TpoU"}
    assert api.post("/sources", source).status == 201
    method, path = slow.split()
    with (
        served(api, held.page) as running,
        client(api, running) as http,
        ThreadPoolExecutor(2 * THREADS) as threads,
    ):
        asked = [threads.submit(http.request, method, path) for _ in range(2 * THREADS)]
        try:
            assert held.waiting.acquire(timeout=PATIENCE_SECONDS)
            assert http.get("/held/quick").status_code == 200
            assert http.post("/held/write").status_code == 200
        finally:
            held.may_end.set()
        assert [each.result(PATIENCE_SECONDS).status_code for each in asked] == [200] * 2 * THREADS


def test_reads_are_answered_while_more_writes_wait_than_there_are_threads(api: Api, held: Held) -> None:
    with served(api) as running, client(api, running) as http, ThreadPoolExecutor(2 * THREADS) as threads:
        with api.database.transaction(writes=True):
            asked = [threads.submit(http.post, "/held/write") for _ in range(2 * THREADS)]
            assert http.get("/held/quick").status_code == 200
            assert http.get("/labels").status_code == 200
            assert not any(each.done() for each in asked)
        assert [each.result(PATIENCE_SECONDS).status_code for each in asked] == [200] * 2 * THREADS


def test_a_read_of_a_local_database_runs_on_the_event_loop_and_nothing_else_does(api: Api, held: Held) -> None:
    held.may_end.set()
    app = PublicApi(api.dispatcher, max_request_bytes=LIMIT, is_database_local=True)
    with Running(app, app.terms) as running, client(api, running) as http:
        loop = running.thread.name
        assert thread_of(http.get("/held/quick")) == loop
        for slow in ("/held/slow", "/held/looked-at"):
            assert thread_of(http.get(slow)).startswith("slow")
        assert thread_of(http.post("/held/write")).startswith("writing")
        assert thread_of(http.post("/held/write-slowly")).startswith("slow")


def test_nothing_waits_for_a_distant_database_on_the_event_loop(api: Api, held: Held) -> None:
    app = PublicApi(api.dispatcher, max_request_bytes=LIMIT, is_database_local=False)
    with Running(app, app.terms) as running, client(api, running) as http:
        assert thread_of(http.get("/held/quick")).startswith("reading")
        assert thread_of(http.post("/held/write")).startswith("writing")


SLOW_BY_NATURE = {
    "createValidationInWarehouse",
    "getConnectionStateFromWarehouse",
    "createFunction",
    "updateFunction",
}


def test_what_waits_for_a_host_or_a_program_is_slow_without_saying_so() -> None:
    assert {each.id for each in EVERY_OPERATION if each.is_slow} > SLOW_BY_NATURE
    assert not any(each.is_slow for each in EVERY_OPERATION if each.id in {"listSources", "getLabel", "createLabel"})
