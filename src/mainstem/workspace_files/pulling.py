"""Reading another server that speaks the same API, within its rate limits.

Each operation is asked for at most as often as its published limit allows, in a window that slides; a 429 is waited
out as long as the server says; what fails on the way or on the server's side is asked for again, for it only
reads. Source: Public API reference, "Rate Limits" and "Versioning". Judgements: five tries, a wait of at most five
minutes, and https but for loopback, since the token travels along.
"""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mainstem.errors import MainstemError, SettingsError
from mainstem.public_api import FAMILIES
from mainstem.rest import media
from mainstem.rest.limits import Rate
from mainstem.rest.operation import Operation
from mainstem.workspace_files.asking import Refused

TRIES: Final = 5
LONGEST_WAIT_SECONDS: Final = 300.0
_TIMEOUT_SECONDS: Final = 60
_MAX_BYTES: Final = 256 * 1024 * 1024
_TOO_MANY: Final = 429
_BUSY: Final = frozenset({500, 502, 503, 504})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(MainstemError):
    """The other server cannot be reached, or does not answer as this API does."""


class _Broken(Exception):
    """No whole answer came; another try may get one."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token never follows a redirect."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


class Pace:
    """Keeps each operation within its limit. Times are seconds of a clock that only goes forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep):
        self.clock, self.sleep = clock, sleep
        self._asked: dict[str, deque[float]] = {}

    def wait(self, name: str, rate: Rate) -> float:
        """Return once the operation may be asked for again; how long that took."""
        asked, now = self._asked.setdefault(name, deque()), self.clock()
        while asked and now - asked[0] >= rate.window_seconds:
            asked.popleft()
        seconds = asked[0] + rate.window_seconds - now if len(asked) >= rate.requests else 0.0
        if seconds > 0:
            self.sleep(seconds)
            asked.popleft()
        asked.append(self.clock())
        return seconds


class Remote:
    """Another server. Only reads."""

    def __init__(
        self, url: str, token: str, *, default_rate: int, say: Callable[[str], object], pace: Pace | None = None
    ) -> None:
        """`default_rate` is the limit per minute of operations that name none; `say` is told of long waits. Raises
        SettingsError for a URL that a token must not be sent to."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise SettingsError("--url: https://HOST is expected")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise SettingsError("--url: the token would travel in the clear; https is needed")
        self._url, self._token = url.rstrip("/"), token
        self._default, self._say, self._pace = Rate(default_rate), say, pace or Pace()
        context = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(_NoRedirects, context)

    def ask(self, route: str, body: Any = None) -> Any:
        """See Api. Raises Unreachable too."""
        method, _, target = route.partition(" ")
        assert method == "GET", "another server is only read"
        assert body is None, "a GET has no body"
        operation = _operation(target.partition("?")[0])
        for attempt in range(1, TRIES + 1):
            self._pace.wait(operation.id, operation.rate or self._default)
            try:
                status, headers, content = self._get(target, operation)
            except _Broken as error:
                if attempt == TRIES:
                    raise Unreachable(f"{urlsplit(self._url).netloc}: {error}") from None
                self._pause(2.0**attempt, operation, str(error))
                continue
            wait = _wait(status, headers, attempt)
            if wait is None or attempt == TRIES:
                break
            self._pause(wait, operation, f"the server answered {status}")
        return _data(route, status, content)

    def _pause(self, seconds: float, operation: Operation, why: str) -> None:
        self._say(f"{operation.id}: {why}; waiting {seconds:.0f} seconds")
        self._pace.sleep(seconds)

    def _get(self, target: str, operation: Operation) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body. Raises Unreachable when there is no use in another try, and _Broken."""
        accept = f"{media.vendor(operation.versions[0])}, application/json;q=0.9"
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        request = urllib.request.Request(self._url + target, headers=headers)  # noqa: S310  # the scheme was checked
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as reply:
                return reply.status, dict(reply.headers), _whole(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read(_MAX_BYTES)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, (ssl.SSLCertVerificationError, socket.gaierror)):
                raise Unreachable(f"{urlsplit(self._url).netloc}: {reason}") from None
            raise _Broken(str(reason) or type(reason).__name__) from None


def _whole(reply: HTTPResponse) -> bytes:
    """The body. Raises _Broken for a part of one, and Unreachable for one that is too large."""
    promised = reply.length
    content: bytes = reply.read(_MAX_BYTES)
    if promised is not None and len(content) < min(promised, _MAX_BYTES):
        raise _Broken(f"the connection ended after {len(content)} of {promised} bytes")
    if len(content) == _MAX_BYTES:
        raise Unreachable(f"an answer is larger than {_MAX_BYTES // 2**20} MiB")
    return content


def _operation(path: str) -> Operation:
    """The operation of a path, for its limit and version."""
    wanted = path.split("/")
    for operation in _reads():
        parts = operation.path.split("/")
        if len(parts) == len(wanted) and all(
            mine.startswith("{") or mine == theirs for mine, theirs in zip(parts, wanted, strict=True)
        ):
            return operation
    raise AssertionError(f"{path} is no operation")


def _reads() -> list[Operation]:
    found = [each for family in FAMILIES for each in family.operations if each.method == "GET"]
    return sorted(found, key=lambda each: each.path.count("{"))


def _wait(status: int, headers: Mapping[str, str], attempt: int) -> float | None:
    """How long to wait before the next try; None when there is no use in one."""
    if status != _TOO_MANY and status not in _BUSY:
        return None
    named = {name.lower(): value for name, value in headers.items()}
    told = named.get("retry-after") or named.get("x-ratelimit-reset") or ""
    if told.isdigit():
        return min(float(told), LONGEST_WAIT_SECONDS)
    moment = email.utils.parsedate_to_datetime(told).timestamp() - time.time() if "," in told else 2.0**attempt
    return min(max(moment, 1.0), LONGEST_WAIT_SECONDS)


def _data(route: str, status: int, content: bytes) -> Any:
    try:
        reply = msgspec.json.decode(content)
    except msgspec.DecodeError:
        reply = None
    if 200 <= status < 300 and isinstance(reply, dict) and "data" in reply:
        return reply["data"]
    errors = reply.get("errors") if isinstance(reply, dict) else None
    if status < 400 or (errors is None and status not in {401, 403, 404}):
        raise Unreachable(f"{route.partition('?')[0]}: status {status}, and no answer of this API")
    faults = [
        (str(each.get("field") or ""), str(each.get("message"))) for each in errors or () if isinstance(each, dict)
    ]
    raise Refused(route, status, faults)
