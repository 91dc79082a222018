"""Schema controls: what is switched off in the schema of a source, one event, trait or destination at a time.

The Public API has no operation for them; `mainstem schema` sets them. What is not switched off is on. Events and
traits are off while the source has no tracking plan, destinations in any case.
Source: product guide, "Schema": event filters, trait filters, integration filters.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, Integer, String, Table, bindparam, delete, insert, select

from mainstem.rest import rows
from mainstem.rest.rows import metadata

schema_controls = Table(
    "schema_controls",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("source_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("type", String, nullable=False),
    Column("name", String, nullable=False),
    Column("destination", String, nullable=False),
)

Off = dict[str, tuple[str, ...]]


class Kind(enum.StrEnum):
    """What a switch is of."""

    EVENT = "event"
    TRAIT = "trait"
    INTEGRATION = "integration"


TYPES: Final = {
    Kind.EVENT: ("track", "page", "screen"),
    Kind.TRAIT: ("identify", "group"),
    Kind.INTEGRATION: ("track", "page", "screen", "identify", "group"),
}
"""The types of calls that there are switches of each kind for."""


class Switch(msgspec.Struct, frozen=True):
    """An event of a type, by its name; a trait of a type of call; or an event ("" for the calls without a name) and
    the display name of a destination that does not get it."""

    kind: Kind
    type: str
    name: str
    destination: str = ""


def turn(db: Connection, source_id: str, switch: Switch, *, on: bool) -> bool:
    """Turn a switch; False when it stood so already."""
    if (switch in switched_off(db, source_id)) is not on:
        return False
    values = msgspec.structs.asdict(switch) | {"source_id": source_id}
    same = [schema_controls.c[column] == value for column, value in values.items()]
    db.execute(delete(schema_controls).where(*same) if on else insert(schema_controls).values(values))
    return True


_OF_SOURCE: Final = (
    select(schema_controls)
    .where(schema_controls.c.source_id == bindparam("source_id"))
    .order_by(schema_controls.c.seq)
)


def switched_off(db: Connection, source_id: str) -> list[Switch]:
    """What is off at a source, in the order in which it was turned off."""
    rows = db.execute(_OF_SOURCE, {"source_id": source_id})
    return [Switch(Kind(row.kind), row.type, row.name, row.destination) for row in rows]


def controls_off(db: Connection, source_id: str) -> dict[str, Off]:
    """The same as the fields of SchemaControls that the data plane reads."""
    events: Off = {}
    traits: Off = {}
    integrations: Off = {}
    for switch in switched_off(db, source_id):
        if switch.kind is Kind.EVENT:
            _add(events, switch.type, switch.name)
        elif switch.kind is Kind.TRAIT:
            _add(traits, switch.type, switch.name)
        else:
            _add(integrations, f"{switch.type}/{switch.name}", switch.destination)
    return {"events_off": events, "traits_off": traits, "integrations_off": integrations}


def _add(off: Off, key: str, value: str) -> None:
    off[key] = (*off.get(key, ()), value)


def delete_of_source(db: Connection, source_id: str) -> None:
    """Forget the switches of a source that goes away."""
    rows.delete(db, schema_controls.c.source_id, source_id)
