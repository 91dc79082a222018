"""A request as handlers see it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


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
