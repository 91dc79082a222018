"""Published configuration, read from the control plane's PostgreSQL database.

As with SQLite one table is read, `published`; here by asking each time for what has a version above the last one.
That is one round trip, and exact: what was committed before the question is in the answer; the pipeline needs that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.errors import UndefinedTable

from mainstem.engines import postgres_connection
from mainstem.engines.postgres_connection import said
from mainstem.engines.sealed_configuration import opened
from mainstem.errors import EngineUnavailable
from mainstem.model.snapshot import Change

_QUERY: Final = "SELECT source_id, version, body FROM published WHERE version > %s ORDER BY version"
_ON_CONNECT: Final = "SET statement_timeout = '10s'; SET default_transaction_read_only = on"
_PAUSE_SECONDS: Final = 0.5  # between attempts to connect again


class PostgresSnapshotStore:
    """SnapshotStore over `published(source_id, version, body)` behind a URL; to be used from one thread at a time.

    `open_body` turns the sealed body of a source (its id is the second argument) into the MessagePack of its
    SourceConfig, and raises ValueError when it cannot. A table that is not there yet is version 0.

    The first call connects. When the connection is lost, a thread connects anew, and until it has, every call fails
    at once: the Tracking API must not stand still for a server that does not answer.
    """

    def __init__(self, url: str, open_body: Callable[[bytes, str], bytes]) -> None:
        self._parameters = postgres_connection.parameters(url)
        self._open_body = open_body
        self._connection: psycopg.Connection[Any] | None = None
        self._lost = ""  # why there is no connection, while a thread looks after it
        self._closed = threading.Event()

    def changes(self, after: int) -> tuple[int, list[Change]]:
        """The newest version and the sources published after version `after`. While nobody published anything
        this costs a round trip and a look into an index.

        Raises EngineUnavailable when the server cannot be reached or a source cannot be unsealed.
        """
        rows = self._rows(after)
        newest = max((version for _, version, _ in rows), default=after)
        return newest, [Change(source_id, opened(self._open_body, source_id, body)) for source_id, _, body in rows]

    def close(self) -> None:
        """Let go of the server; the next `changes` connects again."""
        self._closed.set()
        if self._connection is not None:
            self._connection.close()
        self._connection, self._lost, self._closed = None, "", threading.Event()

    def _rows(self, after: int) -> list[tuple[str, int, bytes | None]]:
        if self._lost:
            raise EngineUnavailable(f"the configuration cannot be read: {self._lost}")
        try:
            connection = self._connection = self._connection or self._connected()
            return connection.execute(_QUERY, (after,)).fetchall()
        except UndefinedTable:
            return []
        except psycopg.Error as error:
            self._lost = said(error)
            self._look_after()
            raise EngineUnavailable(f"the configuration cannot be read: {self._lost}") from None

    def _connected(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(**self._parameters, autocommit=True)
        connection.execute(_ON_CONNECT)
        return connection

    def _look_after(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        threading.Thread(target=self._connect_again, args=(self._closed,), daemon=True).start()

    def _connect_again(self, closed: threading.Event) -> None:
        while not closed.is_set():
            began = time.monotonic()
            try:
                connection = self._connected()
            except psycopg.Error as error:
                self._lost = said(error)
                closed.wait(max(0.0, _PAUSE_SECONDS - (time.monotonic() - began)))
                continue
            if closed.is_set():
                connection.close()
            else:
                self._connection, self._lost = connection, ""
            return
