"""The code of live plugins: `GET /live-plugins/{sourceId}.js`, which mobile libraries fetch without authentication.

The settings of a source tell them where it is and which version. Source: product guide, "Live Plugins"; the path and
the 404 of code that was deleted are judgements.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from mainstem.tracking_api.answers import Answer
from mainstem.tracking_api.files import CHECKED_EACH_TIME, PublicFile, missing
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

NO_PLUGIN: Final = missing("This source has no live plugin.")
_CONTENT_TYPE: Final = "text/javascript; charset=utf-8"
_MOST_FILES: Final = 32  # of 256 KiB at most, packed and not


async def get_live_plugin(intake: Intake, request: Request) -> Answer:
    """The code as it was last written; 404 and a line of text when there is none."""
    source = intake.find_source_by_id(request.path.rpartition("/")[2].removesuffix(".js"))
    plugin = source.live_plugin if source else None
    return _file(plugin.code).answer(request) if plugin and plugin.code else NO_PLUGIN


@lru_cache(_MOST_FILES)
def _file(code: str) -> PublicFile:
    return PublicFile(code.encode(), _CONTENT_TYPE, CHECKED_EACH_TIME)
