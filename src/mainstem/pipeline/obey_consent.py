"""Send an event only where its user agreed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped

PREFERENCE_UPDATED: Final = "Segment Consent Preference Updated"
"""Tells destinations that a user changed their mind, so it goes to those too that must get nothing else."""


def obey_consent(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop the event unless every consent category of the destination is `true` in its `context.consent`. A
    destination without categories, and an event without a consent object, are not concerned.

    Source: product guide, "Consent in Segment Connections", its table included. Judgements: an empty consent object
    counts as all false only beside an integrations object that is not empty, and preferences that are no object
    count as all false.
    """
    categories = scope.destination.consent_categories
    if not categories or (event.type == "track" and event.name == PREFERENCE_UPDATED):
        return event
    preferences = _preferences(event.payload)
    if preferences is None or all(preferences.get(each) is True for each in categories):
        return event
    return Dropped(event, Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_END_USER_CONSENT")


def _preferences(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the user said of each category; None when consent is not to be looked at."""
    context = payload.get("context")
    consent = context.get("consent") if isinstance(context, dict) else None
    if not isinstance(consent, dict):
        return None
    preferences = consent.get("categoryPreferences")
    if preferences is None:
        return {} if payload.get("integrations") else None
    return preferences if isinstance(preferences, dict) else {}
