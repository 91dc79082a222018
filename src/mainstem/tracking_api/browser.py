"""The headers by which a browser lets a page of any website talk to the Tracking API.

The browser library sends an Authorization header and plain text, so every call is preflighted; it reads
Retry-After, which must be exposed. Source: Fetch standard, "CORS protocol"; which headers: judgement, from
what the browser library sends.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import msgspec

from mainstem.tracking_api.answers import Answer

_MAX_ORIGIN_CHARACTERS: Final = 256  # this and the next bound what is remembered
_MAX_ASKED_CHARACTERS: Final = 1024
_MAX_AGE_SECONDS: Final = 24 * 60 * 60
_USUAL_HEADERS: Final = "authorization, content-type, x-retry-count"
_EXPOSED: Final = ("access-control-expose-headers", "Retry-After, X-RateLimit-Reset")
_FOR_ANY: Final = (("access-control-allow-origin", "*"), _EXPOSED)


def for_origin(answer: Answer, origin: str | None) -> Answer:
    """The answer with the headers that every one has. A page may send credentials, so its origin is echoed; `*`
    stands for all without an Origin and for public files."""
    if answer.for_any_origin:  # made anew for each request: not to be remembered
        return msgspec.structs.replace(answer, headers=(*answer.headers, *_FOR_ANY))
    if origin is None or len(origin) > _MAX_ORIGIN_CHARACTERS or not _may_be_echoed(origin):
        return _with_headers(answer, None)
    return _with_headers(answer, origin)


def preflight(headers: Mapping[str, str]) -> Answer:
    """The answer to OPTIONS, on any path and without a look at the write key: 204, asked headers allowed."""
    asked = headers.get("access-control-request-headers", "")
    is_echoed = bool(asked) and len(asked) <= _MAX_ASKED_CHARACTERS and _may_be_echoed(asked)
    allowed = asked if is_echoed else _USUAL_HEADERS
    return Answer(
        204,
        b"",
        (
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("access-control-allow-headers", allowed),
            ("access-control-max-age", str(_MAX_AGE_SECONDS)),
        ),
    )


@functools.lru_cache(maxsize=1024)
def _with_headers(answer: Answer, origin: str | None) -> Answer:
    added = _FOR_ANY if origin is None else _for_one(origin)
    return msgspec.structs.replace(answer, headers=(*answer.headers, *added), is_reused=True)


def _for_one(origin: str) -> tuple[tuple[str, str], ...]:
    return (
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("vary", "Origin"),
        _EXPOSED,
    )


def _may_be_echoed(value: str) -> bool:
    return value.isascii() and value.isprintable()
