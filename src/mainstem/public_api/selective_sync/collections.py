"""The collections of a source, and their properties: the tables and columns that a warehouse gets of it.

They are those that every source has, and those of the events, properties and traits that the source was seen to send.
Source: product guide, "Warehouse schemas". That what is seen but not synced yet counts is a judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mainstem.model.ports import LearnedSchemas
from mainstem.warehouses.naming import snake_case

_TIMES: Final = ("original_timestamp", "received_at", "sent_at", "timestamp", "uuid_ts")
_BASE: Final = ("anonymous_id", "id", "user_id", *_TIMES)
_OF_AN_EVENT: Final = (*_BASE, "event", "event_text")
FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "accounts": ("id", "received_at", "uuid_ts"),
    "aliases": (*_BASE, "previous_id"),
    "groups": (*_BASE, "group_id"),
    "identifies": _BASE,
    "pages": (*_BASE, "category", "name"),
    "screens": (*_BASE, "category", "name"),
    "tracks": _OF_AN_EVENT,
    "users": ("id", "received_at", "uuid_ts"),
}
"""The collections of every source with the columns that they have for certain."""
CONTEXT: Final = "context_"
"""What columns of the context begin with; which there are is not kept."""
NEEDED: Final = "received_at"
"""A column without which syncs of its table fail."""
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "alias": ("aliases",),
    "group": ("groups", "accounts"),
    "identify": ("identifies", "users"),
    "page": ("pages",),
    "screen": ("screens",),
}


def of_source(learned: LearnedSchemas | None, source_id: str) -> dict[str, set[str]]:
    """Every known collection of a source with its known properties."""
    found = {name: set(columns) for name, columns in FIXED.items()}
    for event in learned.events(source_id) if learned else ():
        tables = _TABLES.get(event.event_type) or (_table(event.event_name),)
        fields = learned.fields(source_id, event.event_type, event.event_name) if learned else ()
        columns = {_column(field.path) for field in fields} - {""}
        for table in tables if all(tables) else ():
            found.setdefault(table, set(_OF_AN_EVENT)).update(columns)
    return found


def _table(event_name: str) -> str:
    """The table of a track event; one of the name of a fixed table stays apart from it."""
    name = snake_case(event_name)
    return f"_{name}" if name in FIXED else name


def _column(path: str) -> str:
    """The column of a dotted path; a list is one column, whatever its items are."""
    outside, _, _ = f"{path}.".partition(".$.")
    return "_".join(filter(None, map(snake_case, outside.split("."))))
