"""The routes of the browser library: what a page's snippet loads, and what that loads.

Source: the published browser library, which asks for these paths.
"""

from __future__ import annotations

from typing import Final

from mainstem.tracking_api.answers import Answer
from mainstem.tracking_api.cdn_settings import UNKNOWN
from mainstem.tracking_api.files import missing
from mainstem.tracking_api.intake import Intake
from mainstem.tracking_api.requests import Request

NOT_INSTALLED: Final = missing(
    "The browser library is not installed on this server: run `mainstem destinations install`."
)
NO_FILE: Final = missing("The browser library has no such file.")


async def get_library(intake: Intake, request: Request) -> Answer:
    """`/analytics.js/v1/{writeKey}/analytics.min.js`: the library with the key in it."""
    write_key = request.path.split("/")[3]
    if not intake.library.is_installed:
        return NOT_INSTALLED
    if intake.find_source(write_key) is None:
        return UNKNOWN
    script = intake.library.find_script(write_key)
    return NOT_INSTALLED if script is None else script.answer(request)


async def get_bundle(intake: Intake, request: Request) -> Answer:
    """`/analytics-next/bundles/{name}`: a part of the library."""
    if not intake.library.is_installed:
        return NOT_INSTALLED
    bundle = intake.library.find_bundle(request.path.rpartition("/")[2])
    return NO_FILE if bundle is None else bundle.answer(request)
