"""Refuse events whose fields break the rules of their type, with the published reason.

Source: Tracking API reference, and the delivery overview's table of discard reasons ("Failed on ingest").
Judgements: null counts as absent; each id that is present is checked, so a bad userId fails an event that has
a good anonymousId; alias needs previousId besides an id, group needs groupId.
"""

from __future__ import annotations

from typing import Any, Final

from mainstem.model.event import MAX_MESSAGE_ID_CHARACTERS, Event
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import Dropped, SourceScope

CONSENT_EVENT: Final = "Segment Consent Preference Updated"
_REQUIRED_ID: Final = {"group": "groupId", "alias": "previousId"}


def validate(event: Event, _scope: SourceScope) -> Event | Dropped:
    """Check ids, the event's name, properties, traits, page and screen names, and consent."""
    payload = event.payload
    reason = (
        _ids(event.type, payload)
        or _message_id(payload["messageId"])
        or _names(event.type, payload)
        or _objects(payload)
        or _context(event, payload.get("context"))
    )
    return Dropped(event, Stage.FAILED_ON_INGEST, reason) if reason else event


def _ids(type_: str, payload: dict[str, Any]) -> str:
    user, anonymous = payload.get("userId"), payload.get("anonymousId")
    if user is None and anonymous is None:
        return "no_user_anon_id"
    if not (_is_id(user) and _is_id(anonymous)):
        return "id_not_string"
    required = _REQUIRED_ID.get(type_)
    if required is None:
        return ""
    value = payload.get(required)
    if value is None:
        return "id_required"
    return "" if _is_id(value) else "id_not_string"


def _is_id(value: Any) -> bool:
    return value is None or (type(value) is str and value != "")


def _message_id(value: Any) -> str:
    return "" if type(value) is str and len(value) <= MAX_MESSAGE_ID_CHARACTERS else "bad_request"


def _names(type_: str, payload: dict[str, Any]) -> str:
    if type_ == "track":
        name = payload.get("event")
        if name is None or name == "":
            return "event_not_defined"
        return "" if type(name) is str else "event_not_string"
    if type_ == "page" or type_ == "screen":
        for key in ("name", "category"):
            value = payload.get(key)
            if value is not None and (type(value) is not str or value == ""):
                return f"{key}_not_string"
    return ""


def _objects(payload: dict[str, Any]) -> str:
    for key in ("properties", "traits"):
        value = payload.get(key)
        if value is not None and type(value) is not dict:
            return f"{key}_not_object"
    return ""


def _context(event: Event, context: Any) -> str:
    if type(context) is not dict:
        context = {}
    consent = context.get("consent")
    if event.name == CONSENT_EVENT and event.type == "track":
        reason = _consent_preferences(consent)
        if reason:
            return reason
    version = consent.get("version") if type(consent) is dict else None
    if version is not None and type(version) not in (int, float):
        return "consent_version_should_be_number"
    device = context.get("device")
    advertising_id = device.get("advertisingId") if type(device) is dict else None
    if advertising_id is not None and type(advertising_id) is not str:
        return "device_advertisingid_should_be_string"
    return ""


def _consent_preferences(consent: Any) -> str:
    preferences = consent.get("categoryPreferences") if type(consent) is dict else None
    if preferences is None:
        return "consent_categorypreferences_should_exist"
    if type(preferences) is not dict:
        return "consent_categorypreferences_fields_should_be_object"
    if not all(type(value) is bool for value in preferences.values()):
        return "consent_categorypreferences_fields_should_be_bool"
    return ""
