"""Audit trail: who changed what, newest first, for 90 days.

Source: Public API reference, tag "Audit Trail" (1 operation).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import Select, func, select

from mainstem.rest.audit import audit_events
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Page, Pagination, pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import Wire

api = Family("Audit Trail", is_slow=True)
RETENTION: Final = dt.timedelta(days=90)


class AuditEventsQuery(Wire, frozen=True):
    """A window and equality filters; times are ISO 8601."""

    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    resource_id: str | None = None
    resource_type: str | None = None
    pagination: Page = Page()


class AuditEvent(Wire, frozen=True):
    """An event on the wire; `actor` is the id of the token that was used."""

    id: str
    timestamp: str
    type: str
    actor: str
    resource_id: str
    resource_type: str
    resource_name: str


class AuditEventsOutput(Wire, frozen=True):
    """Reply of listAuditEvents."""

    events: list[AuditEvent]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way this file reads the trail."""
    recent = audit_events.c.timestamp >= call.now - RETENTION
    return select(audit_events).where(audit_events.c.workspace_id == call.workspace_id, recent)


@api.operation("GET /audit-events", needs=Needs.WORKSPACE_OWNER)
def list_audit_events(call: Call, query: AuditEventsQuery) -> AuditEventsOutput:
    """List Audit Events"""
    page = query.pagination
    newest = select(func.max(audit_events.c.seq)).where(audit_events.c.workspace_id == call.workspace_id)
    anchor = page.anchor if page.anchor is not None else call.db.execute(newest).scalar() or 0
    found = _filtered(visible(call).where(audit_events.c.seq <= anchor), query)
    total = call.db.execute(select(func.count()).select_from(found.subquery())).scalar_one()
    rows = call.db.execute(found.order_by(audit_events.c.seq.desc()).offset(page.start).limit(page.count))
    return AuditEventsOutput(events=[_event(row) for row in rows], pagination=pagination(page, total, anchor))


def _filtered(found: Select[Any], query: AuditEventsQuery) -> Select[Any]:
    if query.start_time:
        found = found.where(audit_events.c.timestamp >= _aware(query.start_time))
    if query.end_time:
        found = found.where(audit_events.c.timestamp < _aware(query.end_time))
    if query.resource_id is not None:
        found = found.where(audit_events.c.resource_id == query.resource_id)
    if query.resource_type is not None:
        found = found.where(func.upper(audit_events.c.resource_type) == _spelled(query.resource_type))
    return found


def _spelled(resource_type: str) -> str:
    """`tracking plan`, `tracking-plan` and `TRACKING_PLAN` are the same; the spelling is unpublished."""
    return resource_type.upper().replace(" ", "_").replace("-", "_")


def _aware(time: dt.datetime) -> dt.datetime:
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _event(row: Any) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        timestamp=moment_text(row.timestamp),
        type=row.type,
        actor=row.actor,
        resource_id=row.resource_id,
        resource_type=row.resource_type,
        resource_name=row.resource_name,
    )
