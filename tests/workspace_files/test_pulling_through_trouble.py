"""Pulling a large workspace from a server with rate limits, through whatever goes wrong on the way."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from mainstem.__main__ import main
from mainstem.commands import workspaces
from mainstem.public_api.sources.source import sources
from mainstem.rest.dispatch import Request
from mainstem.rest.tokens import Access, Token, tokens
from mainstem.settings import Settings
from mainstem.workspace_files.asking import InProcess, Refused
from mainstem.workspace_files.document import Document, Lost, read_workspace
from mainstem.workspace_files.pulling import TRIES, Pace, Remote, Unreachable
from public_api.client import START, Api
from public_api.connections import HTTP_API, new_webhook

SOURCES = 250
RULES = 1000
CUT, SILENT = -1, -2  # what happens in the place of a status

Trouble = Callable[[int, str], int]
"""What happens to the request of this number for this path: 0 is nothing, else a status, CUT or SILENT."""


class Relay:
    """A server in front of an Api, that makes trouble. Its time goes on when the one who pulls sleeps."""

    def __init__(self, api: Api) -> None:
        self.api, self.trouble = api, _no_trouble
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.slept = 0.0
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay.answer(self)

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        trouble = self.trouble(len(self.asked), handler.path)
        if trouble == SILENT:
            handler.close_connection = True
            return
        if trouble > 0:
            handler.send_response(trouble)
            handler.send_header("Retry-After", "1")
            handler.send_header("Content-Length", "6")
            handler.end_headers()
            handler.wfile.write(b"<html>")
            return
        path, _, query = handler.path.partition("?")
        headers = [(name.lower(), value) for name, value in handler.headers.items()]
        answer = self.api.dispatcher.serve(Request("GET", path, query, headers, b""))
        self.statuses.append(answer.status)
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body[: len(answer.body) // 2] if trouble == CUT else answer.body)

    def remote(self, token: str = "", said: Callable[[str], object] = lambda _text: None) -> Remote:
        pace = Pace(lambda: self.slept, self._sleep)
        return Remote(
            self.url, token or self.api.owner, default_rate=Settings().default_rate_limit, say=said, pace=pace
        )

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.api.now = START + dt.timedelta(seconds=self.slept)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _no_trouble(_number: int, _path: str) -> int:
    return 0


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A server with the published rate limits on."""
    relay = Relay(Api(tmp_path, settings=Settings(rate_limits=True)))
    yield relay
    relay.close()


def within(api: Api, fill: Callable[[Callable[..., Any]], None] | None = None) -> Document:
    """The workspace as it is read in process, after this was done to it."""
    token = Token("test", api.workspace.id, "", Access.OWNER, START, None)
    with api.database.transaction(writes=True) as db:
        asking = InProcess(api.dispatcher, db, token)
        if fill is not None:
            fill(asking.ask)
        return read_workspace(asking)


def fill(ask: Callable[..., Any]) -> None:
    plan = ask("POST /tracking-plans", {"name": "Large", "type": "LIVE"})["trackingPlan"]["id"]
    for start in range(0, RULES, 200):
        rules = [{"type": "TRACK", "key": f"e{start + i}", "version": 1, "jsonSchema": {}} for i in range(200)]
        ask(f"PATCH /tracking-plans/{plan}/rules", {"rules": rules})
    for number in range(SOURCES):
        body = {"slug": f"s{number}", "enabled": True, "metadataId": HTTP_API}
        source = ask("POST /sources", body)["source"]["id"]
        if number % 10 == 0:
            ask(f"POST /tracking-plans/{plan}/sources", {"sourceId": source})
            ask(f"PATCH /sources/{source}/settings", {"track": {"allowUnplannedEvents": False}})


def test_a_large_workspace_comes_whole_through_refusals_failures_and_cut_connections(relay: Relay) -> None:
    wanted = within(relay.api, fill)

    def trouble(number: int, _path: str) -> int:
        every = {17: 429, 19: 502, 23: CUT, 29: SILENT, 31: 500}
        return next((what for each, what in every.items() if number % each == 0), 0)

    relay.trouble = trouble
    said: list[str] = []
    pulled = read_workspace(relay.remote(said=said.append), may_skip=True)
    assert pulled.sections == wanted.sections
    assert pulled.skipped == {"schemaControls": "the API does not tell it"}
    assert len(pulled.sections["sources"]) == SOURCES
    assert len(pulled.sections["trackingPlans"][0]["rules"]) == RULES
    assert 429 not in relay.statuses, "the server's own limits were never reached"
    assert relay.slept > 60
    for words in ("answered 429", "answered 502", "the connection ended after", "without response"):
        assert any(words in each for each in said), words
    assert not any(relay.api.owner in each for each in said)


@pytest.mark.parametrize("trouble", [CUT, SILENT, 503])
def test_a_server_that_goes_on_failing_is_given_up(relay: Relay, trouble: int) -> None:
    relay.trouble = lambda _number, path: trouble if path.startswith("/sources") else 0
    with pytest.raises((Unreachable, Refused)):
        read_workspace(relay.remote(), may_skip=True)
    assert sum(each.startswith("/sources") for each in relay.asked) == TRIES


def test_a_token_that_is_revoked_meanwhile_ends_it(relay: Relay) -> None:
    within(relay.api, lambda ask: fill_some(ask, 3))

    def trouble(_number: int, path: str) -> int:
        if path.endswith("/settings"):
            change(relay.api, update(tokens).values(revoked_at=START))
        return 0

    relay.trouble = trouble
    with pytest.raises(Refused, match=r"GET /sources/\w+/settings: .*revoked"):
        read_workspace(relay.remote(), may_skip=True)


@pytest.mark.parametrize("when", ["/settings", "/live-plugins/latest", "/warehouses"])
def test_a_token_that_loses_rights_meanwhile_ends_it_and_skips_nothing(relay: Relay, when: str) -> None:
    within(relay.api, lambda ask: fill_some(ask, 3))
    lost: list[str] = []

    def trouble(_number: int, path: str) -> int:
        if lost or path.partition("?")[0].endswith(when):
            lost.append(path)
        return 403 if len(lost) > 1 else 0

    relay.trouble = trouble
    with pytest.raises(Lost, match="the token lost rights while the workspace was read"):
        read_workspace(relay.remote(), may_skip=True)


def test_what_is_closed_to_a_token_from_the_start_is_skipped(relay: Relay) -> None:
    within(relay.api, lambda ask: fill_some(ask, 3))
    pulled = read_workspace(relay.remote(relay.api.member), may_skip=True)
    assert {*pulled.skipped} >= {"users", "invites", "groups"}
    assert len(pulled.sections["sources"]) == 3
    assert not any("writeKeys" in each for each in pulled.sections["sources"]), "the token may not see them"


def test_what_is_deleted_while_it_is_read_is_left_out_with_what_names_it(relay: Relay) -> None:
    api = relay.api
    within(api, lambda ask: fill_some(ask, 4))
    going = [each["id"] for each in api.get("/sources", headers={}).data["sources"]][1:3]
    new_webhook(api, going[0])
    new_webhook(api, going[1])

    def trouble(_number: int, path: str) -> int:
        if path == f"/sources/{going[0]}/settings":
            change(api, delete(sources).where(sources.c.id.in_(going)))
        return 0

    relay.trouble = trouble
    pulled = read_workspace(relay.remote(), may_skip=True)
    assert [each["slug"] for each in pulled.sections["sources"]] == ["s0", "s3"]
    assert {*pulled.skipped} == {"schemaControls"}


def test_nothing_is_written_unless_everything_was_read(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    within(relay.api, lambda ask: fill_some(ask, 3))
    monkeypatch.setenv("MAINSTEM_PULL_TOKEN", relay.api.owner)
    monkeypatch.setattr(workspaces.pulling, "Remote", lambda *_url, **_options: relay.remote())
    file = tmp_path / "pulled.json"
    file.write_text("as it was")
    relay.trouble = lambda _number, path: 401 if path.startswith("/users") else 0
    assert main(["workspace", "pull", "--url", relay.url, "--out", str(file)]) == 1
    assert "mainstem: GET /users" in capsys.readouterr().err
    assert file.read_text() == "as it was"
    assert [each.name for each in tmp_path.iterdir() if "partial" in each.name] == []
    relay.trouble = _no_trouble
    assert main(["workspace", "pull", "--url", relay.url, "--out", str(file)]) == 0
    assert '"slug": "s2"' in file.read_text()


def fill_some(ask: Callable[..., Any], count: int) -> None:
    for number in range(count):
        ask("POST /sources", {"slug": f"s{number}", "enabled": True, "metadataId": HTTP_API})


def change(api: Api, statement: Any) -> None:
    with api.database.transaction(writes=True) as db:
        db.execute(statement)
