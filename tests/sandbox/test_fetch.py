"""What functions reach by fetch, and what they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import msgspec
import pytest

from mainstem.sandbox import Sandbox
from sandbox.running import SMALL, Listener, call, code, sandbox, value

FETCH = """
async function onTrack(event) {
  try {
    const response = await fetch(event.url, event.init);
    const headers = Object.fromEntries(response.headers);
    const { ok, status, url, redirected } = response;
    return { ok, status, url, redirected, headers, text: await response.text() };
  } catch (error) {
    return error.name + ": " + error.message;
  }
}
"""
LIMITS = msgspec.structs.replace(SMALL, seconds=5.0)
SPELLINGS = (
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://2130706433:{port}/",
    "http://0x7f.1:{port}/", "http://0x7f000001:{port}/", "http://017700000001:{port}/", "http://127.1:{port}/",
    "http://127.0.0.1.:{port}/", "http://①②⑦.0.0.1:{port}/", "http://0.0.0.0:{port}/", "http://0:{port}/",
    "http://[::1]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://user:pass@127.0.0.1:{port}/", "https://127.0.0.1:{port}/",
)  # fmt: skip
PRIVATE = (
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/", "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/", "http://224.0.0.1/", "http://255.255.255.255/", "http://[fd00::1]/", "http://[fe80::1]/",
    "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[2001:db8::1]/", "http://[fd00:ec2::254]/",
)  # fmt: skip
REFUSED = "TypeError: fetch failed: the address is not allowed"


@pytest.fixture
async def closed() -> AsyncIterator[Sandbox]:
    async with sandbox(LIMITS) as box:
        yield box


@pytest.fixture
async def open_() -> AsyncIterator[Sandbox]:
    async with sandbox(LIMITS, allow_private=[ip_network("127.0.0.1/32")]) as box:
        yield box


async def test_no_spelling_of_loopback_is_connected_to(closed: Sandbox) -> None:
    function = code(FETCH)
    async with Listener().listening() as listener:
        urls = [spelling.format(port=listener.port) for spelling in SPELLINGS]
        ended = await asyncio.gather(*(call(closed, function, {"url": url}) for url in urls))
        assert {url: value(each) for url, each in zip(urls, ended, strict=True)} == dict.fromkeys(urls, REFUSED)
        assert listener.connections == 0


async def test_no_private_address_is_connected_to(closed: Sandbox) -> None:
    function = code(FETCH)
    ended = await asyncio.gather(*(call(closed, function, {"url": url}) for url in PRIVATE))
    assert {url: value(each) for url, each in zip(PRIVATE, ended, strict=True)} == dict.fromkeys(PRIVATE, REFUSED)


async def test_a_redirect_to_a_refused_address_is_not_followed(open_: Sandbox) -> None:
    async with Listener().listening() as listener:
        url = f"http://127.0.0.1:{listener.port}/to?http://127.0.0.2:{listener.port}/"
        assert value(await call(open_, code(FETCH), {"url": url})) == REFUSED
        assert listener.connections == 1


async def test_a_listed_network_is_reached_with_method_headers_and_body(open_: Sandbox) -> None:
    async with Listener().listening() as listener:
        url = f"http://127.0.0.1:{listener.port}/a?b=%7E"
        init = {"method": "PUT", "headers": {"X-Api-Key": "k", "Content-Length": "9999"}, "body": "{}"}
        answer = value(await call(open_, code(FETCH), {"url": url, "init": init}))
    assert (answer["ok"], answer["status"], answer["url"], answer["redirected"]) == (True, 200, url, False)
    assert answer["headers"]["x-a"] == "1"
    head = answer["text"].lower()
    assert head.startswith("put /a?b=%7e http/1.1\r\n")
    assert "x-api-key: k\r\n" in head
    assert "content-length: 2\r\n" in head
    assert "9999" not in head


async def test_redirects_are_followed_left_or_refused_as_asked(open_: Sandbox) -> None:
    function = code(FETCH)
    async with Listener().listening() as listener:
        home = f"http://127.0.0.1:{listener.port}"
        ways = [
            value(await call(open_, function, {"url": f"{home}/to?{home}/b", "init": {"redirect": way}}))
            for way in ("follow", "manual", "error")
        ]
    assert (ways[0]["status"], ways[0]["url"], ways[0]["redirected"]) == (200, f"{home}/b", True)
    assert (ways[1]["status"], ways[1]["headers"]["location"]) == (302, f"{home}/b")
    assert ways[2] == "TypeError: fetch failed: it was redirected"


FORMS = """
async function onTrack({ url }) {
  const form = new FormData();
  form.append("a", "1");
  const sent = [form, new URLSearchParams({ a: "1" }), new Blob(["x"], { type: "text/x" }), Buffer.from("bytes")];
  const texts = await Promise.all(sent.map(async (body) => (await fetch(url, { method: "POST", body })).buffer()));
  return texts.map((each) => /content-type: (.*?)[;\\r]/i.exec(each.toString())?.[1]);
}
"""


async def test_bodies_of_every_kind_are_sent_as_what_they_are(open_: Sandbox) -> None:
    async with Listener().listening() as listener:
        url = f"http://127.0.0.1:{listener.port}/"
        kinds = value(await call(open_, code(FORMS), {"url": url}))
    assert kinds == [
        "multipart/form-data", "application/x-www-form-urlencoded", "text/x", "application/octet-stream",
    ]  # fmt: skip


ABORT = """
async function onTrack({ url, how }) {
  const aborter = new AbortController();
  setTimeout(() => aborter.abort(), 10);
  try {
    await fetch(url, how === "signal" ? { signal: aborter.signal } : { timeout: 10 });
  } catch (error) {
    return error.name + ": " + error.message;
  }
}
"""


async def test_a_request_is_given_up_by_a_signal_or_a_timeout(open_: Sandbox) -> None:
    function = code(ABORT)
    async with Listener().listening() as listener:
        url = f"http://127.0.0.1:{listener.port}/never"
        by_signal = value(await call(open_, function, {"url": url, "how": "signal"}))
        by_timeout = value(await call(open_, function, {"url": url, "how": "timeout"}))
    assert by_signal.startswith("AbortError")
    assert by_timeout == f"Error: network timeout at: {url}"


async def test_a_request_that_is_not_answered_ends_with_its_invocation() -> None:
    limits = msgspec.structs.replace(SMALL, seconds=0.5)
    loopback = [ip_network("127.0.0.1/32")]
    async with Listener().listening() as listener, sandbox(limits, allow_private=loopback) as box:
        ended = await call(box, code(FETCH), {"url": f"http://127.0.0.1:{listener.port}/never"})
    assert ended.how == "timeout" or value(ended) == "TypeError: fetch failed: it took too long"


async def test_a_name_that_is_none_and_a_port_that_is_closed_fail_like_a_network(open_: Sandbox) -> None:
    function = code(FETCH)
    for url, why in (
        ("http://no-such-host.invalid/", "the name has no address"),
        (f"http://{'a' * 70}.test/", "the name has no address"),
        ("http://127.0.0.1:1/", "ClientConnectorError"),
    ):
        assert value(await call(open_, function, {"url": url})) == f"TypeError: fetch failed: {why}"
    for url in ("not a url", "ftp://127.0.0.1/", "data:text/plain,x", "blob:null/x"):
        assert value(await call(open_, function, {"url": url})).startswith("TypeError: ")
