"""Deliveries that go out together, and deliveries that go round a function."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest

from delivery.delivering import World, event, memory_world, quick, sqlite_world
from mainstem.delivery.retry import DOWN_AFTER
from mainstem.destinations.base import Connection, Failure, Filtered, Left, Message, Rejected, Retryable
from mainstem.destinations.connecting import Connectors
from mainstem.model.ports import EntryKind, NewDelivery, NewEntry
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION, DestinationConfig

Verdict = Callable[[Message], Failure | None]


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        yield memory_world()
        return
    made, close = sqlite_world(tmp_path)
    yield made
    close()


class Batching:
    """Takes batches by the event's `group` property, at most `size`; `None` as a group goes alone."""

    def __init__(self, verdict: Verdict = lambda _message: None, size: int = 100) -> None:
        self.verdict = verdict
        self.size = size
        self.batches: list[list[str]] = []
        self.alone: list[str] = []
        self.gate: asyncio.Event | None = None
        self.started: asyncio.Queue[int] = asyncio.Queue()

    @property
    def connectors(self) -> Connectors:
        batching = self

        class Only(Connectors):
            def connect(self, _config: DestinationConfig) -> Connection:
                return Connection(batching.perform, batching.perform_batch, batching.group, batching.size)

            def name(self, _config: DestinationConfig) -> str:
                return "batching"

        return Only()

    def group(self, subscription_id: str) -> Hashable | None:
        return None if subscription_id == "alone" else subscription_id

    async def perform(self, message: Message, _http: Any) -> None:
        self.alone.append(message.message_id)
        failure = self.verdict(message)
        if failure is not None:
            raise failure

    async def perform_batch(self, messages: Sequence[Message], _http: Any) -> list[Failure | None]:
        self.batches.append([each.message_id for each in messages])
        self.started.put_nowait(len(messages))
        if self.gate is not None:
            await self.gate.wait()
        return [self.verdict(each) for each in messages]


def through(id: str, subscription_id: str = "sub", *, user: str | None = None) -> NewDelivery:
    new = event(id, user=user or id)
    return NewDelivery(*(getattr(new, name) for name in new.__struct_fields__[:-1]), subscription_id)


async def test_what_is_ready_goes_out_together_up_to_the_size_of_a_batch(world: World) -> None:
    batching = Batching(size=10)
    world.configuration.put("d1", {})
    world.append([through(f"m{number}") for number in range(25)])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(25)
    assert sorted(len(each) for each in batching.batches) == [5, 10, 10]
    assert world.outcomes() == {("successful_delivery", "successes.attempt.1"): 25}


async def test_only_events_of_one_group_go_out_together(world: World) -> None:
    batching = Batching()
    world.configuration.put("d1", {})
    world.append([through(f"{group}{number}", group) for number in range(3) for group in ("a", "b", "alone")])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(9)
    assert sorted(batching.batches) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    assert sorted(batching.alone) == ["alone0", "alone1", "alone2"]


async def test_of_a_batch_only_the_member_answered_429_is_tried_again(world: World) -> None:
    refused = Counter[str]()

    def verdict(message: Message) -> Failure | None:
        refused[message.message_id] += 1
        if message.message_id == "m1" and refused["m1"] == 1:
            return Retryable("429")
        return Rejected("400") if message.message_id == "m2" else None

    batching = Batching(verdict)
    world.configuration.put("d1", {})
    world.append([through("m0"), through("m1"), through("m2")])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(3)
    assert batching.batches == [["m0", "m1", "m2"], ["m1"]]
    assert world.outcomes() == {
        ("successful_delivery", "successes.attempt.1"): 1,
        ("successful_delivery", "successes.attempt.2"): 1,
        ("failed_delivery", "400"): 1,
    }


async def test_two_events_of_one_user_never_share_a_moment(world: World) -> None:
    batching = Batching()
    world.configuration.put("d1", {})
    world.append([through(f"m{number}", user="one") for number in range(5)])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(5)
    assert batching.batches == [["m0"], ["m1"], ["m2"], ["m3"], ["m4"]]


async def test_an_event_that_breaks_a_batch_is_found_and_set_aside_alone(world: World) -> None:
    def verdict(message: Message) -> Failure | None:
        if message.message_id == "m1":
            raise KeyError("broken")
        return None

    batching = Batching(verdict)
    world.configuration.put("d1", {})
    world.append([through("m0"), through("m1"), through("m2")])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(3)
    assert world.outcomes() == {
        ("successful_delivery", "successes.attempt.1"): 2,
        ("failed_delivery", "INTERNAL"): 1,
    }
    assert [each.new.message_id for each in world.dead_letters.list(0, 10)] == ["m1"]


@pytest.mark.parametrize("is_returned", [True, False])
async def test_of_a_batch_that_a_destinations_code_failed_on_only_the_one_at_fault_is_set_aside(
    world: World, is_returned: bool
) -> None:
    fault = Filtered("bad_request", "it used more than 128 MB of memory", is_fault=True)

    class Fragile(Batching):
        async def perform_batch(self, messages: Sequence[Message], _http: Any) -> list[Failure | None]:
            self.batches.append([each.message_id for each in messages])
            ends = [fault if "m1" in self.batches[-1] else None] * len(messages)
            if fault in ends and not is_returned:
                raise fault
            return list(ends)

    batching = Fragile()
    world.configuration.put("d1", {})
    world.append([through("m0"), through("m1"), through("m2")])
    async with world.working(connectors=batching.connectors):
        await world.until_settled(3)
        assert world.outcomes() == {
            ("successful_delivery", "successes.attempt.1"): 2,
            ("filtered_at_destination", "bad_request"): 1,
        }
        [letter] = world.dead_letters.list(0, 10)
        assert (letter.new.message_id, letter.new.error) == ("m1", "it used more than 128 MB of memory")
        assert world.dead_letters.redrive(letter.id)
        await world.until_settled(4)
    assert batching.batches == [["m0", "m1", "m2"], ["m0"], ["m1"], ["m2"], ["m1"]]


async def test_a_destination_may_go_down_and_come_up_again_in_the_middle_of_a_batch(world: World) -> None:
    is_up = False

    def verdict(message: Message) -> Failure | None:
        return None if is_up else Retryable("503")

    batching = Batching(verdict)
    world.configuration.put("d1", {})
    world.append([through(f"m{number}") for number in range(3 * DOWN_AFTER)])
    async with world.working(connectors=batching.connectors):
        await world.queue.until(lambda: len(world.queue.retries) >= 3 * DOWN_AFTER)
        is_up = True
        await world.until_settled(3 * DOWN_AFTER)
    assert {stage for stage, _ in world.outcomes()} == {"successful_delivery"}


async def test_while_batches_are_in_flight_the_next_one_grows(world: World) -> None:
    batching = Batching(size=100)
    batching.gate = asyncio.Event()
    world.configuration.put("d1", {})
    async with world.working(connectors=batching.connectors):
        for number in range(4):  # as many as may be in flight
            world.append([through(f"first{number}")])
            await asyncio.wait_for(batching.started.get(), 10)
        world.append([through(f"m{number}") for number in range(50)])
        batching.gate.set()
        await world.until_settled(54)
    assert len(batching.batches[4]) == 50


async def test_counts_tell_the_mapping(world: World) -> None:
    world.configuration.put("d1", {})
    world.append([through("m0", "sub-1"), through("m1", "sub-2")])
    async with world.working(connectors=Batching().connectors):
        await world.until_settled(2)
    assert sorted(each.key.subscription_id for each in world.queue.settled if each.key) == ["sub-1", "sub-2"]


async def test_what_a_function_filters_is_counted_as_filtered_at_the_destination(world: World) -> None:
    world.configuration.put("d1", {})
    world.append([through("m0", "alone")])
    batching = Batching(lambda _message: Filtered("message_rejected"))
    async with world.working(connectors=batching.connectors):
        await world.until_settled(1)
    assert world.outcomes() == {("filtered_at_destination", "message_rejected"): 1}


async def test_a_function_that_always_asks_for_a_retry_is_filtered_in_the_end(world: World) -> None:
    world.settings = quick(retry_hours=0)
    world.configuration.put("d1", {})
    world.append([through("m0", "alone")])
    batching = Batching(lambda _message: Retryable("retry"))
    async with world.working(connectors=batching.connectors):
        await world.until_settled(1)
    assert world.outcomes() == {("filtered_at_destination", "retry"): 1}


# ---- detours


class Round(Connectors):
    """A function at a source: returns what it is told."""

    def __init__(self, answer: Callable[[Message], Left]) -> None:
        super().__init__()
        self._answer = answer

    def connect(self, _config: DestinationConfig) -> Connection:
        async def perform(message: Message, _http: Any) -> Left:
            return self._answer(message)

        return Connection(perform)


async def test_what_went_round_a_function_enters_the_pipeline_and_is_not_counted(world: World) -> None:
    detour = INSERT_FUNCTION + "i1"
    world.configuration.put(detour, {})
    world.append([event("m0", to=detour)])
    entry = NewEntry(EntryKind.INSERTED, "", b"{}")
    async with world.working(connectors=Round(lambda _message: Left([entry]))):
        await world.until_settled(1)
    [settled] = world.queue.settled
    assert settled.key is None
    assert list(settled.entries) == [entry]


def refuse(reason: str) -> Callable[[Message], Left]:
    def answer(_message: Message) -> Left:
        raise Filtered(reason)

    return answer


@pytest.mark.parametrize(
    ("kind", "stage"), [(INSERT_FUNCTION, "filtered_at_source"), (SOURCE_FUNCTION, "failed_on_ingest")]
)
async def test_what_ends_at_a_function_of_the_source_is_counted_at_the_source(
    world: World, kind: str, stage: str
) -> None:
    world.configuration.put(kind + "x", {})
    world.append([event("m0", to=kind + "x")])
    async with world.working(connectors=Round(refuse("bad_request"))):
        await world.until_settled(1)
    [settled] = world.queue.settled
    assert settled.key is not None
    assert (settled.key.stage.value, settled.key.reason, settled.key.destination_id) == (stage, "bad_request", "")


async def test_events_whose_insert_function_is_gone_go_on_without_it(world: World) -> None:
    detour = INSERT_FUNCTION + "gone"
    world.append([event("m0", to=detour)])
    async with world.working():
        await world.until_settled(1)
    [settled] = world.queue.settled
    assert settled.key is None
    [entry] = settled.entries
    assert entry.kind is EntryKind.INSERTED
    assert json.loads(entry.body)["messageId"] == "m0"


async def test_a_source_function_is_tried_seven_times_at_most(world: World) -> None:
    tried: list[str] = []

    def answer(message: Message) -> Left:
        tried.append(message.message_id)
        raise Retryable("RETRY_ERROR")

    detour = SOURCE_FUNCTION + "s1"
    world.configuration.put(detour, {})
    world.append([event("m0", to=detour)])
    async with world.working(connectors=Round(answer)):
        await world.until_settled(1)
    assert len(tried) == 7
    assert world.outcomes() == {("failed_on_ingest", "RETRY_ERROR"): 1}
