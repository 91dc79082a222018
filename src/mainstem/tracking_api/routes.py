"""Which path does what.

Source: Tracking API reference, "HTTP Tracking API", "Import", "Pixel Tracking API"; the short paths and the
settings are what the browser and mobile libraries call. The path of source functions is a judgement. Not served: the
Object API (`/v1/set`) and the Bulk API, whose objects go to warehouses and nowhere else.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from mainstem.model.event import EVENT_TYPES, type_of_letter
from mainstem.tracking_api.answers import HEALTHY, MALFORMED_JSON, Answer, method_not_allowed
from mainstem.tracking_api.browser_scripts import get_bundle, get_library
from mainstem.tracking_api.cdn_settings import get_settings
from mainstem.tracking_api.events import BATCH, Handler, receive, receive_metrics
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.live_plugins import get_live_plugin
from mainstem.tracking_api.pixel import receive_pixel
from mainstem.tracking_api.requests import Request
from mainstem.tracking_api.source_functions import receive_call


class Route(msgspec.Struct, frozen=True):
    """A handler, the methods that reach it, and the answer to others. OPTIONS is answered before any route."""

    handler: Handler
    methods: frozenset[str]
    to_others: Answer
    to_get: Answer


def _get(handler: Handler) -> Route:
    refusal = method_not_allowed("GET, HEAD, OPTIONS")
    return Route(handler, frozenset({"GET", "HEAD"}), refusal, refusal)


def _post(handler: Handler) -> Route:
    """GET on a POST route is answered like a body that is no JSON."""
    return Route(handler, frozenset({"POST"}), method_not_allowed("POST, OPTIONS"), MALFORMED_JSON)


async def _health(_: Intake, __: Request) -> Answer:
    return HEALTHY


ROUTES: Final[dict[str, Route]] = {
    **{f"/v1/{each}": _post(receive(each, "server")) for each in EVENT_TYPES},
    **{f"/v1/{letter}": _post(receive(each, "browser")) for letter, each in type_of_letter.items()},
    "/v1/batch": _post(receive(BATCH, "server")),
    "/v1/import": _post(receive(BATCH, "server")),
    "/v1/b": _post(receive(BATCH, "browser")),
    "/v1/m": _post(receive_metrics),
    **{f"/v1/pixel/{each}": _get(receive_pixel(each)) for each in EVENT_TYPES},
    "/health": _get(_health),
}
SETTINGS: Final = _get(get_settings)
_NOT_A_CALL: Final = method_not_allowed("POST, OPTIONS")
SOURCE_FUNCTION: Final = Route(receive_call, frozenset({"POST"}), _NOT_A_CALL, _NOT_A_CALL)
_BY_PATTERN: Final = (
    (re.compile(r"(/v1)?/projects/[^/]+/settings"), SETTINGS),
    (re.compile(r"/functions/v1/[^/]+"), SOURCE_FUNCTION),
    (re.compile(r"/analytics\.js/v1/[^/]+(/platform)?/analytics\.min\.js"), _get(get_library)),
    (re.compile(r"/analytics-next/bundles/[^/]+"), _get(get_bundle)),
    (re.compile(r"/live-plugins/[^/]+\.js"), _get(get_live_plugin)),
)


def find_route(path: str) -> Route | None:
    """The route of a path, None when nothing is served there."""
    route = ROUTES.get(path)
    if route is not None:
        return route
    return next((route for pattern, route in _BY_PATTERN if pattern.fullmatch(path)), None)
