"""Send an event only where its integrations object lets it go."""

from __future__ import annotations

from typing import Any, Final

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped

OFF_BY_DEFAULT: Final = frozenset({"Salesforce"})
"""Destinations that get only events which name them, as each one costs of an API quota."""


def obey_integrations(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop the event when `integrations` switches the destination off: under its display name (case counts),
    else under `All` (or `all`), which is true by default. An object stands for true.

    Source: Tracking API reference, "Integrations". Judgements: only `false` switches off, null says nothing.
    """
    if _allows(event.payload.get("integrations"), scope.destination.name):
        return event
    return Dropped(event, Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_INTEGRATIONS_OBJECT")


def _allows(integrations: Any, name: str) -> bool:
    if not isinstance(integrations, dict):
        return name not in OFF_BY_DEFAULT
    own = integrations.get(name)
    if own is not None:
        return own is not False
    if name in OFF_BY_DEFAULT:
        return False
    everyone = integrations.get("All")
    if everyone is None:
        everyone = integrations.get("all")
    return everyone is not False
