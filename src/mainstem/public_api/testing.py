"""Testing: an echo, for trying a client against the API.

Source: Public API reference, tag "Testing" (1 operation).
"""

from __future__ import annotations

import time
from typing import Annotated, Final

from msgspec import Meta

from mainstem.errors import ApiError, BadRequest, Fault
from mainstem.rest.operation import V1_ALPHA, Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Testing")
SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class EchoQuery(Wire, frozen=True):
    """Options of the echo, tried in this order; `delay` is in milliseconds, at most 10,000."""

    message: Annotated[str, Meta(min_length=1)]
    delay: Annotated[float, Meta(ge=0, le=10_000)] = 0
    trigger_error: bool = False
    trigger_multiple_errors: bool = False
    trigger_unexpected_error: bool = False
    status_code: Annotated[int, Meta(ge=200, le=599)] | None = None


class EchoOutput(Wire, frozen=True):
    """The request as the server saw it, without its secrets."""

    method: str
    message: str
    headers: dict[str, str]


class EchoedStatus(ApiError):
    """The failure that the caller asked for by `statusCode`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # the one error whose status is the caller's


@api.operation("GET /echo", needs=Needs.WORKSPACE_MEMBER, versions=V1_ALPHA)
def echo(call: Call, query: EchoQuery) -> EchoOutput:
    """Echo"""
    if query.delay:
        time.sleep(query.delay / 1000)
    if query.trigger_error:
        raise BadRequest(query.message)
    if query.trigger_multiple_errors:
        error = BadRequest(query.message)
        error.faults = [Fault("bad-request", query.message), Fault("bad-request", query.message)]
        raise error
    if query.trigger_unexpected_error:
        raise EchoedStatus(500, "An unexpected error, as asked for.")
    if query.status_code and query.status_code >= 400:
        raise EchoedStatus(query.status_code, query.message)
    headers = {name: value for name, value in call.headers if name not in SECRET_HEADERS}
    return EchoOutput(method="get", message=query.message, headers=headers)
