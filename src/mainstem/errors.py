"""Every failure a caller can see.

    MainstemError
    ├── SettingsError          a flag or MAINSTEM_ variable is wrong; the program does not start
    ├── FolderInUse            another serve holds the data folder
    ├── StartFailed            a process ends again and again before everything answers
    ├── InstallFailed          packages could not be downloaded, or are not what the lock says
    ├── SandboxUnavailable     functions cannot run: Deno is missing or does not start
    ├── EngineUnavailable      a store cannot be read or written now; the caller may try again
    └── ApiError               an answer of the Public API: status, type, message, field
        ├── BadRequest 400 · Unauthorized 401 · Forbidden 403 · NotFound 404 · MethodNotAllowed 405
        ├── NotAcceptable 406 · Conflict 409 · PayloadTooLarge 413 · UnsupportedMediaType 415
        └── InputInvalid 422 (several faults at once) · TooManyRequests 429 · Unavailable 503

Source: Public API reference, "Error Handling"; types marked there as unpublished are judgements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec


class MainstemError(Exception):
    """The root of the tree."""


class SettingsError(MainstemError):
    """A flag or a MAINSTEM_ variable is wrong; the message names it."""


class FolderInUse(MainstemError):
    """Another `mainstem serve` holds this data folder."""


class StartFailed(MainstemError):
    """A process that `serve` starts ends again and again, or does not answer in time; all were stopped."""


class InstallFailed(MainstemError):
    """A set of packages was not installed: no registry, a wrong checksum, a full disk. What was there stays."""


class SandboxUnavailable(MainstemError):
    """Functions cannot run now: Deno is missing or does not start, or the sandbox was closed."""


class EngineUnavailable(MainstemError):
    """A store cannot be read or written at this moment (full disk, lost connection); nothing was done."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One element of the `errors` array."""

    type: str
    message: str
    field: str | None = None
    data: Any = msgspec.UNSET


class ApiError(MainstemError):
    """A refusal of the Public API. `status` and `type` stand on the class."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "unexpected"

    def __init__(self, message: str, *, field: str | None = None, data: Any = msgspec.UNSET) -> None:
        super().__init__(message)
        self.faults: Sequence[Fault] = (Fault(self.type, message, field, data),)
        self.headers: dict[str, str] = {}


class BadRequest(ApiError):
    """The request cannot be read, or breaks a rule between resources."""

    status, type = 400, "bad-request"


class Unauthorized(ApiError):
    """No token, or none that is known and active."""

    status, type = 401, "unauthorized"


class Forbidden(ApiError):
    """The token may not do this."""

    status, type = 403, "forbidden"


class NotFound(ApiError):
    """No such route or object. Message form: `Source with id 'x' not found.`"""

    status, type = 404, "not-found"

    def __init__(self, message: str) -> None:
        super().__init__(message, data=None)


class MethodNotAllowed(ApiError):
    """The path exists, the method does not; `Allow` says which do."""

    status, type = 405, "method-not-allowed"


class NotAcceptable(ApiError):
    """No version that the client accepts exists for this operation."""

    status, type = 406, "not-acceptable"


class Conflict(ApiError):
    """The present state forbids it: a duplicate, or something still in use."""

    status, type = 409, "conflict"


class PayloadTooLarge(ApiError):
    """The body is over the limit."""

    status, type = 413, "payload-too-large"


class UnsupportedMediaType(ApiError):
    """The body is not of a media type that this operation reads."""

    status, type = 415, "unsupported-media-type"


class InputInvalid(ApiError):
    """The input breaks its shape; one fault for each offending field."""

    status, type = 422, "input-validation"

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        """`faults` are (field path, message) pairs."""
        super().__init__("; ".join(message for _, message in faults))
        self.faults = [Fault(self.type, message, field) for field, message in faults]


class TooManyRequests(ApiError):
    """A rate limit is used up. Source: Public API reference, "Rate Limits"."""

    status, type = 429, "RequestError"

    def __init__(self, consumed: int, wait_ms: int) -> None:
        super().__init__(
            "Too many requests",
            data={"remainingPoints": 0, "msBeforeNext": wait_ms, "consumedPoints": consumed},
        )
        self.headers = {"Retry-After": str(max(1, -(-wait_ms // 1000)))}


class Unavailable(ApiError):
    """A store could not be used; nothing was changed, and the same call may be sent again."""

    status, type = 503, "unavailable"

    def __init__(self) -> None:
        super().__init__("The server cannot reach its storage at this moment. Nothing was changed; try again.")
        self.headers = {"Retry-After": "1"}
