"""flow.db: the promises of PipelineStore, DeliveryQueue, OutcomeStore and DeadLetterStore."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading

import msgspec
import pytest

from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.engines.sqlite_flow.schema import MIGRATIONS, NewerSchema
from mainstem.errors import EngineUnavailable
from mainstem.model.outcome import OutcomeKey, Stage, Tally
from mainstem.model.ports import (
    EntryKind,
    NewDeadLetter,
    NewDelivery,
    NewEntry,
    OutcomeQuery,
    Processed,
    Redriven,
    Retry,
    SetAside,
    Settled,
    TrackedUser,
    UserCount,
)

MINUTE = 29_400_000  # 2025-11-24T16:00Z, a full hour
NOW_MS = MINUTE * 60_000
HOUR_MS = 3_600_000
DAY = MINUTE // 1440
ALL_STAGES = tuple(Stage)


@pytest.fixture
def flow(tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        yield flow


def delivery(number=0, destination_id="dst", lane=0):
    return NewDelivery(
        destination_id, lane, "src", f"m{number}", "track", "E", "1.2", NOW_MS, b'{"n":%d}' % number
    )  # fmt: skip


def key(minute=MINUTE, *, stage=Stage.SUCCESSFULLY_RECEIVED, **fields):
    values = {
        "source_id": "src", "destination_id": "", "reason": "", "event_type": "track", "event_name": "E",
        "app_version": "1.2",
    } | fields  # fmt: skip
    return OutcomeKey(minute=minute, stage=stage, **values)


SUCCESS = key(stage=Stage.SUCCESSFUL_DELIVERY, destination_id="dst", reason="successes.attempt.1")
FAILURE = key(stage=Stage.FAILED_DELIVERY, destination_id="dst", reason="INTERNAL")


def save(flow, *, now_ms=NOW_MS, **fields):
    """Save what follows the position."""
    after = flow.pipeline.position()
    flow.pipeline.save(Processed(after, after + 1, **fields), now_ms)


def queue(flow, *deliveries):
    save(flow, deliveries=deliveries)
    return flow.queue.take("dst", 0, 1000, (0, 1))


def counts(flow, *, bucket=1, start=MINUTE - 60, end=MINUTE + 60, group_by=(), **fields):
    query = OutcomeQuery(
        source_ids=fields.pop("source_ids", ["src"]), stages=fields.pop("stages", ALL_STAGES), start_minute=start,
        end_minute=end, bucket_minutes=bucket, group_by=group_by, **fields,
    )  # fmt: skip
    return {(each.bucket_minute, *each.group): (each.count, each.retries) for each in flow.outcomes.counts(query)}


def total(flow, stage):
    return sum(count for count, _ in counts(flow, stages=[stage]).values())


# ---- saving


def test_at_the_start_nothing_was_saved(flow):
    assert flow.pipeline.position() == 0
    assert flow.pipeline.redriven(10) == []
    assert (flow.queue.destinations(), flow.dead_letters.list(0, 10)) == ([], [])
    assert flow.pipeline.already_seen([1, 2]) == set()


def test_everything_of_a_batch_is_saved_and_read_by_another_process(flow, tmp_path):
    flow.pipeline.save(
        Processed(
            0, 7, [delivery()], {key(): Tally(3)}, {("src", DAY): 3}, [11, 12],
            {TrackedUser(DAY, "src", "u", "a")},
        ),
        NOW_MS,
    )  # fmt: skip
    with contextlib.closing(SqliteFlow(tmp_path)) as other:
        assert other.pipeline.position() == 7
        assert other.queue.destinations() == ["dst"]
        assert [each.new for each in other.queue.take("dst", 0, 10, (0, 1))] == [delivery()]
        assert counts(other) == {(MINUTE,): (3, 0)}
        assert other.outcomes.api_calls(["src"], DAY, DAY) == {("src", DAY): 3}
        assert other.pipeline.already_seen([11, 12, 13]) == {11, 12}
        assert other.outcomes.tracked_users(["src"], DAY, DAY)[0].identified == 1


def test_a_batch_that_cannot_be_saved_leaves_nothing_behind(flow):
    broken = Processed(0, 7, [delivery()], {key(): Tally(1)}, seen=[2**64])
    with pytest.raises(OverflowError):
        flow.pipeline.save(broken, NOW_MS)
    assert (flow.pipeline.position(), flow.queue.destinations(), counts(flow)) == (0, [], {})
    flow.pipeline.save(Processed(0, 7, [delivery()]), NOW_MS)
    assert flow.pipeline.position() == 7


def test_a_batch_read_before_another_process_advanced_is_refused(flow):
    flow.pipeline.save(Processed(0, 7), NOW_MS)
    with pytest.raises(EngineUnavailable, match="another process"):
        flow.pipeline.save(Processed(0, 8, tallies={key(): Tally(1)}), NOW_MS)
    assert (flow.pipeline.position(), counts(flow)) == (7, {})


def test_the_position_that_survives_a_power_loss_follows_at_the_next_tidying(flow):
    save(flow)
    assert flow.durable_position() == 0
    flow.pipeline.tidy(NOW_MS)
    assert flow.durable_position() == 1


def test_tidying_when_nothing_happened_writes_nothing(flow, tmp_path):
    save(flow, seen=[1], tallies={key(): Tally(1)})
    flow.pipeline.tidy(NOW_MS)
    on_disk = [tmp_path / "flow.db", tmp_path / "flow.db-wal"]
    before = [path.read_bytes() for path in on_disk]
    flow.pipeline.tidy(NOW_MS)
    assert [path.read_bytes() for path in on_disk] == before


# ---- seen ids


def test_ids_are_remembered_for_at_least_24_hours(flow):
    save(flow, seen=[1])
    save(flow, seen=[2], now_ms=NOW_MS + 24 * HOUR_MS)
    assert flow.pipeline.already_seen([1, 2]) == {1, 2}


def test_ids_are_forgotten_after_48_hours(flow):
    for days in range(6):
        save(flow, seen=[days], now_ms=NOW_MS + days * 24 * HOUR_MS)
        if days % 2:
            flow.pipeline.tidy(NOW_MS)  # in time or not, what is left is the same
        assert flow.pipeline.already_seen(range(6)) == set(range(max(0, days - 1), days + 1))


def test_the_number_of_ids_is_bounded_and_the_oldest_go_first(tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path, dedupe_max_ids=100)) as flow:
        for first in range(0, 1000, 50):
            save(flow, seen=range(first, first + 50))
            flow.pipeline.tidy(NOW_MS)
        kept = flow.pipeline.already_seen(range(1000))
    assert kept == set(range(1000 - len(kept), 1000))
    assert 100 <= len(kept) <= 200


def test_an_id_may_be_saved_again(flow):
    save(flow, seen=[1])
    save(flow, seen=[1, 2])
    assert flow.pipeline.already_seen([1, 2]) == {1, 2}


def test_ids_of_63_bits_are_kept_exactly(flow):
    ids = [0, 1, 2**53 + 1, 2**63 - 1]
    save(flow, seen=ids)
    assert flow.pipeline.already_seen([*ids, 2**53, 2**63 - 2]) == set(ids)


# ---- the queue


def test_deliveries_are_taken_in_order_and_stay(flow):
    waiting = queue(flow, *(delivery(number) for number in range(5)))
    assert [each.new.message_id for each in waiting] == ["m0", "m1", "m2", "m3", "m4"]
    first = waiting[0]
    assert (first.attempts, first.due_at_ms, first.first_attempt_at_ms, first.progress, first.reason) == (
        0,
        0,
        0,
        0,
        "",
    )
    assert flow.queue.take("dst", 0, 2, (0, 1)) == waiting[:2]
    assert flow.queue.take("dst", waiting[1].id, 2, (0, 1)) == waiting[2:4]
    assert flow.queue.get([waiting[3].id, waiting[1].id, 999]) == [waiting[1], waiting[3]]


def test_each_destination_has_its_own_deliveries(flow):
    save(flow, deliveries=[delivery(0, "b"), delivery(1, "a"), delivery(2, "b")])
    assert flow.queue.destinations() == ["a", "b"]
    assert [each.new.message_id for each in flow.queue.take("b", 0, 9, (0, 1))] == ["m0", "m2"]


def test_workers_share_the_lanes(flow):
    queue(flow, *(delivery(number, lane=number) for number in range(9)))
    shares = [[each.new.lane for each in flow.queue.take("dst", 0, 99, (share, 3))] for share in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_ids_are_never_given_out_twice(flow):
    (first,) = queue(flow, delivery(1))
    flow.queue.settle([Settled(first.id, SUCCESS, 0)], [])
    (second,) = queue(flow, delivery(2))
    assert second.id > first.id


def test_a_settled_delivery_is_gone_and_counted(flow):
    first, second = queue(flow, delivery(1), delivery(2))
    flow.queue.settle([Settled(first.id, SUCCESS, 2)], [])
    assert flow.queue.take("dst", 0, 9, (0, 1)) == [second]
    assert counts(flow, stages=[Stage.SUCCESSFUL_DELIVERY], group_by=["destination_id", "reason"]) == {
        (MINUTE, "dst", "successes.attempt.1"): (1, 2)
    }


def test_settling_again_counts_nothing_and_brings_nothing_back(flow):
    (first,) = queue(flow, delivery(1))
    flow.queue.settle([Settled(first.id, SUCCESS, 0), Settled(first.id, FAILURE, 0)], [])
    letter = NewDeadLetter(NOW_MS, "src", "dst", "m1", "webhook", "x", b"{}")
    flow.queue.settle([Settled(first.id, FAILURE, 0, letter)], [Retry(first.id, 1, 5, 5, 0, "500")])
    assert sum(total(flow, stage) for stage in (Stage.SUCCESSFUL_DELIVERY, Stage.FAILED_DELIVERY)) == 1
    assert (flow.queue.destinations(), flow.dead_letters.list(0, 9)) == ([], [])


def test_a_retry_is_noted_on_the_delivery(flow):
    first, second = queue(flow, delivery(1), delivery(2))
    flow.queue.settle([], [Retry(first.id, 3, 500, 100, 0b101, "503")])
    again = flow.queue.get([first.id])[0]
    assert (again.attempts, again.due_at_ms, again.first_attempt_at_ms) == (3, 500, 100)
    assert (again.progress, again.reason, again.new) == (0b101, "503", first.new)
    assert flow.outcomes.waiting("dst") == {"503": 1, "": 1}
    flow.queue.settle([], [Retry(second.id, 1, 500, 100, 0, "503")])
    assert flow.outcomes.waiting("dst") == {"503": 2}
    assert flow.outcomes.waiting("other") == {}


def test_who_waits_is_woken_by_what_is_queued(flow, tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path)) as worker:
        worker.queue.wait(60)  # the first returns at once
        woken = threading.Event()
        waiting = threading.Thread(target=lambda: (worker.queue.wait(60), woken.set()))
        waiting.start()
        save(flow, tallies={key(): Tally(1)})
        assert not woken.wait(0.05)
        save(flow, deliveries=[delivery()])
        assert woken.wait(30)
        waiting.join()


def test_a_bell_of_a_dead_process_is_taken_down(flow, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "bells").mkdir(exist_ok=True)
    left = tmp_path / "bells" / f"{ended.pid}.bell"
    left.write_bytes(b"")
    flow.queue.wait(0)
    assert not left.exists()


# ---- counts


def test_counts_add_up_in_minutes_hours_and_days(flow):
    for minute in (MINUTE, MINUTE, MINUTE + 1, MINUTE + 61, MINUTE + 1440):
        save(flow, tallies={key(minute): Tally(2, 1)})
    window = {"start": MINUTE, "end": MINUTE + 2880}
    assert counts(flow, **window) == {
        (MINUTE,): (4, 2), (MINUTE + 1,): (2, 1), (MINUTE + 61,): (2, 1), (MINUTE + 1440,): (2, 1),
    }  # fmt: skip
    assert counts(flow, bucket=60, **window) == {
        (MINUTE,): (6, 3), (MINUTE + 60,): (2, 1), (MINUTE + 1440,): (2, 1),
    }  # fmt: skip
    midnight = MINUTE - MINUTE % 1440
    assert counts(flow, bucket=1440, **window) == {(midnight,): (8, 4), (midnight + 1440,): (2, 1)}


def test_the_window_includes_its_start_and_not_its_end(flow):
    save(flow, tallies={key(minute): Tally(1) for minute in range(MINUTE, MINUTE + 5)})
    assert counts(flow, start=MINUTE + 1, end=MINUTE + 3) == {(MINUTE + 1,): (1, 0), (MINUTE + 2,): (1, 0)}


def test_hours_at_the_edges_of_a_window_count_whole(flow):
    save(flow, tallies={key(minute): Tally(1) for minute in (MINUTE - 1, MINUTE, MINUTE + 59, MINUTE + 60)})
    assert counts(flow, bucket=60, start=MINUTE + 30, end=MINUTE + 45) == {(MINUTE,): (2, 0)}


def test_counts_are_grouped_and_filtered_by_every_field(flow):
    save(
        flow,
        tallies={
            key(event_name="A", event_type="track", app_version="1"): Tally(1),
            key(event_name="B", event_type="page", app_version="2"): Tally(2),
            key(stage=Stage.FAILED_ON_INGEST, reason="id_not_string", event_name="A"): Tally(4),
            key(stage=Stage.SUCCESSFUL_DELIVERY, destination_id="d1", event_name="A"): Tally(8),
            key(source_id="other", event_name="A"): Tally(16),
        },
    )
    received = {"stages": [Stage.SUCCESSFULLY_RECEIVED]}
    assert counts(flow, group_by=["event_name", "event_type"], **received) == {
        (MINUTE, "A", "track"): (1, 0), (MINUTE, "B", "page"): (2, 0),
    }  # fmt: skip
    assert counts(flow, filters={"app_version": ["2", "3"], "event_type": []}, **received) == {(MINUTE,): (2, 0)}
    assert counts(flow, group_by=["reason"], stages=[Stage.FAILED_ON_INGEST]) == {(MINUTE, "id_not_string"): (4, 0)}
    assert counts(flow, destination_id="d1") == {(MINUTE,): (8, 0)}
    assert counts(flow, group_by=["source_id"], source_ids=["src", "other", "none"], **received) == {
        (MINUTE, "src"): (3, 0), (MINUTE, "other"): (16, 0),
    }  # fmt: skip


@pytest.mark.parametrize("field", ["nonsense", "count", "1; DROP TABLE deliveries"])
def test_only_fields_of_outcomes_can_be_asked_for(flow, field):
    with pytest.raises(ValueError, match="outcomes have no"):
        counts(flow, group_by=[field])
    with pytest.raises(ValueError, match="outcomes have no"):
        counts(flow, filters={field: ["x"]})


def test_old_counts_are_forgotten_in_steps_and_the_rest_stays(flow):
    old_minute, old_hour = MINUTE - 49 * 60 - 1, MINUTE - 33 * 1440
    sources = [f"s{number}" for number in range(600)]  # more than one step takes
    save(
        flow, tallies={key(minute, source_id=each): Tally(1) for each in sources for minute in (old_minute, old_hour)}
    )
    save(flow, tallies={key(source_id=each): Tally(1) for each in sources})
    for _ in range(3):
        flow.pipeline.tidy(NOW_MS)
    everything = {"source_ids": sources, "start": 0, "end": MINUTE + 1440}
    assert counts(flow, **everything) == {(MINUTE,): (600, 0)}
    hours = counts(flow, bucket=60, **everything)
    assert hours == {(old_minute - old_minute % 60,): (600, 0), (MINUTE,): (600, 0)}


# ---- usage


def test_api_calls_are_kept_by_source_and_day(flow):
    save(flow, calls={("a", DAY): 5, ("b", DAY): 1})
    save(flow, calls={("a", DAY): 2, ("a", DAY + 1): 3})
    assert flow.outcomes.api_calls(["a"], DAY, DAY + 1) == {("a", DAY): 7, ("a", DAY + 1): 3}
    assert flow.outcomes.api_calls(["a", "b"], DAY, DAY) == {("a", DAY): 7, ("b", DAY): 1}
    assert flow.outcomes.api_calls([], DAY, DAY) == {}


def users(flow, *seen):
    for each in seen:
        save(flow, users={TrackedUser(*each)})


def mtu(flow, source_ids, day=DAY, source_id=""):
    """Identified users, and anonymous ids that never met one."""
    counted = {(each.source_id, each.day): each for each in flow.outcomes.tracked_users(source_ids, DAY, day)}
    last = counted[source_id, day]
    return last.identified, last.anonymous - last.anonymous_identified


def test_logged_in_on_one_device_of_two_is_two_tracked_users(flow):
    users(flow, (DAY, "web", "", "browser"), (DAY, "app", "", "phone"), (DAY, "app", "u", "phone"))
    assert mtu(flow, ["web", "app"]) == (1, 1)


def test_logged_in_on_both_devices_is_one(flow):
    users(flow, (DAY, "web", "", "browser"), (DAY, "app", "u", "phone"), (DAY, "web", "u", "browser"))
    assert mtu(flow, ["web", "app"]) == (1, 0)


def test_an_anonymous_id_identified_at_another_source_is_not_counted_for_the_workspace(flow):
    users(flow, (DAY, "web", "", "a"), (DAY, "app", "u", "a"))
    assert mtu(flow, ["web", "app"]) == (1, 0)
    assert mtu(flow, ["web", "app"], source_id="web") == (0, 1)
    assert mtu(flow, ["web", "app"], source_id="app") == (1, 0)


def test_a_user_of_two_sources_is_one_for_the_workspace(flow):
    users(flow, (DAY, "web", "u", ""), (DAY, "app", "u", ""))
    assert mtu(flow, ["web", "app"]) == (1, 0)
    assert mtu(flow, ["app"], source_id="app") == (1, 0)


def test_tracked_users_grow_through_the_month_and_start_anew_in_the_next(flow):
    next_month = DAY + 7  # December
    users(flow, (DAY, "s", "u1", ""), (DAY + 1, "s", "", "a"), (DAY + 2, "s", "u1", "a"), (next_month, "s", "u1", ""))
    days = [each for each in flow.outcomes.tracked_users(["s"], DAY, DAY + 2) if each.source_id == "s"]
    assert days == [
        UserCount("s", DAY, 1, 0, 0), UserCount("s", DAY + 1, 1, 1, 0), UserCount("s", DAY + 2, 1, 1, 1),
    ]  # fmt: skip
    assert [each.identified for each in flow.outcomes.tracked_users(["s"], next_month, next_month)] == [1, 1]


def test_an_id_seen_late_counts_from_its_earliest_day(flow):
    users(flow, (DAY + 2, "s", "u", "a"), (DAY, "s", "", "a"), (DAY + 1, "s", "u", "a"))
    counted = {each.day: each for each in flow.outcomes.tracked_users(["s"], DAY, DAY + 2) if each.source_id == "s"}
    assert [counted[DAY + n].identified for n in range(3)] == [0, 1, 1]
    assert [counted[DAY + n].anonymous for n in range(3)] == [1, 1, 1]
    assert [counted[DAY + n].anonymous_identified for n in range(3)] == [0, 1, 1]


def test_no_id_of_a_user_is_kept(flow, tmp_path):
    users(flow, (DAY, "s", "user@example.com", "anonymous-7"))
    flow.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("flow.db*"))
    assert b"user@example.com" not in kept
    assert b"anonymous-7" not in kept


def test_users_of_past_years_are_forgotten(flow):
    users(flow, (DAY - 500, "s", "u", "a"), (DAY, "s", "u", "a"))
    flow.pipeline.tidy(NOW_MS)
    assert flow.outcomes.tracked_users(["s"], DAY - 500, DAY - 500)[0] == UserCount("", DAY - 500, 0, 0, 0)
    assert mtu(flow, ["s"]) == (1, 0)


# ---- dead letters

LETTER = NewDeadLetter(NOW_MS, "src", "", "m1", "normalize", "ValueError at normalize.py:1", b'{"a":1}')
INTERNAL = key(stage=Stage.FAILED_ON_INGEST, reason="internal")


def set_aside(flow, **fields):
    letter = msgspec.structs.replace(LETTER, **fields)
    save(flow, dead=[SetAside(letter, INTERNAL, b"entry")], tallies={INTERNAL: Tally(1)})
    return flow.dead_letters.list(0, 100)[-1].id


def test_dead_letters_are_listed_shown_and_dropped(flow):
    first, second = set_aside(flow), set_aside(flow, message_id="m2")
    assert [each.id for each in flow.dead_letters.list(0, 10)] == [first, second]
    assert [each.id for each in flow.dead_letters.list(first, 10)] == [second]
    assert [each.id for each in flow.dead_letters.list(0, 1)] == [first]
    assert flow.dead_letters.get(first).new == LETTER
    assert flow.dead_letters.drop(first)
    assert not flow.dead_letters.drop(first)
    assert flow.dead_letters.get(first) is None
    assert total(flow, Stage.FAILED_ON_INGEST) == 2


@pytest.mark.parametrize("destination_id", ["", "dst"])
def test_a_letter_of_the_pipeline_goes_back_into_it_and_its_outcome_is_taken_back(flow, destination_id):
    letter = set_aside(flow, destination_id=destination_id)
    assert flow.dead_letters.redrive(letter)
    assert not flow.dead_letters.redrive(letter)
    assert flow.pipeline.redriven(10) == [Redriven(letter, destination_id, b"entry")]
    assert (flow.dead_letters.list(0, 10), counts(flow), counts(flow, bucket=60)) == ([], {}, {})
    save(flow, redriven=[letter], tallies={key(): Tally(1)})
    assert flow.pipeline.redriven(10) == []
    assert counts(flow) == {(MINUTE,): (1, 0)}


def test_a_letter_that_was_sent_back_is_saved_by_one_process_alone(flow, tmp_path):
    letter = set_aside(flow)
    flow.dead_letters.redrive(letter)
    batch = Processed(1, 1, [delivery()], {key(): Tally(1)}, redriven=[letter])
    with contextlib.closing(SqliteFlow(tmp_path)) as other:
        other.pipeline.save(batch, NOW_MS)
    with pytest.raises(EngineUnavailable, match="another process"):
        flow.pipeline.save(batch, NOW_MS)
    assert counts(flow) == {(MINUTE,): (1, 0)}
    assert len(flow.queue.take("dst", 0, 10, (0, 1))) == 1


def test_a_letter_of_a_connector_goes_back_into_the_queue(flow):
    (first,) = queue(flow, delivery(1, lane=5))
    letter = NewDeadLetter(NOW_MS, "src", "dst", "m1", "webhook", "KeyError at webhook.py:9", first.new.body)
    flow.queue.settle([Settled(first.id, FAILURE, 3, letter)], [])
    assert counts(flow, stages=[Stage.FAILED_DELIVERY]) == {(MINUTE,): (1, 3)}
    (dead,) = flow.dead_letters.list(0, 10)
    assert dead.new == letter
    assert flow.dead_letters.redrive(dead.id)
    (again,) = flow.queue.take("dst", 0, 10, (0, 1))
    assert (again.new, again.attempts) == (first.new, 0)
    assert again.id > first.id
    assert counts(flow, stages=[Stage.FAILED_DELIVERY]) == {}


def test_beyond_the_bound_of_dead_letters_events_are_only_counted(flow, monkeypatch):
    monkeypatch.setattr("mainstem.engines.sqlite_flow.deliveries._MAX_LETTERS", 3)
    set_aside(flow)
    letter = msgspec.structs.replace(LETTER, destination_id="dst")
    waiting = queue(flow, *(delivery(number, lane=number) for number in range(4)))
    flow.queue.settle([Settled(each.id, FAILURE, 0, letter) for each in waiting], [])
    assert len(flow.dead_letters.list(0, 10)) == 3
    assert counts(flow, stages=[Stage.FAILED_DELIVERY]) == {(MINUTE,): (4, 0)}
    assert flow.queue.take("dst", 0, 10, (0, 1)) == []


def test_ids_of_dead_letters_are_never_given_out_twice(flow):
    first = set_aside(flow)
    flow.dead_letters.redrive(first)
    assert set_aside(flow) > first


# ---- several processes, failures, versions


def test_writers_wait_for_each_other(flow, tmp_path):
    def write(number):
        with contextlib.closing(SqliteFlow(tmp_path)) as other:
            for _ in range(20):
                other.queue.settle([Settled(waiting.pop().id, SUCCESS, 0)], [])

    waiting = list(queue(flow, *(delivery(number) for number in range(80))))
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert total(flow, Stage.SUCCESSFUL_DELIVERY) == 80


def test_a_full_disk_does_nothing_by_half_and_is_got_over(flow):
    save(flow, deliveries=[delivery(1)])
    with flow._file.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    flow._file._db.execute(f"PRAGMA max_page_count = {pages}")
    big = msgspec.structs.replace(delivery(2), body=b"x" * 100_000)
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="full"):
            flow.pipeline.save(Processed(1, 2, [big], {key(): Tally(1)}, seen=[7]), NOW_MS)
        flow._file._open().execute(f"PRAGMA max_page_count = {pages}")
        assert (flow.pipeline.position(), counts(flow), flow.pipeline.already_seen([7])) == (1, {}, set())
    flow._file._open().execute("PRAGMA max_page_count = 1000000")
    flow.pipeline.save(Processed(1, 2, [big], {key(): Tally(1)}, seen=[7]), NOW_MS)
    assert (flow.pipeline.position(), counts(flow)) == (2, {(MINUTE,): (1, 0)})
    assert len(flow.queue.take("dst", 0, 10, (0, 1))) == 2


def test_a_folder_that_is_gone_is_unavailable(tmp_path):
    with pytest.raises(EngineUnavailable):
        SqliteFlow(tmp_path / "none")


def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    (tmp_path / "flow.db").write_bytes(b"something else " * 100)
    with pytest.raises(EngineUnavailable):
        SqliteFlow(tmp_path)


def test_a_newer_file_is_refused(flow, tmp_path):
    flow.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "flow.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerSchema):
        SqliteFlow(tmp_path)


def test_the_file_is_the_owners_alone(flow, tmp_path):
    save(flow)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("flow.db*")} == {0}


KILLED = """
import os, signal, sys
from pathlib import Path
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.engines.sqlite_flow import users
from mainstem.model.ports import NewDelivery, Processed
flow = SqliteFlow(Path(sys.argv[1]))
def deliveries(first):
    return [NewDelivery("dst", 0, "src", f"m{n}", "track", "E", "", 0, b"{}") for n in range(first, first + 100)]
flow.pipeline.save(Processed(0, 1, deliveries(0), seen=[1]), 1)
users.remember = lambda db, seen: os.kill(os.getpid(), signal.SIGKILL)
flow.pipeline.save(Processed(1, 2, deliveries(100), seen=[2]), 1)
"""


def test_a_process_killed_in_the_middle_of_a_save_leaves_the_state_before(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        assert flow.pipeline.position() == 1
        assert [each.new.message_id for each in flow.queue.take("dst", 0, 999, (0, 1))] == [
            f"m{n}" for n in range(100)
        ]
        assert flow.pipeline.already_seen([1, 2]) == {1}
        save(flow, deliveries=[delivery(7)])
        assert len({each.id for each in flow.queue.take("dst", 0, 999, (0, 1))}) == 101


# ---- beside the log


def test_entries_are_read_in_order_until_they_are_dealt_with(flow):
    flow.pipeline.enter([NewEntry(EntryKind.REPLAY, "dst", b"1"), NewEntry(EntryKind.REQUEST, "", b"2")])
    first, second = flow.pipeline.entries(10)
    assert (first.new.kind, first.new.destination_id, first.new.body) == (EntryKind.REPLAY, "dst", b"1")
    assert [each.id for each in flow.pipeline.entries(1)] == [first.id]
    save(flow, entered=[first.id])
    assert flow.pipeline.entries(10) == [second]


def test_entries_are_dealt_with_once(flow):
    flow.pipeline.enter([NewEntry(EntryKind.REQUEST, "", b"1")])
    [entry] = flow.pipeline.entries(10)
    save(flow, entered=[entry.id], deliveries=[delivery(1)])
    with pytest.raises(EngineUnavailable, match="these entries"):
        save(flow, entered=[entry.id], deliveries=[delivery(2)])
    assert [each.new.message_id for each in flow.queue.take("dst", 0, 10, (0, 1))] == ["m1"]


def test_what_leaves_its_detour_enters_in_the_same_transaction_and_is_not_counted(flow):
    [waiting] = queue(flow, delivery())
    entry = NewEntry(EntryKind.INSERTED, "", b"{}")
    flow.queue.settle([Settled(waiting.id, None, 0, entries=[entry])], [])
    flow.queue.settle([Settled(waiting.id, None, 0, entries=[entry])], [])  # after a crash, say: it enters once
    assert [each.new for each in flow.pipeline.entries(10)] == [entry]
    assert flow.queue.take("dst", 0, 10, (0, 1)) == []
    assert counts(flow) == {}


def test_the_pipeline_is_woken_when_something_enters(tmp_path):
    woken = []
    with contextlib.closing(SqliteFlow(tmp_path, wake_pipeline=lambda: woken.append(1))) as flow:
        [waiting] = queue(flow, delivery())
        flow.queue.settle([], [])
        assert not woken
        flow.queue.settle([Settled(waiting.id, None, 0, entries=[NewEntry(EntryKind.REQUEST, "", b"1")])], [])
        flow.pipeline.enter([NewEntry(EntryKind.REQUEST, "", b"2")])
    assert len(woken) == 2


def test_outcomes_are_told_apart_by_mapping(flow):
    save(flow, tallies={key(subscription_id="a"): Tally(2), key(subscription_id="b"): Tally(1)})
    assert counts(flow, group_by=["subscription_id"]) == {(MINUTE, "a"): (2, 0), (MINUTE, "b"): (1, 0)}


def test_counts_of_a_file_from_before_there_were_mappings_are_kept(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "flow.db", isolation_level=None)) as db:
        for number in range(2):
            for statement in MIGRATIONS[number]:
                db.execute(statement)
        db.execute("PRAGMA user_version = 2")
        row = ("src", "successfully_received", MINUTE, "", "", "track", "E", "1.2", 3, 0)
        db.execute("INSERT INTO outcomes_by_minute VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        save(flow, tallies={key(): Tally(1)})
        assert counts(flow) == {(MINUTE,): (4, 0)}
