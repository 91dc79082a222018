"""Publication: what the data plane knows of a source, written in the transaction that changes it.

One row per source, sealed, with a growing version; a source that is gone leaves a row without a body.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    update,
)

from mainstem.model.snapshot import FUNCTION_PREFIX, PLAN_PREFIX, SUPPRESSED_PREFIX, Published, SourceConfig
from mainstem.public_api import catalog, destinations, functions, live_plugins, suppressions, transformations
from mainstem.public_api.sources import schema_controls, schema_settings
from mainstem.public_api.sources.source import settings_of, sources, write_keys_of
from mainstem.public_api.tracking_plans import rules
from mainstem.rest.operation import Call
from mainstem.rest.rows import metadata
from mainstem.vault import Vault

published = Table(
    "published",
    metadata,
    Column("source_id", String, primary_key=True),
    Column("version", Integer, nullable=False, index=True),
    Column("body", LargeBinary),
)

_NEWEST: Final = published.alias()
_NEXT: Final = select(func.coalesce(func.max(_NEWEST.c.version), 0) + 1).scalar_subquery()
_ADD: Final = insert(published).values(source_id=bindparam("key"), version=_NEXT, body=bindparam("sealed"))
_SOURCE: Final = select(sources).where(sources.c.id == bindparam("source_id"))
_REPLACE: Final = (
    update(published).where(published.c.source_id == bindparam("key")).values(version=_NEXT, body=bindparam("sealed"))
)


def publish_touched(call: Call) -> None:
    """Publish every source, plan, function and part of a suppression list that the call touched. Runs last in its
    transaction."""
    for touched in sorted(call.touched):
        put(call.db, call.vault, touched, config_of(call.db, call.vault, touched))


def config_of(db: Connection, vault: Vault, id: str) -> Published | None:
    """What is to be published under this id, from the control tables; None when it is gone."""
    if id.startswith(FUNCTION_PREFIX):
        return functions.config_of(db, vault, id.removeprefix(FUNCTION_PREFIX))
    if id.startswith(SUPPRESSED_PREFIX):
        return suppressions.config_of(db, vault, id.removeprefix(SUPPRESSED_PREFIX))
    if id.startswith(PLAN_PREFIX):
        return rules.config_of(db, id)
    return source_config(db, vault, id)


def put(db: Connection, vault: Vault, source_id: str, config: Published | None) -> None:
    """Publish one of them; None says that it is gone."""
    body = None if config is None else vault.seal(msgspec.msgpack.encode(config), source_id)
    row = {"key": source_id, "sealed": body}
    if not db.execute(_REPLACE, row).rowcount:
        db.execute(_ADD, row)


def source_config(db: Connection, vault: Vault, source_id: str) -> SourceConfig | None:
    """The whole configuration of a source from the control tables; None when there is no such source."""
    row = db.execute(_SOURCE, {"source_id": source_id}).one_or_none()
    if row is None:
        return None
    settings, inserts = settings_of(vault, row), functions.inserts_of_source(db, vault, source_id)
    return SourceConfig(
        id=source_id,
        workspace_id=row.workspace_id,
        slug=row.slug,
        name=row.name,
        metadata_id=row.metadata_id,
        platform=catalog.source_platform(row.metadata_id),
        enabled=row.enabled,
        write_keys=tuple(write_keys_of(db, [source_id]).get(source_id, [])),
        settings=settings,
        destinations=destinations.of_source(db, vault, source_id, inserts),
        tracking_plan_id=row.tracking_plan_id or "",
        schema=structs.replace(
            schema_settings.controls_of(db, source_id), **schema_controls.controls_off(db, source_id)
        ),
        transformations=transformations.of_source(db, vault, source_id),
        insert=inserts.get(source_id),
        function=functions.source_use(db, row, settings),
        live_plugin=live_plugins.config_of(db, source_id),
    )
