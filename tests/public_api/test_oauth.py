"""Authorization of destinations, against a provider on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mainstem.destinations.oauth import OAuthClient
from mainstem.engines.sqlite_tokens import SqliteTokens
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import OAuthTokens, Tokens
from mainstem.public_api.oauth import OAuthPages
from mainstem.rest.dispatch import Answer, Request
from public_api.actions import MAILER, definition, installed, new_mailer
from public_api.client import Api
from public_api.connections import new_source, new_webhook

SECRET = "planted-client-secret"


class Provider:
    """An authorization server: it remembers what its token endpoint was sent, and answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []
        self.status, self.answer = (
            200,
            json.dumps({"access_token": "planted-access", "refresh_token": "planted-refresh"}),
        )
        self.location = ""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
                provider.asked.append((form, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(provider.status)
                if provider.location:
                    self.send_header("Location", provider.location)
                self.end_headers()
                self.wfile.write(provider.answer.encode())

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("packages"), definition(MAILER, "Mailer", "oauth2")):
        yield


@pytest.fixture
def kept(api: Api, tmp_path: Path) -> Iterator[SqliteTokens]:
    store = SqliteTokens(tmp_path, api.vault.seal, api.vault.open)
    yield store
    store.close()


@pytest.fixture
def destination_id(api: Api) -> str:
    return new_mailer(api, new_source(api))


def pages_of(api: Api, provider: Provider, kept: OAuthTokens, *, base_url: str = "", **more: Any) -> OAuthPages:
    client = OAuthClient(
        client_id="mainstem", client_secret=SECRET, authorize_url=f"{provider.url}/authorize?tenant=t",
        token_url=f"{provider.url}/token", **more,
    )  # fmt: skip
    return OAuthPages(api.database, api.vault, {MAILER: client}, kept, lambda: api.now, base_url=base_url)


@pytest.fixture
def pages(api: Api, provider: Provider, kept: SqliteTokens) -> OAuthPages:
    return pages_of(api, provider, kept, scopes=("send", "offline"), parameters={"access_type": "offline"})


def get(pages: OAuthPages, target: str, token: str = "", **headers: str) -> Answer:
    path, _, query = target.partition("?")
    sent = [("host", "mainstem.example"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    if token:
        sent.append(("authorization", f"Bearer {token}"))
    answer = pages.page(Request("GET", path, query, sent, b""))
    assert answer is not None
    return answer


def started(pages: OAuthPages, api: Api, destination_id: str) -> dict[str, str]:
    """The parameters that the provider gets."""
    answer = get(pages, f"/oauth/{destination_id}/start", api.owner)
    assert answer.status == 302
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


class TestStart:
    def test_the_caller_is_sent_to_the_provider(
        self, api: Api, provider: Provider, pages: OAuthPages, destination_id: str
    ) -> None:
        answer = get(pages, f"/oauth/{destination_id}/start", api.owner)
        url = answer.headers["Location"]
        assert url.startswith(f"{provider.url}/authorize?tenant=t&")
        assert json.loads(answer.body) == {"data": {"authorizationUrl": url}}
        parameters = started(pages, api, destination_id)
        assert (
            parameters.items()
            >= {
                "response_type": "code",
                "client_id": "mainstem",
                "redirect_uri": "http://mainstem.example/oauth/callback",
                "scope": "send offline",
                "access_type": "offline",
                "code_challenge_method": "S256",
            }.items()
        )
        assert SECRET not in url
        assert answer.headers["Cache-Control"] == "no-store"

    def test_the_callback_is_where_browsers_reach_this_server(
        self, api: Api, provider: Provider, kept: SqliteTokens, pages: OAuthPages, destination_id: str
    ) -> None:
        target = f"/oauth/{destination_id}/start"
        behind_proxy = get(pages, target, api.owner, x_forwarded_proto="https").headers["Location"]
        assert "redirect_uri=https%3A%2F%2Fmainstem.example%2Foauth%2Fcallback" in behind_proxy
        told = pages_of(api, provider, kept, base_url="https://api.acme.example/")
        assert "https%3A%2F%2Fapi.acme.example%2Foauth%2Fcallback" in get(told, target, api.owner).headers["Location"]

    @pytest.mark.parametrize("token", ["", "unknown"])
    def test_it_takes_a_token(self, pages: OAuthPages, destination_id: str, token: str) -> None:
        answer = get(pages, f"/oauth/{destination_id}/start", token)
        assert (answer.status, json.loads(answer.body)["errors"][0]["type"]) == (401, "unauthorized")

    def test_members_may_not(self, api: Api, pages: OAuthPages, destination_id: str) -> None:
        assert get(pages, f"/oauth/{destination_id}/start", api.member).status == 403

    def test_an_unknown_destination_is_not_found(self, api: Api, pages: OAuthPages) -> None:
        assert get(pages, "/oauth/nowhere/start", api.owner).status == 404

    def test_a_type_without_a_client_is_refused_with_the_reason(self, api: Api, pages: OAuthPages) -> None:
        answer = get(pages, f"/oauth/{new_webhook(api, new_source(api, 'other'))}/start", api.owner)
        assert answer.status == 400
        assert b"--oauth-clients" in answer.body


class TestCallback:
    def test_the_code_becomes_tokens(
        self, api: Api, provider: Provider, kept: SqliteTokens, pages: OAuthPages, destination_id: str
    ) -> None:
        parameters = started(pages, api, destination_id)
        answer = get(pages, f"/oauth/callback?code=c1&state={parameters['state']}")
        assert (answer.status, kept.get(destination_id)) == (200, Tokens("planted-access", "planted-refresh"))
        assert b"planted" not in answer.body
        ((form, headers),) = provider.asked
        assert (
            form.items()
            >= {
                "grant_type": "authorization_code",
                "code": "c1",
                "redirect_uri": parameters["redirect_uri"],
                "client_id": "mainstem",
                "client_secret": SECRET,
            }.items()
        )
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() == parameters["code_challenge"]
        assert "authorization" not in headers

    def test_a_client_may_prove_itself_by_a_header(
        self, api: Api, provider: Provider, kept: SqliteTokens, destination_id: str
    ) -> None:
        pages = pages_of(api, provider, kept, client_auth="basic")
        get(pages, f"/oauth/callback?code=c&state={started(pages, api, destination_id)['state']}")
        ((form, headers),) = provider.asked
        assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == f"mainstem:{SECRET}"
        assert "client_secret" not in form

    def test_a_state_counts_once(self, api: Api, provider: Provider, pages: OAuthPages, destination_id: str) -> None:
        target = f"/oauth/callback?code=c&state={started(pages, api, destination_id)['state']}"
        assert [get(pages, target).status for _ in range(2)] == [200, 403]
        assert len(provider.asked) == 1

    def test_a_state_counts_for_ten_minutes(
        self, api: Api, provider: Provider, pages: OAuthPages, destination_id: str
    ) -> None:
        state = started(pages, api, destination_id)["state"]
        api.pass_time(minutes=10)
        assert get(pages, f"/oauth/callback?code=c&state={state}").status == 403
        assert provider.asked == []

    @pytest.mark.parametrize("state", ["", "x", "%00", "AQID", "=" * 9, "\u00e9"])
    def test_a_state_that_was_not_made_here_is_refused(
        self, provider: Provider, pages: OAuthPages, state: str
    ) -> None:
        assert get(pages, f"/oauth/callback?code=c&state={state}").status == 403
        assert provider.asked == []

    def test_a_sealed_value_of_another_kind_is_no_state(self, api: Api, pages: OAuthPages) -> None:
        sealed = base64.urlsafe_b64encode(api.vault.seal(b"\x95", "another row")).decode()
        assert get(pages, f"/oauth/callback?code=c&state={sealed}").status == 403

    def test_what_the_provider_refuses_is_shown_and_harmless(
        self, api: Api, pages: OAuthPages, destination_id: str
    ) -> None:
        state = started(pages, api, destination_id)["state"]
        answer = get(pages, f"/oauth/callback?error=access_denied%3Cscript%3E&state={state}")
        assert answer.status == 400
        assert b"access_denied&lt;script&gt;" in answer.body
        assert b"<script>" not in answer.body

    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (400, json.dumps({"error": "invalid_grant"})),
            (200, json.dumps({"error": "invalid_grant"})),
            (200, json.dumps({"access_token": ""})),
            (200, json.dumps(["access_token"])),
            (200, "access_token=a"),
            (500, ""),
        ],
    )
    def test_a_provider_that_gives_no_token_changes_nothing(
        self, api: Api, provider: Provider, kept: SqliteTokens, pages: OAuthPages, destination_id: str,
        status: int, answer: str, caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        kept.save(destination_id, Tokens("before"))
        provider.status, provider.answer = status, answer
        reply = get(pages, f"/oauth/callback?code=c&state={started(pages, api, destination_id)['state']}")
        assert (reply.status, kept.get(destination_id)) == (502, Tokens("before"))
        assert SECRET not in caplog.text

    def test_a_provider_that_is_down_is_named(self, api: Api, kept: SqliteTokens, destination_id: str) -> None:
        gone = Provider()
        gone.close()
        pages = pages_of(api, gone, kept)
        reply = get(pages, f"/oauth/callback?code=c&state={started(pages, api, destination_id)['state']}")
        assert reply.status == 502
        assert b"cannot be reached" in reply.body

    def test_the_secret_follows_no_redirect(
        self, api: Api, provider: Provider, pages: OAuthPages, destination_id: str
    ) -> None:
        provider.status, provider.location = 307, f"{provider.url}/elsewhere"
        state = started(pages, api, destination_id)["state"]
        assert get(pages, f"/oauth/callback?code=c&state={state}").status == 502
        assert len(provider.asked) == 1

    def test_tokens_that_cannot_be_kept_are_no_success(
        self, api: Api, provider: Provider, destination_id: str
    ) -> None:
        class Full:
            def get(self, destination_id: str) -> Tokens | None:
                return None

            def save(self, destination_id: str, tokens: Tokens) -> None:
                raise EngineUnavailable("no room")

            def forget(self, destination_id: str) -> None:
                pass

        pages = pages_of(api, provider, Full())
        reply = get(pages, f"/oauth/callback?code=c&state={started(pages, api, destination_id)['state']}")
        assert reply.status == 503

    def test_a_destination_that_is_gone_meanwhile_gets_none(
        self, api: Api, provider: Provider, pages: OAuthPages, destination_id: str
    ) -> None:
        state = started(pages, api, destination_id)["state"]
        api.delete(f"/destinations/{destination_id}")
        assert get(pages, f"/oauth/callback?code=c&state={state}").status == 404
        assert provider.asked == []


def test_nothing_else_is_a_page(pages: OAuthPages) -> None:
    for path in ("/oauth", "/oauth/a", "/oauth/a/stop", "/oauth/a/b/start", "/sources", "/"):
        assert pages.page(Request("GET", path, "", [], b"")) is None
    assert pages.page(Request("POST", "/oauth/callback", "", [], b"")) is None


def test_the_tokens_of_a_deleted_destination_are_forgotten(tmp_path: Path) -> None:
    store: dict[str, SqliteTokens] = {}
    api = Api(tmp_path, tokens=lambda vault: store.setdefault("kept", SqliteTokens(tmp_path, vault.seal, vault.open)))
    source_id = new_source(api)
    gone, stays, with_source = (new_mailer(api, each) for each in (source_id, new_source(api, "b"), source_id))
    kept = store["kept"]
    for each in (gone, stays, with_source):
        kept.save(each, Tokens(each))
    assert api.delete("/destinations/nowhere").status == 404
    api.delete(f"/destinations/{gone}")
    assert (kept.get(gone), kept.get(stays)) == (None, Tokens(stays))
    api.delete(f"/sources/{source_id}")
    assert (kept.get(with_source), kept.get(stays)) == (None, Tokens(stays))
    kept.close()
    api.database.close()
