"""One POST, and what the answer means for retries."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator
from email.utils import format_datetime

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from delivery.delivering import LOOPBACK, Arrival, Partner
from mainstem.destinations import post as posting
from mainstem.destinations.base import Rejected, Retryable
from mainstem.destinations.network import open_session
from mainstem.destinations.post import post, retry_after_seconds

NOW = dt.datetime(2026, 11, 23, 12, 0, 0, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with Partner() as partner:
        yield partner


async def send(url: str, headers: dict[str, str] | None = None) -> None:
    async with open_session(LOOPBACK) as http:
        await post(http, URL(url), b"{}", headers or {}, NOW_MS)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_any_2xx_is_delivered(partner: Partner, status: int) -> None:
    partner.answer = lambda _: status
    await send(partner.url)
    assert len(partner.arrivals) == 1


@pytest.mark.parametrize("status", [408, 423, 429, 500, 502, 503, 504, 505, 507, 511, 520, 599])
async def test_these_answers_are_tried_again(partner: Partner, status: int) -> None:
    partner.answer = lambda _: status
    with pytest.raises(Retryable) as failure:
        await send(partner.url)
    assert failure.value.reason == str(status)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 400, 401, 403, 404, 405, 410, 413, 415, 422, 501])
async def test_these_answers_are_final(partner: Partner, status: int) -> None:
    partner.answer = lambda _: status
    with pytest.raises(Rejected) as failure:
        await send(partner.url)
    assert failure.value.reason == str(status)
    assert len(partner.arrivals) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("-1", None), ("1.5", None), ("soon", None),
        ("", None), ("99999999999999", None), ("²", None),
        (format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - dt.timedelta(days=1), usegmt=True), 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Mon, 99 Nov 2026 12:00:30 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW_MS) == seconds


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_the_partner_asks_for_is_passed_on(partner: Partner, status: int) -> None:
    partner.answer = lambda _: web.Response(status=status, headers={"Retry-After": "17"})
    with pytest.raises(Retryable) as failure:
        await send(partner.url)
    assert failure.value.retry_after_seconds == 17


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_that_keeps_the_method_is_followed(partner: Partner, status: int) -> None:
    def answer(arrival: Arrival) -> web.Response:
        return web.Response(status=status, headers={"Location": "/new"}) if arrival.path == "/old" else web.Response()

    partner.answer = answer
    await send(f"{partner.url}/old", {"Authorization": "Bearer t"})
    assert [(each.path, each.body, each.headers["Authorization"]) for each in partner.arrivals] == [
        ("/old", b"{}", "Bearer t"),
        ("/new", b"{}", "Bearer t"),
    ]


async def test_headers_of_an_operator_stay_with_their_origin(partner: Partner) -> None:
    async with Partner() as other:
        partner.answer = lambda _: web.Response(status=307, headers={"Location": other.url.replace("//", "//u:p@")})
        await send(partner.url, {"Authorization": "Bearer t", "X-Key": "k", "X-Signature": "s", "User-Agent": "a"})
        [arrival] = other.arrivals
    assert arrival.headers["X-Signature"] == "s"
    assert arrival.headers["User-Agent"] == "a"
    assert "Authorization" not in arrival.headers
    assert "X-Key" not in arrival.headers


@pytest.mark.parametrize("location", ["ftp://a.example/", "http://[", "file:///etc/passwd", "", "http://"])
async def test_a_redirect_to_nowhere_is_final(partner: Partner, location: str) -> None:
    partner.answer = lambda _: web.Response(status=307, headers={"Location": location})
    with pytest.raises(Rejected) as failure:
        await send(partner.url)
    assert failure.value.reason == "307"


async def test_redirects_in_a_circle_end(partner: Partner) -> None:
    partner.answer = lambda _: web.Response(status=308, headers={"Location": "/"})
    with pytest.raises(Rejected) as failure:
        await send(partner.url)
    assert failure.value.reason == "308"
    assert len(partner.arrivals) == 4


async def test_a_refused_connection_is_tried_again() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Retryable) as failure:
        await send(f"http://127.0.0.1:{port}/")
    assert failure.value.reason == "EREFUSED"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example", "a..example"])
async def test_a_name_that_does_not_resolve_is_tried_again(host: str) -> None:
    with pytest.raises(Retryable) as failure:
        await send(f"http://{host}/")
    assert failure.value.reason == "ENOTFOUND"


async def test_credentials_that_cannot_be_sent_are_invalid_settings(partner: Partner) -> None:
    with pytest.raises(Rejected) as failure:
        await send(partner.url.replace("//", "//\u20ac:p@"))
    assert failure.value.reason == "INVALID_SETTINGS"


async def test_credentials_in_a_redirect_give_way_to_the_operators(partner: Partner) -> None:
    answers = iter([web.Response(status=307, headers={"Location": partner.url.replace("//", "//u:p@")}), 200])
    partner.answer = lambda _: next(answers)
    await send(partner.url, {"Authorization": "Bearer t"})
    assert [each.headers["Authorization"] for each in partner.arrivals] == ["Bearer t"] * 2


async def test_no_answer_in_time_is_tried_again(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert posting.TIMEOUT_SECONDS == 5
    monkeypatch.setattr(posting, "TIMEOUT_SECONDS", 0.05)
    forever = asyncio.Event()

    async def hang(_: Arrival) -> int:
        await forever.wait()
        return 200

    partner.answer = hang
    with pytest.raises(Retryable) as failure:
        await send(partner.url)
    forever.set()
    assert failure.value.reason == "ETIMEDOUT"


class RawPartner:
    """A partner that answers bytes; each connection gets the next of `replies`, after one request each."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.requests = 0

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/"

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        self.requests += 1
        writer.write(self.replies.pop(0))
        await writer.drain()
        writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_a_connection_that_breaks_before_the_answer_is_tried_once_more_at_once() -> None:
    partner = RawPartner(b"", OK)
    async with partner as url:
        await send(url)
    assert partner.requests == 2


async def test_a_connection_that_breaks_again_is_tried_later() -> None:
    partner = RawPartner(b"", b"")
    async with partner as url:
        with pytest.raises(Retryable) as failure:
            await send(url)
    assert failure.value.reason == "ECONNRESET"
    assert partner.requests == 2


async def test_an_answer_that_is_no_http_is_tried_later() -> None:
    async with RawPartner(b"220 mail.example ESMTP\r\n") as url:
        with pytest.raises(Retryable) as failure:
            await send(url)
    assert failure.value.reason == "ECONNRESET"


async def test_a_body_cut_short_does_not_undo_the_answer() -> None:
    async with RawPartner(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as url:
        await send(url)


async def test_a_long_body_is_not_read_to_its_end(partner: Partner) -> None:
    sent = 0

    async def flood(arrival: Arrival) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(arrival.request)
        for _ in range(10_000):
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    partner.answer = flood
    await send(partner.url)
    assert sent < 64 * 1024 * 1024


async def test_a_certificate_that_does_not_verify_gets_no_request(
    partner: Partner, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context, requests = self_signed(tmp_path_factory), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += bool(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        with pytest.raises(Retryable) as failure:
            await send(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert failure.value.reason == "EREFUSED"
    assert requests == 0


def self_signed(folders: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate that nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=9))
    )
    certificate = builder.sign(key, hashes.SHA256())
    path = folders.mktemp("tls") / "own.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
