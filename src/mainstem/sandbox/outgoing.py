"""The `fetch` of functions: their processes have no network, this one connects for them, under the network policy.

Names, spellings and redirects all end in a socket address, and that is what is checked, so nothing can change in
between. No cookies, no proxies, and certificates are verified.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import functools
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

import msgspec
from aiohttp import (
    AddrInfoType,
    ClientConnectorDNSError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    StreamReader,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mainstem.model.networks import Network, refused

_LOOKUPS: Final = 16
_CONNECTIONS: Final = 1_000
_REDIRECTS: Final = 20  # Fetch standard, "HTTP-redirect fetch"
_BODY_BYTES: Final = 10 * 1024 * 1024
_OURS: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})


class Request(msgspec.Struct, frozen=True, array_like=True):
    """What a function fetches. `redirect` is follow, manual or error; `body` is base64."""

    secret: str
    kind: str
    id: str
    method: str
    url: str
    redirect: str
    headers: Sequence[tuple[str, str]]
    body: str


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came back: an answer, or an `error` in its stead. `body` is base64."""

    id: str
    error: str | msgspec.UnsetType = msgspec.UNSET
    status: int = 0
    reason: str = ""
    url: str = ""
    redirected: bool | None = None
    headers: Sequence[tuple[str, str]] = ()
    body: str | None = None


class Outgoing:
    """One HTTP client for all functions of a sandbox."""

    def __init__(self, allow_private: Sequence[Network], timeout_seconds: float) -> None:
        self._refused = refused(allow_private)
        self._timeout = ClientTimeout(total=timeout_seconds)
        self._session: ClientSession | None = None

    async def fetch(self, request: Request) -> Response:
        """Send one request to its end; what fails comes back as `error`, in words that name no address that a
        name stands for."""
        try:
            return await self._fetch(request)
        except TimeoutError:
            error = "it took too long"
        except ClientConnectorDNSError:
            error = "the name has no address"
        except OSError as failure:
            error = "the address is not allowed" if failure.errno == errno.EACCES else type(failure).__name__
        except (ClientError, ValueError) as failure:
            error = type(failure).__name__
        return Response(request.id, error=error)

    async def _fetch(self, request: Request) -> Response:
        if not request.url.startswith(("http://", "https://")):
            return Response(request.id, error="only http and https are possible")
        body = base64.b64decode(request.body) or None
        headers = [(name, value) for name, value in request.headers if name.lower() not in _OURS]
        async with self._client().request(
            request.method, URL(request.url, encoded=True), headers=headers, data=body,
            allow_redirects=request.redirect == "follow", max_redirects=_REDIRECTS,
        ) as answer:  # fmt: skip
            if request.redirect == "error" and 300 <= answer.status < 400 and "Location" in answer.headers:
                return Response(request.id, error="it was redirected")
            content = await _bounded(answer.content)
            if content is None:
                return Response(request.id, error=f"the answer is larger than {_BODY_BYTES} bytes")
            return Response(
                request.id, status=answer.status, reason=answer.reason or "", url=str(answer.url),
                redirected=bool(answer.history),
                headers=[(str(name), value) for name, value in answer.headers.items()],
                body=base64.b64encode(content).decode(),
            )  # fmt: skip

    def _client(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(limit=_CONNECTIONS, socket_factory=self._socket, resolver=_Resolver())
            self._session = ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=self._timeout,
                trust_env=False,
                headers={"User-Agent": "mainstem-functions"},
            )
        return self._session

    def _socket(self, target: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = target
        host = ip_address(str(address[0]).partition("%")[0])
        if any(host in network for network in self._refused if network.version == host.version):
            raise PermissionError(errno.EACCES, "the address is not allowed")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """End what is under way."""
        if self._session is not None:
            await self._session.close()


async def _bounded(content: StreamReader) -> bytes | None:
    body = bytearray()
    while chunk := await content.read(64 * 1024):
        body += chunk
        if len(body) > _BODY_BYTES:
            return None
    return bytes(body)


class _Resolver(AbstractResolver):
    """Looks up names in threads of its own: names that hang keep nobody else in this process waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="function-resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name; raises OSError when it has none."""
        look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except UnicodeError:  # an empty label, or one over 63 characters
            raise socket.gaierror(socket.EAI_NONAME, "no such name can be") from None
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Wait for no lookup."""
        self._threads.shutdown(wait=False, cancel_futures=True)
