"""Subscriptions of a destination: create, read, change, delete.

Source: Public API reference, tag "Destinations" (5 operations); product guide, "Destinations Actions" (50 mappings a
destination). Judgements: 422 for a trigger that can never fire, for a mapping that the action can never use and for a
model that is not there, 400 for the fifty-first subscription; what a trigger says and the runner reads otherwise is a
line of the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Row, Select, delete, func, select, update

from mainstem.errors import BadRequest, InputInvalid
from mainstem.model import trigger
from mainstem.public_api import destinations
from mainstem.public_api import reverse_etl_models as models
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.subscriptions import fields
from mainstem.public_api.subscriptions.schedules import ScheduleInput, checked
from mainstem.public_api.subscriptions.subscription import (
    Mapped,
    Subscription,
    add,
    defaults_of,
    find_action,
    mapped_of,
    record,
    sealed,
    subscription_of,
    subscriptions,
)
from mainstem.rest import rows
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, given

if TYPE_CHECKING:
    from mainstem.destinations.actions.catalogue import Action

log: Final = logging.getLogger("mainstem.public_api")
api = Family("Destinations", feature="Destination Subscriptions")
MAX_SUBSCRIPTIONS: Final = 50

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class CreateSubscriptionInput(Wire, frozen=True):
    """Body of createDestinationSubscription; `model_id` is for rows of a model in place of the source's events."""

    name: Name
    action_id: str
    trigger: str
    enabled: bool
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    model_id: str | Unset | None = UNSET


class SubscriptionChanges(Wire, frozen=True):
    """What updateSubscriptionForDestination can change; `settings` are replaced as a whole, `schedule` null and
    `model_id` "" clear."""

    name: Name | Unset = UNSET
    trigger: str | Unset = UNSET
    enabled: bool | Unset = UNSET
    settings: dict[str, Any] | Unset = UNSET
    model_id: str | Unset | None = msgspec.field(default=UNSET, name="reverseETLModelId")
    schedule: ScheduleInput | Unset | None = msgspec.field(default=UNSET, name="reverseETLSchedule")


class UpdateSubscriptionInput(Wire, frozen=True):
    """Body of updateSubscriptionForDestination."""

    input: SubscriptionChanges


class CreatedSubscriptionOutput(Wire, frozen=True):
    """Reply of createDestinationSubscription."""

    destination_subscription: Subscription


class SubscriptionOutput(Wire, frozen=True):
    """Reply of getSubscriptionFromDestination and updateSubscriptionForDestination."""

    subscription: Subscription


class SubscriptionsOutput(Wire, frozen=True):
    """Reply of listSubscriptionsFromDestination."""

    subscriptions: list[Subscription]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SOURCE_READ, subscriptions.c.source_id)
    return select(subscriptions).where(subscriptions.c.workspace_id == call.workspace_id, mine)


def _of_destination(call: Call, destination_id: str) -> Select[Any]:
    return visible(call).where(subscriptions.c.destination_id == destination_id)


def _one(call: Call, destination_id: str, id: str) -> Row[Any]:
    destinations.one(call, destination_id)
    query = _of_destination(call, destination_id).where(subscriptions.c.id == id)
    return rows.one(call.db, query, rows.missing("Subscription", id))


# ---- operations


@api.operation("GET /destinations/{destinationId}/subscriptions", needs=Needs.SOURCE_READ, versions=ALPHA)
def list_subscriptions_from_destination(call: Call, destination_id: str, query: PageInput) -> SubscriptionsOutput:
    """List Subscriptions from Destination"""
    destinations.one(call, destination_id)
    ordered = _of_destination(call, destination_id).order_by(subscriptions.c.seq)
    found, pagination = rows.page_of(call.db, ordered, query.pagination)
    return SubscriptionsOutput(subscriptions=[subscription_of(call, row) for row in found], pagination=pagination)


@api.operation(
    "POST /destinations/{destinationId}/subscriptions", needs=Needs.SOURCE_ADMIN, versions=ALPHA, rate=per_minute(5)
)
def create_destination_subscription(
    call: Call, destination_id: str, body: CreateSubscriptionInput
) -> CreatedSubscriptionOutput:
    """Create Destination Subscription"""
    destination = destinations.one(call, destination_id)
    action = _find_action_by_id(destination.metadata_id, body.action_id)
    if action is None:
        action_fault = '"actionId" must be the id of an action of the type of the destination'
        raise InputInvalid([("actionId", action_fault), *_trigger_faults(body.trigger, "trigger")])
    faults = _trigger_faults(body.trigger, "trigger") + fields.faults(body.settings, action, "settings")
    faults += _model_faults(call, given(body.model_id, None), "modelId")
    if body.enabled and not faults:
        faults = fields.missing({**defaults_of(action), **body.settings}, action, "settings")
    if faults:
        raise InputInvalid(faults)
    count = select(func.count()).select_from(_of_destination(call, destination_id).subquery())
    if call.db.execute(count).scalar_one() >= MAX_SUBSCRIPTIONS:
        raise BadRequest(f"A destination has at most {MAX_SUBSCRIPTIONS} subscriptions.")
    subscription_id = add(
        call.db,
        call.vault,
        destination,
        action,
        name=body.name,
        trigger=body.trigger,
        enabled=body.enabled,
        settings=body.settings,
        model_id=given(body.model_id, None) or "",
    )
    call.touch(destination.source_id)
    record(call, "Destination Subscription Created", subscription_id, body.name)
    _warn(subscription_id, body.trigger)
    return CreatedSubscriptionOutput(
        destination_subscription=subscription_of(call, _one(call, destination_id, subscription_id))
    )


@api.operation("GET /destinations/{destinationId}/subscriptions/{id}", needs=Needs.SOURCE_READ, versions=ALPHA)
def get_subscription_from_destination(call: Call, destination_id: str, id: str) -> SubscriptionOutput:
    """Get Subscription from Destination"""
    return SubscriptionOutput(subscription=subscription_of(call, _one(call, destination_id, id)))


@api.operation(
    "PATCH /destinations/{destinationId}/subscriptions/{id}",
    needs=Needs.SOURCE_ADMIN,
    versions=ALPHA,
    rate=per_minute(5),
)
def update_subscription_for_destination(
    call: Call, destination_id: str, id: str, body: UpdateSubscriptionInput
) -> SubscriptionOutput:
    """Update Subscription for Destination"""
    row = _one(call, destination_id, id)
    changes = _changes(call, row, body.input)
    if changes:
        call.db.execute(update(subscriptions).where(subscriptions.c.id == row.id).values(changes))
        call.touch(row.source_id)
        record(call, "Destination Subscription Modified", row.id, changes.get("name", row.name))
    if "trigger" in changes:
        _warn(row.id, changes["trigger"])
    return SubscriptionOutput(subscription=subscription_of(call, _one(call, destination_id, id)))


@api.operation(
    "DELETE /destinations/{destinationId}/subscriptions/{id}",
    needs=Needs.SOURCE_ADMIN,
    versions=ALPHA,
    rate=per_minute(5),
)
def remove_subscription_from_destination(call: Call, destination_id: str, id: str) -> StatusOutput:
    """Remove Subscription from Destination"""
    row = _one(call, destination_id, id)
    call.db.execute(delete(subscriptions).where(subscriptions.c.id == row.id))
    call.touch(row.source_id)
    record(call, "Destination Subscription Deleted", row.id, row.name)
    return StatusOutput()


# ---- rules


def _find_action_by_id(metadata_id: str, action_id: str) -> Action | None:
    from mainstem.destinations.actions import catalogue  # with an HTTP client; idle memory stays small without

    return next((each for each in catalogue.find_actions(metadata_id).values() if each.id == action_id), None)


def _changes(call: Call, row: Row[Any], sent: SubscriptionChanges) -> dict[str, Any]:
    """New values of columns. Raises InputInvalid with every fault of what was sent."""
    faults = [] if sent.trigger is UNSET else _trigger_faults(sent.trigger, "input.trigger")
    faults += _mapping_faults(call, row, sent)
    faults += _model_faults(call, given(sent.model_id, None), "input.reverseETLModelId")
    if faults:
        raise InputInvalid(faults)
    columns: dict[str, Any] = {"name": sent.name, "trigger": sent.trigger, "enabled": sent.enabled}
    if sent.settings is not UNSET:
        defaults = mapped_of(call.vault, row).defaults
        columns["mapping"] = sealed(call.vault, Mapped(sent.settings, defaults), row.id)
    if sent.model_id is not UNSET:
        columns["model_id"] = sent.model_id or ""
    if sent.schedule is not UNSET:
        columns["schedule"] = _schedule(sent.schedule)
    return {name: value for name, value in columns.items() if value is not UNSET}


def _schedule(sent: ScheduleInput | None) -> bytes | None:
    return None if sent is None else msgspec.json.encode(checked(sent, "input.reverseETLSchedule"))


def _mapping_faults(call: Call, row: Row[Any], sent: SubscriptionChanges) -> Faults:
    """What is wrong with new settings, and with those that are kept if they are to be enabled."""
    if sent.settings is UNSET and sent.enabled is not True:
        return []
    action, before = find_action(row), mapped_of(call.vault, row)
    settings: Mapping[str, Any] = given(sent.settings, before.settings)
    faults = [] if sent.settings is UNSET else fields.faults(settings, action, "input.settings")
    if given(sent.enabled, row.enabled) and not faults:
        faults = fields.missing({**before.defaults, **settings}, action, "input.settings")
    return faults


def _trigger_faults(text: str, field: str) -> Faults:
    return [(field, f'"{field}" can never fire: {reason}') for reason in trigger.faults(text)]


def _model_faults(call: Call, model_id: str | None, field: str) -> Faults:
    """What is wrong with naming this model, if one is named."""
    if not model_id or call.db.execute(models.visible(call).where(models.models.c.id == model_id)).first():
        return []
    return [(field, f'"{field}" names no model: {rows.missing("Model", model_id)}')]


def _warn(subscription_id: str, text: str) -> None:
    for warning in trigger.warnings(text):
        log.warning("the trigger of subscription %s: %s", subscription_id, warning)
