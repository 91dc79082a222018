"""Event and batch calls: `POST /v1/track`, `POST /v1/batch` and their likes.

Source: Tracking API reference, "HTTP Tracking API" and "Batch".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from mainstem.model.event import MAX_BATCH_BYTES, MAX_EVENT_BYTES
from mainstem.tracking_api.answers import ACCEPTED, Answer
from mainstem.tracking_api.authentication import choose_write_key
from mainstem.tracking_api.bodies import read_body
from mainstem.tracking_api.envelopes import parse
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

BATCH: Final = "batch"
Handler = Callable[[Intake, Request], Awaitable[Answer]]


def receive(kind: str, channel: str) -> Handler:
    """Make the handler of a route: `kind` is an event type or "batch", `channel` who uses the route.

    The body is read as JSON whatever its content type says: browsers send text/plain to spare a preflight.
    """
    is_batch = kind == BATCH
    limit_bytes = MAX_BATCH_BYTES if is_batch else MAX_EVENT_BYTES

    async def handler(intake: Intake, request: Request) -> Answer:
        body, envelope = parse(read_body(request, limit_bytes), is_batch=is_batch)
        write_key = choose_write_key(request.headers.get("authorization"), envelope.find_write_key)
        return await intake.accept(kind, channel, intake.peers.address(request), write_key, body)

    return handler


async def receive_metrics(_: Intake, request: Request) -> Answer:
    """Take in what the browser library reports about itself; it is no event and kept nowhere. A refusal would
    make the library stop counting, so the content is not looked at."""
    read_body(request, MAX_BATCH_BYTES)
    return ACCEPTED
