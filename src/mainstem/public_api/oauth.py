"""Authorization of destinations by OAuth 2: two pages beside the Public API, for destinations that take no key.

    GET /oauth/{destinationId}/start    with an access token, as any call: 302 to the provider, its URL in the body
    GET /oauth/callback                 where the provider sends the browser back to: the code becomes tokens

What must come back unchanged lies sealed in `state`: the destination, the time, and the secret of PKCE. It counts
once, for ten minutes. The tokens are kept sealed, apart from the configuration, and never shown.
Source: RFC 6749, RFC 7636, RFC 9700; routes and pages are mainstem's own.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from mainstem import web
from mainstem.errors import (
    ApiError,
    BadRequest,
    EngineUnavailable,
    Forbidden,
    MainstemError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from mainstem.model.ports import OAuthTokens, Tokens
from mainstem.public_api.destinations import destinations
from mainstem.rest import grants, tokens
from mainstem.rest.dispatch import Answer, Database, Request
from mainstem.rest.media import JSON
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import missing
from mainstem.vault import SealBroken, Vault

if TYPE_CHECKING:
    from mainstem.destinations.oauth import OAuthClient

log: Final = logging.getLogger("mainstem.public_api")
CALLBACK: Final = "/oauth/callback"
STATE_SECONDS: Final = 600
TOKEN_SECONDS: Final = 10.0
_TOKEN_BYTES: Final = 64 * 1024
_ROW: Final = "oauth state"
_SAFE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ExchangeFailed(MainstemError):
    """The provider gave no tokens for the code. The message is for the person who waits, and names no secret."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """What the provider carries to the callback and back. `redirect_uri` must be said twice alike."""

    destination_id: str
    expires_at: float
    redirect_uri: str
    verifier: str
    nonce: str


class OAuthPages:
    """Serves the two pages. Safe to call from several threads."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clients: Mapping[str, OAuthClient],
        kept: OAuthTokens,
        clock: Callable[[], dt.datetime],
        *,
        base_url: str = "",
        has_tls: bool = False,
    ) -> None:
        """`base_url` is where browsers reach the Public API; "" for the host that a request was sent to."""
        self._database, self._vault, self._clients, self._kept = database, vault, clients, kept
        self._clock, self._base_url, self._has_tls = clock, base_url.rstrip("/"), has_tls
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def page(self, request: Request) -> Answer | None:
        """The answer to a GET of one of the pages; None for every other request. Never raises."""
        parts = request.path.split("/")
        if request.method != "GET" or len(parts) < 3 or parts[1] != "oauth":
            return None
        if request.path == CALLBACK:
            return self._called_back(request)
        if len(parts) == 4 and parts[3] == "start":
            return self._started(request, parts[2])
        return None

    def _started(self, request: Request, destination_id: str) -> Answer:
        try:
            url = self._authorization_url(request, destination_id)
        except ApiError as error:
            return _refusal(error)
        except EngineUnavailable as error:
            log.warning("the authorization of %s could not begin: %s", destination_id, error)
            return _refusal(Unavailable())
        body = msgspec.json.encode({"data": {"authorizationUrl": url}})
        return Answer(302, {**_SAFE, "Location": url, "Content-Type": JSON}, body)

    def _authorization_url(self, request: Request, destination_id: str) -> str:
        metadata_id = self._metadata_id(request, destination_id)
        client = self._clients.get(metadata_id)
        if client is None:
            raise BadRequest("There is no OAuth client for this type of destination: --oauth-clients names none.")
        redirect_uri = self._base(request) + CALLBACK
        verifier = secrets.token_urlsafe(48)
        expires_at = self._clock().timestamp() + STATE_SECONDS
        state = State(destination_id, expires_at, redirect_uri, verifier, secrets.token_hex(8))
        sealed = self._vault.seal(msgspec.msgpack.encode(state), _ROW)
        challenge = hashlib.sha256(verifier.encode()).digest()
        parameters = {
            **client.parameters,
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "state": _base64url(sealed),
            "code_challenge": _base64url(challenge),
            "code_challenge_method": "S256",
        }
        if client.scopes:
            parameters["scope"] = " ".join(client.scopes)
        joint = "&" if urlsplit(client.authorize_url).query else "?"
        return f"{client.authorize_url}{joint}{urlencode(parameters, quote_via=quote)}"

    def _metadata_id(self, request: Request, destination_id: str) -> str:
        """The type of the destination that the caller may change. Raises ApiError."""
        scheme, _, secret = request.header("authorization").partition(" ")
        with self._database.transaction(writes=False) as db:
            is_bearer = scheme.lower() == "bearer" and bool(secret.strip())
            token = tokens.find_active(db, self._vault, secret.strip()) if is_bearer else None
            if token is None:
                raise Unauthorized("A token is required: Authorization: Bearer <token>.")
            powers = grants.powers_of(db, token)
            powers.check(Needs.SOURCE_ADMIN)
            mine = destinations.select().where(
                destinations.c.id == destination_id,
                destinations.c.workspace_id == token.workspace_id,
                powers.clause(Needs.SOURCE_ADMIN, destinations.c.source_id),
            )
            row = db.execute(mine).one_or_none()
        if row is None:
            raise NotFound(missing("Destination", destination_id))
        return str(row.metadata_id)

    def _base(self, request: Request) -> str:
        if self._base_url:
            return self._base_url
        host = request.header("host")
        if not host:
            raise BadRequest("The request names no host; --public-api-url says where browsers reach this server.")
        scheme = "https" if self._has_tls or request.header("x-forwarded-proto") == "https" else "http"
        return f"{scheme}://{host}"

    # ---- back from the provider

    def _called_back(self, request: Request) -> Answer:
        try:
            sent = dict(parse_qsl(request.query, keep_blank_values=True))
            state = self._state(sent.get("state", ""))
            if "code" not in sent:
                raise BadRequest(f"The provider did not authorize it: {_word(sent.get('error', ''))}.")
            self._exchange(state, sent["code"])
        except ApiError as error:
            return _page(error.status, "Not authorized", str(error))
        except ExchangeFailed as error:
            log.warning("a destination was not authorized: %s", error)
            return _page(502, "Not authorized", str(error))
        except EngineUnavailable as error:
            log.warning("the tokens of a destination could not be kept: %s", error)
            return _page(503, "Not authorized", "The tokens could not be kept at this moment. Please start again.")
        return _page(200, "Authorized", f"Destination {state.destination_id} is authorized. You can close this page.")

    def _state(self, text: str) -> State:
        """What was sealed when the authorization began. Raises Forbidden."""
        now = self._clock().timestamp()
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            state = msgspec.msgpack.decode(self._vault.open(sealed, _ROW), type=State)
        except (SealBroken, ValueError):
            raise Forbidden("This authorization was not begun here. Please start again.") from None
        with self._lock:
            self._used = {nonce: until for nonce, until in self._used.items() if until > now}
            if state.expires_at <= now or state.nonce in self._used:
                raise Forbidden("This authorization took too long, or was finished before. Please start again.")
            self._used[state.nonce] = state.expires_at
        return state

    def _exchange(self, state: State, code: str) -> None:
        with self._database.transaction(writes=False) as db:
            mine = destinations.select().where(destinations.c.id == state.destination_id)
            row = db.execute(mine).one_or_none()
        client = self._clients.get(row.metadata_id) if row is not None else None
        if client is None:
            raise NotFound(missing("Destination", state.destination_id))
        self._kept.save(state.destination_id, tokens_for(client, code, state.redirect_uri, state.verifier))


def tokens_for(client: OAuthClient, code: str, redirect_uri: str, verifier: str) -> Tokens:
    """Ask the provider for the tokens of a code. Raises ExchangeFailed."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "client_id": client.client_id,
    }
    headers = {"Accept": JSON, "Content-Type": "application/x-www-form-urlencoded"}
    if client.client_auth == "basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_secret"] = client.client_secret
    is_granted, answer = _posted(client.token_url, urlencode(form).encode(), headers)
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not is_granted or not isinstance(access, str) or not access:
        raise ExchangeFailed(f"The provider gave no token: {_word(answer.get('error', ''))}.")
    return Tokens(access, refresh if isinstance(refresh, str) else "")


def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
    """Whether a provider answered with success, and the JSON object that it answered. Raises ExchangeFailed."""
    try:
        reply = web.ask(url, headers, body, timeout_seconds=TOKEN_SECONDS, most_bytes=_TOKEN_BYTES)
        answer = json.loads(reply.body)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ExchangeFailed(f"The provider cannot be reached: {type(reason).__name__}.") from None
    except ValueError:
        raise ExchangeFailed("The provider's answer is no JSON.") from None
    if not isinstance(answer, dict):
        raise ExchangeFailed("The provider's answer is no JSON object.")
    return 200 <= reply.status < 300, answer


def _word(error: Any) -> str:
    """An error code of OAuth, as far as it is one."""
    text = error if isinstance(error, str) else ""
    return text if text.isascii() and text.isprintable() and 0 < len(text) <= 64 else "no reason given"


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _refusal(error: ApiError) -> Answer:
    headers = {**_SAFE, **error.headers, "Content-Type": JSON}
    return Answer(error.status, headers, msgspec.json.encode({"errors": error.faults}))


def _page(status: int, title: str, text: str) -> Answer:
    body = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{html.escape(text)}</p>\n"
    return Answer(status, {**_SAFE, "Content-Type": "text/html; charset=utf-8"}, body.encode())
