"""The audit trail: who changed what, written with the change, append-only and chained.

Each row carries a keyed hash over its own content and the hash before it; the newest hash and the number of
rows stand in a row of their own, so that a changed, removed or reordered row is found by `verify`.
Source: Public API reference, "Audit Trail"; the chain is mainstem's own.
"""

from __future__ import annotations

import datetime as dt
import hmac
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Connection, Integer, LargeBinary, String, Table, insert, select, update

from mainstem.rest.ids import ksuid
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.vault import Vault

audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("type", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("resource_type", String, nullable=False),
    Column("resource_name", String, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
audit_head = Table(
    "audit_head",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
_HEAD: Final = select(audit_head)
_APPEND: Final = insert(audit_events)
_MOVE_HEAD: Final = update(audit_head)
_FIRST_HEAD: Final = insert(audit_head)
START: Final = bytes(32)
SYSTEM: Final = "Segment"  # what the reference calls the actor of what nobody did


def record(
    db: Connection,
    vault: Vault,
    *,
    workspace_id: str,
    at: dt.datetime,
    type: str,
    actor: str,
    resource_type: str,
    resource_id: str,
    resource_name: str,
) -> None:
    """Append an event in the transaction of the change; the transaction must be a writing one."""
    head = db.execute(_HEAD).one_or_none()
    seq, before = (head.seq, head.hash) if head else (0, START)
    content: dict[str, Any] = {
        "seq": seq + 1,
        "id": ksuid(),
        "workspace_id": workspace_id,
        "timestamp": at,
        "type": type,
        "actor": actor,
        "resource_id": resource_id,
        "resource_type": resource_type,
        "resource_name": resource_name,
    }
    digest = _digest(vault, before, content)
    db.execute(_APPEND, content | {"hash": digest})
    newest = {"seq": seq + 1, "hash": _head_digest(vault, seq + 1, digest)}
    db.execute(_MOVE_HEAD if head else _FIRST_HEAD, {"only": 1} | newest if head is None else newest)


def count(db: Connection) -> int:
    """How many rows there are."""
    head = db.execute(select(audit_head.c.seq)).one_or_none()
    return head.seq if head else 0


def is_kept_under(db: Connection, vault: Vault) -> bool:
    """Whether the newest row was written under the key of this vault; so is a trail without rows."""
    newest = audit_events.c.seq == audit_head.c.seq
    row = db.execute(
        select(audit_events.c.hash, audit_head.c.hash.label("head"), audit_head.c.seq).where(newest)
    ).one_or_none()
    return row is None or hmac.compare_digest(row.head, _head_digest(vault, row.seq, row.hash))


def verify(db: Connection, vault: Vault) -> tuple[int, str | None]:
    """Walk the trail. Returns the number of rows and None, or where and how it first breaks."""
    before, expected = START, 0
    for row in db.execute(select(audit_events).order_by(audit_events.c.seq)):
        expected += 1
        content = row._asdict()
        stored = content.pop("hash")
        if row.seq != expected:
            return expected - 1, f"row {expected} is missing"
        if not hmac.compare_digest(stored, _digest(vault, before, content)):
            return expected - 1, f"row {expected} (id {row.id}) was changed or moved"
        before = _head_digest(vault, expected, stored)
    head = db.execute(select(audit_head)).one_or_none()
    if (head.seq if head else 0) != expected or (head and not hmac.compare_digest(head.hash, before)):
        return expected, f"rows after {expected} were removed"
    return expected, None


def _digest(vault: Vault, before: bytes, content: dict[str, Any]) -> bytes:
    text = msgspec.json.encode(content | {"timestamp": moment_text(content["timestamp"])}, order="sorted")
    return vault.keyed_hash(b"audit row" + before + text)


def _head_digest(vault: Vault, seq: int, digest: bytes) -> bytes:
    return vault.keyed_hash(b"audit head" + seq.to_bytes(8) + digest)
