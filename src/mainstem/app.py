"""Composition: the only place that knows every part. Reads top to bottom; nothing is built at import."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from mainstem.model.ports import OutcomeStore
from mainstem.public_api import FAMILIES
from mainstem.public_api.publish import publish_touched
from mainstem.rest.dispatch import Database, Dispatcher
from mainstem.rest.limits import Limiter
from mainstem.settings import Settings
from mainstem.vault import Vault


def utc_now() -> dt.datetime:
    """The clock of a real server."""
    return dt.datetime.now(dt.UTC)


def build_dispatcher(
    settings: Settings, database: Database, vault: Vault, outcomes: OutcomeStore, clock: Callable[[], dt.datetime]
) -> Dispatcher:
    """The Public API without HTTP."""
    limiter = Limiter(settings.default_rate_limit, settings.rate_limit_overrides, enforced=settings.rate_limits)
    return Dispatcher(
        FAMILIES,
        database=database,
        vault=vault,
        limiter=limiter,
        outcomes=outcomes,
        clock=clock,
        before_commit=publish_touched,
    )
