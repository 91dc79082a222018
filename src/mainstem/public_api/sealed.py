"""Every sealed column of the control database, and how its values are sealed again under the newest key.

A table with something sealed adds its column here. A test walks all binary columns, so none can be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Connection, Select, literal, or_, select, update

from mainstem.public_api.credentials.credential import credentials
from mainstem.public_api.destinations import destinations
from mainstem.public_api.functions.function import function_versions, insert_function_instances
from mainstem.public_api.profiles_warehouses import profiles_warehouses
from mainstem.public_api.publish import published
from mainstem.public_api.sources.source import sources
from mainstem.public_api.subscriptions.subscription import subscriptions
from mainstem.public_api.suppressions import SEALED_FOR, suppressions
from mainstem.public_api.transformations import transformations
from mainstem.public_api.warehouses.warehouse import warehouses
from mainstem.vault import SealBroken, Vault

AT_ONCE: Final = 50  # rows in one transaction: some milliseconds, in which other writers wait


class Sealed(msgspec.Struct, frozen=True):
    """A column whose values are sealed, each for the row's `sealed_for`: a column, or a word for all rows."""

    column: Column[Any]
    sealed_for: Column[Any] | str

    @property
    def name(self) -> str:
        """As TABLE.COLUMN."""
        return f"{self.column.table.name}.{self.column.name}"


class Resealed(msgspec.Struct, frozen=True):
    """What became of some rows: `after` is where to go on, None at the end; `broken` names rows that do not open."""

    after: Any
    rows: int
    broken: Sequence[str]


SEALED: Final = (
    Sealed(sources.c.settings, sources.c.id),
    Sealed(destinations.c.settings, destinations.c.id),
    Sealed(warehouses.c.settings, warehouses.c.id),
    Sealed(credentials.c.settings, credentials.c.id),
    Sealed(profiles_warehouses.c.settings, profiles_warehouses.c.id),
    Sealed(transformations.c.parts, transformations.c.id),
    Sealed(function_versions.c.code, function_versions.c.id),
    Sealed(insert_function_instances.c.settings, insert_function_instances.c.id),
    Sealed(subscriptions.c.mapping, subscriptions.c.id),
    Sealed(suppressions.c.user_id, SEALED_FOR),
    Sealed(published.c.body, published.c.source_id),
)


def reseal(db: Connection, vault: Vault, sealed: Sealed, after: Any) -> Resealed:
    """Seal some values again that were sealed under an older key, those behind the row `after` (None: from the
    start). The transaction is a writing one, so no value changes meanwhile."""
    column = sealed.column
    (key,) = column.table.primary_key
    found = db.execute(_older(vault, sealed, key, after).limit(AT_ONCE)).all()
    broken = []
    for row in found:
        try:
            value = vault.reseal(row.value, row.sealed_for)
        except SealBroken:
            broken.append(f"{sealed.name} of {row.sealed_for}")
            continue
        db.execute(update(column.table).where(key == row.key).values({column.name: value}))
    return Resealed(found[-1].key if len(found) == AT_ONCE else None, len(found) - len(broken), broken)


def _older(vault: Vault, sealed: Sealed, key: Column[Any], after: Any) -> Select[Any]:
    first, beyond = vault.sealed_now
    column, named = sealed.column, sealed.sealed_for
    owner = literal(named) if isinstance(named, str) else named
    query = select(key.label("key"), owner.label("sealed_for"), column.label("value"))
    query = query.where(or_(column < first, column >= beyond)).order_by(key)
    return query if after is None else query.where(key > after)
