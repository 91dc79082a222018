"""The settings that browser and mobile libraries load before they send: `GET /v1/projects/{writeKey}/settings`.

Source: what the published client libraries read; the reference does not describe the document.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mainstem.tracking_api.answers import JSON, Answer
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

_CACHE: Final = ("cache-control", "public, max-age=60")
_MAX_HOST_CHARACTERS: Final = 262  # the longest name, a colon and a port; bounds what is remembered of an answer
_UNKNOWN: Final = Answer(
    404,
    b"There is no source with this write key",
    (("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")),
    for_any_origin=True,
)


async def get_settings(intake: Intake, request: Request) -> Answer:
    """The settings of the source with this write key; 404 and a line of text when there is none."""
    write_key = request.path.split("/")[-2]
    if intake.find_source(write_key) is None:
        return _UNKNOWN
    protocol, host = _where_to_send(intake.settings.public_tracking_url, request)
    body = msgspec.json.encode(_document(write_key, protocol, host))
    return Answer(200, body, (JSON, _CACHE), for_any_origin=True)


def _document(write_key: str, protocol: str, host: str) -> dict[str, Any]:
    """The least that makes every library start. Nothing is sampled to /v1/m."""
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": host,
                "protocol": protocol,
                "addBundledMetadata": True,
                "unbundledIntegrations": [],
                "maybeBundledConfigIds": {},
                "retryQueue": True,
            }
        },
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }


def _where_to_send(public_url: str, request: Request) -> tuple[str, str]:
    """Protocol, and host with the path that libraries put their letters behind: `https`, `host:port/v1`."""
    if public_url:
        parts = urlsplit(public_url if "://" in public_url else f"https://{public_url}")
        return parts.scheme, f"{parts.netloc}{parts.path.rstrip('/')}/v1"
    return request.scheme, f"{request.headers.get('host', '')[:_MAX_HOST_CHARACTERS]}/v1"
