"""What passes between a connection and an application."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, whole.

    `path` and `query` are percent-encoded, as they came. `headers` holds those that the terms keep, in their order
    and each as often as it came, by lower-case name. `peer` is the address of the other end of the connection, ""
    when unknown, `scheme` is http or https. `is_too_long` says that the body was longer than the terms allow; then
    `body` is empty.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    peer: str
    scheme: str
    body: bytes
    is_too_long: bool = False


class Answer(msgspec.Struct, frozen=True, eq=False):
    """A status, a body and headers; length, date and what becomes of the connection are added on the way out.

    `is_reused`: this very answer is sent again and again, so its look on the wire is remembered. An answer equals
    only itself, so that it is found cheaply.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    is_reused: bool = False


App = Callable[[Request], Coroutine[Any, Any, Answer]]
"""Answers every request, and never raises."""


class Terms(msgspec.Struct, frozen=True):
    """What a server takes of its clients.

    A body of more than `max_body_bytes` is not handed over, but read past for `max_ignored_bytes`, and for as many
    again after its refusal: a client that sends all before it reads would not see it otherwise. When more than
    `max_waiting_requests` of a connection wait for those before them, it is not read from. Of headers, `kept_headers`
    (lower case) reach the application, and all where the path begins with `all_headers_under`.
    """

    max_body_bytes: int
    max_ignored_bytes: int
    max_waiting_requests: int
    kept_headers: frozenset[bytes] = frozenset()
    all_headers_under: bytes = b""
