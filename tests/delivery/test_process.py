"""The loop from the log to the queue."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import subprocess
import sys
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.delivery.process import process
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.errors import EngineUnavailable
from mainstem.model.event import CALL, Received, to_record
from mainstem.model.outcome import Stage
from mainstem.model.ports import Block, EntryKind, NewEntry, OutcomeQuery
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION, Change, FilterConfig, FunctionUse, LiveSnapshot
from pipeline.making import RECEIVED_AT_MS, destination, received, source

NOW = RECEIVED_AT_MS / 1000 + 5
MINUTE = RECEIVED_AT_MS // 60_000


class ListLog:
    """An event log in memory. When all is read it stops the loop, or does what `when_idle` says."""

    def __init__(self, *blocks):
        self.blocks = [Block(number, records) for number, records in enumerate(blocks, 1)]
        self.stop = threading.Event()
        self.when_idle = self.stop.set
        self.limit = None

    def append(self, *records):
        self.blocks.append(Block(len(self.blocks) + 1, records))

    def read(self, after, limit_bytes):
        return [block for block in self.blocks if block.position > after][: self.limit]

    def wait(self, timeout_seconds):
        assert timeout_seconds > 0
        self.when_idle()


class Published:
    """Configuration that tests change."""

    def __init__(self, *sources):
        self.version = 0
        self.changed = []
        self.publish(*sources)

    def publish(self, *sources):
        self.version += 1
        self.changed += [(self.version, Change(each.id, each)) for each in sources]

    def changes(self, after):
        return self.version, [change for version, change in self.changed if version > after]


class Failing:
    """A store that fails where it is told to: `before` or `after` it did what a method does."""

    def __init__(self, store, failures):
        self._store = store
        self._failures = iter(failures)

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments):
            failure = next(self._failures, None)
            if failure == "before":
                raise EngineUnavailable("disk full")
            result = method(*arguments)
            if failure == "after":
                raise EngineUnavailable("lost the answer")
            return result

        return call


def track(number=0, **fields):
    return to_record(received({"userId": f"u{number % 5}", "event": "E", "messageId": f"m{number}", **fields}))


@pytest.fixture
def flow(tmp_path):
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        yield flow


def acting(actions):
    """Do one action each time the log is waited for."""

    def act():
        next(actions)()

    return act


CONFIG = source("src", destination("dst"))


def run(log, flow, published=None, *, store=None, clock=lambda: NOW):
    log.stop.clear()
    snapshot = LiveSnapshot(published or Published(CONFIG))
    process(log, store or flow.pipeline, snapshot, log.stop, clock, sample=lambda: 0.5)


def queued(flow, destination_id="dst"):
    return [each.new.message_id for each in flow.queue.take(destination_id, 0, 100_000, (0, 1))]


def count(flow, *stages):
    query = OutcomeQuery(["src"], stages, 0, MINUTE + 1, 1)
    return sum(each.count for each in flow.outcomes.counts(query))


def test_what_is_on_the_log_is_queued_in_order_and_counted(flow):
    log = ListLog([track(0), track(1)], [track(2)])
    run(log, flow)
    assert queued(flow) == ["m0", "m1", "m2"]
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 3
    assert flow.pipeline.position() == 2


def test_what_is_processed_is_not_processed_again(flow):
    log = ListLog([track(0)])
    run(log, flow)
    log.append(track(1))
    run(log, flow)
    run(log, flow)
    assert queued(flow) == ["m0", "m1"]


def test_a_duplicate_vanishes_after_a_restart(flow, tmp_path):
    log = ListLog([track(0)])
    run(log, flow)
    flow.close()
    log.append(track(0), track(1))
    with contextlib.closing(SqliteFlow(tmp_path)) as restarted:
        run(log, restarted)
        assert queued(restarted) == ["m0", "m1"]
        assert count(restarted, Stage.SUCCESSFULLY_RECEIVED) == 2


def test_a_change_of_the_configuration_holds_for_what_was_accepted_under_it(flow):
    published = Published(source("src"))
    log = ListLog()
    steps = iter([lambda: (published.publish(CONFIG), log.append(track(0))), log.stop.set])
    log.when_idle = acting(steps)
    run(log, flow, published)
    assert queued(flow) == ["m0"]


def test_a_filter_that_is_published_works_at_once(flow):
    published, log = Published(CONFIG), ListLog([track(0)])
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=True)
    changed = source("src", destination("dst", "Webhooks", drop))
    steps = iter([lambda: (published.publish(changed), log.append(track(1))), log.stop.set])
    log.when_idle = acting(steps)
    run(log, flow, published)
    assert queued(flow) == ["m0"]
    assert count(flow, Stage.FILTERED_AT_DESTINATION) == 1


def test_an_idle_loop_waits_for_the_log_and_does_nothing_else(flow):
    log, reads = ListLog(), []
    log.read = lambda after, limit: reads.append(after) or []
    waits = iter([lambda: None] * 4 + [log.stop.set])
    log.when_idle = acting(waits)
    run(log, flow)
    assert len(reads) == 5


@settings(max_examples=60, deadline=None)
@given(failures=st.lists(st.sampled_from(["before", "after", None]), max_size=12))
def test_whatever_call_of_the_store_fails_everything_is_counted_once(tmp_path_factory, failures):
    log = ListLog([track(0), track(1)], [track(2)], [track(0), track(3)])
    log.limit = 1
    with contextlib.closing(SqliteFlow(tmp_path_factory.mktemp("flow"))) as flow:
        log.stop.wait = lambda _seconds: False  # no pauses: the failures end by themselves
        run(log, flow, store=Failing(flow.pipeline, failures))
        assert queued(flow) == ["m0", "m1", "m2", "m3"]
        assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 4
        assert sum(flow.outcomes.api_calls(["src"], 0, MINUTE).values()) == 4


def test_it_says_once_that_it_waits_and_once_that_it_goes_on(flow, caplog):
    log = ListLog([track(0)])
    pauses = []
    log.stop.wait = pauses.append
    run(log, flow, store=Failing(flow.pipeline, ["before"] * 10))
    assert [record.message for record in caplog.records] == ["the pipeline waits: disk full", "the pipeline goes on"]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.05, 2.0)


def test_a_log_that_cannot_be_read_is_waited_for(flow):
    log = ListLog([track(0)])
    read, failures = log.read, iter([True, True])

    def unavailable(after, limit):
        if next(failures, False):
            raise EngineUnavailable("gone")
        return read(after, limit)

    log.read, log.stop.wait = unavailable, lambda _seconds: False
    run(log, flow)
    assert queued(flow) == ["m0"]


def test_poison_is_set_aside_and_the_others_go_on(flow):
    log = ListLog([track(0), b"\xc1", to_record(received(b"{", "batch")), track(1)])
    run(log, flow)
    assert queued(flow) == ["m0", "m1"]
    assert [letter.new.source_id for letter in flow.dead_letters.list(0, 9)] == ["", "src"]
    assert count(flow, Stage.FAILED_ON_INGEST) == 1


def test_a_letter_that_is_sent_back_and_fails_again_is_a_letter_again(flow):
    log = ListLog([to_record(received(b"{", "batch"))])
    run(log, flow)
    (first,) = flow.dead_letters.list(0, 9)
    assert flow.dead_letters.redrive(first.id)
    assert count(flow, Stage.FAILED_ON_INGEST) == 0
    run(log, flow)
    (second,) = flow.dead_letters.list(0, 9)
    assert second.id > first.id
    assert second.new.body == first.new.body
    assert count(flow, Stage.FAILED_ON_INGEST) == 1
    assert flow.pipeline.redriven(9) == []


def break_step(monkeypatch, tuple_name, name):
    """Make a step of the pipeline fail on events called Poison."""
    from mainstem.pipeline import digest
    from mainstem.pipeline.step import each

    def fail(event, _scope):
        """Fail on poison."""
        if event.payload.get("event") == "Poison":
            raise ValueError
        return event

    steps = getattr(digest, tuple_name)
    place = [step.name for step in steps].index(name)
    monkeypatch.setattr(digest, tuple_name, (*steps[:place], each(fail), *steps[place:]))


@pytest.mark.parametrize(
    ("tuple_name", "step", "stage"),
    [
        ("FROM_SOURCE", "normalize", Stage.FAILED_ON_INGEST),
        ("FROM_SOURCE", "deduplicate", Stage.FAILED_ON_INGEST),
        ("TO_DESTINATION", "apply_filters", Stage.FILTERED_AT_DESTINATION),
    ],
)
def test_a_letter_that_is_sent_back_ends_in_one_outcome(flow, monkeypatch, tuple_name, step, stage):
    log = ListLog([track(0), track(1, event="Poison"), track(2)])
    with monkeypatch.context() as broken:
        break_step(broken, tuple_name, step)
        run(log, flow)
    assert queued(flow) == ["m0", "m2"]
    assert count(flow, stage) == 1
    (letter,) = flow.dead_letters.list(0, 9)
    assert letter.new.message_id == "m1"
    assert flow.dead_letters.redrive(letter.id)
    run(log, flow)
    assert queued(flow) == ["m0", "m2", "m1"]
    assert count(flow, stage) == 0
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 3
    assert sum(flow.outcomes.api_calls(["src"], 0, MINUTE).values()) == 3
    assert flow.pipeline.redriven(9) == []


def test_what_is_sent_back_passes_the_filters_that_hold_now(flow, monkeypatch):
    log = ListLog([track(1, event="Poison")])
    with monkeypatch.context() as broken:
        break_step(broken, "TO_DESTINATION", "apply_filters")
        run(log, flow)
    assert flow.dead_letters.redrive(flow.dead_letters.list(0, 9)[0].id)
    drop = FilterConfig("f", "all", ({"type": "DROP"},), enabled=True)
    run(log, flow, Published(source("src", destination("dst", "Webhooks", drop))))
    assert queued(flow) == []
    assert count(flow, Stage.FILTERED_AT_DESTINATION) == 1


def test_housekeeping_is_done_now_and_then(flow):
    times, tidied = iter([NOW + seconds for seconds in range(200)]), []
    log = ListLog()
    waits = iter([lambda: None] * 60 + [log.stop.set])
    log.when_idle = acting(waits)
    store = Failing(flow.pipeline, [])
    store.tidy = tidied.append
    run(log, flow, store=store, clock=lambda: next(times))
    assert 2 <= len(tidied) <= 8


def test_the_collector_is_set_back_when_the_loop_ends(flow):
    before = gc.get_threshold()
    run(ListLog(), flow)
    assert gc.get_threshold() == before


# ---- killed, and started again

WORKER = """
import os, signal, sys, threading
from pathlib import Path
import msgspec
from mainstem.delivery.process import process
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow, outcomes, users
from mainstem.model.snapshot import Change, LiveSnapshot, SourceConfig

folder, fatal = Path(sys.argv[1]), int(sys.argv[2])
config = msgspec.json.decode(sys.argv[3], type=SourceConfig)
calls = 0
def count_down(function):
    def call(*arguments):
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
outcomes.add, users.remember = count_down(outcomes.add), count_down(users.remember)
process.__globals__["BATCH_BYTES"] = 1
class Config:
    def changes(self, after):
        return 1, [Change(config.id, config)] if after < 1 else []
stop = threading.Event()
class Log(SqliteEventLog):
    def wait(self, timeout_seconds):
        stop.set()
flow = SqliteFlow(folder)
flow.pipeline.save = count_down(flow.pipeline.save)
process(Log(folder / "events.db"), flow.pipeline, LiveSnapshot(Config()), stop, lambda: float(sys.argv[4]))
"""


def test_killed_at_any_moment_and_started_again_it_loses_and_repeats_nothing(tmp_path):
    async def fill():
        log = SqliteEventLog(tmp_path / "events.db")
        for first in range(0, 60, 3):
            await asyncio.gather(*(log.append(track(number)) for number in range(first, first + 3)))
        log.close()

    asyncio.run(fill())
    chance, ends = random.Random(3), []
    while not ends or ends[-1] != 0:
        fatal = chance.randrange(1, 25) if len(ends) < 4 else 0
        worker = subprocess.run(
            [sys.executable, "-c", WORKER, str(tmp_path), str(fatal), msgspec.json.encode(CONFIG).decode(), str(NOW)],
            check=False,
        )
        ends.append(worker.returncode)
    assert ends == [-9] * 4 + [0]
    with contextlib.closing(SqliteFlow(tmp_path)) as flow:
        assert queued(flow) == [f"m{number}" for number in range(60)]
        assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 60


# ---- beside the log


def entered(flow):
    return flow.pipeline.entries(100)


def test_an_event_of_a_source_with_an_insert_function_waits_for_it_and_counts_as_received(flow):
    config = source("src", destination("dst"), insert=FunctionUse("i1", "f1", {}))
    run(ListLog([track(0)]), flow, Published(config))
    assert queued(flow) == []
    assert queued(flow, INSERT_FUNCTION + "i1") == ["m0"]
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 1


def test_what_an_insert_function_returned_goes_on_to_the_destinations(flow):
    config = source("src", destination("dst"), insert=FunctionUse("i1", "f1", {}))
    run(ListLog([track(0)]), flow, Published(config))
    [waiting] = flow.queue.take(INSERT_FUNCTION + "i1", 0, 10, (0, 1))
    event = json.loads(waiting.new.body)
    event["payload"]["event"] = "Repaired"
    flow.pipeline.enter([NewEntry(EntryKind.INSERTED, "", json.dumps(event).encode())])
    run(ListLog(), flow, Published(config))
    [delivery] = flow.queue.take("dst", 0, 10, (0, 1))
    assert json.loads(delivery.new.body)["event"] == "Repaired"
    assert delivery.new.message_id == "m0"
    assert entered(flow) == []
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 1  # not twice


def test_what_an_insert_function_made_invalid_is_filtered_at_the_source(flow):
    config = source("src", destination("dst"), insert=FunctionUse("i1", "f1", {}))
    run(ListLog([track(0), track(1)]), flow, Published(config))
    for waiting in flow.queue.take(INSERT_FUNCTION + "i1", 0, 10, (0, 1)):
        event = json.loads(waiting.new.body)
        if waiting.new.message_id == "m0":
            event["payload"]["userId"] = 7
        flow.pipeline.enter([NewEntry(EntryKind.INSERTED, "", json.dumps(event).encode())])
    run(ListLog(), flow, Published(config))
    assert queued(flow) == ["m1"]
    assert count(flow, Stage.FILTERED_AT_SOURCE) == 1


def test_an_event_whose_source_is_gone_when_its_function_returns_is_counted(flow):
    config = source("src", destination("dst"), insert=FunctionUse("i1", "f1", {}))
    run(ListLog([track(0)]), flow, Published(config))
    [waiting] = flow.queue.take(INSERT_FUNCTION + "i1", 0, 10, (0, 1))
    flow.pipeline.enter([NewEntry(EntryKind.INSERTED, "", waiting.new.body)])
    run(ListLog(), flow, Published(source("other")))
    assert count(flow, Stage.FILTERED_AT_SOURCE) == 1


def test_a_call_of_a_source_function_waits_for_it_and_what_it_emits_is_received(flow):
    config = source("src", destination("dst"), function=FunctionUse("src", "f1", {}))
    call = to_record(Received(RECEIVED_AT_MS, "src", CALL, "", "server", b'{"body":"","headers":{},"url":""}'))
    run(ListLog([call]), flow, Published(config))
    [waiting] = flow.queue.take(SOURCE_FUNCTION + "src", 0, 10, (0, 1))
    assert json.loads(waiting.new.body) == {"body": "", "headers": {}, "url": ""}
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 0
    flow.pipeline.enter([NewEntry(EntryKind.REQUEST, "", track(0))] * 2)  # the second is a duplicate
    run(ListLog(), flow, Published(config))
    assert queued(flow) == ["m0"]
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 1


def test_a_call_to_a_source_that_is_no_function_fails_on_ingest(flow):
    call = to_record(Received(RECEIVED_AT_MS, "src", CALL, "", "server", b'{"body":"","headers":{},"url":""}'))
    run(ListLog([call]), flow)
    assert count(flow, Stage.FAILED_ON_INGEST) == 1


def test_a_replay_goes_to_its_destination_alone_and_counts_neither_as_received_nor_as_used(flow):
    config = Published(source("src", destination("dst"), destination("other")))
    log = ListLog([track(0)])
    run(log, flow, config)
    flow.pipeline.enter([NewEntry(EntryKind.REPLAY, "dst", track(0))])
    run(log, flow, config)
    assert queued(flow) == ["m0", "m0"]
    assert queued(flow, "other") == ["m0"]
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 1
    assert dict(flow.outcomes.api_calls(["src"], 0, 100_000)) == {("src", RECEIVED_AT_MS // 86_400_000): 1}


# ---- traces


class Traces:
    """A TraceStore in memory; with `is_full` it keeps nothing."""

    def __init__(self):
        self.kept = {}
        self.is_full = False
        self.tidied = 0
        self._next = 0

    def keep(self, traces, instead_of=()):
        if self.is_full:
            return ()
        for each in instead_of:
            del self.kept[each]
        ids = range(self._next + 1, self._next + 1 + len(traces))
        self._next += len(traces)
        self.kept.update(zip(ids, traces, strict=True))
        return ids

    def tidy(self):
        self.tidied += 1

    def message_ids(self):
        return [message_id for trace in self.kept.values() for message_id in trace.block.message_ids]


def traced(log, flow, traces, store=None):
    process(
        log, store or flow.pipeline, LiveSnapshot(Published(CONFIG)), log.stop, lambda: NOW, traces=traces,
        tidy=traces.tidy,
    )  # fmt: skip


def test_what_became_of_each_event_is_kept_and_tidied(flow):
    traces = Traces()
    traced(ListLog([track(0), track(1)], [track(2)]), flow, traces)
    assert traces.message_ids() == ["m0", "m1", "m2"]
    assert traces.tidied >= 2, "its own housekeeping, and what was given"


def test_a_batch_that_cannot_be_saved_is_told_once_however_often_it_is_tried(flow):
    traces, tries = Traces(), []

    class Refusing:
        def __getattr__(self, name):
            return getattr(flow.pipeline, name)

        def save(self, batch, now_ms):
            tries.append(len(traces.kept))
            if len(tries) < 4:
                raise EngineUnavailable("disk full")
            flow.pipeline.save(batch, now_ms)

    traced(ListLog([track(0), track(1)]), flow, traces, Refusing())
    assert tries == [1, 1, 1, 1]
    assert traces.message_ids() == ["m0", "m1"]


def test_events_go_on_when_their_traces_cannot_be_kept(flow):
    traces = Traces()
    traces.is_full = True
    traced(ListLog([track(0), track(1)]), flow, traces)
    assert queued(flow) == ["m0", "m1"]


def test_a_replayed_event_that_comes_back_from_a_function_goes_where_it_was_replayed_to(flow):
    config = source("src", destination("d1"), destination("d2"), insert=FunctionUse("i1", "f1", {}))
    flow.pipeline.enter([NewEntry(EntryKind.REPLAY, "d2", track(0))])
    run(ListLog(), flow, Published(config))
    [waiting] = flow.queue.take(INSERT_FUNCTION + "i1", 0, 10, (0, 1))
    flow.pipeline.enter([NewEntry(EntryKind.INSERTED, "", waiting.new.body)])
    run(ListLog(), flow, Published(config))
    assert (queued(flow, "d1"), queued(flow, "d2")) == ([], ["m0"])
    assert count(flow, Stage.SUCCESSFULLY_RECEIVED) == 0
    assert flow.outcomes.api_calls(["src"], 0, 10**6) == {}
