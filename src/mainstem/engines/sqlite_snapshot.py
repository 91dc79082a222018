"""Published configuration, read from the control plane's SQLite file.

The control plane keeps one row for each source in `published`, sealed, and replaces it in the transaction
that changes the source; a source that is gone keeps its row with an empty body. This reads nothing else.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mainstem.engines.sealed_configuration import opened
from mainstem.errors import EngineUnavailable
from mainstem.model.snapshot import Change

_BUSY_SECONDS: Final = 1.0


class SqliteSnapshotStore:
    """SnapshotStore over `published(source_id, version, body)` in the file `control_db`.

    `open_body` turns the sealed body of a source (its id is the second argument) into the MessagePack of its
    SourceConfig, and raises ValueError when it cannot. A file or table that is not there yet is version 0.
    """

    def __init__(self, control_db: Path, open_body: Callable[[bytes, str], bytes]) -> None:
        self._path = control_db
        self._open_body = open_body
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int] | None = None  # data version of the file, and the version answered then

    def changes(self, after: int) -> tuple[int, list[Change]]:
        """The newest version and the sources published after version `after`. While nobody wrote to the file
        this costs one PRAGMA, some microseconds.

        Raises EngineUnavailable when the file cannot be read or a source cannot be unsealed.
        """
        try:
            return self._changes(after)
        except sqlite3.Error as error:
            self.close()
            raise EngineUnavailable(f"the configuration cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of the file; the next `changes` opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._seen = None

    def _changes(self, after: int) -> tuple[int, list[Change]]:
        connection = self._connection or self._open()
        if connection is None:
            return after, []
        data_version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        if self._seen == (data_version, after):
            return after, []
        rows = self._rows(connection, after)
        newest = max((version for _, version, _ in rows), default=after)
        changes = [Change(source_id, opened(self._open_body, source_id, body)) for source_id, _, body in rows]
        # A commit between the two statements changes the data version again, so it is seen next time.
        self._seen = (data_version, newest)
        return newest, changes

    def _rows(self, connection: sqlite3.Connection, after: int) -> list[tuple[str, int, bytes | None]]:
        try:
            return connection.execute(
                "SELECT source_id, version, body FROM published WHERE version > ? ORDER BY version", (after,)
            ).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise

    def _open(self) -> sqlite3.Connection | None:
        if not self._path.exists():
            return None
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(connection.close)
            connection.execute("PRAGMA query_only = ON")
            on_failure.pop_all()
        self._connection = connection
        return connection
