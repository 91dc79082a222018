"""What became of events, in SQLite: traces.db, apart from everything that must not be lost.

The pipeline and each delivery worker write blocks; one is compressed and sealed, for it holds users' data. Beside it
stand the keys of its events, 8 bytes each, which are looked through to find one: a row an event would cost more than
all the rest. Nobody waits for the disk: a power loss may take the newest blocks, and never the file's order.

A file that cannot be written holds up nobody. Blocks are left out then, which is logged once and noted as a gap.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from mainstem.errors import EngineUnavailable
from mainstem.model.trace import Gap, KeptTrace, NewTrace, from_bytes, holds, packed, to_bytes
from mainstem.vault import Vault

FILE: Final = "traces.db"
KEEP_BYTES: Final = 5 * 1024**3
KEEP_HOURS: Final = 72.0
PAUSE_SECONDS: Final = 5.0  # after a failure, before the next trial

_PAGE_BYTES: Final = 16 * 1024
_WAL_BYTES: Final = 32 * 1024 * 1024
_BUSY_SECONDS: Final = 0.2  # a writer waits this long for another one; the pipeline waits with it
_PRUNE_EVERY_BYTES: Final = 4 * 1024 * 1024
_BLOCKS_OF_STEP: Final = 32
_STEPS_AT_ONCE: Final = 8  # some 60 MB: pruning catches up, and holds up nobody for long
_LEVEL: Final = 1
_MS_PER_HOUR: Final = 3_600_000
_READ_SECONDS: Final = 5.0

_SCHEMA: Final = """
CREATE TABLE keys (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, marks TEXT NOT NULL, keys BLOB NOT NULL);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE gaps (from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, blocks INTEGER NOT NULL);
PRAGMA user_version = 1;
"""
_NEWEST: Final = "SELECT coalesce(max(id), 0) FROM keys"

_log: Final = logging.getLogger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteTraces:
    """TraceStore in the file `path`. Blocks go, oldest first, when they are older than `keep_hours` or the file holds
    more than `keep_bytes`. Safe to use from several threads; each process opens its own."""

    def __init__(
        self,
        path: Path,
        vault: Vault,
        *,
        keep_bytes: int = KEEP_BYTES,
        keep_hours: float = KEEP_HOURS,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._path = path
        self._vault = vault
        self._keep_bytes = keep_bytes
        self._keep_ms = keep_hours * _MS_PER_HOUR
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._stored_since_pruning = 0
        self._failed_at_ms = 0
        self._try_again_at_ms = 0
        self._left_out = 0

    # ---- writing

    def keep(self, traces: Sequence[NewTrace], instead_of: Sequence[int] = ()) -> Sequence[int]:
        """See TraceStore."""
        if not traces:
            return ()
        with self._lock:
            now_ms = self._now_ms()
            if self._failed_at_ms <= now_ms < self._try_again_at_ms:
                self._left_out += len(traces)
                return ()
            try:
                ids = self._kept([(each, self._compress(to_bytes(each.block))) for each in traces], instead_of)
            except (sqlite3.Error, OSError) as error:
                self._fail(error, len(traces), now_ms)
                return ()
            return ids

    def tidy(self) -> None:
        """See TraceStore."""
        with self._lock, contextlib.suppress(sqlite3.Error, OSError):
            if self._path.exists():
                self._prune(self._opened())

    def _kept(self, blocks: list[tuple[NewTrace, bytes]], instead_of: Sequence[int]) -> Sequence[int]:
        db, now_ms = self._opened(), self._now_ms()
        with self._transaction(db):
            if instead_of:
                _delete(db, instead_of)
            newest = db.execute(_NEWEST).fetchone()[0]
            ids = range(newest + 1, newest + 1 + len(blocks))
            for number, (new, body) in zip(ids, blocks, strict=True):
                db.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (number, now_ms, new.marks, new.keys))
                db.execute("INSERT INTO blocks VALUES (?, ?)", (number, self._vault.seal(body, sealed_for(number))))
            if self._left_out:
                db.execute("INSERT INTO gaps VALUES (?, ?, ?)", (self._failed_at_ms, now_ms, self._left_out))
        self._recover()
        self._stored_since_pruning += sum(len(body) + len(new.keys) for new, body in blocks)
        if self._stored_since_pruning >= _PRUNE_EVERY_BYTES:
            self._stored_since_pruning = 0
            with contextlib.suppress(sqlite3.Error):  # the blocks are kept: what is too old can wait
                self._prune(db)
        return ids

    def _prune(self, db: sqlite3.Connection) -> None:
        """Forget what is too old, and the oldest while the file holds too much; never the newest block, so that
        ids go on growing."""
        for _ in range(_STEPS_AT_ONCE):
            before_ms = self._now_ms() - self._keep_ms
            oldest = db.execute("SELECT id, at_ms FROM keys ORDER BY id LIMIT ?", (_BLOCKS_OF_STEP,)).fetchall()
            if _used_bytes(db) <= self._keep_bytes:
                oldest = [each for each in oldest if each[1] < before_ms]
            newest = db.execute(_NEWEST).fetchone()[0]
            ids = [number for number, _ in oldest if number != newest]
            if not ids:
                break
            with self._transaction(db):
                _delete(db, ids)
                db.execute("DELETE FROM gaps WHERE to_ms < ?", (before_ms,))

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            self._close()  # which takes back what was begun
            raise

    def _fail(self, error: Exception, blocks: int, now_ms: int) -> None:
        self._close()
        if not self._left_out:
            self._failed_at_ms = now_ms
            _log.warning("traces cannot be kept now (%s): events go on without", error)
        self._left_out += blocks
        self._try_again_at_ms = now_ms + int(PAUSE_SECONDS * 1000)

    def _recover(self) -> None:
        if self._left_out:
            _log.warning("traces are kept again; %d blocks were left out", self._left_out)
        self._left_out = self._failed_at_ms = self._try_again_at_ms = 0

    # ---- reading

    def newest(self) -> int:
        """See TraceStore."""
        with self._reading() as db:
            return int(db.execute(_NEWEST).fetchone()[0]) if db else 0

    def after(self, id: int, limit: int) -> Sequence[KeptTrace]:
        """See TraceStore."""
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute("SELECT id, body FROM blocks WHERE id > ? ORDER BY id LIMIT ?", (id, limit))
            return [self._read(*row) for row in rows]

    def find(self, keys: Sequence[int]) -> Sequence[KeptTrace]:
        """See TraceStore."""
        wanted = [packed([each]) for each in keys]
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute("SELECT id, keys FROM keys ORDER BY id")
            return list(self._blocks(db, [number for number, held in rows if holds(held, wanted)]))

    def marked(self, mark: str) -> Iterator[KeptTrace]:
        """See TraceStore."""
        with self._reading() as db:
            if db is None:
                return
            query = "SELECT id FROM keys WHERE instr(:end || marks || :end, :line) ORDER BY id DESC"
            ids = [number for (number,) in db.execute(query, {"end": "\n", "line": f"\n{mark}\n"})]
        for number in ids:  # one by one: the caller stops when it has enough
            with self._reading() as db:
                yield from self._blocks(db, [number]) if db else ()

    def oldest_ms(self) -> int | None:
        """See TraceStore."""
        with self._reading() as db:
            row = db.execute("SELECT at_ms FROM keys ORDER BY id LIMIT 1").fetchone() if db else None
            return row[0] if row else None

    def gaps(self) -> Sequence[Gap]:
        """See TraceStore."""
        with self._reading() as db:
            rows = db.execute("SELECT from_ms, to_ms, blocks FROM gaps ORDER BY from_ms") if db else ()
            return [Gap(*row) for row in rows]

    def used_bytes(self) -> int:
        """How much of the file is in use, 0 when there is none."""
        with self._reading() as db:
            return _used_bytes(db) if db else 0

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            self._close()

    def _blocks(self, db: sqlite3.Connection, ids: Sequence[int]) -> Iterator[KeptTrace]:
        for number in ids:
            row = db.execute("SELECT id, body FROM blocks WHERE id = ?", (number,)).fetchone()
            if row is not None:  # else it was forgotten meanwhile
                yield self._read(*row)

    def _read(self, id: int, sealed: bytes) -> KeptTrace:
        return KeptTrace(id, from_bytes(self._decompress(self._vault.open(sealed, sealed_for(id)))))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection of the caller's own, None while there is no file: readers look in seldom, and a file that
        was deleted and made anew is noticed like this."""
        try:
            with contextlib.closing(_connect(self._path, _READ_SECONDS)) if self._path.exists() else _nothing() as db:
                if db is not None:
                    db.execute("PRAGMA query_only = ON")
                yield db if db is not None and _version(db) else None  # else it is just being made
        except (sqlite3.Error, zstandard.ZstdError, msgspec.MsgspecError) as error:
            raise EngineUnavailable(f"{FILE} cannot be read: {error}") from error

    # ---- the file

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self._path) != self._identity:
            self._close()  # somebody deleted the file
        if self._connection is None:
            if not self._path.exists():
                for end in ("-wal", "-shm"):  # of a file that was deleted: SQLite would take them for the new one's
                    self._path.with_name(self._path.name + end).unlink(missing_ok=True)
            self._path.touch(mode=0o600)
            self._connection = _connect(self._path, _BUSY_SECONDS)
            self._identity = _identity(self._path)
            _prepare(self._connection)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield None


def sealed_for(id: int) -> str:
    """What the block with this number is sealed for."""
    return f"trace {id}"


def _delete(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    for table in ("keys", "blocks"):
        db.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])  # noqa: S608 our own names


def _connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables of a new file. NORMAL: a power loss takes the newest blocks, and leaves the file whole."""
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE_BYTES}")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    if not _version(db):
        with contextlib.suppress(sqlite3.OperationalError):  # another process made them at the same moment
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _identity(path: Path) -> tuple[int, int]:
    """Tells one file from another that has its name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def _used_bytes(db: sqlite3.Connection) -> int:
    pages, free = (db.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "freelist_count"))
    used: int = (pages - free) * _PAGE_BYTES
    return used
