"""Presets: the mappings that a destination usually needs, as its type names them.

The Public API makes none of them with a destination; `mainstem destinations presets` does when it is asked to.
Source: Public API reference, "presets" of a destination's metadata: "can optionally be applied".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, Row, select

from mainstem.model import trigger
from mainstem.public_api.subscriptions import fields
from mainstem.public_api.subscriptions.subscription import add, defaults_of, subscriptions
from mainstem.vault import Vault

if TYPE_CHECKING:
    from mainstem.destinations.actions.catalogue import Preset


class Offered(msgspec.Struct, frozen=True):
    """A preset for a destination. `is_there`: a subscription runs the same action for the same trigger. `lacks` are
    required fields that it has no value for, so that it cannot be enabled; `faults` keep it from being made."""

    preset: Preset
    is_there: bool
    lacks: list[str]
    faults: list[str]


def offered(db: Connection, destination: Row[Any]) -> list[Offered]:
    """The presets of a destination's type, in the order in which it names them; none while it is not installed."""
    from mainstem.destinations.actions import catalogue  # with an HTTP client; idle memory stays small without

    definition = catalogue.find_definition(destination.metadata_id)
    if definition is None:
        return []
    mine = subscriptions.c.destination_id == destination.id
    rows = db.execute(select(subscriptions.c.action_slug, subscriptions.c.trigger).where(mine))
    there = {(row.action_slug, row.trigger) for row in rows}
    found = []
    for preset in definition.presets:
        action = definition.actions[preset.action_slug]
        faults = [*trigger.faults(preset.trigger), *_messages(fields.faults(preset.mapping, action, "mapping"))]
        lacks = _messages(fields.missing({**defaults_of(action), **preset.mapping}, action, "mapping"))
        found.append(Offered(preset, (preset.action_slug, preset.trigger) in there, lacks, faults))
    return found


def create(db: Connection, vault: Vault, destination: Row[Any], preset: Preset, *, enabled: bool) -> str:
    """Make a subscription of a preset without faults; returns its id."""
    from mainstem.destinations.actions import catalogue

    action = catalogue.find_actions(destination.metadata_id)[preset.action_slug]
    return add(
        db, vault, destination, action,
        name=preset.name, trigger=preset.trigger, enabled=enabled, settings=preset.mapping,
    )  # fmt: skip


def _messages(faults: list[tuple[str, str]]) -> list[str]:
    return [message for _, message in faults]
