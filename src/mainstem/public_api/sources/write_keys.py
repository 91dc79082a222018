"""Write keys: what a library sends its events with. A source may have several, or none.

Source: Public API reference, tag "Sources" (2 operations, alpha).
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.sources.source import SourceOutput, one, source_of, write_keys
from mainstem.rest import ids, rows
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.permissions import Needs

api = Family("Sources")


def add_write_key(db: Connection, source_id: str) -> None:
    """Give a source a new write key, as its newest."""
    db.execute(insert(write_keys), {"write_key": ids.write_key(), "source_id": source_id})


@api.operation("POST /sources/{sourceId}/writekey", needs=Needs.SOURCE_ADMIN, versions=ALPHA, audit="Source Modified")
def create_write_key_for_source(call: Call, source_id: str) -> SourceOutput:
    """Create Write Key for Source"""
    row = one(call, source_id)
    add_write_key(call.db, source_id)
    call.record("Source Modified", "SOURCE", source_id, row.name)
    call.touch(source_id)
    return SourceOutput(source=source_of(call, source_id))


@api.operation(
    "DELETE /sources/{sourceId}/writekey/{writeKey}",
    needs=Needs.SOURCE_ADMIN,
    versions=ALPHA,
    audit="Source Modified",
)
def remove_write_key_from_source(call: Call, source_id: str, write_key: str) -> StatusOutput:
    """Remove Write Key from Source"""
    row = one(call, source_id)
    same = (write_keys.c.source_id == source_id) & (write_keys.c.write_key == write_key)
    key = rows.one(call.db, select(write_keys).where(same), f"Write key '{write_key}' not found in this source.")
    call.db.execute(delete(write_keys).where(write_keys.c.seq == key.seq))
    call.record("Source Modified", "SOURCE", source_id, row.name)
    call.touch(source_id)
    return StatusOutput()
