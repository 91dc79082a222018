"""Suppression lists: users whose events are discarded, in the whole workspace or at one source.

`mainstem suppress` keeps them. An id is sealed on disk, and found again by a keyed hash; what is published holds
hashes alone. Source: Public API reference, "Suppressions"; product guide, "User deletion and suppression".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, LargeBinary, Row, String, Table, bindparam, delete, insert, select

from mainstem.model.snapshot import SUPPRESSED_PREFIX, SuppressedConfig
from mainstem.model.suppression import as_part, part_id, user_hash
from mainstem.rest import rows
from mainstem.rest.operation import Call
from mainstem.rest.rows import Moment, metadata
from mainstem.vault import Vault

suppressions = Table(
    "suppressions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("user_key", LargeBinary, nullable=False, unique=True),
    Column("part", Integer, nullable=False),
    Column("user_id", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
)
"""`source_id` is "" on the list of the workspace; `part` is the first byte of the published hash."""

SEALED_FOR: Final = "suppressions"
_AT_ONCE: Final = 500  # keys in one statement


def suppress(
    db: Connection, vault: Vault, workspace_id: str, source_id: str, user_ids: Iterable[str], now: dt.datetime
) -> set[str]:
    """Put users on the list of a source, or of the workspace (""). Returns what is to be published for it, nothing
    when all of them were on it before."""
    by_key = {_key(vault, workspace_id, source_id, user_id): user_id for user_id in user_ids}
    known = {row.user_key for row in _rows(db, list(by_key))}
    touched: set[str] = set()
    for key, user_id in by_key.items():
        if key in known:
            continue
        part = user_hash(source_id or workspace_id, user_id)[0]
        sealed = vault.seal(user_id.encode(errors="surrogatepass"), SEALED_FOR)
        row = {"workspace_id": workspace_id, "source_id": source_id, "user_key": key, "part": part}
        db.execute(insert(suppressions).values(**row, user_id=sealed, created_at=now))
        touched.add(_published_id(source_id or workspace_id, part))
    return touched


def unsuppress(
    db: Connection, vault: Vault, workspace_id: str, source_id: str, user_ids: Iterable[str]
) -> tuple[set[str], list[str]]:
    """Take users off a list. Returns what is to be published for it, and the ids that were not on it."""
    by_key = {_key(vault, workspace_id, source_id, user_id): user_id for user_id in user_ids}
    found = {row.user_key: row.part for row in _rows(db, list(by_key))}
    for keys in _portions(list(found)):
        db.execute(delete(suppressions).where(suppressions.c.user_key.in_(keys)))
    touched = {_published_id(source_id or workspace_id, part) for part in found.values()}
    return touched, [user_id for key, user_id in by_key.items() if key not in found]


def suppressed(
    db: Connection, vault: Vault, workspace_id: str, source_id: str | None = None
) -> Iterator[tuple[str, str, dt.datetime]]:
    """Who is on the lists, oldest first: source ("" is the workspace), user id, since when. With `source_id`, on
    that list alone."""
    mine = suppressions.c.workspace_id == workspace_id
    if source_id is not None:
        mine &= suppressions.c.source_id == source_id
    for row in db.execute(select(suppressions).where(mine).order_by(suppressions.c.seq)):
        yield row.source_id, _opened(vault, row.user_id), row.created_at


def config_of(db: Connection, vault: Vault, id: str) -> SuppressedConfig | None:
    """What is published under this id, without its prefix; None when nobody is left on that part of the list."""
    list_id, _, part = id.rpartition(":")
    of_source = suppressions.c.source_id == list_id
    of_workspace = (suppressions.c.source_id == "") & (suppressions.c.workspace_id == list_id)
    on_part = suppressions.c.part == int(part, 16)
    rows = db.execute(select(suppressions.c.user_id).where(on_part, of_source | of_workspace))
    hashes = [user_hash(list_id, _opened(vault, row.user_id)) for row in rows]
    return SuppressedConfig(as_part(hashes)) if hashes else None


_PARTS_OF_SOURCE: Final = (
    select(suppressions.c.part).where(suppressions.c.source_id == bindparam("source_id")).distinct()
)


def delete_of_source(call: Call, source_id: str) -> None:
    """Forget the list of a source that goes away."""
    parts = call.db.execute(_PARTS_OF_SOURCE, {"source_id": source_id}).scalars().all()
    rows.delete(call.db, suppressions.c.source_id, source_id)
    for part in parts:
        call.touch(_published_id(source_id, part))


def _published_id(list_id: str, part: int) -> str:
    return SUPPRESSED_PREFIX + part_id(list_id, part)


def _key(vault: Vault, workspace_id: str, source_id: str, user_id: str) -> bytes:
    return vault.keyed_hash(f"suppressed\0{workspace_id}\0{source_id}\0{user_id}".encode(errors="surrogatepass"))


def _opened(vault: Vault, sealed: bytes) -> str:
    return vault.open(sealed, SEALED_FOR).decode(errors="surrogatepass")


def _rows(db: Connection, keys: Sequence[bytes]) -> Iterator[Row[Any]]:
    for portion in _portions(keys):
        yield from db.execute(select(suppressions).where(suppressions.c.user_key.in_(portion)))


def _portions(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
