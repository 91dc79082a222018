"""Which address a request came from.

Source: Tracking API reference, "Collecting IP addresses"; whom to believe is the operator's setting.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from typing import Final

from mainstem.settings import Network
from mainstem.tracking_api.requests import Request

_MAX_ADDRESS_CHARACTERS: Final = 64


class Peers:
    """Tells the address of the client. X-Forwarded-For is believed only from `trusted_proxies`, and only back
    to the first hop that is not one of them: what stands further left the client may have made up."""

    def __init__(self, trusted_proxies: Iterable[Network]) -> None:
        self._trusted = tuple(trusted_proxies)
        self._is_trusted = functools.lru_cache(maxsize=4096)(self._in_trusted)

    def address(self, request: Request) -> str:
        """The address of the client; an IPv4 address that came over IPv6 in its IPv4 form; "" when unknown."""
        address = _plain(request.peer)
        if not self._trusted or not self._is_trusted(address):
            return address
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            text = _without_port(hop.strip())
            if not _is_address(text):
                break
            address = _plain(text)
            if not self._is_trusted(address):
                break
        return address

    def _in_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._trusted)


def _plain(address: str) -> str:
    if ":" not in address:
        return address
    mapped = ipaddress.IPv6Address(address).ipv4_mapped
    return str(mapped) if mapped else address


def _without_port(hop: str) -> str:
    """`1.2.3.4:5` and `[::1]:5` are not in the specification of the header, but some proxies write them."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _is_address(text: str) -> bool:
    if len(text) > _MAX_ADDRESS_CHARACTERS:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
