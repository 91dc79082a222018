"""One request, from its route to its answer: the RSGI application that granian serves."""

from __future__ import annotations

import logging
from typing import Final

from mainstem.errors import EngineUnavailable
from mainstem.model.ports import EventLog
from mainstem.model.snapshot import LiveSnapshot
from mainstem.settings import Settings
from mainstem.tracking_api.answers import FAILED, NOT_FOUND, UNAVAILABLE, Answer, Refused
from mainstem.tracking_api.browser import origin_headers, preflight
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.notices import Notice
from mainstem.tracking_api.routes import find_route
from mainstem.tracking_api.rsgi import HttpProtocol, ProtocolClosed, Scope

_log: Final = logging.getLogger("mainstem.tracking_api")


def build(settings: Settings, live_snapshot: LiveSnapshot, event_log: EventLog) -> TrackingApi:
    """Make the application. The caller opened the event log and closes it after the server has stopped."""
    return TrackingApi(Intake(settings, live_snapshot, event_log))


class TrackingApi:
    """The RSGI application; everything runs on the event loop of one process."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._unavailable = Notice("requests were answered 503")

    async def __rsgi__(self, scope: Scope, protocol: HttpProtocol) -> None:
        """Answer one request. Whatever goes wrong becomes one answer, with the headers browsers need."""
        try:
            answer = await self._answer(scope, protocol)
        except Refused as refused:
            answer = refused.answer
        except EngineUnavailable as error:
            self._unavailable.happened(str(error))
            answer = UNAVAILABLE
        except ProtocolClosed:
            return  # the client left before its request was whole
        except Exception:  # noqa: BLE001 the edge: what is left becomes one 500
            _log.exception("a %s request failed", scope.method)  # its path may hold a write key
            answer = FAILED
        origin = None if answer.for_any_origin else scope.headers.get("origin")
        headers = [*answer.headers, *origin_headers(origin)]
        if answer.body:
            protocol.response_bytes(answer.status, headers, answer.body)
        else:
            protocol.response_empty(answer.status, headers)

    async def _answer(self, scope: Scope, protocol: HttpProtocol) -> Answer:
        method = scope.method
        if method == "OPTIONS":
            return preflight(scope.headers)
        route = find_route(scope.path)
        if route is None:
            return NOT_FOUND
        if method in route.methods:
            return await route.handler(self._intake, scope, protocol)
        return route.to_get if method in {"GET", "HEAD"} else route.to_others
