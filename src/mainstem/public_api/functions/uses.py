"""Where a function is at work: the destinations and sources that it is, and those that it is inserted at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Table, select, update

from mainstem.public_api import sources
from mainstem.public_api.destinations import CONSENT, destinations
from mainstem.public_api.functions import settings
from mainstem.public_api.functions.function import ResourceType, find_by_catalog_id, insert_function_instances
from mainstem.public_api.functions.settings import Setting
from mainstem.public_api.sources.source import sources as sources_table
from mainstem.public_api.sources.source import write_keys_of
from mainstem.rest.operation import Call
from mainstem.rest.permissions import Needs

_SHOWN = 3


def touch_sources(call: Call, function: Row[Any]) -> None:
    """The data plane must see every source anew that this function has to do with."""
    for table, row in _of(call, function):
        call.touch(row.id if table is sources_table else row.source_id)


def describe(call: Call, function: Row[Any]) -> str:
    """What uses the function, in words such as "destination 65c2…, source 4vXZ…"; "" for nothing."""
    nouns = {destinations: "destination", sources_table: "source"}
    found = [f"{nouns.get(table, 'insert function instance')} {row.id}" for table, row in _of(call, function)]
    more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join(found[:_SHOWN] + more)


def refit(call: Call, function: Row[Any], *, before: Sequence[Setting], after: Sequence[Setting]) -> None:
    """Forget the values of every instance that the new definitions do not cover."""
    for table, row in _of(call, function):
        values = msgspec.json.decode(call.vault.open(row.settings, row.id), type=dict[str, Any])
        kept = settings.kept(values, before, after) | {key: values[key] for key in (CONSENT,) if key in values}
        if kept != values:
            sealed = call.vault.seal(msgspec.json.encode(kept), row.id)
            call.db.execute(update(table).where(table.c.id == row.id).values(settings=sealed))


def find_function_of_source(call: Call, source_id: str) -> Row[Any] | None:
    """The function that a source is made of; None when there is no such source, or it is made of none."""
    row = call.db.execute(sources.visible(call).where(sources_table.c.id == source_id)).one_or_none()
    if row is None:
        return None
    return find_by_catalog_id(call.db, call.workspace_id, row.metadata_id, ResourceType.SOURCE)


def webhook_url(call: Call, function: Row[Any]) -> str:
    """Where the oldest source of a source function is called; "" when there is none, or the caller may not see write
    keys."""
    same = sources_table.c.metadata_id == function.catalog_id
    ids = [row.id for row in call.db.execute(sources.visible(call).where(same).order_by(sources_table.c.seq))]
    mine = call.within(Needs.SOURCE_ADMIN, ids[:1]) if call.tracking_url else set()
    keys = write_keys_of(call.db, sorted(mine))
    return f"{call.tracking_url}/functions/v1/{keys[ids[0]][0]}" if keys else ""


def _of(call: Call, function: Row[Any]) -> Iterator[tuple[Table, Row[Any]]]:
    """Each row that uses the function, with its table; all have `id` and sealed `settings`."""
    same_type = function.catalog_id
    for table, column, value in (
        (destinations, destinations.c.metadata_id, same_type),
        (sources_table, sources_table.c.metadata_id, same_type),
        (insert_function_instances, insert_function_instances.c.function_id, function.id),
    ):
        for row in call.db.execute(select(table).where(column == value).order_by(table.c.seq)).all():
            yield table, row
