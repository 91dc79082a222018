"""The bytes of a request body, inflated, and never more of them than the route allows.

Source: Tracking API reference, "Max request size"; sizes are measured on the inflated body (judgement).
"""

from __future__ import annotations

import zlib
from typing import Final

from mainstem.tracking_api.answers import MALFORMED_JSON, OVER_LIMIT, Refused
from mainstem.tracking_api.rsgi import Headers, HttpProtocol

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_OVERHEAD_BYTES: Final = 1024  # gzip makes incompressible bytes longer, by far less than this
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
# A client reads the refusal of a body that is too long only after it has sent it; so much is listened to.
_MAX_IGNORED_BYTES: Final = 4 * 1024 * 1024


async def read_body(protocol: HttpProtocol, headers: Headers, limit_bytes: int) -> bytes:
    """Return the body, inflated. Raises Refused when it is longer than `limit_bytes` or broken gzip.

    gzip is known by its first two bytes, with which no JSON begins: some proxies lose Content-Encoding.
    """
    wire_limit = limit_bytes + _GZIP_OVERHEAD_BYTES
    length = headers.get("content-length")
    if length is not None and int(length) <= wire_limit:
        body = await protocol()
    else:
        body = await _read_chunks(protocol, wire_limit)
    if body.startswith(_GZIP_MAGIC):
        return inflate(body, limit_bytes)
    if len(body) > limit_bytes:
        raise Refused(OVER_LIMIT)
    return body


def inflate(body: bytes, limit_bytes: int) -> bytes:
    """Inflate one gzip member, to `limit_bytes` at most. Raises Refused when it is longer or broken."""
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = stream.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise Refused(MALFORMED_JSON) from None
    if len(inflated) > limit_bytes:
        raise Refused(OVER_LIMIT)
    if not stream.eof or stream.unused_data:
        raise Refused(MALFORMED_JSON)
    return inflated


async def _read_chunks(protocol: HttpProtocol, limit_bytes: int) -> bytes:
    """A body of unknown length, or one that is announced as too long."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in protocol:
        size += len(chunk)
        if size <= limit_bytes:
            chunks.append(chunk)
        elif size > _MAX_IGNORED_BYTES:
            break
    if size > limit_bytes:
        raise Refused(OVER_LIMIT)
    return b"".join(chunks)
