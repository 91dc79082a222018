"""Create, read, change and delete tracking plans.

Source: Public API reference, tag "Tracking Plans". Judgements: the slug is made from the first name and stays; names
and slugs need not be unique; deleting a plan disconnects its sources. The reference names no audit event; those of
the product's older list are recorded, as what a plan blocks or lets through belongs into the trail.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, Any, Final

from msgspec import Meta
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    Row,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from mainstem.model.snapshot import PLAN_PREFIX
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources import schema_settings
from mainstem.public_api.sources.source import sources
from mainstem.rest import rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Page, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Tracking Plans", feature="Protocols")
tracking_plans = Table(
    "tracking_plans",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("slug", String, nullable=False),
    Column("description", String),
    Column("type", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
tracking_plan_rules = Table(
    "tracking_plan_rules",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("plan_id", String, nullable=False),
    Column("type", String, nullable=False),
    Column("key", String, nullable=False),  # "" for none
    Column("version", Float, nullable=False),
    Column("json_schema", String, nullable=False),  # the JSON as it was sent
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

_ALL: Final = select(tracking_plans).where(tracking_plans.c.workspace_id == bindparam("workspace_id"))
_ONE: Final = _ALL.where(tracking_plans.c.id == bindparam("id"))
_LIST: Final = _ALL.order_by(tracking_plans.c.seq)
_LIST_OF_TYPE: Final = _LIST.where(tracking_plans.c.type == bindparam("type"))
_CHANGE: Final = update(tracking_plans).where(tracking_plans.c.id == bindparam("key"))
_CONNECTED: Final = select(sources.c.seq).where(sources.c.tracking_plan_id == bindparam("tracking_plan_id")).limit(1)

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class PlanType(enum.StrEnum):
    """What a plan is for; those of a library or template are kept like the others."""

    ENGAGE = "ENGAGE"
    LIVE = "LIVE"
    PROPERTY_LIBRARY = "PROPERTY_LIBRARY"
    RULE_LIBRARY = "RULE_LIBRARY"
    TEMPLATE = "TEMPLATE"


class TrackingPlan(Wire, frozen=True):
    """A plan on the wire; no description is an absent one."""

    id: str
    name: str
    slug: str
    type: PlanType
    created_at: str
    updated_at: str
    description: str | Unset = UNSET


class CreateTrackingPlanInput(Wire, frozen=True):
    """Body of createTrackingPlan."""

    name: Name
    type: PlanType
    description: str | Unset | None = UNSET


class UpdateTrackingPlanInput(Wire, frozen=True):
    """Body of updateTrackingPlan; a description of null clears it. The type of a plan stays."""

    name: Name | Unset = UNSET
    description: str | Unset | None = UNSET


class ListTrackingPlansInput(Wire, frozen=True):
    """Query of listTrackingPlans."""

    type: PlanType | Unset = UNSET
    pagination: Page = Page()


class TrackingPlanOutput(Wire, frozen=True):
    """Reply of createTrackingPlan and getTrackingPlan."""

    tracking_plan: TrackingPlan


class TrackingPlansOutput(Wire, frozen=True):
    """Reply of listTrackingPlans."""

    tracking_plans: list[TrackingPlan]
    pagination: Pagination


def one(call: Call, tracking_plan_id: str) -> Row[Any]:
    """The row of a plan that the caller may see. Raises NotFound."""
    missing = rows.missing("Tracking plan", tracking_plan_id)
    return rows.one(call.db, _ONE, missing, workspace_id=call.workspace_id, id=tracking_plan_id)


def is_connected(db: Connection, tracking_plan_id: str) -> bool:
    """Whether a source has this plan."""
    return db.execute(_CONNECTED, {"tracking_plan_id": tracking_plan_id}).first() is not None


def changed(call: Call, tracking_plan_id: str, **columns: Any) -> None:
    """Note that a plan, or its rules, are other than before; the data plane is told if it has the plan, unless only
    the description changes, which it does not know."""
    call.db.execute(_CHANGE, {"key": tracking_plan_id, "updated_at": call.now, **columns})
    _record(call, "Tracking Plan Modified", one(call, tracking_plan_id))
    if columns.keys() != {"description"} and is_connected(call.db, tracking_plan_id):
        call.touch(tracking_plan_id)


@api.operation("GET /tracking-plans", needs=Needs.TRACKING_PLAN_READ)
def list_tracking_plans(call: Call, query: ListTrackingPlansInput) -> TrackingPlansOutput:
    """List Tracking Plans"""
    mine = {"workspace_id": call.workspace_id}
    if query.type is UNSET:
        found, pagination = rows.page_of(call.db, _LIST, query.pagination, **mine)
    else:
        found, pagination = rows.page_of(call.db, _LIST_OF_TYPE, query.pagination, **mine, type=query.type)
    return TrackingPlansOutput(tracking_plans=[_plan_of(row) for row in found], pagination=pagination)


@api.operation("POST /tracking-plans", needs=Needs.TRACKING_PLAN_ADMIN)
def create_tracking_plan(call: Call, body: CreateTrackingPlanInput) -> TrackingPlanOutput:
    """Create Tracking Plan"""
    tracking_plan_id = PLAN_PREFIX + base58_id()
    call.db.execute(
        insert(tracking_plans).values(
            id=tracking_plan_id,
            workspace_id=call.workspace_id,
            name=body.name,
            slug=slug_of(body.name),
            description=given(body.description, None),
            type=body.type,
            created_at=call.now,
            updated_at=call.now,
        )
    )
    row = one(call, tracking_plan_id)
    _record(call, "Tracking Plan Created", row)
    return TrackingPlanOutput(tracking_plan=_plan_of(row))


@api.operation("GET /tracking-plans/{trackingPlanId}", needs=Needs.TRACKING_PLAN_READ)
def get_tracking_plan(call: Call, tracking_plan_id: str) -> TrackingPlanOutput:
    """Get Tracking Plan"""
    return TrackingPlanOutput(tracking_plan=_plan_of(one(call, tracking_plan_id)))


@api.operation("PATCH /tracking-plans/{trackingPlanId}", needs=Needs.TRACKING_PLAN_ADMIN)
def update_tracking_plan(call: Call, tracking_plan_id: str, body: UpdateTrackingPlanInput) -> StatusOutput:
    """Update Tracking Plan"""
    row = one(call, tracking_plan_id)
    columns = {"name": body.name, "description": body.description}
    sent = {key: value for key, value in columns.items() if value not in (UNSET, getattr(row, key))}
    if sent:
        changed(call, tracking_plan_id, **sent)
    return StatusOutput()


@api.operation("DELETE /tracking-plans/{trackingPlanId}", needs=Needs.TRACKING_PLAN_ADMIN)
def delete_tracking_plan(call: Call, tracking_plan_id: str) -> StatusOutput:
    """Delete Tracking Plan"""
    row = one(call, tracking_plan_id)
    connected = select(sources.c.id).where(sources.c.tracking_plan_id == tracking_plan_id)
    for source_id in call.db.execute(connected).scalars().all():
        disconnect(call, tracking_plan_id, source_id)
    call.db.execute(delete(tracking_plan_rules).where(tracking_plan_rules.c.plan_id == tracking_plan_id))
    call.db.execute(delete(tracking_plans).where(tracking_plans.c.id == tracking_plan_id))
    _record(call, "Tracking Plan Deleted", row)
    return StatusOutput()


def disconnect(call: Call, tracking_plan_id: str, source_id: str) -> None:
    """Take a source from its plan; its schema settings, which act on a plan, go back to the defaults."""
    call.db.execute(update(sources).where(sources.c.id == source_id).values(tracking_plan_id=None))
    schema_settings.reset(call.db, source_id)
    call.touch(source_id)
    call.touch(tracking_plan_id)


def _record(call: Call, event: str, row: Row[Any]) -> None:
    call.record_beside(event, "TRACKING_PLAN", row.id, row.name)


def slug_of(name: str) -> str:
    """The name in lower case, words joined by dashes: "Order Plan (2)" is order-plan-2."""
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-") or "tracking-plan"


def _plan_of(row: Row[Any]) -> TrackingPlan:
    return TrackingPlan(
        id=row.id,
        name=row.name,
        slug=row.slug,
        type=PlanType(row.type),
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
        description=UNSET if row.description is None else row.description,
    )
