"""The bytes of a request body, inflated, and never more of them than the route allows.

Source: Tracking API reference, "Max request size"; sizes are measured on the inflated body (judgement).
"""

from __future__ import annotations

import zlib
from typing import Final

from mainstem.tracking_api.answers import MALFORMED_JSON, OVER_LIMIT, Refused
from mainstem.tracking_api.requests import GZIP_OVERHEAD_BYTES, Request

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body, inflated. Raises Refused when it is longer than `limit_bytes` or broken gzip.

    gzip is known by its first two bytes, with which no JSON begins: some proxies lose Content-Encoding.
    """
    body = request.body
    if body.startswith(_GZIP_MAGIC) and len(body) <= limit_bytes + GZIP_OVERHEAD_BYTES:
        return inflate(body, limit_bytes)
    if request.is_too_long or len(body) > limit_bytes:
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
