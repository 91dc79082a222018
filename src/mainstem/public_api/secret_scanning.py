"""Reports of leaked tokens: the receiving side of GitHub's secret scanning partner protocol.

    POST /secret-scanning/report    signed over the body as it came; tokens that are known and active are revoked

Nothing is read out of a report before its signature is verified. Off unless --secret-scanning or
--secret-scanning-keys says whose reports are believed.
Source: GitHub's documentation, "Secret scanning partner program"; limits and answers to refusals are judgements.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection

from mainstem.errors import (
    ApiError,
    BadRequest,
    EngineUnavailable,
    Forbidden,
    MethodNotAllowed,
    PayloadTooLarge,
    TooManyRequests,
    Unavailable,
)
from mainstem.mail import Letter
from mainstem.public_api.iam import owners
from mainstem.public_api.scanner_keys import KeysUnavailable, ScannerKeys, is_signed
from mainstem.public_api.workspaces import name_of
from mainstem.rest import audit, tokens
from mainstem.rest.dispatch import Answer, Database, Request
from mainstem.rest.limits import LocalWindows, Windows
from mainstem.rest.media import JSON
from mainstem.rest.tokens import Token
from mainstem.vault import Vault

log: Final = logging.getLogger("mainstem.public_api")
PATH: Final = "/secret-scanning/report"
EXPOSED: Final = "Access Token Exposed"
MAX_BYTES: Final = 1024 * 1024
PER_MINUTE: Final = 300  # reports with a good signature, and refused ones, each
_WINDOW_SECONDS: Final = 60
_SHOWN: Final = 500  # characters of a URL
_TEXT: Final = """\
An access token of the workspace {name} was found where others can read it. It has been revoked, and nothing can be
done with it any more.

Token: {description} ({id})
Found at: {url}

Make a new one with `mainstem token create` for whatever used it, and look into the audit trail for what it was used
for.
"""


class Reported(msgspec.Struct, frozen=True):
    """A match of the scanner. Fields that are not known are passed over."""

    token: str
    type: str = ""
    url: str | None = None
    source: str | None = None


class Feedback(msgspec.Struct, frozen=True):
    """What is told of a match: `token_hash` is base64 of SHA-256."""

    token_hash: str
    token_type: str
    label: str


class Exposed(msgspec.Struct, frozen=True):
    """A token that a report revoked, and where it was found ("" when the report does not say)."""

    token: Token
    url: str
    workspace: str
    owners: list[str]


def expose(db: Connection, vault: Vault, token: Token, now: dt.datetime, actor: str = audit.SYSTEM) -> bool:
    """Revoke a token that was found in public, and say so in the audit trail; False when it was revoked before. The
    transaction is a writing one."""
    if tokens.revoke(db, token.id, now) is None:
        return False
    audit.record(
        db, vault, workspace_id=token.workspace_id, at=now, type=EXPOSED, actor=actor,
        resource_type="TOKEN", resource_id=token.id, resource_name=token.description,
    )  # fmt: skip
    return True


class SecretScanning:
    """Takes reports. Safe to call from several threads."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        keys: ScannerKeys,
        clock: Callable[[], dt.datetime],
        send: Callable[[Letter], None] | None = None,
        windows: Windows | None = None,
    ) -> None:
        """`send` takes letters to owners without waiting; `windows` count reports for several processes."""
        self._database, self._vault, self._keys, self._clock = database, vault, keys, clock
        self._send, self._windows = send, windows or LocalWindows()

    def page(self, request: Request) -> Answer | None:
        """The answer to a report; None for every other request. Never raises."""
        if request.path != PATH:
            return None
        try:
            feedback = self._taken(request)
        except ApiError as error:
            return _refusal(error)
        except (EngineUnavailable, KeysUnavailable) as error:
            log.warning("a report of leaked tokens was answered 503: %s", error)
            return _refusal(Unavailable())
        except Exception:  # the edge, as for operations
            log.exception("a report of leaked tokens failed")
            return _refusal(ApiError("An unexpected error occurred; the server's log says more."))
        return Answer(200, {"Content-Type": JSON}, msgspec.json.encode(feedback))

    def _taken(self, request: Request) -> list[Feedback]:
        reported = self._verified(request)
        now = self._clock()
        found, exposed = self._revoked(reported, now)
        for each in exposed:
            self._tell(each)
        return list(_feedback(reported, found))

    def _verified(self, request: Request) -> list[Reported]:
        """What is reported, once it is known who reports. Raises ApiError and KeysUnavailable."""
        if request.method != "POST":
            refused = MethodNotAllowed(f"{request.method} is not possible here.")
            refused.headers["Allow"] = "POST"
            raise refused
        body = request.body
        if body is None or len(body) > MAX_BYTES:
            raise PayloadTooLarge(f"A report has at most {MAX_BYTES} bytes.")
        key_id, signature = (request.header(f"github-public-key-{each}") for each in ("identifier", "signature"))
        key = self._keys.find(key_id) if key_id and signature else None
        if key is None or not is_signed(key, signature, body):
            self._count("refused report")
            raise Forbidden("The report is not signed by a key that is known here.")
        self._count("report")
        try:
            return msgspec.json.decode(body, type=list[Reported])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise BadRequest("A report is a JSON array of objects with a token.") from None

    def _count(self, what: str) -> None:
        now = self._clock().timestamp()
        start, consumed = self._windows.count("secret-scanning", what, now, _WINDOW_SECONDS)
        if consumed > PER_MINUTE:
            raise TooManyRequests(consumed, max(0, int(1000 * (start + _WINDOW_SECONDS - now))))

    def _revoked(self, reported: Iterable[Reported], now: dt.datetime) -> tuple[Mapping[str, Token], list[Exposed]]:
        """The tokens that are known, by secret, and those that were revoked just now."""
        urls: dict[str, str] = {}
        for each in reported:
            urls[each.token] = urls.get(each.token) or _shown(each)
        with self._database.transaction(writes=False) as db:
            found = tokens.find_all(db, self._vault, urls)
        active = {secret: token for secret, token in found.items() if token.revoked_at is None}
        if not active:
            return found, []
        with self._database.transaction(writes=True) as db:
            exposed = [
                Exposed(
                    token, urls[secret], name_of(db, token.workspace_id), owners.addresses(db, token.workspace_id)
                )
                for secret, token in active.items()
                if expose(db, self._vault, token, now)
            ]
        return found, exposed

    def _tell(self, exposed: Exposed) -> None:
        token, url = exposed.token, exposed.url or "not told"
        log.warning("the access token %s was found in public (%s) and is revoked", token.id, url)
        if self._send is None:
            return
        text = _TEXT.format(name=exposed.workspace, description=token.description, id=token.id, url=url)
        for address in exposed.owners:
            self._send(Letter(to=address, subject=f"A token of {exposed.workspace} was exposed", text=text))


def _shown(reported: Reported) -> str:
    """Where it was found, in one line and without the token itself."""
    url = (reported.url or "").replace(reported.token, "…") if reported.token else ""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in url[:_SHOWN])


def _feedback(reported: Iterable[Reported], found: Mapping[str, Token]) -> Iterable[Feedback]:
    """What is certain: our tokens, and what cannot be one. Each is told once."""
    for secret, kind in dict.fromkeys((each.token, each.type) for each in reported):
        if secret not in found and tokens.is_well_formed(secret):
            continue  # it may be one of another instance
        digest = base64.b64encode(hashlib.sha256(secret.encode(errors="surrogatepass")).digest()).decode()
        yield Feedback(digest, kind, "true_positive" if secret in found else "false_positive")


def _refusal(error: ApiError) -> Answer:
    headers = {**error.headers, "Content-Type": JSON}
    return Answer(error.status, headers, msgspec.json.encode({"errors": error.faults}))
