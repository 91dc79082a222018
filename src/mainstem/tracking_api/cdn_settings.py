"""The settings that browser and mobile libraries load before they send: `GET /v1/projects/{writeKey}/settings`.

A change of the configuration shows within a second, so nobody may use a copy without asking: browsers and proxies
keep one and ask by its tag, which costs them a round trip without a body. Judgement; the hosted service lets copies
be up to half an hour old.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from mainstem.tracking_api.answers import Answer
from mainstem.tracking_api.cdn_document import Reader
from mainstem.tracking_api.files import missing
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

UNKNOWN: Final = missing("There is no source with this write key")
_MAX_HOST_CHARACTERS: Final = 262  # the longest name, a colon and a port; bounds what is remembered of an answer


async def get_settings(intake: Intake, request: Request) -> Answer:
    """The settings of the source with this write key; 404 and a line of text when there is none."""
    write_key = request.path.split("/")[-2]
    source = intake.find_source(write_key)
    if source is None:
        return UNKNOWN
    where = _where_to_send(intake.settings.public_tracking_url, request)
    reader = Reader(write_key, *where, has_library=intake.library.is_installed)
    return intake.documents.of(intake.snapshot, source, reader).answer(request)


def _where_to_send(public_url: str, request: Request) -> tuple[str, str]:
    """Protocol, and host with the path that libraries put their letters behind: `https`, `host:port/v1`."""
    if public_url:
        parts = urlsplit(public_url if "://" in public_url else f"https://{public_url}")
        return parts.scheme, f"{parts.netloc}{parts.path.rstrip('/')}/v1"
    return request.scheme, f"{request.headers.get('host', '')[:_MAX_HOST_CHARACTERS]}/v1"
