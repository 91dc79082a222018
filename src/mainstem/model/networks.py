"""Networks that no destination, function or warehouse may reach unless the operator lists them: what is not the
public internet.

Source of the ranges: the IANA special-purpose address registries and RFC 6890; that 6to4 and Teredo are refused
whole is a judgement, both are out of use and hide an IPv4 address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

REFUSED_IPV4: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers (CGNAT), and by clouds for internal services
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host services: public by number, and one hop from every machine there
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
REFUSED_IPV6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # the only IPv6 space that holds public machines
NAT64: Final = IPv6Network("64:ff9b::/96")
MAPPED: Final = IPv6Network("::ffff:0:0/96")


def is_allowed(address: IPv4Address | IPv6Address, allow_private: Sequence[Network] = ()) -> bool:
    """True for an address of the public internet, and for those within `allow_private`.

    An IPv4 address inside an IPv6 one (mapped, or of a NAT64 gateway) is judged as that IPv4 address.
    """
    if _within(address, allow_private):
        return True
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_allowed(inner, allow_private)
        if address not in GLOBAL_UNICAST:
            return False
    return not _within(address, (*REFUSED_IPV4, *REFUSED_IPV6))


def _within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else None


def refused(allow_private: Sequence[Network] = ()) -> list[Network]:
    """Every network that may not be reached, each once: what is refused, less `allow_private`. IPv4 addresses that
    are written as IPv6 (mapped, or of a NAT64 gateway) are refused and allowed like themselves."""
    v4 = _without(REFUSED_IPV4, [each for each in allow_private if isinstance(each, IPv4Network)])
    other: Iterable[Network] = _without((IPv6Network("::/0"),), (GLOBAL_UNICAST, NAT64, MAPPED))
    written_as_v6 = (_embedded(each, space) for each in v4 for space in (NAT64, MAPPED))
    allowed = [each for each in allow_private if isinstance(each, IPv6Network)]
    return [*v4, *_without((*other, *REFUSED_IPV6, *written_as_v6), allowed)]


def _embedded(network: Network, space: IPv6Network) -> Network:
    first = int(space.network_address) + int(network.network_address)
    return IPv6Network((first, space.prefixlen + network.prefixlen))


def _without(networks: Iterable[Network], holes: Iterable[Network]) -> list[Network]:
    """`networks` less `holes`; all of one version."""
    left = list(networks)
    for hole in holes:
        left = [part for each in left for part in _cut(each, hole)]
    return [ip_network(each) for each in collapse_addresses(left)]  # type: ignore[type-var]  # all of one version


def _cut(network: Network, hole: Network) -> list[Network]:
    if not network.overlaps(hole):
        return [network]
    if hole.supernet_of(network):  # type: ignore[arg-type]  # both are of one version
        return []
    return list(network.address_exclude(hole))  # type: ignore[arg-type]
