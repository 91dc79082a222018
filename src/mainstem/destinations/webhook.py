"""Webhooks: each event as one POST to up to five URLs.

Source: product documentation, "Webhooks Destination" (classic), and exported workspace configurations for the
shapes of its settings; judgements are marked.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import ClientSession
from yarl import URL

from mainstem.destinations.base import Destination, Message, Perform, Rejected, Retryable
from mainstem.destinations.javascript import stringify
from mainstem.destinations.post import post
from mainstem.model.event import EVENT_TYPES

MAX_HOOKS: Final = 5
USER_AGENT: Final = "Segment.io/1.0"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TEXT: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_RESERVED: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Hook(msgspec.Struct, frozen=True):
    """One URL and the headers that go there, ours included."""

    url: URL
    headers: dict[str, str]


def connect(settings: Mapping[str, Any]) -> Perform:
    """Read `hooks`, the older `globalHook`, and `sharedSecret`.

    Raises Rejected("INVALID_SETTINGS") when no URL is left or one of them, or a header, is malformed. A URL
    that stands in both settings is one hook; rows without URL or header name, as the app saves them, are
    passed over; of more than five hooks the first five count. (Judgements.)
    """
    faults = _malformed(settings)
    if faults:
        raise Rejected("INVALID_SETTINGS", f"{faults[0][0]}: {faults[0][1]}")
    secret = str(settings.get("sharedSecret") or "").encode()
    hooks = tuple(Hook(_url(url, headers), _headers(headers, bool(secret))) for url, headers in _listed(settings))
    if not hooks:
        raise Rejected("INVALID_SETTINGS", "no webhook URL is set")
    return functools.partial(_perform, hooks[:MAX_HOOKS], secret)


def faults(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What must not be saved: more than five hooks, a malformed URL, a header that cannot be sent."""
    hooks = settings.get("hooks")
    if isinstance(hooks, list) and len(hooks) > MAX_HOOKS:
        return [("settings.hooks", f'"settings.hooks" must contain less than or equal to {MAX_HOOKS} items')]
    return _malformed(settings)


async def _perform(hooks: tuple[Hook, ...], secret: bytes, message: Message, http: ClientSession) -> None:
    """Send to every hook; the event is delivered when one of them took it.

    Otherwise it is tried again if one of them failed for a while only, and then not sent to those that
    refused it for good: `progress` has a bit for each. (Source: "Sending to multiple webhooks": once any
    succeeds, the request to the others is not retried. The bits are a judgement.)
    """
    body, signature = _signed(message.body, secret)
    finished = message.progress
    waiting = [index for index in range(len(hooks)) if not finished >> index & 1]
    if not waiting:  # the hooks are other and fewer than at the last attempt
        finished, waiting = 0, list(range(len(hooks)))
    sends = [
        post(http, hooks[i].url, body, {**hooks[i].headers, **signature}, message.now_ms, message.exchanges)
        for i in waiting
    ]
    if len(sends) == 1:
        answers: list[BaseException | None] = [await _outcome(sends[0])]
    else:
        answers = list(await asyncio.gather(*map(_outcome, sends)))
    if None not in answers:
        raise _verdict(finished, dict(zip(waiting, answers, strict=True)))


async def _outcome(send: Any) -> Exception | None:
    try:
        await send
    except (Retryable, Rejected) as failure:
        return failure
    return None


def _verdict(finished: int, failures: dict[int, BaseException | None]) -> Exception:
    rejections = {index: each for index, each in failures.items() if isinstance(each, Rejected)}
    retryables = [each for each in failures.values() if isinstance(each, Retryable)]
    if not retryables:
        return next(iter(rejections.values()))
    for index in rejections:
        finished |= 1 << index
    asked = [each.retry_after_seconds for each in retryables if each.retry_after_seconds is not None]
    return Retryable(retryables[0].reason, retry_after_seconds=min(asked, default=None), progress=finished)


def _signed(event: bytes, secret: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and its signature: lower-case hex of HMAC-SHA1 over exactly these bytes. Only a signed body is
    brought to JavaScript's form, because that costs digits of integers beyond 2^53 (judgement)."""
    payload = {"version": 1, **_decode(event)}
    payload["version"] = 1
    if not secret:
        return _encode(payload), {}
    body = stringify(payload)
    return body, {"X-Signature": hmac.digest(secret, body, "sha1").hex()}


def _listed(settings: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """URL and own headers of each hook, `hooks` before `globalHook`, each URL once: the first with headers."""
    found: dict[str, dict[str, str]] = {}
    for _, url, headers in _rows(settings):
        if url not in found or not found[url]:
            found[url] = headers
    return list(found.items())


def _rows(settings: Mapping[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """(field path, URL, headers) of each hook that has a URL; raises nothing on what is not in shape."""
    rows = []
    hooks = settings.get("hooks")
    for index, row in enumerate(hooks if isinstance(hooks, list) else []):
        hook = {"hook": row} if isinstance(row, str) else row
        if isinstance(hook, dict) and str(hook.get("hook") or "").strip():
            rows.append((f"settings.hooks[{index}]", str(hook["hook"]).strip(), _pairs(hook.get("headers"))))
    older = settings.get("globalHook")
    if isinstance(older, str) and older.strip():
        rows.append(("settings.globalHook", older.strip(), {}))
    return rows


def _pairs(headers: Any) -> dict[str, str]:
    """Headers as saved: a list of {key, value}, or an object; without blank names."""
    if isinstance(headers, dict):
        pairs = list(headers.items())
    elif isinstance(headers, list):
        pairs = [(each.get("key"), each.get("value")) for each in headers if isinstance(each, dict)]
    else:
        pairs = []
    named = ((str(name or "").strip(), value) for name, value in pairs)
    return {name: "" if value is None else str(value) for name, value in named if name}


def _headers(own: dict[str, str], is_signed: bool) -> dict[str, str]:
    """What a hook's requests carry: its headers win over ours, but not over a signature."""
    sent = {name: value for name, value in own.items() if not (is_signed and name.lower() == "x-signature")}
    taken = {name.lower() for name in sent}
    ours = {"User-Agent": USER_AGENT, "Content-Type": "application/json"}
    return {**{name: value for name, value in ours.items() if name.lower() not in taken}, **sent}


def _url(text: str, headers: dict[str, str]) -> URL:
    """The URL; credentials in it give way to an Authorization header."""
    url = URL(text)
    return url.with_user(None) if any(name.lower() == "authorization" for name in headers) else url


def _malformed(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Faults of shape. Values are not repeated: headers and URLs may hold secrets."""
    hooks = settings.get("hooks")
    if hooks is not None and not isinstance(hooks, list):
        return [("settings.hooks", '"settings.hooks" must be an array')]
    found = []
    for path, url, headers in _rows(settings):
        if not _is_http_url(url):
            field = path if path.endswith("globalHook") else f"{path}.hook"
            found.append((field, f'"{field}" must be a valid uri with a scheme matching the http|https pattern'))
        if not all(map(_is_sendable, headers.items())):
            found.append((f"{path}.headers", f'"{path}.headers" holds a header that cannot be sent'))
    return found


def _is_http_url(text: str) -> bool:
    try:
        url = URL(text)
        return url.scheme in {"http", "https"} and bool(url.host) and not re.search(r"[\x00-\x20\x7f]", text)
    except ValueError:
        return False


def _is_sendable(header: tuple[str, str]) -> bool:
    name, value = header
    return bool(_TOKEN.fullmatch(name) and _TEXT.fullmatch(value)) and name.lower() not in _RESERVED


DESTINATION: Final = Destination(
    metadata_id="54521fdc25e721e32a72ef04",
    slug="webhooks",
    name="Webhooks",
    methods=EVENT_TYPES,  # the catalogue says screen: false, yet the documentation shows a screen request
    connect=connect,
    faults=faults,
)
