from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.networks import MAPPED, NAT64, REFUSED_IPV4, Network, is_allowed, refused

near_edges = st.sampled_from(refused()).flatmap(
    lambda network: st.sampled_from(
        [int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1]
    ).map(lambda number: type(network[0])(number % 2**network.max_prefixlen))
)
addresses = st.ip_addresses() | near_edges
holes = st.lists(
    st.sampled_from(["10.1.0.0/16", "127.0.0.1/32", "::1/128", "fd00::/8", "192.168.0.0/16", "10.0.0.0/8"]),
    max_size=3,
).map(lambda texts: [ip_network(each) for each in texts])


@given(addresses, holes)
def test_the_list_refuses_exactly_what_is_not_allowed(
    address: IPv4Address | IPv6Address, holes: list[Network]
) -> None:
    listed = any(address in each for each in refused(holes) if each.version == address.version)
    assert listed is not is_allowed(address, holes)


@pytest.mark.parametrize("network", REFUSED_IPV4, ids=str)
@pytest.mark.parametrize("space", [MAPPED, NAT64], ids=["mapped", "nat64"])
def test_an_ipv4_network_is_refused_in_the_spelling_of_ipv6_too(network: Network, space: Network) -> None:
    address = ip_address(int(space[0]) + int(network[0]))
    assert any(address in each for each in refused() if each.version == 6)


def test_what_the_operator_allows_is_cut_out() -> None:
    found = refused([ip_network("10.1.0.0/16")])
    assert not any(ip_address("10.1.2.3") in each for each in found if each.version == 4)
    assert any(ip_address("10.2.0.1") in each for each in found if each.version == 4)
