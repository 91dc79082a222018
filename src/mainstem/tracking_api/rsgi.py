"""The part of RSGI, granian's interface to an application, that the Tracking API uses.

Source: RSGI specification, version 1.5, "HTTP protocol".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # public, but re-exported without saying so

__all__ = ["Headers", "HttpProtocol", "ProtocolClosed", "Scope"]


class Headers(Protocol):
    """Request headers, by lower-case name. A value that is no text counts as absent."""

    def get(self, key: str, /) -> str | None: ...

    def get_all(self, key: str, /) -> list[str]: ...


class Scope(Protocol):
    """What is known of a request before its body. `client` is "address:port"; `path` is percent-decoded."""

    @property
    def proto(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def authority(self) -> str | None: ...
    @property
    def headers(self) -> Headers: ...


class HttpProtocol(Protocol):
    """The body of a request and the way to answer it. Reading raises ProtocolClosed when the client left."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes, /) -> None: ...

    def response_empty(self, status: int, headers: list[tuple[str, str]], /) -> None: ...
