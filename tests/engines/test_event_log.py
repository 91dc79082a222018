"""The event log: what was acknowledged can be read, whatever happens to the process or the disk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.full_disk import full_disk
from mainstem.engines import sqlite_events
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.errors import EngineUnavailable

PATIENCE_SECONDS = 60  # how long a test waits for what must come; nothing waits this long when all is well
EVERYTHING = 1 << 40

APPENDER = """
import asyncio, itertools, sys
from pathlib import Path
from mainstem.engines.sqlite_events import SqliteEventLog

async def append(log, start):
    for number in itertools.count(int(start), 16):
        await log.append(b"%d" % number)
        print(number, flush=True)  # only now: this is the acknowledgement

async def main(path, start):
    log = SqliteEventLog(Path(path))
    await asyncio.gather(*(append(log, int(start) + lane) for lane in range(16)))

asyncio.run(main(*sys.argv[1:]))
"""
# Dies without closing, after its write-ahead log was begun anew.
DYING = """
import asyncio, os, sys
from pathlib import Path
from mainstem.engines.sqlite_events import SqliteEventLog

async def main():
    log = SqliteEventLog(Path(sys.argv[1]))
    for _ in range(150):
        await log.append(os.urandom(100_000))
    os._exit(0)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteEventLog]:
    opened = SqliteEventLog(path)
    yield opened
    opened.close()


def records(log: SqliteEventLog, after: int = 0) -> list[bytes]:
    return [record for block in log.read(after, EVERYTHING) for record in block.records]


@contextlib.contextmanager
def held_up(path: Path) -> Iterator[None]:
    """Nobody else can commit while this lasts."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def size_bytes(path: Path) -> int:
    return path.stat().st_size


async def let_tasks_start() -> None:
    await asyncio.sleep(0)


def acknowledged_before_kill(path: Path, start: int, count: int) -> list[int]:
    """Append from another process, kill it after `count` acknowledgements, return all it gave."""
    command = [sys.executable, "-c", APPENDER, str(path), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = list(itertools.islice(process.stdout, count))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    return [int(line) for line in lines if line.endswith("\n")]


async def test_what_was_appended_is_read_in_order(log: SqliteEventLog) -> None:
    for record in (b"one", b"", b"\x00\xff" * 1000):
        await log.append(record)
    assert records(log) == [b"one", b"", b"\x00\xff" * 1000]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=5), max_size=4))
def test_any_bytes_come_back_as_they_were(groups: list[list[bytes]]) -> None:
    async def append_all() -> list[bytes]:
        log = SqliteEventLog(Path(folder) / "events.db")
        for group in groups:
            await asyncio.gather(*map(log.append, group))
        found = records(log)
        log.close()
        return found

    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(append_all()) == list(itertools.chain(*groups))


def test_a_log_without_a_file_is_empty(log: SqliteEventLog, path: Path) -> None:
    assert not path.exists()
    assert (log.read(0, EVERYTHING), log.newest(), log.count_after(0)) == ([], 0, 0)
    log.prune(10)
    assert log.read(0, EVERYTHING) == []


async def test_an_append_returns_only_after_the_commit(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"first")
    with held_up(path):
        append = asyncio.create_task(log.append(b"second"))
        await asyncio.wait([append], timeout=0.05)
        assert not append.done()
    await asyncio.wait_for(append, PATIENCE_SECONDS)
    assert records(log) == [b"first", b"second"]


async def test_appends_that_wait_share_one_commit(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"first")
    with held_up(path):
        appends = [asyncio.create_task(log.append(b"%d" % number)) for number in range(200)]
        await let_tasks_start()
    await asyncio.gather(*appends)
    blocks = log.read(0, EVERYTHING)
    assert records(log) == [b"first", *(b"%d" % number for number in range(200))]
    assert len(blocks) <= 3, "the first, the group that was held up, and the group that came meanwhile"


async def test_a_block_stays_small_however_many_wait(
    log: SqliteEventLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_events, "MAX_BLOCK_BYTES", 1000)
    await asyncio.gather(*(log.append(b"x" * 100) for _ in range(100)))
    assert all(len(block.records) <= 10 for block in log.read(0, EVERYTHING))
    assert len(records(log)) == 100


async def test_each_commit_reaches_the_disk(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"x")
    connection = log._file._connection
    assert connection is not None
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: fsync at every commit"
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_reading_stops_when_enough_bytes_are_gathered(log: SqliteEventLog) -> None:
    for number in range(5):
        await log.append(b"%d" % number * 100)
    first = log.read(0, 1)
    assert len(first) == 1, "one block even if it is larger than asked for"
    assert len(log.read(first[0].position, 150)) == 2
    assert [block.records[0][:1] for block in log.read(first[0].position, EVERYTHING)] == [b"1", b"2", b"3", b"4"]
    assert log.count_after(first[0].position) == 4
    assert log.read(log.newest(), EVERYTHING) == []


async def test_a_reader_that_sleeps_wakes_at_the_first_append(log: SqliteEventLog, path: Path) -> None:
    reader = SqliteEventLog(path)
    waiting = asyncio.create_task(asyncio.to_thread(reader.wait, 60.0))
    await log.append(b"x")
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert records(reader) == [b"x"]
    reader.close()


async def test_positions_grow_across_restarts_and_after_everything_was_pruned(path: Path) -> None:
    positions = []
    for prune in (False, True, False):
        log = SqliteEventLog(path)
        await log.append(b"x")
        positions.append(log.newest())
        if prune:
            log.prune(log.newest())
            assert log.read(0, EVERYTHING) == []
        log.close()
    assert positions == sorted(set(positions))


async def test_new_positions_lie_beyond_what_the_pipeline_processed_even_when_the_file_was_lost(path: Path) -> None:
    log = SqliteEventLog(path, processed=lambda: 12_345_678)
    await log.append(b"x")
    assert log.newest() > 12_345_678
    log.close()


def test_a_file_deleted_by_hand_leaves_nothing_that_spoils_the_next(path: Path) -> None:
    subprocess.run([sys.executable, "-c", DYING, str(path)], check=True)
    path.unlink()
    assert path.with_name(path.name + "-wal").exists()
    log = SqliteEventLog(path)
    asyncio.run(log.append(b"new"))
    assert records(log) == [b"new"]
    log.close()


async def test_what_is_accepted_after_the_file_was_deleted_survives_a_restart(path: Path) -> None:
    log = SqliteEventLog(path)
    await log.append(b"before")
    for each in path.parent.glob("events.db*"):
        each.unlink()
    await log.append(b"after")
    log.close()
    reopened = SqliteEventLog(path)
    assert records(reopened) == [b"after"]
    reopened.close()


async def test_a_reader_ends_with_the_deleted_file_before_it_goes_on_with_the_new_one(path: Path) -> None:
    log, reader = SqliteEventLog(path), SqliteEventLog(path)
    for record in (b"one", b"two"):
        await log.append(record)
    (first, _) = reader.read(0, EVERYTHING)
    for each in path.parent.glob("events.db*"):
        each.unlink()
    await log.append(b"three")
    (second,) = reader.read(first.position, EVERYTHING)
    (third,) = reader.read(second.position, EVERYTHING)
    assert (second.records, third.records) == ([b"two"], [b"three"])
    await log.append(b"four")
    assert records(reader, third.position) == [b"four"]
    reader.close()
    log.close()


async def test_pruning_forgets_up_to_a_position_and_nothing_more(log: SqliteEventLog) -> None:
    for number in range(5):
        await log.append(b"%d" % number)
    blocks = log.read(0, EVERYTHING)
    log.prune(blocks[2].position)
    assert records(log) == [b"3", b"4"]
    log.prune(blocks[2].position)
    await log.append(b"5")
    assert records(log) == [b"3", b"4", b"5"]


@pytest.fixture
def prunes_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_events, "_PRUNE_EVERY_BYTES", 50_000)
    monkeypatch.setattr(sqlite_events, "_PRUNE_STEP_BYTES", 200_000)


@pytest.mark.usefixtures("prunes_often")
async def test_what_is_processed_goes_oldest_first_when_the_file_is_large_enough(path: Path) -> None:
    processed = 0
    log = SqliteEventLog(path, processed=lambda: processed, keep_bytes=500_000)
    for _ in range(60):
        await log.append(random.randbytes(50_000))
        processed = log.newest()
    kept = log.read(0, EVERYTHING)
    assert 1 <= len(kept) < 15
    assert kept[-1].position == log.newest()
    assert size_bytes(path) < 1_500_000
    log.close()


@pytest.mark.usefixtures("prunes_often")
async def test_what_is_not_processed_stays_however_large_the_file(path: Path) -> None:
    processed = 0
    log = SqliteEventLog(path, processed=lambda: processed, keep_bytes=100_000)
    await log.append(b"processed")
    processed = log.newest()
    sent = [random.randbytes(50_000) for _ in range(30)]
    for record in sent:
        await log.append(record)
    assert records(log) == sent
    log.close()


@pytest.mark.usefixtures("prunes_often")
async def test_appends_go_on_while_the_position_of_the_pipeline_cannot_be_read(path: Path) -> None:
    def processed() -> int:
        raise EngineUnavailable("the other file is locked")

    log = SqliteEventLog(path, processed=processed, keep_bytes=0)
    for _ in range(3):
        await log.append(random.randbytes(50_000))
    assert len(records(log)) == 3
    log.close()


class Clock:
    """A clock that is set by hand, in Unix minutes."""

    def __init__(self, minute: float = 30_000_000) -> None:
        self.minute = minute

    def now_ms(self) -> int:
        return int(self.minute * 60_000)


async def test_what_is_processed_goes_when_it_is_old_enough_also_while_nothing_is_appended(path: Path) -> None:
    clock, processed = Clock(), 0
    log = SqliteEventLog(path, processed=lambda: processed, keep_hours=2, now_ms=clock.now_ms)
    for number in range(4):
        await log.append(b"%d" % number)
        clock.minute += 60
    log.tidy()
    assert records(log) == [b"0", b"1", b"2", b"3"], "not processed"
    processed = log.newest()
    log.tidy()
    assert records(log) == [b"2", b"3"]
    clock.minute += 10_000
    log.tidy()
    assert records(log) == []
    log.close()


async def test_a_clock_that_was_ahead_for_a_while_keeps_nothing_for_ever(path: Path) -> None:
    clock, processed = Clock(), 0
    log = SqliteEventLog(path, processed=lambda: processed, keep_hours=1, now_ms=clock.now_ms)
    clock.minute += 500_000
    await log.append(b"ahead")
    clock.minute -= 500_000
    await log.append(b"right")
    clock.minute += 100
    await log.append(b"later")
    processed = log.newest()
    log.tidy()
    assert records(log) == [b"later"]
    log.close()


async def test_a_time_is_found_without_what_came_before_it(path: Path) -> None:
    clock = Clock()
    log = SqliteEventLog(path, now_ms=clock.now_ms)
    assert log.before(clock.now_ms()) == 0
    start = clock.now_ms()
    for number in range(6):
        await log.append(b"%d" % number)
        clock.minute += 10
    assert records(log, log.before(start)) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert records(log, log.before(start + 25 * 60_000)) == [b"3", b"4", b"5"]
    assert records(log, log.before(start + 30 * 60_000)) == [b"3", b"4", b"5"]
    assert records(log, log.before(start + 70 * 60_000)) == []
    log.close()


async def test_the_rest_of_a_minute_is_found_when_its_beginning_was_pruned(path: Path) -> None:
    clock = Clock()
    log = SqliteEventLog(path, now_ms=clock.now_ms)
    for number in range(4):
        await log.append(b"%d" % number)
    clock.minute += 5
    await log.append(b"4")
    blocks = log.read(0, EVERYTHING)
    log.prune(blocks[1].position)
    assert records(log, log.before(clock.now_ms() - 5 * 60_000)) == [b"2", b"3", b"4"]
    log.close()


async def test_a_time_before_the_clock_was_set_back_is_still_found(path: Path) -> None:
    clock = Clock()
    log = SqliteEventLog(path, now_ms=clock.now_ms)
    await log.append(b"0")
    clock.minute -= 30
    await log.append(b"1")
    assert b"1" in records(log, log.before(clock.now_ms()))
    log.close()


async def test_a_file_of_the_first_version_keeps_what_it_holds_and_goes_on(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.executescript("""
            PRAGMA page_size = 16384; PRAGMA journal_mode = WAL;
            CREATE TABLE blocks (
                position INTEGER PRIMARY KEY, records INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
            );
            CREATE TABLE pruned (through INTEGER NOT NULL);
            INSERT INTO pruned VALUES (0);
            PRAGMA user_version = 1;
        """)
        body = zstandard.compress(msgspec.msgpack.encode([b"old"]))
        old.execute("INSERT INTO blocks VALUES (7, 1, 3, ?)", (body,))
    clock, processed = Clock(), 0
    log = SqliteEventLog(path, processed=lambda: processed, keep_hours=1, now_ms=clock.now_ms)
    assert log.before(clock.now_ms()) == 0, "not brought to this version yet"
    assert records(log) == [b"old"]
    await log.append(b"new")
    log.tidy()
    assert records(log, log.before(clock.now_ms() - 10**9)) == [b"old", b"new"]
    clock.minute += 100
    await log.append(b"newer")
    processed = log.newest()
    log.tidy()
    assert records(log) == [b"newer"]
    log.close()


async def test_too_many_waiting_bytes_are_refused_at_once_and_accepted_later(
    log: SqliteEventLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_events, "MAX_WAITING_BYTES", 1000)
    await log.append(b"first")
    with held_up(path):
        waiting = asyncio.create_task(log.append(b"x" * 900))
        await let_tasks_start()
        with pytest.raises(EngineUnavailable):
            await log.append(b"x" * 101)
        small = asyncio.create_task(log.append(b"x" * 100))
        await let_tasks_start()
    await asyncio.gather(waiting, small)
    await log.append(b"x" * 1000)
    assert [len(record) for record in records(log)] == [5, 900, 100, 1000]


async def test_a_request_that_is_given_up_does_not_disturb_its_group(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"first")
    with held_up(path):
        given_up, kept = (asyncio.create_task(log.append(each)) for each in (b"given up", b"kept"))
        await let_tasks_start()
        given_up.cancel()
        await let_tasks_start()
    await asyncio.wait_for(kept, PATIENCE_SECONDS)
    assert b"kept" in records(log)


async def test_closing_writes_what_waits_and_refuses_what_comes_later(path: Path) -> None:
    log = SqliteEventLog(path)
    waiting = [asyncio.create_task(log.append(b"%d" % number)) for number in range(50)]
    await let_tasks_start()
    log.close()
    await asyncio.gather(*waiting)
    with pytest.raises(EngineUnavailable):
        await log.append(b"late")
    again = SqliteEventLog(path)
    assert len(records(again)) == 50
    again.close()


async def test_a_full_disk_refuses_and_room_is_used_again_without_a_restart(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"before")
    assert records(log) == [b"before"]
    with full_disk(path):
        appends = [log.append(random.randbytes(5_000)) for _ in range(8)]
        failures = await asyncio.gather(*appends, return_exceptions=True)
        assert all(isinstance(failure, EngineUnavailable) for failure in failures)
        assert len({id(failure) for failure in failures}) == 8, "one exception object each: they carry tracebacks"
        with pytest.raises(EngineUnavailable):
            await log.append(b"x" * 100)
        assert records(log) == [b"before"], "reading goes on for who reads already"
    await log.append(b"after")
    assert records(log) == [b"before", b"after"]


async def test_a_file_that_cannot_be_made_refuses_until_it_can(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.db")
    (tmp_path / "events.new").mkdir()  # in the way of the draft
    with pytest.raises(EngineUnavailable):
        await log.append(b"x")
    (tmp_path / "events.new").rmdir()
    await log.append(b"y")
    assert records(log) == [b"y"]
    log.close()


async def test_a_damaged_block_is_an_engine_that_is_unavailable_not_a_crash(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"x")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE blocks SET body = x'00'")
        connection.commit()
    with pytest.raises(EngineUnavailable):
        log.read(0, EVERYTHING)


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path) -> None:
    acknowledged: list[int] = []
    for round_ in range(3):
        acknowledged += acknowledged_before_kill(path, round_ * 1_000_000, 150)
    log = SqliteEventLog(path)
    found = [int(record) for record in records(log)]
    log.close()
    assert len(acknowledged) >= 450
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(("torn_bytes", "lost"), [(1, 1), (100, 1), (20_000, 2)])
async def test_a_torn_end_costs_the_end_alone_and_new_blocks_are_newer(
    path: Path, torn_bytes: int, lost: int
) -> None:
    acknowledged_before_kill(path, 0, 300)
    whole = SqliteEventLog(path)
    before, newest = whole.read(0, EVERYTHING), whole.newest()
    wal = path.with_name("events.db-wal")
    torn = wal.read_bytes()[:-torn_bytes]
    whole.close()  # the last to close moves the write-ahead log into the file
    # As the power failure left it: the file without what only the torn log held.
    copy = path.with_name("torn.db")
    copy.write_bytes(b"")
    _restore(copy, torn)
    log = SqliteEventLog(copy)
    after = log.read(0, EVERYTHING)
    assert len(before) > 5
    assert len(before) - lost <= len(after) < len(before)
    assert after == before[: len(after)]
    await log.append(b"new")
    assert log.newest() > newest
    assert records(log, newest) == [b"new"]
    log.close()


def _restore(path: Path, wal: bytes) -> None:
    """Make a database that has nothing but the header and schema of an event log, and this write-ahead log."""
    path.unlink()
    sqlite_events._create(path)
    path.with_name(path.name + "-wal").write_bytes(wal)


async def test_the_file_is_smaller_than_what_it_holds(path: Path) -> None:
    log = SqliteEventLog(path)
    numbers = random.Random(7)
    payload = 0
    for _ in range(60):
        group = [_event(numbers) for _ in range(16)]
        payload += sum(map(len, group))
        await asyncio.gather(*map(log.append, group))
    log.close()
    assert size_bytes(path) <= 0.6 * payload


def _event(numbers: random.Random) -> bytes:
    """A track call of some 700 bytes in which every value differs from event to event."""
    return json.dumps(
        {
            "type": "track",
            "event": numbers.choice(["Order Completed", "Product Viewed", "Cart Updated"]),
            "userId": f"user-{numbers.randrange(10**7)}",
            "messageId": f"node-next-{numbers.randrange(10**12)}-{numbers.randbytes(16).hex()}",
            "timestamp": f"2026-05-04T{numbers.randrange(24):02}:{numbers.randrange(60):02}:00.000Z",
            "properties": {f"property {number}": numbers.random() for number in range(10)},
            "context": {"ip": f"10.0.0.{numbers.randrange(256)}", "library": {"name": "node", "version": "2.1.0"}},
        }
    ).encode()


async def test_only_the_owner_may_read_the_files(log: SqliteEventLog, path: Path) -> None:
    await log.append(b"x")
    modes = {each.name: os.stat(each).st_mode & 0o077 for each in path.parent.iterdir()}
    assert set(modes.values()) == {0}, modes
