"""Which machines destinations may reach, decided at the socket.

Settings of a destination are text that a tenant wrote, so a URL may name this machine, its neighbours or a
cloud's metadata service. Names, spellings and redirects all end in a socket address, and that is what is
checked: the address that passes is the address that is connected to, so nothing can change in between.
Proxy variables of the environment are not honoured, for the same reason.
The ranges, and who is within, are those of `model/networks.py`.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from mainstem.model.networks import Network, is_allowed

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS: Final = 4.0  # below the 5 seconds after which node closes: sending into a closing socket fails
_LOGGED_MAX: Final = 1_000
_LOOKUPS: Final = 32
_SLOW_SECONDS: Final = 1.0
_BAD_NAMES_MAX: Final = 10_000


class AddressRefused(OSError):
    """The network policy does not let destinations reach this address. The text is always the same, so that
    the connector reports this error when every address of a name was refused."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not allowed")


class CheckedSockets:
    """Makes sockets, but only towards allowed addresses; raises AddressRefused otherwise."""

    def __init__(self, allow_private: Sequence[Network]) -> None:
        self._allow_private = tuple(allow_private)
        self._logged: set[str] = set()

    def __call__(self, addr_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = addr_info
        host = str(target[0]).partition("%")[0]  # fe80::1%eth0
        if family not in (socket.AF_INET, socket.AF_INET6) or not is_allowed(ip_address(host), self._allow_private):
            self._tell_operator(host)
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    def _tell_operator(self, host: str) -> None:
        if host in self._logged or len(self._logged) >= _LOGGED_MAX:
            return
        self._logged.add(host)
        log.warning(
            "a destination points to %s, which is not a public address; deliveries to it fail as EREFUSED. "
            "If destinations may reach it, list its network in --allow-private (MAINSTEM_ALLOW_PRIVATE)",
            host,
        )


class Resolver(AbstractResolver):
    """Looks up names in threads of its own, because a lookup can hang for half a minute: more of them than an
    event loop has, so that one dead name server is not everybody's, and none that somebody waits for at the end.
    Names that failed or were slow the last time have other threads, where they wait for each other alone."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")
        self._threads_for_bad = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve-bad")
        self._bad: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name; raises OSError when it has none."""
        look_up = functools.partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        loop = asyncio.get_running_loop()
        began, is_bad = loop.time(), True
        try:
            found = await loop.run_in_executor(self._threads_for_bad if host in self._bad else self._threads, look_up)
            is_bad = loop.time() - began > _SLOW_SECONDS
        except UnicodeError:  # an empty label, or one over 63 characters
            raise socket.gaierror(socket.EAI_NONAME, "no such name can be") from None
        finally:
            self._note(host, is_bad)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]  # fmt: skip

    def _note(self, host: str, is_bad: bool) -> None:
        if not is_bad:
            self._bad.discard(host)
        elif len(self._bad) < _BAD_NAMES_MAX:
            self._bad.add(host)

    async def close(self) -> None:
        """Wait for no lookup."""
        for threads in (self._threads, self._threads_for_bad):
            threads.shutdown(wait=False, cancel_futures=True)


def open_session(allow_private: Sequence[Network]) -> ClientSession:
    """The HTTP client of a delivery worker: kept-alive connections under the network policy, certificates
    verified, no cookies, no proxies, nothing decompressed, and no limit of its own on connections, so that
    destinations do not wait for each other; the worker bounds each destination. Callers set timeouts."""
    connector = TCPConnector(
        limit=0,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        socket_factory=CheckedSockets(allow_private),
        resolver=Resolver(),
        ttl_dns_cache=10,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=None),
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=False,
        trust_env=False,
    )
