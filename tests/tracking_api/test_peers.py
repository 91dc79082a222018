"""Whose address an event came from."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.tracking_api.peers import Peers
from mainstem.tracking_api.requests import Request
from tracking_api.serving import Served

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.0/8", "fd00::/8")))


def request(peer: str, forwarded_for: str | None) -> Request:
    headers = {} if forwarded_for is None else {"x-forwarded-for": forwarded_for}
    return Request("POST", "/v1/t", "", headers, peer, "http", b"")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2,10.0.0.3", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1,203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:1234", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:1234", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("fd00::1", "2001:db8::2", "2001:db8::2"),
        ("2001:db8::1", None, "2001:db8::1"),
        ("::ffff:198.51.100.7", None, "198.51.100.7"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", ""),
    ],
)
def test_only_trusted_proxies_are_believed_and_only_back_to_the_first_stranger(
    peer: str, forwarded_for: str | None, expected: str
) -> None:
    assert Peers(PROXIES).address(request(peer, forwarded_for)) == expected


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert Peers(()).address(request("10.0.0.1", "203.0.113.9")) == "10.0.0.1"


@given(st.text(max_size=60))
def test_whatever_the_header_says_an_address_comes_out(line: str) -> None:
    ipaddress.ip_address(Peers(PROXIES).address(request("10.0.0.1", line)))


def test_the_header_is_read_when_the_server_trusts_its_peer(serve: Callable[..., Served]) -> None:
    served = serve(trusted_proxies=PROXIES)
    body = b'{"writeKey":"WriteKeyOfTheSourceThatIsInTests"}'
    served.post("/v1/t", body, headers=[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.9, 10.1.1.1")])
    assert served.one_received().ip == "203.0.113.9"


def test_the_header_is_not_read_by_default(served: Served) -> None:
    body = b'{"writeKey":"WriteKeyOfTheSourceThatIsInTests"}'
    served.post("/v1/t", body, headers={"X-Forwarded-For": "203.0.113.9"})
    assert served.one_received().ip == "127.0.0.1"
