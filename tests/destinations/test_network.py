"""Which machines destinations may reach."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from delivery.delivering import LOOPBACK, Partner
from mainstem.destinations import network
from mainstem.destinations.base import Rejected, Retryable
from mainstem.destinations.post import post
from mainstem.model.networks import is_allowed

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.8.8.8",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.7", "192.88.99.1", "192.168.1.1",
    "168.63.129.16", "198.18.0.1", "198.19.255.255", "198.51.100.9", "203.0.113.5", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1",
    "::ffff:10.1.2.3", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1",
    "fd12:3456:789a::1", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "198.17.255.255",
    "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888",
    "2606:4700:4700::1111", "2a00:1450:4001::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_listed_network_is_allowed(address: str) -> None:
    ip = ipaddress.ip_address(address)
    assert is_allowed(ip, (ipaddress.ip_network(ip),))


def test_a_listed_ipv4_network_also_counts_in_its_ipv6_spellings() -> None:
    allowed = (ipaddress.ip_network("10.0.0.0/8"),)
    assert is_allowed(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_allowed(ipaddress.ip_address("::ffff:192.168.1.1"), allowed)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    translated = ipaddress.IPv6Address(f"64:ff9b::{address}")
    assert is_allowed(address) == is_allowed(mapped) == is_allowed(translated)


@given(st.ip_addresses())
def test_what_python_knows_to_be_private_is_never_allowed(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    judged = inner or address
    if judged.is_private or judged.is_loopback or judged.is_link_local or judged.is_multicast or judged.is_reserved:
        assert not is_allowed(address) or address in ipaddress.ip_network("64:ff9b::/96")


@pytest.fixture
async def sink() -> AsyncIterator[Partner]:
    async with Partner() as sink:
        yield sink


SPELLINGS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
    "localhost", "localhost.", "LOCALHOST", "foo.localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::]", "0.0.0.0", "0", "user:word@127.0.0.1", "example.com@127.0.0.1",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_reached(host: str, sink: Partner) -> None:
    port = sink.url.rpartition(":")[2]
    try:
        url = URL(f"http://{host}:{port}/")
    except ValueError:
        return  # no URL at all: refused when the settings are read
    async with network.open_session(()) as http:
        with pytest.raises((Rejected, Retryable)) as failure:
            await post(http, url, b"{}", {}, 0)
    assert failure.value.reason in {"EREFUSED", "ENOTFOUND", "INVALID_SETTINGS"}
    assert isinstance(failure.value, Rejected) or failure.value.reason == "ENOTFOUND", "a refusal is final"
    assert not sink.arrivals


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_to_a_private_address_is_refused(status: int) -> None:
    async with Partner() as inside, Partner() as outside:
        port = inside.url.rpartition(":")[2]
        outside.answer = lambda _: web.Response(status=status, headers={"Location": f"http://127.0.0.2:{port}/"})
        async with network.open_session((ipaddress.ip_network("127.0.0.1/32"),)) as http:
            with pytest.raises(Rejected) as refusal:
                await post(http, URL(outside.url), b"{}", {}, 0)
    assert refusal.value.reason == "EREFUSED"
    assert not inside.arrivals


async def test_a_listed_network_is_reached(sink: Partner) -> None:
    async with network.open_session(LOOPBACK) as http:
        await post(http, URL(sink.url), b"{}", {}, 0)
    assert len(sink.arrivals) == 1


async def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to(
    sink: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(sink.url.rpartition(":")[2])
    answers = iter(["8.8.8.8", "127.0.0.1"])  # a name server that changes its mind
    asked: list[str] = []
    connected: list[str] = []
    check = network.CheckedSockets.__call__

    def getaddrinfo(host: str, *args: object, **options: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def record(self: network.CheckedSockets, addr_info: tuple[object, ...]) -> socket.socket:
        connected.append(addr_info[4][0])
        check(self, addr_info).close()
        raise ConnectionRefusedError(111, "nobody leaves this machine in a test")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(network.CheckedSockets, "__call__", record)
    async with network.open_session(()) as http:
        with pytest.raises(Retryable):
            await post(http, URL(f"http://rebinding.example:{port}/"), b"{}", {}, 0)
    assert asked == ["rebinding.example"]
    assert connected == ["8.8.8.8"]
    assert not sink.arrivals


async def test_proxies_of_the_environment_are_not_used(sink: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, sink.url)
    async with network.open_session(()) as http:
        with pytest.raises(Rejected):
            await post(http, URL("http://10.0.0.1/"), b"{}", {}, 0)
    assert not sink.arrivals


async def test_the_operator_is_told_once_and_without_the_url(sink: Partner, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with network.open_session(()) as http:
            for _ in range(3):
                with pytest.raises(Rejected):
                    await post(http, URL(f"{sink.url}/hook?token=hunter2"), b"{}", {}, 0)
    assert len(caplog.records) == 1
    assert "--allow-private" in caplog.text
    assert "127.0.0.1" in caplog.text
    assert "hunter2" not in caplog.text


async def test_names_that_failed_before_may_hang_by_the_hundred(
    sink: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    answered.set()
    look_up = socket.getaddrinfo
    asked = itertools.count(1)
    all_hang, loop = asyncio.Event(), asyncio.get_running_loop()

    def getaddrinfo(host: str, *args: object, **options: object) -> object:
        if host.startswith("hangs"):
            if next(asked) == 100 + 32:  # as many as there are threads for one kind of names
                loop.call_soon_threadsafe(all_hang.set)
            answered.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered")
        return look_up("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hanging = [URL(f"http://hangs{n}.example/") for n in range(100)]
    async with network.open_session(LOOPBACK) as http:
        await asyncio.gather(*(post(http, url, b"{}", {}, 0) for url in hanging), return_exceptions=True)
        answered.clear()
        again = [asyncio.create_task(post(http, url, b"{}", {}, 0)) for url in hanging]
        await all_hang.wait()
        await post(http, URL(sink.url.replace("127.0.0.1", "well.example")), b"{}", {}, 0)
        answered.set()
        await asyncio.gather(*again, return_exceptions=True)
    assert len(sink.arrivals) == 1


async def test_lookups_that_hang_do_not_hold_up_another(sink: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: str, *args: object, **options: object) -> object:
        if host.startswith("hangs"):
            answered.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered")
        return look_up("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with network.open_session(LOOPBACK) as http:
        hanging = [asyncio.create_task(post(http, URL(f"http://hangs{n}.example/"), b"{}", {}, 0)) for n in range(12)]
        await post(http, URL(sink.url.replace("127.0.0.1", "well.example")), b"{}", {}, 0)
        answered.set()
        failures = await asyncio.gather(*hanging, return_exceptions=True)
    assert [getattr(each, "reason", each) for each in failures] == ["ENOTFOUND"] * 12
    assert len(sink.arrivals) == 1
