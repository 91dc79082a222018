"""The event log in one SQLite file: what the Tracking API accepted, for the pipeline, and after that as an archive.

All requests that wait at the same moment become one block: one row, one commit, one fsync. A block is a
MessagePack array of records, compressed with Zstandard, so that a thousand events cost one row and less disk
than they had bytes. Only the process of the Tracking API appends, through one thread; any process reads.

Of each minute in which something was appended, the first block is noted: so a time is found without reading blocks,
and to note it costs nothing at most appends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from mainstem.engines.doorbell import Doorbell
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import Block

MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
MAX_BLOCK_BYTES: Final = 4 * 1024 * 1024
KEEP_BYTES: Final = 5 * 1024**3
KEEP_HOURS: Final = 72.0

_PAGE_BYTES: Final = 16 * 1024  # a block of some dozen events fits a page or two
_WAL_BYTES: Final = 8 * 1024 * 1024  # when the write-ahead log is moved into the file
_PRUNE_EVERY_BYTES: Final = 1024 * 1024
_PRUNE_STEP_BYTES: Final = 4 * 1024 * 1024  # more than is appended between two steps, so pruning catches up
# Each opening leaves a gap: if a broken disk lost the end of the file, which the pipeline had read already, it
# must not take new blocks for those. More than can be appended while the pipeline's position is not yet durable.
_POSITIONS_LEFT_OUT: Final = 1_000_000_000
_BUSY_SECONDS: Final = 5.0
_STEPS_OF_TIDYING: Final = 16
_MS_PER_MINUTE: Final = 60_000
_MINUTES_PER_HOUR: Final = 60
_LEVEL: Final = 1

_SCHEMA: Final = """
CREATE TABLE blocks (
    position INTEGER PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE pruned (through INTEGER NOT NULL);
INSERT INTO pruned VALUES (0);
CREATE TABLE minutes (minute INTEGER PRIMARY KEY, position INTEGER NOT NULL);
PRAGMA user_version = 2;
"""
_VERSION: Final = 2
# What an older file holds counts as appended when it is brought here: it is kept for long enough, and found.
_SECOND: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS minutes (minute INTEGER PRIMARY KEY, position INTEGER NOT NULL);
INSERT OR IGNORE INTO minutes SELECT {minute}, position FROM blocks ORDER BY position LIMIT 1;
PRAGMA user_version = 2;
COMMIT;
"""

_INSERT: Final = "INSERT INTO blocks VALUES (?, ?, ?, ?)"
_NO_FILE: Final = (0, 0)

_Waiting = tuple[bytes, "asyncio.Future[None]"]
_records: Final = msgspec.msgpack.Decoder(list[bytes])


def _nothing_processed() -> int:
    return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteEventLog:
    """EventLog in the file `path`, with its doorbell beside it.

    `processed` tells up to which position the pipeline will not read again. Blocks up to there are the archive: they
    go, oldest first, once the file holds more than `keep_bytes` or when they are older than `keep_hours`; all others
    stay.
    """

    def __init__(
        self,
        path: Path,
        *,
        processed: Callable[[], int] = _nothing_processed,
        keep_bytes: int = KEEP_BYTES,
        keep_hours: float = KEEP_HOURS,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._path = path
        self._make_file = functools.partial(_BlockFile, path, processed, keep_bytes, keep_hours, now_ms)
        self._doorbell = Doorbell(path.with_suffix(".bell"))
        self._reader = _Reader(path)
        self._file = self._make_file()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting_bytes = 0  # touched on the event loop alone
        self._writer: threading.Thread | None = None
        self._closed = False

    async def append(self, record: bytes) -> None:
        """Return once the record is on disk; all calls come from one event loop.

        Raises EngineUnavailable when it could not be written, or at once when 64 MB wait already.
        """
        if self._closed:
            raise EngineUnavailable("the event log is closed")
        if self._waiting_bytes + len(record) > MAX_WAITING_BYTES:
            raise EngineUnavailable("too many requests wait for the disk")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_groups, name="event log", daemon=True)
            self._writer.start()
        written = asyncio.get_running_loop().create_future()
        self._waiting_bytes += len(record)
        self._queue.put((record, written))
        await written

    def read(self, after: int, limit_bytes: int) -> Sequence[Block]:
        """Blocks after `after`, at least one if there is any, until `limit_bytes` of records; a block holds
        about 4 MB at most."""
        return self._reader.blocks(after, limit_bytes)

    def newest(self) -> int:
        """The position of the newest block, 0 when there is none."""
        return self._reader.newest()

    def count_after(self, position: int) -> int:
        """How many blocks lie after `position`; positions have gaps, so this is not `newest() - position`."""
        return self._reader.count_after(position)

    def before(self, at_ms: int) -> int:
        """A position after which everything lies that was received at `at_ms` (Unix milliseconds) or later; perhaps
        also some that came before."""
        return self._reader.before(at_ms)

    def used_bytes(self) -> int:
        """How much of the file is in use, 0 when there is none."""
        return self._reader.used_bytes()

    def wait(self, timeout_seconds: float) -> None:
        """Sleep until something was appended since the last wait, at most `timeout_seconds`. One process may
        wait on a log: the pipeline."""
        self._doorbell.wait(timeout_seconds)

    def wake(self) -> None:
        """Make the present or the next `wait` return."""
        self._doorbell.ring()

    def prune(self, through: int) -> None:
        """Forget blocks up to and including `through`, in steps of about 4 MB, so that appends get in between."""
        pruning = self._make_file()
        try:
            while self._path.exists() and pruning.prune_step(through):
                pass
        except sqlite3.Error as error:
            raise _unavailable("pruned", error) from error
        finally:
            pruning.close()

    def tidy(self) -> None:
        """Forget some of what is older, or more, than the archive shall hold, also while nothing is appended; call it
        every minute or so. What cannot be done is left for the next time."""
        pruning = self._make_file()
        try:
            if self._path.exists():
                pruning.tidy()
        finally:
            pruning.close()

    def close(self) -> None:
        """Write what waits, then let go of the file. Whoever appends after this gets EngineUnavailable."""
        self._closed = True
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
        self._file.close()
        self._reader.close()
        self._doorbell.close()

    def _write_groups(self) -> None:
        while True:
            group, is_last = self._next_group()
            if group:
                self._write(group)
            if is_last:
                return

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Wait for one record, then take all that are there, up to a block's size."""
        group: list[_Waiting] = []
        size = 0
        waiting = self._queue.get()
        with contextlib.suppress(queue.Empty):
            while waiting is not None:
                group.append(waiting)
                size += len(waiting[0])
                if size >= MAX_BLOCK_BYTES:
                    return group, False
                waiting = self._queue.get_nowait()
            return group, True
        return group, False

    def _write(self, group: list[_Waiting]) -> None:
        failure = None
        try:
            self._file.append([record for record, _ in group])
            self._doorbell.ring()
        except Exception as error:  # noqa: BLE001 a writer that dies would leave all later requests waiting for ever
            self._file.close()  # reopened by the next append: the state of a failed file is read anew
            failure = _unavailable("written", error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            group[0][1].get_loop().call_soon_threadsafe(self._answer, group, failure)

    def _answer(self, group: list[_Waiting], failure: EngineUnavailable | None) -> None:
        for record, written in group:
            self._waiting_bytes -= len(record)
            if written.done():  # its request was given up meanwhile
                continue
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(EngineUnavailable(str(failure)))


class _BlockFile:
    """The file as its writer sees it; opened at the first append and after each failure."""

    def __init__(
        self,
        path: Path,
        processed: Callable[[], int],
        keep_bytes: int,
        keep_hours: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._path = path
        self._processed = processed
        self._keep_bytes = keep_bytes
        self._keep_minutes = keep_hours * _MINUTES_PER_HOUR
        self._now_ms = now_ms
        self._minute = 0  # noted last
        self._connection: sqlite3.Connection | None = None
        self._identity = _NO_FILE
        self._newest = 0
        self._stored_since_pruning = 0
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress

    def append(self, records: list[bytes]) -> None:
        """Make the records durable as one block. Raises sqlite3.Error: then nothing is promised."""
        body = self._compress(msgspec.msgpack.encode(records))
        if self._connection is not None and _identity(self._path) != self._identity:
            self.close()  # somebody deleted the file: what goes into it now would be gone with its last user
        connection = self._connection or self._open()
        block = (self._newest + 1, len(records), sum(map(len, records)), body)
        minute = self._now_ms() // _MS_PER_MINUTE
        if minute == self._minute:
            connection.execute(_INSERT, block)
        else:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_INSERT, block)
                connection.execute("INSERT OR IGNORE INTO minutes VALUES (?, ?)", (minute, block[0]))
            self._minute = minute
        self._newest += 1
        self._stored_since_pruning += len(body)
        if self._stored_since_pruning >= _PRUNE_EVERY_BYTES:
            self._stored_since_pruning = 0
            self._prune_processed(connection)

    def prune_step(self, through: int) -> bool:
        """Forget some of the oldest blocks, none above `through`; False when there is none left to forget."""
        connection = self._connection or self._open()
        last = _last_of_step(connection, through)
        if last is None:
            return False
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM blocks WHERE position <= ?", (last,))
            connection.execute("UPDATE pruned SET through = max(through, ?)", (last,))
            # The last of them stays: the rest of its minute is found by it.
            connection.execute(
                "DELETE FROM minutes WHERE position < (SELECT max(position) FROM minutes WHERE position <= ?)",
                (last,),
            )
        return True

    def tidy(self) -> None:
        """Forget what the archive shall not hold, up to some 64 MB of it."""
        with contextlib.suppress(sqlite3.Error):
            connection = self._connection or self._open()
            for _ in range(_STEPS_OF_TIDYING):
                if not self._prune_processed(connection):
                    return

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _prune_processed(self, connection: sqlite3.Connection) -> bool:
        # The block is durable already: if this cannot be done now, it is left for the next time.
        with contextlib.suppress(sqlite3.Error):
            through = self._find_old(connection)
            if _used_bytes(connection) > self._keep_bytes:
                through = self._newest
            (oldest,) = connection.execute("SELECT min(position) FROM blocks").fetchone()
            if oldest is not None and oldest <= through:
                return self.prune_step(min(through, self._find_processed()))
        return False

    def _find_old(self, connection: sqlite3.Connection) -> int:
        """The position up to which blocks are too old; what is dated later than in an hour does not tell."""
        minute = self._now_ms() // _MS_PER_MINUTE
        (position,) = connection.execute(
            "SELECT min(position) FROM minutes WHERE minute BETWEEN ? AND ?",
            (minute - self._keep_minutes, minute + _MINUTES_PER_HOUR),
        ).fetchone()
        return self._newest if position is None else position - 1

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            _create(self._path)
        connection = _connect(self._path)
        self._identity = _identity(self._path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE_BYTES}")
        connection.execute(f"PRAGMA journal_size_limit = {2 * _WAL_BYTES}")
        if _version(connection) < _VERSION:
            connection.executescript(_SECOND.format(minute=self._now_ms() // _MS_PER_MINUTE))
        self._minute = 0
        known = connection.execute("SELECT max(through, (SELECT coalesce(max(position), 0) FROM blocks)) FROM pruned")
        self._newest = max(self._newest, known.fetchone()[0], self._find_processed()) + _POSITIONS_LEFT_OUT
        self._connection = connection
        return connection

    def _find_processed(self) -> int:
        """Matters only when the whole file was lost; must not keep the log from accepting events."""
        with contextlib.suppress(EngineUnavailable):
            return self._processed()
        return 0


class _Reader:
    """The file as its readers see it. Before the first append there is none, and all is empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = _NO_FILE
        self._lock = threading.RLock()
        self._decompress = zstandard.ZstdDecompressor().decompress

    def blocks(self, after: int, limit_bytes: int) -> list[Block]:
        try:
            with self._lock:
                found = self._blocks(after, limit_bytes)
                if not found and self._is_replaced():
                    self.close()
                    found = self._blocks(after, limit_bytes)
                return found
        except (sqlite3.Error, zstandard.ZstdError, msgspec.DecodeError) as error:
            self.close()
            raise _unavailable("read", error) from error

    def newest(self) -> int:
        return self._number("SELECT coalesce(max(position), 0) FROM blocks")

    def count_after(self, position: int) -> int:
        return self._number("SELECT count(*) FROM blocks WHERE position > ?", position)

    def before(self, at_ms: int) -> int:
        minute = at_ms // _MS_PER_MINUTE - 1  # the clock may have been set back a little before the append
        first = "(SELECT min(position) - 1 FROM minutes WHERE minute >= ?)"
        newest = "(SELECT coalesce(max(position), 0) FROM blocks)"
        return self._number(f"SELECT coalesce({first}, {newest})", minute, least_version=_VERSION)

    def used_bytes(self) -> int:
        try:
            with self._lock:
                connection = self._open()
                return _used_bytes(connection) if connection else 0
        except sqlite3.Error as error:
            self.close()
            raise _unavailable("read", error) from error

    def _number(self, query: str, *parameters: int, least_version: int = 1) -> int:
        """The one number that a query finds; 0 without a file, or when it is older than the query needs."""
        try:
            with self._lock:
                connection = self._open()
                if connection is None or _version(connection) < least_version:
                    return 0
                number: int = connection.execute(query, parameters).fetchone()[0]
                return number
        except sqlite3.Error as error:
            self.close()
            raise _unavailable("read", error) from error

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _is_replaced(self) -> bool:
        """True when another file took the place of the one that is open, and not only left it empty."""
        return self._connection is not None and _identity(self._path) not in (self._identity, _NO_FILE)

    def _blocks(self, after: int, limit_bytes: int) -> list[Block]:
        connection = self._open()
        if connection is None:
            return []
        rows = connection.execute(
            "SELECT position, bytes, body FROM blocks WHERE position > ? ORDER BY position", (after,)
        )
        found: list[Block] = []
        with contextlib.closing(rows):  # ends the read transaction, which would hold up checkpoints
            for position, size, body in rows:
                found.append(Block(position, _records.decode(self._decompress(body))))
                limit_bytes -= size
                if limit_bytes <= 0:
                    break
        return found

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and self._path.exists():
            self._connection = _connect(self._path)
            self._identity = _identity(self._path)
            self._connection.execute("PRAGMA query_only = ON")
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _identity(path: Path) -> tuple[int, int]:
    """Tells one file from another that has its name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _NO_FILE
    return found.st_dev, found.st_ino


def _create(path: Path) -> None:
    """Make the file beside its place and move it there, so that no reader meets it half made. A write-ahead
    log of a file that was deleted must go first: SQLite would take it for the new file's."""
    draft = path.with_suffix(".new")
    for stale in (draft, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        stale.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    draft.chmod(0o600)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free = (connection.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "freelist_count"))
    used: int = (pages - free) * _PAGE_BYTES
    return used


def _last_of_step(connection: sqlite3.Connection, through: int) -> int | None:
    """The position up to which one step may delete, None when nothing is left up to `through`."""
    rows = connection.execute(
        "SELECT position, length(body) FROM blocks WHERE position <= ? ORDER BY position", (through,)
    )
    last, size = None, 0
    with contextlib.closing(rows):
        for position, stored in rows:
            last = position
            size += stored
            if size >= _PRUNE_STEP_BYTES:
                break
    return last


def _unavailable(attempted: str, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"the event log cannot be {attempted}: {error}")
