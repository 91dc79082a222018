"""A source: its rows, its shape, and the only way to read it.

Source: Public API reference, tag "Sources".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    bindparam,
    select,
    true,
)

from mainstem.errors import InputInvalid
from mainstem.public_api import catalog, functions, integration_settings
from mainstem.public_api.labels import Label, label_of, labels, source_labels
from mainstem.rest import rows
from mainstem.rest.operation import Call
from mainstem.rest.pagination import Page, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import Wire
from mainstem.vault import Vault

sources = Table(
    "sources",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("slug", String, nullable=False),
    Column("name", String, nullable=False),
    Column("metadata_id", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("settings", LargeBinary, nullable=False),
    Column("tracking_plan_id", String),  # at most one plan
)
write_keys = Table(
    "write_keys",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("write_key", String, nullable=False, unique=True),
    Column("source_id", String, nullable=False),
)
deleted_sources = Table(
    "deleted_sources",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
)


_ALL: Final = select(sources).where(sources.c.workspace_id == bindparam("workspace_id"))
_ONE: Final = _ALL.where(sources.c.id == bindparam("id"))
_LIST: Final = _ALL.order_by(sources.c.seq)
_WRITE_KEYS: Final = (
    select(write_keys.c.source_id, write_keys.c.write_key)
    .where(write_keys.c.source_id.in_(bindparam("source_ids", expanding=True)))
    .order_by(write_keys.c.seq)
)
_settings: Final = msgspec.json.Decoder(dict[str, Any])
_SAME_LABEL: Final = (labels.c.key == source_labels.c.key) & (labels.c.value == source_labels.c.value)
_LABELS: Final = (
    select(source_labels.c.source_id, labels)
    .join(labels, _SAME_LABEL & (labels.c.workspace_id == bindparam("workspace_id")))
    .where(source_labels.c.source_id.in_(bindparam("source_ids", expanding=True)))
    .order_by(source_labels.c.key)
)


class Source(Wire, frozen=True):
    """A source on the wire. Callers who may not administer it see no write keys; secrets are masked."""

    id: str
    slug: str
    name: str
    metadata: catalog.SourceMetadata
    workspace_id: str
    enabled: bool
    write_keys: list[str]
    settings: dict[str, Any]
    labels: list[Label]


class SourceOutput(Wire, frozen=True):
    """Reply of createSource, updateSource and createWriteKeyForSource."""

    source: Source


def visible(call: Call) -> Select[Any]:
    """The way the Public API reads the table, but for `one` and `page_of`."""
    mine = call.reach(Needs.SOURCE_READ, sources.c.id)
    return select(sources).where(sources.c.workspace_id == call.workspace_id, mine)


def one(call: Call, source_id: str) -> Row[Any]:
    """The row of a source that the caller may see, and change when the operation changes sources. Raises NotFound
    (a slug is not an id) and Forbidden."""
    query = call.narrowed(_ONE, Needs.SOURCE_READ, sources.c.id)
    missing = rows.missing("Source", source_id)
    row = rows.one(call.db, query, missing, workspace_id=call.workspace_id, id=source_id)
    call.demand_own(Needs.SOURCE_ADMIN, source_id)
    return row


def page_of(call: Call, page: Page) -> tuple[list[Source], Pagination]:
    """A page of the sources that the caller may see, in order of creation."""
    query = call.narrowed(_LIST, Needs.SOURCE_READ, sources.c.id)
    found, pagination = rows.page_of(call.db, query, page, workspace_id=call.workspace_id)
    return sources_of(call, found), pagination


def ids_ever(call: Call) -> list[str]:
    """Ids of the sources that the caller may see and of those that were deleted, in order of creation and of
    deletion. Usage is counted over all of them: it does not shrink when a source goes."""
    return _ids(
        call, call.reach(Needs.SOURCE_READ, sources.c.id), call.reach(Needs.SOURCE_READ, deleted_sources.c.id)
    )


def ids_of_workspace(call: Call) -> list[str]:
    """The same of the whole workspace, for its totals."""
    return _ids(call, true(), true())


def _ids(call: Call, is_seen: ColumnElement[bool], was_seen: ColumnElement[bool]) -> list[str]:
    there = select(sources.c.id).where(sources.c.workspace_id == call.workspace_id, is_seen)
    gone = select(deleted_sources.c.id).where(deleted_sources.c.workspace_id == call.workspace_id, was_seen)
    ordered = there.order_by(sources.c.seq), gone.order_by(deleted_sources.c.seq)
    return [row.id for query in ordered for row in call.db.execute(query)]


def source_of(call: Call, source_id: str) -> Source:
    """A source as the caller may see it. Raises NotFound."""
    return sources_of(call, [one(call, source_id)])[0]


def sources_of(call: Call, found: Sequence[Row[Any]]) -> list[Source]:
    """Rows as they are on the wire, in the same order."""
    ids = [row.id for row in found]
    keys = write_keys_of(call.db, sorted(call.within(Needs.SOURCE_ADMIN, ids)))
    marks = labels_of(call, ids)
    return [_source(call, row, keys.get(row.id, []), marks.get(row.id, [])) for row in found]


def find_metadata(call: Call, metadata_id: str) -> catalog.SourceMetadata | None:
    """A type of source: one of the catalogue, or a source function of the workspace."""
    described = catalog.find_source_metadata(metadata_id)
    return described or functions.find_source_metadata(call.db, call.workspace_id, metadata_id)


def metadata_of(call: Call, row: Row[Any]) -> catalog.SourceMetadata:
    """The type of an existing source."""
    described = find_metadata(call, row.metadata_id)
    assert described is not None, f"the catalogue lost {row.metadata_id}"
    return described


def check_settings(call: Call, metadata_id: str, settings: dict[str, Any]) -> None:
    """Raises InputInvalid for settings that a source function could not use; those of other types are free."""
    definitions = functions.find_definitions(call.db, call.workspace_id, metadata_id)
    faults = [] if definitions is None else functions.setting_faults(settings, definitions)
    if faults:
        raise InputInvalid(faults)


def _masked(call: Call, row: Row[Any], described: catalog.SourceMetadata) -> dict[str, Any]:
    settings = settings_of(call.vault, row)
    definitions = functions.find_definitions(call.db, call.workspace_id, row.metadata_id)
    if definitions is not None:
        return functions.masked_settings(settings, definitions)
    return integration_settings.masked(settings, described.options)


def _source(call: Call, row: Row[Any], keys: list[str], marks: list[Label]) -> Source:
    described = metadata_of(call, row)
    return Source(
        id=row.id,
        slug=row.slug,
        name=row.name,
        metadata=described,
        workspace_id=row.workspace_id,
        enabled=row.enabled,
        write_keys=keys,
        settings=_masked(call, row, described),
        labels=marks,
    )


def settings_of(vault: Vault, row: Row[Any]) -> dict[str, Any]:
    """The settings of a source with their secrets, for the data plane and for merging."""
    return _settings.decode(vault.open(row.settings, row.id))


def write_keys_of(db: Connection, source_ids: Sequence[str]) -> dict[str, list[str]]:
    """Write keys of each source, the oldest first."""
    found: dict[str, list[str]] = {}
    for source_id, write_key in db.execute(_WRITE_KEYS, {"source_ids": source_ids}).all():
        found.setdefault(source_id, []).append(write_key)
    return found


def labels_of(call: Call, source_ids: Sequence[str]) -> dict[str, list[Label]]:
    """Labels of each source, by key."""
    found: dict[str, list[Label]] = {}
    for row in call.db.execute(_LABELS, {"workspace_id": call.workspace_id, "source_ids": source_ids}).all():
        found.setdefault(row.source_id, []).append(label_of(row))
    return found
