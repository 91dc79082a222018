"""Public files: the same for every website, kept by browsers and proxies, and asked for again by their tag.

Source: RFC 9110, "Conditional Requests" and "Content Codings". Judgement: the tag is a weak one, for what is packed
and what is not share it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from typing import Final

from mainstem.tracking_api.answers import Answer
from mainstem.tracking_api.requests import Request

CHECKED_EACH_TIME: Final = "public, max-age=0, must-revalidate"
"""May be kept by anybody, and is asked for by its tag before each use: the answer then has no body (304)."""

FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For a name that means the same bytes for ever."""

_WORTH_PACKING_BYTES: Final = 1_000  # what fits into a packet gains nothing


class PublicFile:
    """A body with its headers, and packed once when the first client wants it so."""

    def __init__(self, body: bytes, content_type: str, cache_control: str) -> None:
        self._body = body
        self._packed: bytes | None = None
        self.tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        self._headers = (
            ("content-type", content_type),
            ("cache-control", cache_control),
            ("etag", self.tag),
            ("vary", "Accept-Encoding"),
            ("x-content-type-options", "nosniff"),
        )

    def answer(self, request: Request) -> Answer:
        """The file, packed if the client reads that; 304 when it has it."""
        if _names(self.tag, request.headers):
            return Answer(304, b"", self._headers, for_any_origin=True)
        if len(self._body) < _WORTH_PACKING_BYTES or not _takes_gzip(request.headers):
            return Answer(200, self._body, self._headers, for_any_origin=True)
        if self._packed is None:
            self._packed = gzip.compress(self._body, compresslevel=6, mtime=0)
        return Answer(200, self._packed, (*self._headers, ("content-encoding", "gzip")), for_any_origin=True)


def missing(sentence: str) -> Answer:
    """404 with a sentence for whoever looks."""
    headers = (("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store"))
    return Answer(404, sentence.encode(), headers, for_any_origin=True)


def _names(tag: str, headers: Mapping[str, str]) -> bool:
    known = headers.get("if-none-match", "")
    return known.strip() == "*" or tag.removeprefix("W/") in {
        each.strip().removeprefix("W/") for each in known.split(",")
    }


def _takes_gzip(headers: Mapping[str, str]) -> bool:
    for coding in headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.strip().replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
