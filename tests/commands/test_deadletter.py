"""`mainstem deadletter`, on both engines' stores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.delivering import RECEIVED_AT_MS, event
from mainstem.commands import deadletter
from mainstem.engines.memory import MemoryDeliveryQueue
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.model.outcome import OutcomeKey, Stage
from mainstem.model.ports import DeadLetterStore, DeliveryQueue, NewDeadLetter, Processed, Settled

KEY = OutcomeKey(1, "s1", "d1", Stage.FAILED_DELIVERY, "INTERNAL", "track", "Order Completed", "")
Stores = tuple[DeadLetterStore, DeliveryQueue]


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Three dead letters with ids 1 to 3, and the queue they came from."""
    events = [event(f"m{number}") for number in range(3)]
    if request.param == "memory":
        queue = MemoryDeliveryQueue()
        queue.append(events)
        set_aside(queue)
        yield queue.dead_letters, queue
        return
    flow = SqliteFlow(tmp_path)
    flow.pipeline.save(Processed(0, 1, deliveries=events), RECEIVED_AT_MS)
    set_aside(flow.queue)
    yield flow.dead_letters, flow.queue
    flow.close()


def set_aside(queue: DeliveryQueue) -> None:
    for delivery in queue.take("d1", 0, 10, (0, 1)):
        new = delivery.new
        error = f"KeyError at connector:{delivery.id}" if delivery.id < 3 else "E\x1b[31m" + "x" * 100
        letter = NewDeadLetter(RECEIVED_AT_MS, "s1", "d1", new.message_id, "webhooks", error, new.body)
        queue.settle([Settled(delivery.id, KEY, 0, letter)], [])


def run(store: DeadLetterStore, action: str, *ids: int, every: bool = False) -> int:
    return deadletter.run(store, action, ids, every=every, write=sys.stdout.write)


def test_an_empty_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(MemoryDeliveryQueue().dead_letters, "list") == 0
    assert capsys.readouterr().out == "There are no dead letters.\n"


def test_the_list_is_a_table_oldest_first(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stores[0], "list") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["ID", "WHEN", "SOURCE", "DESTINATION", "MESSAGE", "ID", "WHERE", "ERROR"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert rows[0].split()[1:6] == ["2026-05-28T20:26:40Z", "s1", "d1", "m0", "webhooks"]
    assert rows[0].endswith("KeyError at connector:1")
    assert "\x1b" not in rows[2], "a terminal obeys nothing that a client sent"
    assert len(rows[2]) < 150


def test_one_letter_is_shown_with_its_event(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stores[0], "show", 2) == 0
    shown = capsys.readouterr().out
    assert "error:       KeyError at connector:2\n" in shown
    assert '\n  "messageId": "m1",\n' in shown


def test_a_letter_that_is_not_there_is_an_error(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stores[0], "show", 9) == 1
    assert run(stores[0], "redrive", 9) == 1
    assert run(stores[0], "drop", 9, 1) == 1
    assert capsys.readouterr().err == "There is no dead letter 9.\n" * 3
    assert [each.id for each in stores[0].list(0, 10)] == [2, 3]


def test_redriving_queues_the_event_again(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    letters, queue = stores
    assert run(letters, "redrive", 2, 2) == 0
    assert capsys.readouterr().out == "1 dead letter re-driven.\n"
    assert [each.new.message_id for each in queue.take("d1", 0, 10, (0, 1))] == ["m1"]
    assert [each.id for each in letters.list(0, 10)] == [1, 3]


def test_all_of_them_can_be_redriven(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    letters, queue = stores
    assert run(letters, "redrive", every=True) == 0
    assert capsys.readouterr().out == "3 dead letters re-driven.\n"
    assert [each.new.message_id for each in queue.take("d1", 0, 10, (0, 1))] == ["m0", "m1", "m2"]


def test_dropping_forgets_the_event(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    letters, queue = stores
    assert run(letters, "drop", every=True) == 0
    assert capsys.readouterr().out == "3 dead letters dropped.\n"
    assert not letters.list(0, 10)
    assert not queue.destinations()


@pytest.mark.parametrize(("ids", "every"), [([], False), ([1], True)])
def test_ids_and_all_exclude_each_other(
    stores: Stores, ids: list[int], every: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stores[0], "redrive", *ids, every=every) == 2
    assert run(stores[0], "drop", *ids, every=every) == 2
    assert capsys.readouterr().err == "Give the ids of dead letters, or --all.\n" * 2
    assert len(stores[0].list(0, 10)) == 3
