"""A request as handlers see it, and what is taken of clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from mainstem import http_server
from mainstem.model.event import MAX_BATCH_BYTES

GZIP_OVERHEAD_BYTES: Final = 1024  # gzip makes incompressible bytes longer, by far less than this
MAX_CALL_BYTES: Final = 512 * 1024  # of a call of a source function
TERMS: Final = http_server.Terms(
    max_body_bytes=max(MAX_BATCH_BYTES, MAX_CALL_BYTES) + GZIP_OVERHEAD_BYTES,
    max_ignored_bytes=4 * 1024 * 1024,
    max_waiting_requests=16,
    kept_headers=frozenset(
        {
            b"authorization",
            b"origin",
            b"host",
            b"x-forwarded-for",
            b"access-control-request-headers",
            b"expect",
            b"accept-encoding",
            b"if-none-match",
        }
    ),
    all_headers_under=b"/functions/",  # a source function gets every header of its call
)


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, whole.

    `path` is percent-decoded, `query` is not. `headers` holds those that somebody reads here (of a call of a source
    function: all), by lower-case name; of one that came several times the values are joined by commas. `peer` is the
    address of the other end of the connection, "" when unknown, `scheme` is http or https. `is_too_long` says that
    the body was longer than any route takes; then `body` is empty.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
    scheme: str
    body: bytes
    is_too_long: bool = False


def read(received: http_server.Request) -> Request:
    """The request as handlers see it."""
    headers: dict[str, str] = {}
    for name, value in received.headers:
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = received.path
    return Request(
        received.method,
        unquote(path) if "%" in path else path,
        received.query,
        headers,
        received.peer,
        received.scheme,
        received.body,
        received.is_too_long,
    )
