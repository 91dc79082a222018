"""Reading the archive, and entering what was read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from mainstem.commands import replaying, trial, trial_files
from mainstem.commands.replaying import Archived, Progress, Reading, Senseless, Wanted, read_time, replay
from mainstem.commands.tracing import MISSING
from mainstem.model.event import CALL, from_record, to_record
from mainstem.model.ports import Block, EntryKind, NewEntry, Processed
from mainstem.model.snapshot import FilterConfig, FunctionUse
from mainstem.model.trace import KeptTrace
from mainstem.pipeline.digest import digest
from mainstem.pipeline.step import Request
from mainstem.sandbox import Code, Ended, Invocation
from pipeline.making import RECEIVED_AT_MS, around, destination, received, snapshot, source
from pipeline.test_suppress import suppressing

EVENT = {"event": "E", "userId": "u", "messageId": "m1"}
ALL = Wanted(0, 1 << 60)


class Archive:
    """Blocks in memory; a time is found without what came before it."""

    def __init__(self, *blocks: Sequence[bytes]) -> None:
        self.blocks = [Block(number, records) for number, records in enumerate(blocks, 1)]
        self.read_after: list[int] = []

    def read(self, after: int, limit_bytes: int) -> list[Block]:
        self.read_after.append(after)
        return [each for each in self.blocks if each.position > after][:1]

    def before(self, at_ms: int) -> int:
        return 0


def record(body: Any, kind: str = "track", **fields: Any) -> bytes:
    return to_record(received(body, kind, **fields))


def taken(*records: bytes, wanted: Wanted = ALL, **fields: Any) -> tuple[list[Archived], Reading]:
    config = fields.pop("config", source("src", destination("dst")))
    reading = Reading(Archive(*([each] for each in records)), snapshot(config), fields.pop("processed", 1 << 60))
    return list(reading.events(wanted)), reading


def test_events_come_one_by_one_in_the_order_in_which_they_were_accepted() -> None:
    items = [{"type": "track", "event": f"E{number}", "userId": "u"} for number in range(3)]
    found, _ = taken(record(EVENT), record({"batch": items, "context": {"a": 1}, "sentAt": "2025"}, "batch"))
    bodies = [json.loads(from_record(each.record).body) for each in found]
    assert [each["event"] for each in bodies] == ["E", "E0", "E1", "E2"]
    assert bodies[1]["context"] == {"a": 1}
    assert [from_record(each.record).kind for each in found] == ["track"] * 4


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_an_event_without_a_message_id_keeps_the_one_that_the_server_gave_it(kind: str) -> None:
    config = source("src", destination("dst"))
    bare = {"type": "track", "event": "E", "userId": "u", "timestamp": "2025-11-24T15:00:00Z"}
    body = {"batch": [bare, bare], "sentAt": "2025-11-24T15:30:00Z"} if kind == "batch" else bare
    original = record(body, kind if kind == "batch" else "track")
    first = digest(0, 1, [Request(0, "1.0", original)], around(config))
    found, _ = taken(original, config=config)
    again = digest(0, 1, [Request(n, f"entry.{n}", each.record) for n, each in enumerate(found)], around(config))
    assert [each.message_id for each in again.deliveries] == [each.message_id for each in first.deliveries]
    assert [json.loads(each.body) for each in again.deliveries] == [
        json.loads(each.body) for each in first.deliveries
    ]
    assert [each.message_id for each in found] == [each.message_id for each in first.deliveries]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(RECEIVED_AT_MS, RECEIVED_AT_MS + 2), ["0", "1"]),
        (Wanted(RECEIVED_AT_MS + 2, 1 << 60), ["2", "3"]),
        (Wanted(0, 1 << 60, "src"), ["0", "1", "2", "3"]),
        (Wanted(0, 1 << 60, "other"), []),
        (Wanted(0, 1 << 60, "", ("E1", "E3")), ["1", "3"]),
        (Wanted(0, 1 << 60, "", (), "u2"), ["2"]),
        (Wanted(0, 1 << 60, "", (), "a0"), ["0"]),
    ],
)
def test_only_what_is_wanted_is_taken(wanted: Wanted, ids: list[str]) -> None:
    records = [
        record(
            {"event": f"E{n}", "userId": f"u{n}", "anonymousId": f"a{n}", "messageId": str(n)},
            at_ms=RECEIVED_AT_MS + n,
        )
        for n in range(4)
    ]
    assert [each.message_id for each in taken(*records, wanted=wanted)[0]] == ids


def test_an_event_that_was_sent_twice_is_taken_once() -> None:
    found, reading = taken(record(EVENT), record({**EVENT, "event": "Other"}), record({**EVENT, "messageId": "m2"}))
    assert [each.message_id for each in found] == ["m1", "m2"]
    assert reading.passed_over == {"sent before, with the same messageId": 1}


def test_what_cannot_go_again_is_passed_over_and_counted() -> None:
    config = source("src", function=FunctionUse("f", "f", {}))
    found, reading = taken(
        record(EVENT, source_id="gone"),
        record({}, CALL),
        record({"batch": [7]}, "batch"),
        record(EVENT),
        config=config,
    )
    assert [each.message_id for each in found] == ["m1"]
    assert sorted(reading.passed_over) == [
        "a call of a source function: what it emitted is replayed while its trace is kept", "no event",
        "the source is gone",
    ]  # fmt: skip
    closed = taken(record(EVENT), config=source("src", enabled=False))[1]
    assert closed.passed_over == {"the source is disabled": 1}


class Traces:
    """Blocks that the pipeline wrote down."""

    def __init__(self, *batches: Processed) -> None:
        blocks = [each.block for batch in batches for each in batch.traces]
        self.kept = [KeptTrace(number, block) for number, block in enumerate(blocks, 1)]

    def after(self, id: int, limit: int) -> list[KeptTrace]:
        return [each for each in self.kept if each.id > id][:limit]


def test_what_a_source_function_emitted_is_taken_from_its_traces() -> None:
    config = source("src", destination("dst"), function=FunctionUse("src", "f", {}))
    emitted = [Request(place, f"entry.{place}", record({**EVENT, "messageId": f"e{place}"})) for place in range(2)]
    around_them = structs.replace(around(config), kind=EntryKind.REQUEST)
    replayed = structs.replace(around(config), kind=EntryKind.REPLAY, is_replay=True)
    again = [Request(0, "entry.9", record({**EVENT, "messageId": "again"}))]
    traces = Traces(
        digest(1, 1, emitted, around_them), digest(1, 1, again, replayed), digest(1, 1, emitted, around_them)
    )
    called = record({"body": "{}", "headers": {}, "url": "https://x.test"}, CALL)
    reading = Reading(Archive([called]), snapshot(config), 1 << 60, traces)
    assert [each.message_id for each in reading.events(ALL)] == ["e0", "e1"]
    assert {reason.partition(",")[0].partition(":")[0]: count for reason, count in reading.passed_over.items()} == {
        "a call of a source function": 1,
        "sent before": 2,
    }
    assert list(Reading(Archive(), snapshot(config), 1 << 60, traces).events(Wanted(0, 1))) == []


def test_traces_are_not_read_where_no_function_is_a_source() -> None:
    class Untouched:
        def after(self, id: int, limit: int) -> list[KeptTrace]:
            raise AssertionError("there is nothing of interest")

    config = source("src", destination("dst"))
    assert len(list(Reading(Archive([record(EVENT)]), snapshot(config), 1 << 60, Untouched()).events(ALL))) == 1


def test_events_of_suppressed_users_are_passed_over() -> None:
    known = suppressing(snapshot(source("src", destination("dst"))), ("ws", "gone"))
    reading = Reading(Archive([record({**EVENT, "userId": "gone"}), record(EVENT)]), known, 1 << 60)
    assert [each.message_id for each in reading.events(ALL)] == ["m1"]
    assert reading.passed_over == {"the user is suppressed": 1}


def test_what_the_pipeline_has_not_processed_is_left_to_it() -> None:
    assert [
        each.message_id for each in taken(record(EVENT), record({**EVENT, "messageId": "m2"}), processed=1)[0]
    ] == ["m1"]


def test_reading_ends_where_all_is_later_than_wanted() -> None:
    late = RECEIVED_AT_MS + 10**9
    archive = Archive([record(EVENT)], [record(EVENT, at_ms=late)], [record(EVENT, at_ms=late)])
    reading = Reading(archive, snapshot(source("src")), 1 << 60)
    assert len(list(reading.events(Wanted(0, RECEIVED_AT_MS + 1)))) == 1
    assert archive.read_after == [0, 1]


class Intake:
    """Takes entries; `taking` are how many the pipeline takes each time that somebody pauses."""

    def __init__(self, taking: int = 10**9) -> None:
        self.entered: list[NewEntry] = []
        self.queue = 0
        self.taking = taking
        self.held_deliveries = 0
        self.most = 0

    def enter(self, entries: Sequence[NewEntry]) -> None:
        self.entered += entries
        self.queue += len(entries)
        self.most = max(self.most, self.queue)

    def waiting(self) -> int:
        return self.queue

    def deliveries(self) -> int:
        return self.held_deliveries

    def pause(self, _seconds: float) -> None:
        self.queue = max(0, self.queue - self.taking)
        self.held_deliveries = max(0, self.held_deliveries - 20_000)


def events(count: int) -> Any:
    return (Archived(RECEIVED_AT_MS + number, "src", str(number), b"%d" % number) for number in range(count))


def entered(intake: Intake, count: int, **fields: Any) -> list[Progress]:
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(Progress(progress.entered, progress.at_ms, progress.waits_for))

    assert replay(events(count), "dst", intake, tell, pause=intake.pause, **fields) == count
    assert [each.body for each in intake.entered] == [b"%d" % number for number in range(count)]
    assert {(each.kind, each.destination_id) for each in intake.entered} <= {(EntryKind.REPLAY, "dst")}
    return told


def test_entries_go_in_bounded_portions_while_the_pipeline_takes_them() -> None:
    intake = Intake(taking=150)
    told = entered(intake, 5_000)
    assert intake.most <= replaying.MOST_WAITING + replaying.PORTION
    assert {each.waits_for for each in told} == {"", "the pipeline"}
    assert told[-1].entered == 5_000


def test_it_waits_for_destinations_that_are_behind() -> None:
    intake = Intake()
    intake.held_deliveries = 100_000
    assert entered(intake, 10)[0].waits_for == "destinations"


def test_a_pipeline_that_takes_nothing_is_told() -> None:
    intake, now = Intake(taking=0), [0.0]

    def clock() -> float:
        now[0] += 1
        if now[0] > 60:
            intake.taking = 10**9
        return now[0]

    assert any("does the server run?" in each.waits_for for each in entered(intake, 2_000, clock=clock))


def test_a_rate_is_kept() -> None:
    slept: list[float] = []
    intake = Intake()
    replay(events(600), "", intake, lambda _: None, rate=100, pause=slept.append, clock=lambda: 0.0)
    assert slept == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-23T06:00:00Z", 1_795_413_600_000),
        ("2026-11-23T06:00:00", 1_795_413_600_000),
        ("2026-11-23T07:00:00+01:00", 1_795_413_600_000),
        ("2026-11-23", 1_795_392_000_000),
        ("now", 1_795_413_600_000),
        ("2h", 1_795_413_600_000 - 7_200_000),
        ("90m", 1_795_413_600_000 - 5_400_000),
        ("1.5d", 1_795_413_600_000 - 129_600_000),
        ("30s", 1_795_413_600_000 - 30_000),
    ],
)
def test_times_are_read_as_operators_write_them(text: str, ms: int) -> None:
    assert read_time(text, datetime(2026, 11, 23, 6, tzinfo=UTC)) == ms


@pytest.mark.parametrize("text", ["yesterday", "", "-2h", "2 h", "99999999999999d"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Senseless):
        read_time(text, datetime(2026, 11, 23, tzinfo=UTC))


# ---- trying a change


class FakeSandbox:
    """Answers as a function that marks events, drops those named "Drop" and times out on those named "Slow"."""

    async def invoke(self, code: Code, invocation: Invocation) -> Ended:
        event = json.loads(invocation.argument)
        if not isinstance(event, dict):
            return Ended(how="no_handler")
        if event["event"] == "Drop":
            return Ended(how="thrown", error="DropEvent", message="no")
        if event["event"] == "Slow":
            return Ended(how="timeout")
        return Ended(how="returned", value=json.dumps({**event, "by": code.source}).encode())

    async def close(self) -> None:
        pass


CONFIG = source("src", destination("d1"), destination("d2", "Other"))


async def tried(change: trial.Change, *names: str, only_to: str = "", config: Any = CONFIG) -> trial.Report:
    before = snapshot(config)
    records = [record({"event": name, "userId": "u", "messageId": f"m{n}"}) for n, name in enumerate(names)]
    found = Reading(Archive(*([each] for each in records)), before, 1 << 60).events(ALL)
    return await trial.compare(found, before, trial.changed(before, change), only_to, FakeSandbox())  # type: ignore[arg-type]


def drop(name: str, id: str = "f") -> FilterConfig:
    return FilterConfig(id, f"event = '{name}'", ({"type": "DROP"},), enabled=True)


def counts(report: trial.Report) -> dict[tuple[str, str], tuple[int, int]]:
    keys = {*report.before, *report.after}
    return {(key[0], key[2]): (report.before[key], report.after[key]) for key in keys}


async def test_without_a_change_nothing_differs() -> None:
    report = await tried(trial.Change(), "A", "B")
    assert (report.events, report.different) == (2, 0)
    assert counts(report) == {("d1", "would be sent"): (2, 2), ("d2", "would be sent"): (2, 2)}


async def test_a_filter_at_one_destination_changes_what_goes_there() -> None:
    report = await tried(trial.Change(destination_id="d1", filter=drop("A")), "A", "B", "A")
    assert report.different == 2
    assert counts(report) == {
        ("d1", "would be sent"): (3, 1),
        ("d1", "filtered at destination, FILTERED_BY_RULES"): (0, 2),
        ("d2", "would be sent"): (3, 3),
    }
    assert [(each.message_id, each.destination_id) for each in report.samples] == [("m0", "d1"), ("m2", "d1")]


async def test_what_has_the_id_of_something_there_takes_its_place() -> None:
    config = source("src", destination("d1", "W", drop("A", "f1")))
    report = await tried(trial.Change(filter=drop("B", "f1")), "A", "B", config=config)
    assert {each.message_id: each.after for each in report.samples} == {
        "m0": "would be sent", "m1": "filtered at destination, FILTERED_BY_RULES",
    }  # fmt: skip


async def test_samples_are_ten_at_most() -> None:
    report = await tried(trial.Change(filter=drop("A")), *["A"] * 30)
    assert (report.different, len(report.samples)) == (30, 10)


@pytest.mark.parametrize("kind", ["INSERT_SOURCE", "INSERT_DESTINATION"])
async def test_an_insert_function_is_run_for_both_kinds(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "function.json"
    path.write_text(json.dumps({"function": {"code": "mark", "resourceType": kind}}))
    function = trial_files.read_function(path, "")
    report = await tried(
        trial.Change(destination_id="d1" if "DEST" in kind else "", function=function), "A", "Drop", "Slow"
    )
    after = {each.message_id + each.destination_id: (each.after, each.changes) for each in report.samples}
    assert after["m0d1"] == ("would be sent", [("by", MISSING, "mark")])
    where = "m1d1" if "DEST" in kind else "m1"
    stage = "filtered at destination" if "DEST" in kind else "filtered at source"
    assert after[where][0] == f"{stage}, dropped"
    assert any(text == "would be tried again, gateway_timeout" for text, _ in after.values())


async def test_a_destination_that_is_not_there_makes_no_sense() -> None:
    with pytest.raises(Senseless):
        trial.changed(snapshot(CONFIG), trial.Change(destination_id="none"))


FILTER = {"title": "t", "if": "all", "actions": [{"type": "DROP"}], "enabled": True}
TRANSFORMATION = {"name": "t", "if": "event = 'E'", "newEventName": "F", "enabled": True, "sourceId": "s"}
RULE = {"type": "TRACK", "key": "E", "version": 1, "jsonSchema": {"type": "object"}}


@pytest.mark.parametrize(
    "wrapped", [lambda noun, it: it, lambda noun, it: {noun: it}, lambda noun, it: {"data": {noun: it}}]
)
def test_files_are_read_as_the_public_api_takes_and_answers_them(wrapped: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(wrapped("filter", FILTER)))
    assert trial_files.read_filter(path).condition == "all"
    path.write_text(json.dumps(wrapped("transformation", {**TRANSFORMATION, "id": "t1"})))
    config = trial_files.read_transformation(path)
    assert (config.id, config.new_event_name) == ("t1", "F")
    path.write_text(json.dumps({"data": {"rules": [RULE]}}))
    assert trial_files.read_plan(path).rules[0].key == "E"


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (trial_files.read_filter, "{"),
        (trial_files.read_filter, json.dumps({**FILTER, "if": "oops("})),
        (trial_files.read_filter, json.dumps({**FILTER, "actions": [{"type": "NONE"}]})),
        (trial_files.read_filter, json.dumps({"if": "all"})),
        (trial_files.read_transformation, json.dumps({**TRANSFORMATION, "if": "oops("})),
        (trial_files.read_plan, json.dumps({"rules": [{**RULE, "jsonSchema": {"type": "none"}}]})),
        (trial_files.read_plan, json.dumps({"rules": [{"type": "NONE"}]})),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name(read: Any, content: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(Senseless, match=r"file\.json"):
        read(path)
    with pytest.raises(Senseless):
        read(tmp_path / "none.json")


def test_a_function_that_does_not_parse_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "function.js"
    path.write_text("async function onTrack(event) {\n  return {;\n}")
    with pytest.raises(Senseless, match=r"function\.js: Unexpected token ';' \(line 2, column 11\)"):
        trial_files.read_function(path, "")


def test_a_function_that_would_really_send_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "function.json"
    path.write_text(json.dumps({"code": "x", "resourceType": "DESTINATION"}))
    with pytest.raises(Senseless, match="function test"):
        trial_files.read_function(path, "")
