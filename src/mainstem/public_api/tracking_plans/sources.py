"""Which sources a tracking plan is connected to: many sources a plan, at most one plan a source.

Source: Public API reference, tag "Tracking Plans"; product guide, "Connect a source". Judgements: 409 for a source
that has another plan, 404 for the disconnection of one that is not connected.
"""

from __future__ import annotations

from sqlalchemy import update

from mainstem.errors import Conflict, NotFound
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources.source import Source, one, sources, sources_of, visible
from mainstem.public_api.tracking_plans import plans
from mainstem.rest import rows
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Tracking Plans", feature="Protocols")


class AddSourceInput(Wire, frozen=True):
    """Body of addSourceToTrackingPlan."""

    source_id: str


class RemoveSourceInput(Wire, frozen=True):
    """Query of removeSourceFromTrackingPlan."""

    source_id: str


class SourcesOutput(Wire, frozen=True):
    """Reply of listSourcesFromTrackingPlan."""

    sources: list[Source]
    pagination: Pagination


@api.operation("GET /tracking-plans/{trackingPlanId}/sources", needs=Needs.TRACKING_PLAN_READ)
def list_sources_from_tracking_plan(call: Call, tracking_plan_id: str, query: PageInput) -> SourcesOutput:
    """List Sources from Tracking Plan"""
    call.powers.check(Needs.SOURCE_READ)
    plans.one(call, tracking_plan_id)
    connected = visible(call).where(sources.c.tracking_plan_id == tracking_plan_id).order_by(sources.c.seq)
    found, pagination = rows.page_of(call.db, connected, query.pagination)
    return SourcesOutput(sources=sources_of(call, found), pagination=pagination)


@api.operation(
    "POST /tracking-plans/{trackingPlanId}/sources", needs=Needs.TRACKING_PLAN_ADMIN, audit="Source Modified"
)
def add_source_to_tracking_plan(call: Call, tracking_plan_id: str, body: AddSourceInput) -> StatusOutput:
    """Add Source to Tracking Plan"""
    plans.one(call, tracking_plan_id)
    row = one(call, body.source_id)
    if row.tracking_plan_id == tracking_plan_id:
        return StatusOutput()
    if row.tracking_plan_id is not None:
        message = f'"sourceId" is connected to tracking plan {row.tracking_plan_id}; disconnect it there first'
        raise Conflict(message, field="sourceId")
    call.demand(Needs.SOURCE_ADMIN, row.id)
    call.db.execute(update(sources).where(sources.c.id == row.id).values(tracking_plan_id=tracking_plan_id))
    call.touch(tracking_plan_id)
    call.touch(row.id)
    call.record("Source Modified", "SOURCE", row.id, row.name)
    return StatusOutput()


@api.operation(
    "DELETE /tracking-plans/{trackingPlanId}/sources", needs=Needs.TRACKING_PLAN_ADMIN, audit="Source Modified"
)
def remove_source_from_tracking_plan(call: Call, tracking_plan_id: str, query: RemoveSourceInput) -> StatusOutput:
    """Remove Source from Tracking Plan"""
    plans.one(call, tracking_plan_id)
    row = one(call, query.source_id)
    if row.tracking_plan_id != tracking_plan_id:
        raise NotFound(f"Source with id '{row.id}' is not connected to tracking plan '{tracking_plan_id}'.")
    call.demand(Needs.SOURCE_ADMIN, row.id)
    plans.disconnect(call, tracking_plan_id, row.id)
    call.record("Source Modified", "SOURCE", row.id, row.name)
    return StatusOutput()
