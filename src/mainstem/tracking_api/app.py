"""One request, from its route to its answer."""

from __future__ import annotations

import logging
from typing import Final

from mainstem import http_server
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import EventLog
from mainstem.model.snapshot import LiveSnapshot
from mainstem.settings import Settings
from mainstem.tracking_api.answers import FAILED, NOT_FOUND, UNAVAILABLE, Answer, Refused
from mainstem.tracking_api.browser import for_origin, preflight
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.notices import Notice
from mainstem.tracking_api.requests import Request, read
from mainstem.tracking_api.routes import find_route

_log: Final = logging.getLogger("mainstem.tracking_api")


def build(settings: Settings, live_snapshot: LiveSnapshot, event_log: EventLog) -> TrackingApi:
    """Make the application. The caller opened the event log and closes it after the server has stopped."""
    return TrackingApi(Intake(settings, live_snapshot, event_log))


class TrackingApi:
    """The application; everything runs on the event loop of one process."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._unavailable = Notice("requests were answered 503")

    async def __call__(self, received: http_server.Request) -> Answer:
        """Answer one request. Whatever goes wrong becomes one answer, with the headers browsers need."""
        request = read(received)
        try:
            answer = await self._answer(request)
        except Refused as refused:
            answer = refused.answer
        except EngineUnavailable as error:
            self._unavailable.happened(str(error))
            answer = UNAVAILABLE
        except Exception:  # noqa: BLE001 the edge: what is left becomes one 500
            _log.exception("a %s request failed", request.method)  # its path may hold a write key
            answer = FAILED
        return for_origin(answer, request.headers.get("origin"))

    async def _answer(self, request: Request) -> Answer:
        method = request.method
        if method == "OPTIONS":
            return preflight(request.headers)
        route = find_route(request.path)
        if route is None:
            return NOT_FOUND
        if method in route.methods:
            return await route.handler(self._intake, request)
        return route.to_get if method in {"GET", "HEAD"} else route.to_others
