"""Live plugins: JavaScript of a source that its mobile applications fetch and run before they send.

The Tracking API serves the code to everybody, so it lies as it is in its row. Every write raises `version`, deleting
the code too, by which devices know that what they have is no longer what runs.
Source: Public API reference, tag "Live Plugins" (3 operations); product guide, "Live Plugins". Judgements: the bound
of the code, 404 where there never was any and for deleting what is not there.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    Row,
    Select,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)

from mainstem.errors import NotFound
from mainstem.model.snapshot import LivePluginConfig, live_plugin_path
from mainstem.public_api import sources
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.rest.wire import Wire

api = Family("Live Plugins", feature="Live Plugins")
live_plugins = Table(
    "live_plugins",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False, unique=True),
    Column("version", Integer, nullable=False),
    Column("code", String),  # None when it was deleted
    Column("created_at", Moment, nullable=False),
    Column("created_by", String, nullable=False),
)
MAX_CODE_CHARACTERS: Final = 256 * 1024

Code = Annotated[str, Meta(min_length=1, max_length=MAX_CODE_CHARACTERS)]


class LivePlugin(Wire, frozen=True):
    """A live plugin on the wire; `code` is null when it was deleted."""

    id: str
    source_id: str
    created_at: str
    created_by: str
    download_url: str = msgspec.field(name="downloadURL")
    version: int
    code: str | None


class CreateLivePluginInput(Wire, frozen=True):
    """Body of createLivePlugin."""

    code: Code


class LivePluginOutput(Wire, frozen=True):
    """Reply of createLivePlugin and getLatestFromLivePlugins."""

    live_plugin: LivePlugin


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SOURCE_READ, live_plugins.c.source_id)
    return select(live_plugins).where(live_plugins.c.workspace_id == call.workspace_id, mine)


_OF_SOURCE: Final = select(live_plugins).where(live_plugins.c.source_id == bindparam("source_id"))


def config_of(db: Connection, source_id: str) -> LivePluginConfig | None:
    """What the data plane gets of a source's plugin; None when it never had one."""
    row = db.execute(_OF_SOURCE, {"source_id": source_id}).one_or_none()
    return None if row is None else LivePluginConfig(version=row.version, code=row.code or "")


def delete_of_source(call: Call, source_id: str) -> None:
    """Delete the plugin of a source that is being deleted."""
    rows.delete(call.db, live_plugins.c.source_id, source_id)


def _find(call: Call, source_id: str) -> Row[Any] | None:
    return call.db.execute(visible(call).where(live_plugins.c.source_id == source_id)).one_or_none()


def _one(call: Call, source_id: str) -> Row[Any]:
    row = _find(call, source_id)
    if row is None:
        raise NotFound(f"Source with id '{source_id}' has no live plugin.")
    return row


def _plugin_of(call: Call, row: Row[Any]) -> LivePlugin:
    return LivePlugin(
        id=row.id,
        source_id=row.source_id,
        created_at=moment_text(row.created_at),
        created_by=row.created_by,
        download_url=call.tracking_url + live_plugin_path(row.source_id),
        version=row.version,
        code=row.code,
    )


def _write(call: Call, row: Row[Any], code: str | None) -> None:
    changed = update(live_plugins).where(live_plugins.c.id == row.id)
    call.db.execute(changed.values(code=code, version=row.version + 1))


# ---- operations


@api.operation("POST /sources/{sourceId}/live-plugins/create", needs=Needs.SOURCE_ADMIN, versions=ALPHA)
def create_live_plugin(call: Call, source_id: str, body: CreateLivePluginInput) -> LivePluginOutput:
    """Create Live Plugin"""
    source, row = sources.one(call, source_id), _find(call, source_id)
    if row is not None:
        _write(call, row, body.code)
        call.record_beside("Live Plugin Modified", "LIVE_PLUGIN", row.id, source.name)
    else:
        _add(call, source, body.code)
    call.touch(source_id)
    return LivePluginOutput(live_plugin=_plugin_of(call, _one(call, source_id)))


def _add(call: Call, source: Row[Any], code: str) -> None:
    plugin_id = ksuid()
    call.db.execute(
        insert(live_plugins).values(
            id=plugin_id,
            workspace_id=call.workspace_id,
            source_id=source.id,
            version=1,
            code=code,
            created_at=call.now,
            created_by=call.token.id,
        )
    )
    call.record_beside("Live Plugin Created", "LIVE_PLUGIN", plugin_id, source.name)


@api.operation("GET /sources/{sourceId}/live-plugins/latest", needs=Needs.SOURCE_READ, versions=ALPHA)
def get_latest_from_live_plugins(call: Call, source_id: str) -> LivePluginOutput:
    """Get Latest from Live Plugins"""
    sources.one(call, source_id)
    return LivePluginOutput(live_plugin=_plugin_of(call, _one(call, source_id)))


@api.operation("DELETE /sources/{sourceId}/live-plugins/delete-code", needs=Needs.SOURCE_ADMIN, versions=ALPHA)
def delete_live_plugin_code(call: Call, source_id: str) -> StatusOutput:
    """Delete Live Plugin Code"""
    source, row = sources.one(call, source_id), _one(call, source_id)
    if row.code is None:
        raise NotFound(f"The live plugin of the source with id '{source_id}' has no code.")
    _write(call, row, None)
    call.record_beside("Live Plugin Code Deleted", "LIVE_PLUGIN", row.id, source.name)
    call.touch(source_id)
    return StatusOutput()
