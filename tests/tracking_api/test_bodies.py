"""Sizes, gzip and chunks."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.tracking_api.answers import Refused
from mainstem.tracking_api.bodies import inflate
from tracking_api.serving import TRACK, WRITE_KEY, Served, basic

KB = 1024
OVER_LIMIT = {
    "success": False,
    "message": "Exceed payload limit",
    "code": "invalid_request",
    "error": "Exceed payload limit",
}
MALFORMED = {"success": False, "message": "malformed JSON", "code": "invalid_request", "error": "malformed JSON"}
POST_ROUTES = ["/v1/track", "/v1/t", "/v1/batch", "/v1/import", "/v1/b", "/v1/alias"]


def event(size: int) -> bytes:
    """A track call of exactly `size` bytes."""
    frame = b'{"event":"E","userId":"u","x":"%s"}'
    return frame % (b"x" * (size - len(frame) + 2))


def batch(size: int) -> bytes:
    """A batch of exactly `size` bytes, its items far below their own limit."""
    item = event(10_000)
    items = [item] * (size // 10_001)
    frame = b'{"batch":[%s],"x":"%s"}'
    joined = b",".join(items)
    return frame % (joined, b"x" * (size - len(frame) + 4 - len(joined)))


@pytest.mark.parametrize("size", [30_082, 32 * KB])
def test_an_event_up_to_32_kb_is_accepted(served: Served, size: int) -> None:
    assert len(event(size)) == size
    assert served.post("/v1/track", event(size)).status_code == 200
    assert len(served.one_received().body) == size


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t"])
@pytest.mark.parametrize("size", [32 * KB + 1, 33 * KB, 34 * KB, 400 * KB, 3_000 * KB])
def test_an_event_over_32_kb_is_refused(served: Served, path: str, size: int) -> None:
    answer = served.post(path, event(size))
    assert (answer.status_code, answer.json()) == (400, OVER_LIMIT)
    assert served.received() == []


def test_a_batch_up_to_500_kb_is_accepted(served: Served) -> None:
    assert len(batch(500 * KB)) == 500 * KB
    assert served.post("/v1/batch", batch(500 * KB)).status_code == 200
    assert len(served.one_received().body) == 500 * KB


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/import", "/v1/b"])
@pytest.mark.parametrize("size", [500 * KB + 1, 501 * KB, 502 * KB, 3_000 * KB])
def test_a_batch_over_500_kb_is_refused(served: Served, path: str, size: int) -> None:
    answer = served.post(path, batch(size))
    assert (answer.status_code, answer.json()) == (400, OVER_LIMIT)
    assert served.received() == []


def test_an_item_over_32_kb_refuses_its_batch(served: Served) -> None:
    fits = b'{"batch":[%s,%s]}' % (event(32 * KB), event(100))
    assert served.post("/v1/batch", fits).status_code == 200
    too_large = b'{"batch":[%s,%s]}' % (event(100), event(32 * KB + 1))
    answer = served.post("/v1/batch", too_large)
    assert (answer.status_code, answer.json()) == (400, OVER_LIMIT)
    assert len(served.received()) == 1


def test_an_endless_body_is_cut_off(served: Served) -> None:
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.raw(head) as connection:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100_000 * KB:
                connection.sendall(chunk)
                sent += len(chunk)
    assert sent < 100_000 * KB
    assert served.client.get("/health").status_code == 200


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def post_chunks(served: Served, path: str, body: bytes) -> tuple[int, object]:
    answer = served.client.post(path, content=chunks(body, 1000), headers=basic(WRITE_KEY))
    assert answer.request.headers["transfer-encoding"] == "chunked"
    return answer.status_code, answer.json()


def test_a_body_in_chunks_counts_as_a_whole(served: Served) -> None:
    assert post_chunks(served, "/v1/track", event(32 * KB)) == (200, {"success": True})
    assert served.one_received().body == event(32 * KB)
    assert post_chunks(served, "/v1/track", event(32 * KB + 1)) == (400, OVER_LIMIT)
    assert post_chunks(served, "/v1/track", event(100 * KB)) == (400, OVER_LIMIT)


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Encoding": "GZIP"}, {}])
def test_gzip_is_unpacked_on_every_route(served: Served, path: str, headers: dict[str, str]) -> None:
    body = json.dumps({**TRACK, "batch": [TRACK], "writeKey": WRITE_KEY}).encode()
    assert served.post(path, gzip.compress(body), headers=headers).status_code == 200
    assert served.one_received().body == body


def test_the_inflated_size_counts(served: Served) -> None:
    assert served.post("/v1/track", gzip.compress(event(32 * KB))).status_code == 200
    answer = served.post("/v1/track", gzip.compress(event(32 * KB + 1)))
    assert (answer.status_code, answer.json()) == (400, OVER_LIMIT)


def test_what_cannot_be_compressed_may_be_a_little_longer_on_the_wire(served: Served) -> None:
    body = event(32 * KB)
    packed = gzip.compress(body, compresslevel=0)
    assert len(packed) > len(body)
    assert served.post("/v1/track", packed).status_code == 200


def test_a_bomb_is_not_inflated(served: Served) -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    assert len(bomb) < 500 * KB
    answer = served.post("/v1/batch", bomb)
    assert (answer.status_code, answer.json()) == (400, OVER_LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"{}", mtime=0)[:-1],
        gzip.compress(b"{}", mtime=0) + b"x",
        gzip.compress(b"{}", mtime=0)[:3],
        b"\x1f\x8b",
        b"\x1f\x8b" + b"x" * 100,
        gzip.compress(b"{}", mtime=0)[:-8] + b"\0" * 8,
        gzip.compress(b"", mtime=0),
        gzip.compress(b"no json", mtime=0),
        gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
        zlib.compress(b"{}"),
    ],
)
def test_broken_gzip_is_malformed(served: Served, body: bytes) -> None:
    answer = served.post("/v1/batch", body, headers={**basic(WRITE_KEY), "Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (400, MALFORMED)
    assert served.received() == []


def test_plain_json_that_claims_to_be_gzip_is_read(served: Served) -> None:
    assert served.post("/v1/track", headers={**basic(WRITE_KEY), "Content-Encoding": "gzip"}).status_code == 200


@given(st.binary(max_size=500), st.integers(min_value=0, max_value=500))
def test_inflating_gives_the_whole_or_refuses(body: bytes, limit: int) -> None:
    if len(body) <= limit:
        assert inflate(gzip.compress(body), limit) == body
    else:
        with pytest.raises(Refused):
            inflate(gzip.compress(body), limit)


@given(st.binary(max_size=200))
def test_inflating_anything_never_crashes(body: bytes) -> None:
    with contextlib.suppress(Refused):
        assert len(inflate(b"\x1f\x8b" + body, 100)) <= 100
