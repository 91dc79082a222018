"""What became of events: what was kept is found, bounded by age and size, and unreadable to whoever has the file."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.full_disk import full_disk
from mainstem.engines import sqlite_traces
from mainstem.engines.sqlite_traces import PAUSE_SECONDS, SqliteTraces
from mainstem.model.trace import (
    ATTEMPTED_AGAIN,
    Attempt,
    Attempts,
    Change,
    End,
    Exchanged,
    NewTrace,
    Passage,
    Queued,
    from_bytes,
    holds,
    key_of,
    mark,
    packed,
    to_bytes,
)
from mainstem.vault import SealBroken, Vault

SECRET_NAME = b"Ottokar Przybylski"


class Clock:
    """A clock that is set by hand, in Unix milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(range(32)))


@pytest.fixture
def store(path: Path, vault: Vault, clock: Clock) -> Iterator[SqliteTraces]:
    opened = SqliteTraces(path, vault, now_ms=clock.now_ms)
    yield opened
    opened.close()


def passage(*message_ids: str, body: bytes = b'{"name":"' + SECRET_NAME + b'"}', marks: str = "") -> NewTrace:
    places = list(range(len(message_ids)))
    block = Passage(
        1, "log", ["7.0"], [b""], list(message_ids), ["src"] * len(places), ["track"] * len(places),
        [""] * len(places), [""] * len(places), [0] * len(places), places, [body],
        [Change("normalize", "", places, [0] * len(places))], [End("apply_filters", "dst", "s", "r", "", places)],
        [Queued("dst", "", places)],
    )  # fmt: skip
    return NewTrace(packed([key_of(each) for each in message_ids]), marks, block)


def attempts(message_id: str) -> NewTrace:
    exchange = Exchanged("POST", "http://a/", {"A": "b"}, "{}", 503, {}, "busy")
    attempt = Attempt("dst", "", "src", message_id, "track", "E", 1, 2, 3, ATTEMPTED_AGAIN, "503", 9, [0])
    return NewTrace(packed([key_of(message_id)]), mark("dst", "503"), Attempts(4, [exchange], [attempt]))


def found(store: SqliteTraces, message_id: str) -> list[int]:
    return [each.id for each in store.find([key_of(message_id)])]


def test_a_store_without_a_file_is_empty_and_makes_none(store: SqliteTraces, path: Path) -> None:
    assert (store.newest(), store.find([1]), store.after(0, 10), list(store.marked("x y"))) == (0, [], [], [])
    assert (store.oldest_ms(), store.gaps(), store.used_bytes(), store.keep([])) == (None, [], 0, ())
    store.tidy()
    assert not path.exists()


def test_blocks_come_back_as_they_were(store: SqliteTraces) -> None:
    kept = [passage("m1", "m2"), attempts("m1"), passage("m3")]
    assert list(store.keep(kept)) == [1, 2, 3]
    assert [each.block for each in store.after(0, 10)] == [each.block for each in kept]
    assert [each.id for each in store.after(1, 1)] == [2]
    assert (found(store, "m1"), found(store, "m3"), found(store, "other")) == ([1, 2], [3], [])


@given(st.lists(st.integers(0, 2**63 - 1), max_size=50), st.integers(0, 2**63 - 1))
def test_a_key_is_found_where_it_stands_and_nowhere_else(keys: list[int], wanted: int) -> None:
    assert holds(packed(keys), [packed([wanted])]) == (wanted in keys)


def test_a_key_that_lies_across_two_others_is_not_there() -> None:
    both = packed([0x1111111122222222, 0x3333333344444444])
    assert not holds(both, [both[4:12]])
    assert holds(both + both[4:12], [both[4:12]])


def test_marked_blocks_come_newest_first_and_only_for_the_whole_mark(store: SqliteTraces) -> None:
    store.keep(
        [passage("a", marks=f"{mark('dst', '400')}\n{mark('dst', '404')}"), passage("b", marks=mark("d", "4"))]
    )
    store.keep([passage("c", marks=mark("dst", "404"))])
    assert [each.id for each in store.marked(mark("dst", "404"))] == [3, 1]
    assert [each.id for each in store.marked(mark("dst", "40"))] == []


def test_a_batch_that_comes_again_takes_the_place_of_what_was_told_before(store: SqliteTraces) -> None:
    first = store.keep([passage("m1"), passage("m2")])
    again = store.keep([passage("m1")], instead_of=first)
    assert [each.id for each in store.after(0, 10)] == list(again)
    assert found(store, "m2") == []


def test_nothing_of_an_event_can_be_read_in_the_file(store: SqliteTraces, path: Path) -> None:
    store.keep([passage(f"m{number}", body=SECRET_NAME * 10) for number in range(20)])
    store.close()
    written = b"".join(each.read_bytes() for each in path.parent.glob("traces.db*"))
    assert len(written) > 1000
    assert SECRET_NAME not in written
    assert b"normalize" not in written


def test_the_file_is_the_owners_alone(store: SqliteTraces, path: Path) -> None:
    store.keep([passage("m")])
    assert {each.stat().st_mode & 0o077 for each in path.parent.glob("traces.db*")} == {0}


def test_another_key_does_not_open_it_and_a_block_in_another_place_does_not_either(
    store: SqliteTraces, path: Path
) -> None:
    store.keep([passage("m1"), passage("m2")])
    with pytest.raises(SealBroken):
        SqliteTraces(path, Vault(bytes(32))).after(0, 1)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE blocks SET body = (SELECT body FROM blocks WHERE id = 1) WHERE id = 2")
    with pytest.raises(SealBroken):
        store.after(1, 1)


def test_what_is_too_old_goes(path: Path, vault: Vault, clock: Clock) -> None:
    store = SqliteTraces(path, vault, keep_hours=1, now_ms=clock.now_ms)
    store.keep([passage("old")])
    clock.ms += 40 * 60_000
    store.keep([passage("young")])
    clock.ms += 40 * 60_000
    store.keep([passage("new")])
    store.tidy()
    assert (found(store, "old"), found(store, "young"), found(store, "new")) == ([], [2], [3])
    assert store.oldest_ms() == clock.ms - 40 * 60_000
    clock.ms += 10**9
    store.tidy()
    assert list(store.keep([passage("next")])) == [4], "ids are not given twice"
    store.close()


def test_the_oldest_goes_when_the_file_holds_too_much(
    path: Path, vault: Vault, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_traces, "_PRUNE_EVERY_BYTES", 100_000)
    monkeypatch.setattr(sqlite_traces, "_BLOCKS_OF_STEP", 4)
    store = SqliteTraces(path, vault, keep_bytes=1_000_000, now_ms=clock.now_ms)
    for number in range(80):
        store.keep([passage(f"m{number}", body=random.randbytes(50_000))])
    kept = [each.id for each in store.after(0, 1000)]
    assert kept == list(range(kept[0], 81))
    assert 5 < len(kept) < 25
    assert store.used_bytes() < 1_300_000
    store.close()


def test_two_processes_may_write(path: Path, vault: Vault, clock: Clock) -> None:
    stores = [SqliteTraces(path, vault, now_ms=clock.now_ms) for _ in range(2)]
    for number in range(10):
        stores[number % 2].keep([passage(f"m{number}")])
    assert [each.id for each in stores[0].after(0, 100)] == list(range(1, 11))
    for each in stores:
        each.close()


def test_a_full_disk_leaves_out_blocks_is_logged_once_and_noted(
    store: SqliteTraces, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.keep([passage("before")])
    began = clock.ms
    with full_disk(path):
        for number in range(5):
            assert store.keep([passage(f"lost{number}", body=random.randbytes(50_000))]) == ()
            clock.ms += int(PAUSE_SECONDS * 1000) + 1
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert list(store.keep([passage("after")])) == [2]
    (gap,) = store.gaps()
    assert (gap.from_ms, gap.to_ms, gap.blocks) == (began, clock.ms, 5)
    assert [each.id for each in store.after(0, 10)] == [1, 2]


def test_a_store_that_failed_is_left_alone_for_a_while(store: SqliteTraces, path: Path, clock: Clock) -> None:
    path.mkdir()
    assert store.keep([passage("m1")]) == ()
    path.rmdir()
    assert store.keep([passage("m2")]) == ()
    assert not path.exists(), "not tried again yet"
    clock.ms += int(PAUSE_SECONDS * 1000) + 1
    assert list(store.keep([passage("m3")])) == [1]
    assert [each.blocks for each in store.gaps()] == [2]


def test_whoever_holds_the_file_holds_up_nobody_for_long(store: SqliteTraces, path: Path) -> None:
    store.keep([passage("m1")])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.keep([passage("m2")]) == ()
        assert [each.id for each in store.after(0, 10)] == [1], "reading goes on"


def test_a_file_that_was_deleted_is_made_anew(store: SqliteTraces, path: Path) -> None:
    store.keep([passage("m1")])
    for each in path.parent.glob("traces.db*"):
        each.unlink()
    assert store.after(0, 10) == []
    store.keep([passage("m2")])
    assert [each.id for each in store.after(0, 10)] == [1]
    assert (found(store, "m1"), found(store, "m2")) == ([], [1])


def test_a_block_is_read_by_its_kind() -> None:
    for each in (passage("m"), attempts("m")):
        assert from_bytes(to_bytes(each.block)) == each.block
