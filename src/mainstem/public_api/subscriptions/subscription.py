"""The rows and the shape of a subscription, and what the data plane gets of it.

What is mapped lies sealed in the row, for a mapping may hold secrets. Beside the settings as they were sent stand the
defaults of the action's fields as they were at that time: the runner does not fill them in, and what an existing
mapping sends must not change when a new version of the package is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    bindparam,
    insert,
    select,
)

from mainstem.model.mapping_kit import SYNC_MODE
from mainstem.model.snapshot import SubscriptionConfig
from mainstem.public_api.subscriptions.schedules import Schedule
from mainstem.rest import rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import Call
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import UNSET, Unset, Wire
from mainstem.vault import Vault

if TYPE_CHECKING:
    from mainstem.destinations.actions.catalogue import Action

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("destination_id", String, nullable=False),
    Column("metadata_id", String, nullable=False),  # of the destination
    Column("name", String, nullable=False),
    Column("action_id", String, nullable=False),
    Column("action_slug", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("mapping", LargeBinary, nullable=False),  # Mapped, sealed
    Column("model_id", String, nullable=False),  # "" for what the source's events go through
    Column("schedule", LargeBinary),
)
MASK: Final = "\u2022" * 10


class Mapped(msgspec.Struct, frozen=True):
    """What is mapped: `settings` as sent, under them the `defaults` of the action when it was created."""

    settings: dict[str, Any]
    defaults: dict[str, Any]

    @property
    def mapping(self) -> dict[str, Any]:
        """What the runner gets."""
        return {**self.defaults, **self.settings}


class Subscription(Wire, frozen=True):
    """A subscription on the wire; `model_id` is "" for one that the source's events go through."""

    id: str
    name: str
    action_id: str
    action_slug: str
    destination_id: str
    enabled: bool
    settings: dict[str, Any]
    trigger: str
    model_id: str
    schedule: Schedule | Unset = msgspec.field(default=UNSET, name="reverseETLSchedule")


def subscription_of(call: Call, row: Row[Any]) -> Subscription:
    """A row as the caller may see it: the texts of password fields are masked for those who may only read."""
    settings = mapped_of(call.vault, row).settings
    return Subscription(
        id=row.id,
        name=row.name,
        action_id=row.action_id,
        action_slug=row.action_slug,
        destination_id=row.destination_id,
        enabled=row.enabled,
        settings=settings
        if call.within(Needs.SOURCE_ADMIN, [row.source_id])
        else _without_secrets(settings, find_action(row)),
        trigger=row.trigger,
        model_id=row.model_id,
        schedule=UNSET if row.schedule is None else msgspec.json.decode(row.schedule, type=Schedule),
    )


def find_action(row: Row[Any]) -> Action | None:
    """The action of a row; None while the package is not installed, or for one that it has no more."""
    from mainstem.destinations.actions import catalogue  # with an HTTP client; idle memory stays small without

    return catalogue.find_actions(row.metadata_id).get(row.action_slug)


def mapped_of(vault: Vault, row: Row[Any]) -> Mapped:
    """What a row maps."""
    return msgspec.json.decode(vault.open(row.mapping, row.id), type=Mapped)


def sealed(vault: Vault, mapped: Mapped, id: str) -> bytes:
    """What is mapped, for the row with this id."""
    return vault.seal(msgspec.json.encode(mapped), id)


def defaults_of(action: Action) -> dict[str, Any]:
    """What an action's fields get when a new mapping says nothing of them."""
    mode = {SYNC_MODE: action.default_sync_mode} if action.default_sync_mode else {}
    return {**action.defaults, **mode}


def add(
    db: Connection,
    vault: Vault,
    destination: Row[Any],
    action: Action,
    *,
    name: str,
    trigger: str,
    enabled: bool,
    settings: dict[str, Any],
    model_id: str = "",
) -> str:
    """Insert a subscription that was found without fault; returns its id."""
    subscription_id = base58_id()
    values = {
        "id": subscription_id,
        "workspace_id": destination.workspace_id,
        "source_id": destination.source_id,
        "destination_id": destination.id,
        "metadata_id": destination.metadata_id,
        "name": name,
        "action_id": action.id,
        "action_slug": action.slug,
        "trigger": trigger,
        "enabled": enabled,
        "mapping": sealed(vault, Mapped(settings, defaults_of(action)), subscription_id),
        "model_id": model_id,
        "schedule": None,
    }
    db.execute(insert(subscriptions).values(values))
    return subscription_id


def _without_secrets(settings: dict[str, Any], action: Action | None) -> dict[str, Any]:
    secrets = {key for key, field in action.fields.items() if field.type == "password"} if action else set()
    return {key: MASK if key in secrets and isinstance(value, str) else value for key, value in settings.items()}


# ---- for the data plane, and for destinations


_OF_SOURCE: Final = (
    select(subscriptions)
    .where(subscriptions.c.source_id == bindparam("source_id"), subscriptions.c.model_id == "")
    .order_by(subscriptions.c.seq)
)


def of_source(db: Connection, vault: Vault, source_id: str) -> dict[str, tuple[SubscriptionConfig, ...]]:
    """The subscriptions of a source's events by destination, in order of creation, with their secrets. Those of
    models are left out: no event goes through them."""
    found: dict[str, list[SubscriptionConfig]] = {}
    for row in db.execute(_OF_SOURCE, {"source_id": source_id}):
        found.setdefault(row.destination_id, []).append(_config(vault, row))
    return {destination_id: tuple(configs) for destination_id, configs in found.items()}


def _config(vault: Vault, row: Row[Any]) -> SubscriptionConfig:
    action = find_action(row)
    return SubscriptionConfig(
        id=row.id,
        name=row.name,
        action=row.action_slug,
        trigger=row.trigger,
        enabled=row.enabled,
        mapping=mapped_of(vault, row).mapping,
        can_batch=action.can_batch if action else False,
        batch_keys=action.batch_keys if action else (),
    )


def ids_of_model(db: Connection, model_id: str) -> list[str]:
    """The subscriptions that a model's rows go through, in order of creation."""
    query = select(subscriptions.c.id).where(subscriptions.c.model_id == model_id)
    return list(db.scalars(query.order_by(subscriptions.c.seq)))


def delete_of_model(call: Call, model_id: str) -> None:
    """Delete every subscription of a model whose source is being deleted. Each is in the audit trail."""
    _delete(call, subscriptions.c.model_id, model_id)


def delete_of_destination(call: Call, destination_id: str) -> None:
    """Delete every subscription of a destination that is being deleted. Each is in the audit trail."""
    _delete(call, subscriptions.c.destination_id, destination_id)


def _delete(call: Call, column: Column[Any], value: str) -> None:
    for row in rows.having(call.db, column, value):
        record(call, "Destination Subscription Deleted", row.id, row.name)
    rows.delete(call.db, column, value)


def record(call: Call, event: str, resource_id: str, resource_name: str) -> None:
    """Write an audit event. The reference names none for subscriptions; what changes where data goes is in the trail
    all the same (judgement)."""
    call.record_beside(event, "DESTINATION_SUBSCRIPTION", resource_id, resource_name)
