"""Node's https for functions: requests that the host makes, under the network policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network

import msgspec
import pytest

from mainstem.sandbox import Sandbox
from sandbox.running import SMALL, Listener, call, code, sandbox, value

LIMITS = msgspec.structs.replace(SMALL, seconds=5.0)
ASK = """
function ask(url, options = {}, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => { text += part; });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("timeout", () => request.destroy(new Error("it took too long")));
    request.on("error", reject);
    request.end(body);
  });
}
async function onTrack({ url, options, body }) {
  try {
    return await ask(url, options, body);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}
"""


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with sandbox(LIMITS, allow_private=[ip_network("127.0.0.1/32")]) as opened:
        yield opened


async def test_a_request_is_sent_with_method_headers_and_body(box: Sandbox) -> None:
    async with Listener().listening() as listener:
        options = {"method": "post", "headers": {"X-Key": "k", "X-Two": ["a", "b"]}, "path": "//a?b=c"}
        event = {"url": f"http://user:pass@127.0.0.1:{listener.port}/", "options": options, "body": "{}"}
        answer = value(await call(box, code(ASK), event))
    assert (answer["status"], answer["headers"]["x-a"]) == (200, "1")
    head = answer["text"].lower()
    assert head.startswith("post //a?b=c http/1.1\r\n")
    assert "x-key: k\r\n" in head
    assert "x-two: a, b\r\n" in head
    assert "authorization: basic dxnlcjpwyxnz\r\n" in head
    assert "content-length: 2\r\n" in head


async def test_a_request_may_be_made_of_parts_and_a_redirect_is_not_followed(box: Sandbox) -> None:
    source = """
    async function onTrack({ port }) {
      const options = { protocol: "http:", hostname: "127.0.0.1", port, path: "/to?http://127.0.0.1:1/" };
      return await new Promise((resolve) => https.get(options, (response) => {
        response.resume();
        resolve([response.statusCode, response.headers.location]);
      }));
    }
    """
    async with Listener().listening() as listener:
        assert value(await call(box, code(source), {"port": listener.port})) == [302, "http://127.0.0.1:1/"]


async def test_without_a_protocol_it_is_https(box: Sandbox) -> None:
    source = """
    async function onTrack({ port }) {
      const request = https.request({ host: "127.0.0.1", port });
      return [request.protocol, request.method, request.path];
    }
    """
    assert value(await call(box, code(source), {"port": 1})) == ["https:", "GET", "/"]


@pytest.mark.parametrize("address", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "[::1]"])
async def test_the_network_policy_holds(box: Sandbox, address: str) -> None:
    ended = await call(box, code(ASK), {"url": f"https://{address}/"})
    assert value(ended) == "TypeError: fetch failed: the address is not allowed"


async def test_a_timeout_is_told_and_ends_the_request_when_the_function_says_so(box: Sandbox) -> None:
    async with Listener().listening() as listener:
        event = {"url": f"http://127.0.0.1:{listener.port}/never", "options": {"timeout": 20}}
        assert value(await call(box, code(ASK), event)) == "Error: it took too long"


async def test_a_url_that_is_none_is_thrown_at_once(box: Sandbox) -> None:
    ended = await call(box, code(ASK), {"url": "nonsense"})
    assert value(ended).startswith("TypeError: ")
