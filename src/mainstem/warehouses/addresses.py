"""Where a warehouse's host is, under the network policy: names are looked up here, and drivers connect to the very
addresses that were checked, so that nothing can change in between."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookupTimeout
from ipaddress import ip_address
from typing import Final

from mainstem.model.networks import is_allowed
from mainstem.warehouses.base import Surroundings, Unreachable

_LOOKUPS: Final = ThreadPoolExecutor(4, thread_name_prefix="warehouse-lookup")  # a lookup can hang for half a minute
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?|[0-9A-Fa-f:]+(\.[0-9.]+)?")


def resolve(host: str, port: int, around: Surroundings) -> Sequence[str]:
    """The addresses of a host that may be reached, in the order of the system. Raises Unreachable."""
    if not _HOST.fullmatch(host):
        raise Unreachable("the setting hostname is not the name or address of one host")
    found = list(dict.fromkeys(_looked_up(host, port, around)))
    allowed = [each for each in found if is_allowed(ip_address(each.partition("%")[0]), around.allow_private)]
    if not allowed:
        raise Unreachable(
            "its address is not a public one; if warehouses may reach it, list its network in --allow-private "
            "(MAINSTEM_ALLOW_PRIVATE)"
        )
    return allowed


def _looked_up(host: str, port: int, around: Surroundings) -> Sequence[str]:
    lookup = _LOOKUPS.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        return [str(each[4][0]) for each in lookup.result(around.seconds_left)]
    except LookupTimeout:
        lookup.cancel()
        raise Unreachable("its name was not found in time") from None
    except (OSError, UnicodeError):
        raise Unreachable("there is no host of this name") from None
