"""Orphans: rows that name what is not there, or what belongs to another workspace.

`REFERENCES` is the one list of what names what; no constraint of the database stands behind it, for several columns
name one of several tables. `mainstem doctor --deep` walks it, and so do the tests of what a delete takes along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, exists, or_, select

from mainstem.model.snapshot import FUNCTION_PREFIX, SUPPRESSED_PREFIX
from mainstem.public_api import catalog
from mainstem.public_api.credentials.credential import credential_uses, credentials
from mainstem.public_api.destinations import destination_filters, destinations
from mainstem.public_api.functions.function import function_versions as versions
from mainstem.public_api.functions.function import functions, insert_function_instances
from mainstem.public_api.labels import labels, source_labels
from mainstem.public_api.live_plugins import live_plugins
from mainstem.public_api.profiles_warehouses import exclusions as profiles_exclusions
from mainstem.public_api.profiles_warehouses import profiles_warehouses
from mainstem.public_api.publish import published
from mainstem.public_api.reverse_etl_models import models
from mainstem.public_api.sources.schema_controls import schema_controls
from mainstem.public_api.sources.schema_settings import schema_settings
from mainstem.public_api.sources.source import sources, write_keys
from mainstem.public_api.space_filters import space_filters
from mainstem.public_api.spaces import spaces
from mainstem.public_api.subscriptions.subscription import subscriptions
from mainstem.public_api.suppressions import suppressions
from mainstem.public_api.tracking_plans.plans import tracking_plan_rules, tracking_plans
from mainstem.public_api.transformations import transformations
from mainstem.public_api.warehouses.warehouse import sync_exclusions, sync_schedules, warehouse_sources, warehouses
from mainstem.public_api.workspaces import workspaces
from mainstem.rest.grants import GROUP, TOKEN, USER, grants, group_members, invites, resource_of, user_groups, users
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import find_role
from mainstem.rest.rows import metadata
from mainstem.rest.tokens import tokens


class Reference(msgspec.Struct, frozen=True):
    """A column that names a row of one of `targets` by a unique column, of the same workspace where both tables know
    theirs. NULL and "" name nothing; `where` says which rows refer at all; `is_known` takes what is no row, such as a
    type of the catalogue."""

    column: Column[Any]
    targets: tuple[Column[Any], ...]
    where: ColumnElement[bool] | None = None
    is_known: Callable[[str], bool] = lambda _named: False


class Orphan(msgspec.Struct, frozen=True):
    """A row, by its table and what tells it from others, that names in `column` what is not there."""

    table: str
    row: str
    column: str
    names: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.column} names {self.names}, which is not there"


def _is_type_of_source(id: str) -> bool:
    return catalog.find_source_metadata(id) is not None


def _is_type_of_destination(id: str) -> bool:
    return catalog.find_destination_metadata(id) is not None


def _is_type_of_warehouse(id: str) -> bool:
    return catalog.find_warehouse_metadata(id) is not None


def _granted(type: ResourceType) -> ColumnElement[bool]:
    return grants.c.resource_type == type.value


UNCHECKED: Final[Mapping[str, str]] = {
    "audit_events.workspace_id": "the trail outlives what it tells of, and has a chain of its own",
    "audit_events.resource_id": "the trail outlives what it tells of",
    "functions.catalog_id": "the function's own second id, which sources and destinations name as their type",
    "grants.policy_id": "what it names is the rows that have it",
    "published.source_id": "of a source, plan, function or list by its prefix; a walk of its own follows it",
    "subscriptions.action_id": "of the definition of the destination's type, which may lose an action",
    "suppressions.user_id": "of a user whose events are discarded; sealed, and no row anywhere",
    "transformations.destination_metadata_id": "a type that the source need not be connected to any more",
}
"""Columns that end in `_id` and are no references, each with the reason."""

_OF_WORKSPACES: Final = tuple(
    Reference(table.c.workspace_id, (workspaces.c.id,))
    for table in metadata.sorted_tables
    if "workspace_id" in table.c and f"{table.name}.workspace_id" not in UNCHECKED
)
_OF_SOURCES: Final = tuple(
    Reference(table.c.source_id, (sources.c.id,))
    for table in (
        write_keys, source_labels, schema_settings, schema_controls, destinations, destination_filters, subscriptions,
        transformations, insert_function_instances, warehouse_sources, sync_exclusions, models, live_plugins,
        suppressions,
    )
)  # fmt: skip
REFERENCES: Final = (
    *_OF_WORKSPACES,
    *_OF_SOURCES,
    Reference(schema_settings.c.forwarding_violations_to, (sources.c.id,)),
    Reference(schema_settings.c.forwarding_blocked_events_to, (sources.c.id,)),
    Reference(sources.c.metadata_id, (functions.c.catalog_id,), is_known=_is_type_of_source),
    Reference(sources.c.tracking_plan_id, (tracking_plans.c.id,)),
    Reference(tracking_plan_rules.c.plan_id, (tracking_plans.c.id,)),
    Reference(destinations.c.metadata_id, (functions.c.catalog_id,), is_known=_is_type_of_destination),
    Reference(destination_filters.c.destination_id, (destinations.c.id,)),
    Reference(subscriptions.c.destination_id, (destinations.c.id,)),
    Reference(subscriptions.c.metadata_id, (functions.c.catalog_id,), is_known=_is_type_of_destination),
    Reference(subscriptions.c.model_id, (models.c.id,)),
    Reference(versions.c.function_id, (functions.c.id,)),
    Reference(functions.c.latest_version, (versions.c.id,)),
    Reference(functions.c.deployed_version, (versions.c.id,)),
    Reference(insert_function_instances.c.function_id, (functions.c.id,)),
    Reference(insert_function_instances.c.integration_id, (destinations.c.id, sources.c.id)),
    Reference(warehouses.c.metadata_id, (), is_known=_is_type_of_warehouse),
    Reference(warehouse_sources.c.warehouse_id, (warehouses.c.id,)),
    Reference(sync_schedules.c.warehouse_id, (warehouses.c.id,)),
    Reference(sync_exclusions.c.warehouse_id, (warehouses.c.id,)),
    Reference(credential_uses.c.consumer_id, (sources.c.id, warehouses.c.id, profiles_warehouses.c.id)),
    Reference(credential_uses.c.credential_id, (credentials.c.id,)),
    Reference(space_filters.c.space_id, (spaces.c.id,)),
    Reference(profiles_warehouses.c.space_id, (spaces.c.id,)),
    Reference(profiles_warehouses.c.metadata_id, (), is_known=_is_type_of_warehouse),
    Reference(profiles_exclusions.c.warehouse_id, (profiles_warehouses.c.id,)),
    Reference(tokens.c.user_id, (users.c.id,), where=tokens.c.revoked_at.is_(None)),
    Reference(group_members.c.group_id, (user_groups.c.id,)),
    Reference(group_members.c.member_id, (users.c.id, invites.c.id)),
    Reference(grants.c.role_id, (), is_known=lambda role_id: find_role(role_id) is not None),
    Reference(grants.c.subject_id, (users.c.id, invites.c.id), where=grants.c.subject_type == USER),
    Reference(grants.c.subject_id, (user_groups.c.id,), where=grants.c.subject_type == GROUP),
    Reference(grants.c.subject_id, (tokens.c.id,), where=grants.c.subject_type == TOKEN),
    Reference(grants.c.resource_id, (workspaces.c.id,), where=_granted(ResourceType.WORKSPACE)),
    Reference(grants.c.resource_id, (sources.c.id,), where=_granted(ResourceType.SOURCE)),
    Reference(grants.c.resource_id, (spaces.c.id,), where=_granted(ResourceType.SPACE)),
    Reference(grants.c.resource_id, (warehouses.c.id,), where=_granted(ResourceType.WAREHOUSE)),
    Reference(grants.c.resource_id, (functions.c.id,), where=_granted(ResourceType.FUNCTION)),
)


def find(db: Connection) -> Iterator[Orphan]:
    """Every orphan of the control database, in every workspace. Reads each table a few times."""
    for reference in REFERENCES:
        yield from of_reference(db, reference)
    yield from _of_labels_of_sources(db)
    yield from _of_labels_of_grants(db)
    yield from _of_publications(db)
    yield from _unpublished(db)


def of_reference(db: Connection, reference: Reference) -> Iterator[Orphan]:
    """The orphans of one column."""
    column = reference.column
    refers = and_(column.is_not(None), column != "", *([] if reference.where is None else [reference.where]))
    there = or_(*(_exists(column, target) for target in reference.targets)) if reference.targets else None
    query = select(column.table).where(refers, *([] if there is None else [~there]))
    for row in db.execute(query):
        named = getattr(row, column.name)
        if not reference.is_known(named):
            yield Orphan(column.table.name, _name(column.table, row), column.name, named)


def _exists(column: Column[Any], target: Column[Any]) -> ColumnElement[bool]:
    theirs = target.table.alias("named")
    same = theirs.c[target.name] == column
    if "workspace_id" in column.table.c and "workspace_id" in theirs.c:
        same &= theirs.c.workspace_id == column.table.c.workspace_id
    return exists().where(same)


def _name(table: Any, row: Any) -> str:
    columns = ["id"] if "id" in table.c else [each.name for each in table.primary_key]
    return " ".join(str(getattr(row, name)) for name in columns)


def _of_labels_of_sources(db: Connection) -> Iterator[Orphan]:
    same = (labels.c.key == source_labels.c.key) & (labels.c.value == source_labels.c.value)
    there = exists().where(same, labels.c.workspace_id == sources.c.workspace_id)
    joined = select(source_labels).join(sources, sources.c.id == source_labels.c.source_id)
    for row in db.execute(joined.where(~there)):
        yield Orphan("source_labels", row.source_id, "key", f"{row.key}:{row.value}")


def _of_labels_of_grants(db: Connection) -> Iterator[Orphan]:
    there = {(row.workspace_id, row.key, row.value) for row in db.execute(select(labels))}
    for row in db.execute(select(grants).where(grants.c.labels != "[]")):
        for key, value in resource_of(row).labels:
            if (row.workspace_id, key, value) not in there:
                yield Orphan("grants", str(row.seq), "labels", f"{key}:{value}")


def _of_publications(db: Connection) -> Iterator[Orphan]:
    """What the data plane still has of what is gone."""
    there = {*_ids(db, sources), *_ids(db, tracking_plans), *_ids(db, workspaces)}
    there |= {FUNCTION_PREFIX + each for each in _ids(db, functions)}
    for key in _published(db):
        what = key.removeprefix(SUPPRESSED_PREFIX).rpartition(":")[0] if key.startswith(SUPPRESSED_PREFIX) else key
        if what not in there:
            yield Orphan("published", key, "source_id", what)


def _unpublished(db: Connection) -> Iterator[Orphan]:
    """What the data plane does not have, though it is there."""
    there = set(_published(db))
    wanted = {("sources", each) for each in _ids(db, sources)}
    plans = select(sources.c.tracking_plan_id).where(sources.c.tracking_plan_id.is_not(None)).distinct()
    wanted |= {("tracking_plans", each) for each in db.scalars(plans)}
    deployed = select(functions.c.id).where(functions.c.deployed_version.is_not(None))
    wanted |= {("functions", FUNCTION_PREFIX + each) for each in db.scalars(deployed)}
    for table, key in sorted(wanted):
        if key not in there:
            yield Orphan(table, key.removeprefix(FUNCTION_PREFIX), "id", f"the publication {key}")


def _published(db: Connection) -> list[str]:
    return list(db.scalars(select(published.c.source_id).where(published.c.body.is_not(None))))


def _ids(db: Connection, table: Table) -> list[str]:
    return list(db.scalars(select(table.c.id)))
