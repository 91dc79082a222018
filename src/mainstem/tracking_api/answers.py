"""Every answer of the Tracking API, word for word as client libraries know them.

An error body carries `success`, `message` and `code`, which libraries format, and `error`, a copy of the
message, for one that reads this. Source: Tracking API reference, "Errors"; bodies that it does not print are
judgements in the same shape.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mainstem import http_server
from mainstem.errors import MainstemError

JSON: Final = ("content-type", "application/json")
RETRY_AFTER_SECONDS: Final = 5


class Answer(http_server.Answer, frozen=True, eq=False):
    """`for_any_origin`: a public file, the same for every website."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (JSON,)
    is_reused: bool = False
    for_any_origin: bool = False


class Refused(MainstemError):
    """The request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    body = {"success": False, "message": message, "code": code, "error": message}
    return Answer(status, msgspec.json.encode(body), (JSON, *headers))


ACCEPTED: Final = Answer(200, b'{"success": true}')
HEALTHY: Final = Answer(200, b'{"status": "ok"}')
MALFORMED_JSON: Final = _error(400, "invalid_request", "malformed JSON")
OVER_LIMIT: Final = _error(400, "invalid_request", "Exceed payload limit")
INVALID_WRITE_KEY: Final = _error(400, "invalid_request", "An invalid write key was provided")
UNKNOWN_WRITE_KEY: Final = _error(401, "unauthorized", "An unknown write key was provided")
NOT_UTF_8: Final = _error(400, "invalid_request", "The body is not UTF-8")
NOT_FOUND: Final = _error(404, "not_found", "There is no such route")
NO_SOURCE_FUNCTION: Final = _error(404, "not_found", "There is no source function with this key")
UNSUPPORTED_MEDIA_TYPE: Final = _error(
    415, "unsupported_media_type", "application/json or application/x-www-form-urlencoded is expected"
)
FAILED: Final = _error(500, "internal_error", "The request could not be served")
UNAVAILABLE: Final = _error(
    503,
    "unavailable",
    "The event could not be stored, send it again later",
    ("retry-after", str(RETRY_AFTER_SECONDS)),
)


def method_not_allowed(allowed: str) -> Answer:
    """405 with the methods that the route has, such as "GET, HEAD, OPTIONS"."""
    return _error(405, "method_not_allowed", f"This route answers {allowed}", ("allow", allowed))
