"""Calls of source functions: `POST /functions/v1/{writeKey}`, a URL to give to whoever sends webhooks.

The URL is all that a caller needs; the function runs later, so the answer says only that the call is on disk.
Source: Functions documentation, "Source functions" (method, content types, 512 KiB, no response of one's own). The
path, and 404 and 415 for what is refused, are judgements.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mainstem.model.event import CALL
from mainstem.tracking_api.answers import NO_SOURCE_FUNCTION, NOT_UTF_8, UNSUPPORTED_MEDIA_TYPE, Answer, Refused
from mainstem.tracking_api.bodies import read_body
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import MAX_CALL_BYTES, Request

_CONTENT_TYPES: Final = frozenset({"application/json", "application/x-www-form-urlencoded", ""})  # "": none was given


async def receive_call(intake: Intake, request: Request) -> Answer:
    """Put the request on the event log, with all its headers, for the function of the source with this key."""
    write_key = request.path.rpartition("/")[2]
    source = intake.find_source(write_key)
    if source is None or source.function is None:
        return NO_SOURCE_FUNCTION
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _CONTENT_TYPES:
        return UNSUPPORTED_MEDIA_TYPE
    called = {"body": _text(request), "headers": request.headers, "url": _url(intake, request)}
    address = intake.peers.address(request)
    return await intake.accept(CALL, "server", address, write_key, msgspec.json.encode(called))


def _text(request: Request) -> str:
    try:
        return read_body(request, MAX_CALL_BYTES).decode()
    except UnicodeDecodeError:
        raise Refused(NOT_UTF_8) from None


def _url(intake: Intake, request: Request) -> str:
    """The URL as the caller wrote it, as far as can be told."""
    base = intake.settings.public_tracking_url.rstrip("/") or f"{request.scheme}://{request.headers.get('host', '')}"
    base = base if "://" in base else f"https://{base}"
    return f"{base}{request.path}{'?' if request.query else ''}{request.query}"
