"""What a source forwards to another one: events that its tracking plan blocked, and violations of that plan.

Ids are made of the original's, so that a batch that is processed again after a crash forwards the same. Source:
product guide, "Forward blocked events" and "Forward violations".
"""

from __future__ import annotations

import copy
import hashlib
from typing import Any, Final

from mainstem.model.event import Event, counted_name, counted_version, dedupe_key
from mainstem.model.snapshot import PlanConfig, SourceConfig
from mainstem.model.violation import Violation
from mainstem.pipeline.normalize import EVENT_VERSION
from mainstem.pipeline.timestamps import write_time

VIOLATION_EVENT: Final = "Violation Generated"
VIOLATIONS_USER: Final = "schema-violations"
NO_TIME: Final = "0001-01-01T00:00:00Z"
_NO_APP: Final[dict[str, Any]] = {}


def blocked_event(event: Event, payload: dict[str, Any], target: SourceConfig) -> Event:
    """A copy of a blocked event for the source `target`; `payload` is the event with what was found. It has an id
    of its own, since to a workspace events with the same messageId are one (judgement)."""
    message_id = "blk-" + _id_of(event, 0)
    payload = {**payload, "messageId": message_id, "projectId": target.id}
    copied = copy.copy(event)
    copied.source_id, copied.workspace_id = target.id, target.workspace_id
    copied.name, copied.app_version = counted_name(event.type, payload), counted_version(payload)
    copied.message_id, copied.key = message_id, dedupe_key(target.workspace_id, message_id)
    copied.payload = payload
    return copied


def violation_event(
    event: Event, number: int, violation: Violation, source: SourceConfig, plan: PlanConfig, target: SourceConfig
) -> Event:
    """The track call that tells the source `target` of the `number`-th violation by an event of `source`. One
    user stands for all of them, so that they are one tracked user."""
    message_id = "sch-" + _id_of(event, number)
    payload = {
        "type": "track",
        "event": VIOLATION_EVENT,
        "userId": VIOLATIONS_USER,
        "messageId": message_id,
        "integrations": {},
        "context": _context(event.payload),
        "properties": _properties(event, violation, source, plan),
        "forwardedFromProject": source.id,
        **_common_fields(event.received_at_ms, target),
    }
    return Event(
        target.id, target.workspace_id, "track", VIOLATION_EVENT, counted_version(payload), message_id,
        dedupe_key(target.workspace_id, message_id), VIOLATIONS_USER, event.received_at_ms, payload, event.request,
        event.number,
    )  # fmt: skip


def tells_violation(event: Event) -> bool:
    """Whether this is such a call. They never show in the schema of the source that gets them."""
    return "forwardedFromProject" in event.payload


def _common_fields(received_at_ms: int, target: SourceConfig) -> dict[str, Any]:
    """What every event has."""
    received_at = write_time(received_at_ms)
    return {
        "timestamp": received_at,
        "originalTimestamp": received_at,
        "receivedAt": received_at,
        "version": EVENT_VERSION,
        "channel": "server",
        "projectId": target.id,
    }


def _context(payload: dict[str, Any]) -> dict[str, Any]:
    context = payload.get("context")
    context = context if isinstance(context, dict) else {}
    return {"app": context.get("app"), "library": context.get("library")}


def _properties(event: Event, violation: Violation, source: SourceConfig, plan: PlanConfig) -> dict[str, str]:
    payload = event.payload
    return {
        "appVersion": _text(_app_of(payload).get("version"), ""),
        "eventMessageID": event.message_id,
        "eventName": _text(payload.get("event" if event.type == "track" else "name"), ""),
        "eventSentAt": _text(payload.get("sentAt"), NO_TIME),
        "eventTimestamp": _text(payload.get("timestamp"), NO_TIME),
        "eventType": event.type,
        "sourceID": source.id,
        "sourceName": source.name,
        "sourceSlug": source.slug,
        "trackingPlanID": plan.id,
        "trackingPlanName": plan.name,
        "violationDescription": violation.description,
        "violationField": violation.field,
        "violationType": violation.type,
    }


def _app_of(payload: dict[str, Any]) -> dict[str, Any]:
    context = payload.get("context")
    app = context.get("app") if isinstance(context, dict) else None
    return app if isinstance(app, dict) else _NO_APP


def _text(value: Any, otherwise: str) -> str:
    return value if isinstance(value, str) and value else otherwise


def _id_of(event: Event, number: int) -> str:
    """32 characters; `number` 0 is the event itself."""
    what = f"{event.workspace_id}\0{event.source_id}\0{event.message_id}\0{event.received_at_ms}\0{number}"
    return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()
