"""Every sealed column of the SQLite files beside the control database, and how its values are sealed again.

A file with something sealed is added here. What is in use by other processes may be rewritten: each step is a short
transaction, and every one of them opens what is sealed under the old key and under the new one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.engines import sqlite_function_log, sqlite_tokens, sqlite_traces
from mainstem.errors import EngineUnavailable
from mainstem.vault import SealBroken, Vault

AT_ONCE: Final = 32  # rows in one transaction; blocks of traces.db are the largest, some 100 KB
_BUSY_SECONDS: Final = 10.0


class SealedFile(msgspec.Struct, frozen=True):
    """A column of a file: `key` is the table's primary key, `owner` the column from which `sealed_for` makes what
    values are sealed for."""

    file: str
    table: str
    column: str
    key: str
    owner: str
    sealed_for: Callable[[Any], str]

    @property
    def name(self) -> str:
        """As FILE: TABLE.COLUMN."""
        return f"{self.file}: {self.table}.{self.column}"


class Step(msgspec.Struct, frozen=True):
    """What became of some rows; `broken` names those that do not open."""

    rows: int
    broken: Sequence[str]


SEALED_FILES: Final = (
    SealedFile(sqlite_tokens.FILE, "tokens", "sealed", "destination_id", "destination_id", sqlite_tokens.sealed_for),
    SealedFile(sqlite_function_log.FILE, "entries", "sealed", "id", "function_id", str),
    SealedFile(sqlite_traces.FILE, "blocks", "body", "id", "id", sqlite_traces.sealed_for),
)


def reseal(folder: Path, sealed: SealedFile, vault: Vault) -> Iterator[Step]:
    """Seal what was sealed under an older key again, a step at a time; nothing when there is no such file. Raises
    EngineUnavailable."""
    path = folder / sealed.file
    if not path.exists():
        return
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (sealed.table,)).fetchone():
                yield from _steps(db, sealed, vault)
    except sqlite3.Error as error:
        raise EngineUnavailable(f"{sealed.file} cannot be written: {error}") from error


def _steps(db: sqlite3.Connection, sealed: SealedFile, vault: Vault) -> Iterator[Step]:
    column, key = sealed.column, sealed.key
    older = (  # our own names
        f"SELECT {key}, {sealed.owner}, {column} FROM {sealed.table} "  # noqa: S608
        f"WHERE {{}} ({column} < ? OR {column} >= ?) ORDER BY {key} LIMIT {AT_ONCE}"
    )
    first: tuple[Any, ...] = ()
    while True:
        db.execute("BEGIN IMMEDIATE")
        where = f"{key} > ? AND" if first else ""
        rows = db.execute(older.format(where), (*first, *vault.sealed_now)).fetchall()
        yield _resealed(db, sealed, vault, rows)
        if len(rows) < AT_ONCE:
            return
        first = (rows[-1][0],)


def _resealed(
    db: sqlite3.Connection, sealed: SealedFile, vault: Vault, rows: Sequence[tuple[Any, Any, bytes]]
) -> Step:
    """Write the rows of the transaction that was begun, and commit it."""
    put = f"UPDATE {sealed.table} SET {sealed.column} = ? WHERE {sealed.key} = ?"  # noqa: S608  # our own names
    broken = []
    for key, owner, value in rows:
        try:
            db.execute(put, (vault.reseal(value, sealed.sealed_for(owner)), key))
        except SealBroken:
            broken.append(f"{sealed.name} of {owner}")
    db.execute("COMMIT")
    return Step(len(rows) - len(broken), broken)
