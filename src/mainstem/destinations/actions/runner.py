"""Calls of Segment's open-source destinations, in a pool of Deno processes; see `Runner`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.settings import Network

RETRYABLE_STATUSES: Final = frozenset({408, 423, 429})


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription for one event, or for a batch of them.

    `events` are JSON objects; the trigger has matched all of them. `mapping` and `settings` as they are stored.
    `auth` for OAuth: access_token, refresh_token, clientId, clientSecret, refresh_token_url, as far as known.
    """

    metadata_id: str
    action: str
    mapping: dict[str, Any]
    settings: dict[str, Any]
    events: Sequence[bytes]
    is_batch: bool = False
    auth: dict[str, Any] | None = None


class Result(msgspec.Struct, frozen=True):
    """What became of one event.

    `status` is the partner's, or what the destination says in its place; 0 when there was none. `code` is "" for
    a delivery, else the destination's error code (PAYLOAD_VALIDATION_FAILED) or the network's (ECONNREFUSED).
    `message` is for people and names no secret.
    """

    status: int
    code: str = ""
    message: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_delivered(self) -> bool:
        """True when the action was executed and the partner took the event."""
        return not self.code and 200 <= self.status < 400


class Exchange(msgspec.Struct, frozen=True):
    """A request to the partner and its answer; secrets are masked, bodies cut at 4 KB. `status` is 0 when no
    answer came."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    response_headers: dict[str, str]
    response_body: str


class Answer(msgspec.Struct, frozen=True):
    """What came of a call: a result for each event in order, at most five exchanges, and new OAuth tokens
    ({"accessToken", "refreshToken"?}) that the caller must keep, if the old ones were refused."""

    results: Sequence[Result]
    exchanges: Sequence[Exchange] = ()
    refreshed: dict[str, Any] | None = None


def discard(result: Result) -> tuple[bool, str]:
    """Whether a failed result may be tried again, and its published reason (outcome.py, DELIVERY_REASONS)."""
    raise NotImplementedError


class Runner:
    """Runs calls in `processes` Deno processes, started when they are needed.

    `packages` is where the destinations are installed; `allow_private` are private networks that may be reached;
    with `divert_to` every request goes to that URL instead of the partner, and nowhere else. `environment` is
    where variables that begin with ACTIONS_ are taken from.
    """

    def __init__(
        self,
        packages: Path,
        *,
        processes: int = 1,
        allow_private: Sequence[Network] = (),
        divert_to: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        raise NotImplementedError

    async def call(self, call: Call) -> Answer:
        """Run a call. Never raises for what the destination or its process does: that is in the results."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let what is in flight finish for a few seconds, then end the processes."""
        raise NotImplementedError
