"""OAuth tokens of destinations in a SQLite file of their own, sealed.

They are neither configuration nor flow: both planes write them. A row is small and written seldom, so the file
keeps SQLite's own journal, and each change is on disk before it returns.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from mainstem.errors import EngineUnavailable
from mainstem.model.ports import Tokens

FILE: Final = "tokens.db"
_BUSY_SECONDS: Final = 5.0
_CREATE: Final = "CREATE TABLE IF NOT EXISTS tokens (destination_id TEXT NOT NULL PRIMARY KEY, sealed BLOB NOT NULL)"
_READ: Final = "SELECT sealed FROM tokens WHERE destination_id = ?"

Seal = Callable[[bytes, str], bytes]


class SqliteTokens:
    """OAuthTokens in `folder`; safe to use from several threads and processes.

    `seal` turns the tokens of a destination (its id is the second argument) into what lies on the disk; `open`
    turns that back, and raises ValueError when it cannot.
    """

    def __init__(self, folder: Path, seal: Seal, open: Seal) -> None:
        self._path, self._seal, self._unseal = folder / FILE, seal, open
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, destination_id: str) -> Tokens | None:
        """See OAuthTokens."""
        with self._using("read") as db:
            return self._kept(db, destination_id)

    def save(self, destination_id: str, tokens: Tokens) -> None:
        """See OAuthTokens."""
        with self._using("written") as db:
            db.execute("BEGIN IMMEDIATE")  # two workers may refresh at the same time
            if not tokens.refresh_token and (kept := self._kept(db, destination_id)):
                tokens = msgspec.structs.replace(tokens, refresh_token=kept.refresh_token)
            sealed = self._seal(msgspec.msgpack.encode(tokens), sealed_for(destination_id))
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", (destination_id, sealed))
            db.execute("COMMIT")

    def forget(self, destination_id: str) -> None:
        """See OAuthTokens."""
        with self._using("written") as db:
            db.execute("DELETE FROM tokens WHERE destination_id = ?", (destination_id,))

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            self._let_go()

    def _kept(self, db: sqlite3.Connection, destination_id: str) -> Tokens | None:
        row = db.execute(_READ, (destination_id,)).fetchone()
        if row is None:
            return None
        return msgspec.msgpack.decode(self._unseal(row[0], sealed_for(destination_id)), type=Tokens)

    @contextlib.contextmanager
    def _using(self, attempted: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, OSError) as error:
                self._let_go()
                raise EngineUnavailable(f"{FILE} cannot be {attempted}: {error}") from error
            except ValueError as error:
                self._let_go()
                raise EngineUnavailable(f"{FILE} holds tokens that cannot be unsealed") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.touch(mode=0o600)
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(db.close)
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA secure_delete = ON")
                db.execute(_CREATE)
                on_failure.pop_all()
            self._connection = db
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()  # what was begun is rolled back
            self._connection = None


def sealed_for(destination_id: str) -> str:
    """What the tokens of a destination are sealed for: not the destination's row, which is sealed under its id."""
    return f"tokens of {destination_id}"
