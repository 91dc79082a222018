"""Events by image, for places that run no script: `GET /v1/pixel/track?data=…`.

Source: Tracking API reference, "Pixel Tracking API".
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from mainstem.model.event import MAX_EVENT_BYTES
from mainstem.tracking_api.answers import MALFORMED_JSON, OVER_LIMIT, Answer, Refused
from mainstem.tracking_api.authentication import choose_write_key
from mainstem.tracking_api.envelopes import parse
from mainstem.tracking_api.events import Handler
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

_MAX_DEPTH: Final = 32  # of a dotted name; what follows stays one name
_MAX_PARAMETERS: Final = 10_000
_GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
IMAGE_HEADERS: Final = (("content-type", "image/gif"), ("cache-control", "no-store"))
IMAGE: Final = Answer(200, _GIF, IMAGE_HEADERS)


def receive_pixel(kind: str) -> Handler:
    """Make the handler for one event type. It answers 200 and a transparent image whatever the caller did
    wrong. Only when the event could not be stored the status is another, for 200 means that it is on disk.
    """

    async def handler(intake: Intake, request: Request) -> Answer:
        try:
            body, query_key = read_query(request.query)
        except Refused:
            return IMAGE
        write_key = choose_write_key(request.headers.get("authorization"), lambda: query_key)
        await intake.accept(kind, "browser", intake.peers.address(request), write_key, body)
        return IMAGE

    return handler


def read_query(query: str) -> tuple[bytes, str]:
    """Return the event as JSON, at most 32 KB, and the write key, "" when there is none.

    The event is base64 JSON in `data`, in either alphabet, padded or not; without `data` the parameters
    themselves are the event, and a dot in a name nests. Raises Refused when it cannot be read.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise Refused(MALFORMED_JSON) from None
    parameters = dict(pairs)
    data = parameters.get("data")
    body = _decode(data) if data else msgspec.json.encode(nest(pairs))
    if len(body) > MAX_EVENT_BYTES:
        raise Refused(OVER_LIMIT)
    body, envelope = parse(body, is_batch=False)
    key = envelope.find_write_key()
    return body, key if isinstance(key, str) else parameters.get("writeKey", "")


def nest(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Turn `("properties.subject", "S")` into `{"properties": {"subject": "S"}}`; of equal names the last
    counts. Values stay strings."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        *path, last = name.split(".", _MAX_DEPTH)
        node = root
        for part in path:
            child = node.get(part)
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
        node[last] = value
    return root


def _decode(data: str) -> bytes:
    # An unescaped + of the standard alphabet arrives as a space.
    text = data.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(MALFORMED_JSON) from None
