"""One POST to a partner, and what the answer means for retries.

Source: retryable are timeouts, network errors, 408, 423, 429 and 5xx but 501 ("Retries between Segment and
destinations" and the published connectors); reasons are the delivery overview's discard codes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec
from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientSession,
    InvalidURL,
    ServerDisconnectedError,
)
from yarl import URL

from mainstem.destinations.base import Exchange, Rejected, Retryable
from mainstem.destinations.network import AddressRefused

TIMEOUT_SECONDS: Final = 5.0  # Source: Webhooks Destination, "Webhooks timeouts"
MAX_REDIRECTS: Final = 3
MAX_ANSWER_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 4 * 1024
_BODY_SECONDS: Final = 1.0
_RETRYABLE_STATUSES: Final = frozenset({408, 423, 429})
_REDIRECTS: Final = frozenset({307, 308})
_OWN_HEADERS: Final = frozenset({"user-agent", "content-type", "x-signature"})
_BROKEN: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_REFUSED: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})


class Answer(msgspec.Struct, frozen=True):
    """What a partner answered; of the body the first bytes, for the trace. `status` 0: nothing."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


async def post(
    http: ClientSession,
    url: URL,
    body: bytes,
    headers: Mapping[str, str],
    now_ms: int,
    exchanges: list[Exchange] | None = None,
) -> None:
    """POST `body` and return when the partner answers 2xx within 5 seconds. The last request and its answer are
    appended to `exchanges`.

    Raises Retryable or Rejected with the published reason. 307 and 308 are followed up to three times with
    the same body, each target passing the network policy; headers that an operator set stay with the origin
    they were set for. Other redirects would turn the POST into a GET and count as final, as does a redirect
    from https to http. (Source: discard reason 307, "will automatically retry the request using the redirected
    URL"; the rest is judgement.)
    """
    answer = Answer(0, {})
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await _follow(http, url, body, headers)
    except TimeoutError:
        raise Retryable("ETIMEDOUT") from None
    except InvalidURL:
        raise Rejected("INVALID_SETTINGS", "the URL cannot be used") from None
    except UnicodeEncodeError:
        raise Rejected("INVALID_SETTINGS", "the URL's credentials cannot be sent") from None
    except ClientError as error:
        raise _network_failure(error) from None
    finally:
        if exchanges is not None:
            exchanges.append(_exchange(url, body, headers, answer))
    if not 200 <= answer.status < 300:
        raise _refusal(answer, now_ms)


async def _follow(http: ClientSession, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
    for _ in range(MAX_REDIRECTS):
        answer = await _send(http, url, body, headers)
        target = _redirect_target(url, answer)
        if target is None:
            return answer
        if target.origin() != url.origin() or any(name.lower() == "authorization" for name in headers):
            target = target.with_user(None)
        if target.origin() != url.origin():
            headers = {name: value for name, value in headers.items() if name.lower() in _OWN_HEADERS}
        url = target
    return await _send(http, url, body, headers)


def _redirect_target(url: URL, answer: Answer) -> URL | None:
    location = answer.headers.get("Location")
    if answer.status not in _REDIRECTS or not location:
        return None
    try:
        target = url.join(URL(location))
    except ValueError:
        return None
    is_downgrade = url.scheme == "https" and target.scheme != "https"
    return target if target.scheme in {"http", "https"} and target.host and not is_downgrade else None


async def _send(http: ClientSession, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
    try:
        return await _send_once(http, url, body, headers)
    except (ServerDisconnectedError, ClientOSError) as error:
        # Mostly a kept-alive connection that the partner closed while we sent: say it again on a fresh one.
        if isinstance(error, ClientOSError) and error.errno not in _BROKEN:
            raise
        return await _send_once(http, url, body, headers)


async def _send_once(http: ClientSession, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
    async with http.post(url, data=body, headers=headers, allow_redirects=False) as response:
        start = await _read_past(response)
        return Answer(response.status, response.headers, start)


def _exchange(url: URL, body: bytes, headers: Mapping[str, str], answer: Answer) -> Exchange:
    return Exchange(
        "POST",
        str(url),
        dict(headers),
        body[:KEPT_BYTES].decode(errors="replace"),
        answer.status,
        dict(answer.headers),
        answer.body.decode(errors="replace"),
    )


async def _read_past(response: ClientResponse) -> bytes:
    """Read the body away so that the connection can be kept, and return its start; give up on a long, slow or
    broken one, since the status has said everything."""
    start = b""
    if response.content.at_eof():
        return start
    left = MAX_ANSWER_BYTES
    with contextlib.suppress(ClientError, TimeoutError):
        async with asyncio.timeout(_BODY_SECONDS):
            while left > 0:
                chunk = await response.content.read(left)
                if not chunk:
                    return start
                start += chunk[: KEPT_BYTES - len(start)]
                left -= len(chunk)
    response.close()
    return start


def _refusal(answer: Answer, now_ms: int) -> Retryable | Rejected:
    status = answer.status
    if status in _RETRYABLE_STATUSES or (500 <= status < 600 and status != 501):
        return Retryable(
            str(status), retry_after_seconds=retry_after_seconds(answer.headers.get("Retry-After"), now_ms)
        )
    return Rejected(str(status))


def retry_after_seconds(value: str | None, now_ms: int) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date; None when absent or malformed, 0 for the past."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds())


def _network_failure(error: ClientError) -> Retryable | Rejected:
    """The published reason of a failed connection. A refusal by the network policy is final: it lasts until
    the operator changes it. A certificate that does not verify may be renewed in time, so it is tried again."""
    if isinstance(error, ClientConnectorDNSError):
        return Retryable("ENOTFOUND")
    if isinstance(error, ClientConnectorError):
        if isinstance(error.os_error, AddressRefused):
            return Rejected("EREFUSED", "the address is not allowed by the network policy")
        if error.os_error.errno == errno.ETIMEDOUT:
            return Retryable("ETIMEDOUT")
        return Retryable("EREFUSED")
    if isinstance(error, ClientOSError) and error.errno in _REFUSED:
        return Retryable("EREFUSED")
    return Retryable("ECONNRESET")
