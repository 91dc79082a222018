"""The delivery worker, with real HTTP on loopback, over every engine."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from delivery.delivering import (
    Arrival,
    Partner,
    World,
    event,
    memory_world,
    quick,
    sqlite_world,
    webhook,
)
from mainstem.destinations.base import Destination, Message, Perform
from mainstem.destinations.connecting import Connectors
from mainstem.model.event import EVENT_TYPES

DELIVERED_FIRST = ("successful_delivery", "successes.attempt.1")


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield memory_world()
    else:
        world, close = sqlite_world(tmp_path)
        yield world
        close()


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with Partner() as partner:
        yield partner


def closed_port_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


async def test_what_waits_is_delivered_and_counted_where_it_was_received(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(100)])
    async with world.working():
        await world.until_settled(100)
    assert Counter(partner.message_ids()) == Counter(f"m{n}" for n in range(100))
    assert world.outcomes() == {DELIVERED_FIRST: 100}
    key = world.queue.settled[0].key
    assert (key.minute, key.source_id, key.destination_id) == (1_780_000_000 // 60, "s1", "d1")
    assert (key.event_type, key.event_name, key.app_version) == ("track", "Order Completed", "1.2")
    assert not world.queue.destinations()


async def test_events_queued_later_are_heard_of(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    async with world.working():
        for n in range(5):
            world.append([event(f"m{n}")])
            await partner.until(n + 1)
    assert partner.message_ids() == ["m0", "m1", "m2", "m3", "m4"]


async def test_an_answer_of_503_is_tried_again_and_counts_as_delivered(world: World, partner: Partner) -> None:
    answers = iter([503, 200])
    partner.answer = lambda arrival: next(answers)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1")])
    async with world.working():
        await world.until_settled(1)
    assert world.outcomes() == {("successful_delivery", "successes.attempt.2"): 1}
    assert [each.retries for each in world.queue.settled] == [1]
    assert [(each.attempts, each.reason) for each in world.queue.retries] == [(1, "503")]


async def test_an_answer_of_400_fails_at_once(world: World, partner: Partner) -> None:
    partner.answer = lambda arrival: 400
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1")])
    async with world.working():
        await world.until_settled(1)
    assert world.outcomes() == {("failed_delivery", "400"): 1}
    assert len(partner.arrivals) == 1


@pytest.mark.parametrize(("status", "reason"), [(429, "429"), (503, "503"), (500, "RETRY"), (408, "RETRY")])
async def test_what_fails_until_the_time_for_retries_is_over_failed(
    world: World, partner: Partner, status: int, reason: str
) -> None:
    partner.answer = lambda arrival: status
    world.settings = quick(retry_hours=0.1 / 3600)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1")])
    async with world.working():
        await world.until_settled(1)
    assert world.outcomes() == {("failed_delivery", reason): 1}
    assert world.queue.settled[0].retries == len(partner.arrivals) - 1 >= 1


async def test_order_of_a_user_survives_retries_and_others_do_not_wait(world: World, partner: Partner) -> None:
    refused = Counter[str]()
    release = asyncio.Event()

    def answer(arrival: Arrival) -> int:
        refused[arrival.message_id] += 1
        return 200 if release.is_set() or not arrival.message_id.startswith("slow") else 503

    partner.answer = answer
    world.configuration.put("d1", webhook(partner.url))
    slow = [event(f"slow{n}", user="slow") for n in range(20)]
    others = [event(f"m{n}", user=f"u{n}") for n in range(20)]
    world.append([each for pair in zip(slow, others, strict=True) for each in pair])
    async with world.working():
        await world.until_settled(20)
        assert set(refused) == {"slow0", *(f"m{n}" for n in range(20))}
        release.set()
        await world.until_settled(40)
    assert [each for each in partner.message_ids() if each.startswith("slow")][-20:] == [
        f"slow{n}" for n in range(20)
    ]


async def test_order_of_every_user_is_kept_when_answers_fail_at_random(world: World, partner: Partner) -> None:
    seen = Counter[str]()
    arrived: dict[str, list[str]] = defaultdict(list)

    def answer(arrival: Arrival) -> int:
        seen[arrival.message_id] += 1
        if (
            zlib.crc32(f"{arrival.message_id} {seen[arrival.message_id]}".encode()) % 4 == 0
            and seen[arrival.message_id] < 4
        ):
            return 500
        arrived[json.loads(arrival.body)["userId"]].append(arrival.message_id)
        return 200

    partner.answer = answer
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"u{n % 7}-{n:03}", user=f"u{n % 7}") for n in range(300)])
    async with world.working():
        await world.until_settled(300)
    assert sum(map(len, arrived.values())) == 300
    assert all(ids == sorted(ids) for ids in arrived.values())


async def test_one_busy_user_does_not_hold_up_the_others(world: World, partner: Partner) -> None:
    release = asyncio.Event()

    async def answer(arrival: Arrival) -> int:
        if arrival.message_id.startswith("busy"):
            await release.wait()
        return 200

    partner.answer = answer
    world.settings = quick(delivery_concurrency=8)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"busy{n:03}", user="busy") for n in range(200)])
    world.append([event(f"m{n}", user=f"u{n}") for n in range(20)])
    async with world.working():
        await world.until_settled(20)
        assert world.outcomes() == {DELIVERED_FIRST: 20}
        release.set()
        await world.until_settled(220)
    busy = [each for each in partner.message_ids() if each.startswith("busy")]
    assert busy == [f"busy{n:03}" for n in range(200)]


async def test_reads_stay_small_whatever_the_backlog(world: World, partner: Partner) -> None:
    world.settings = quick(delivery_concurrency=4)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(500)])
    async with world.working():
        await world.until_settled(500)
    assert world.queue.largest_page <= 8


async def test_requests_in_flight_are_bounded_for_each_destination(world: World, partner: Partner) -> None:
    release = asyncio.Event()
    in_flight = Counter[str]()

    async def answer(arrival: Arrival) -> int:
        in_flight[arrival.path] += 1
        await release.wait()
        return 200

    partner.answer = answer
    world.settings = quick(delivery_concurrency=3)
    for name in ("d1", "d2"):
        world.configuration.put(name, webhook(f"{partner.url}/{name}"))
        world.append([event(f"{name}-{n}", user=f"u{n}", to=name) for n in range(10)])
    async with world.working():
        await partner.until(6)
        assert in_flight == {"/d1": 3, "/d2": 3}
        release.set()
        await world.until_settled(20)


async def test_a_dead_destination_does_not_hold_up_a_healthy_one(world: World, partner: Partner) -> None:
    world.configuration.put("dead", webhook(closed_port_url()))
    world.configuration.put("d1", webhook(partner.url))
    for n in range(200):
        world.append([event(f"x{n}", user=f"u{n}", to="dead"), event(f"m{n}", user=f"u{n}")])
    async with world.working():
        await world.until_settled(200)
    assert world.outcomes() == {DELIVERED_FIRST: 200}
    assert {each.reason for each in world.queue.retries} == {"EREFUSED"}
    assert world.queue.destinations() == ["dead"]


async def test_a_hanging_destination_does_not_hold_up_a_healthy_one(world: World, partner: Partner) -> None:
    release = asyncio.Event()

    async def answer(arrival: Arrival) -> int:
        if arrival.path == "/hangs":
            await release.wait()
        return 200

    partner.answer = answer
    world.configuration.put("hangs", webhook(f"{partner.url}/hangs"))
    world.configuration.put("d1", webhook(f"{partner.url}/well"))
    for n in range(150):
        world.append([event(f"x{n}", user=f"u{n}", to="hangs"), event(f"m{n}", user=f"u{n}")])
    async with world.working():
        await world.until_settled(150)
        assert {each.key.destination_id for each in world.queue.settled} == {"d1"}
        release.set()
        await world.until_settled(300)
    assert world.outcomes() == {DELIVERED_FIRST: 300}


async def test_a_destination_that_is_down_is_only_probed_and_then_gets_everything(
    world: World, partner: Partner
) -> None:
    statuses = iter([503] * 40)
    arrived: dict[str, list[str]] = defaultdict(list)

    def answer(arrival: Arrival) -> int:
        status = next(statuses, 200)
        if status == 200:
            arrived[json.loads(arrival.body)["userId"]].append(arrival.message_id)
        return status

    partner.answer = answer
    world.settings = quick(delivery_concurrency=12)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n:03}", user=f"u{n % 30}") for n in range(300)])
    async with world.working():
        await world.until_settled(300)
    assert sum(world.outcomes().values()) == 300
    assert {stage for stage, _ in world.outcomes()} == {"successful_delivery"}
    assert all(ids == sorted(ids) for ids in arrived.values())
    assert sum(map(len, arrived.values())) == 300
    tried = Counter(each.id for each in world.queue.retries)
    assert 10 <= sum(tried.values()) <= 22, "those in flight when it went down; probes cost no attempt"


async def test_an_event_that_always_fails_does_not_keep_a_destination_down(world: World, partner: Partner) -> None:
    is_up = False
    partner.answer = lambda arrival: 200 if is_up and arrival.message_id != "m0" else 500
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(20)])
    async with world.working():
        await world.queue.until(lambda: len(world.queue.retries) >= 10)
        is_up = True
        await world.until_settled(19)
    assert world.outcomes().keys() <= {(DELIVERED_FIRST[0], f"successes.attempt.{n}") for n in range(1, 11)}


async def test_what_a_down_destination_never_took_fails_when_its_time_is_over(world: World, partner: Partner) -> None:
    partner.answer = lambda arrival: 502
    world.settings = quick(retry_hours=0.2 / 3600, delivery_concurrency=10)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(300)])
    async with world.working():
        await world.until_settled(300)
    tried = world.outcomes()[("failed_delivery", "502")]
    assert world.outcomes() == {("failed_delivery", "502"): tried, ("failed_delivery", "RETRY"): 300 - tried}
    assert tried >= 10


async def test_what_waited_while_mainstem_was_stopped_is_tried_however_old(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("old", received_at_ms=1_000_000)])
    async with world.working():
        await world.until_settled(1)
    assert world.outcomes() == {DELIVERED_FIRST: 1}


async def test_retry_after_is_kept_within_the_time_for_retries(world: World, partner: Partner) -> None:
    asked = {"m1": "100", "m2": "999999", "m3": "soon"}
    partner.answer = lambda arrival: web.Response(status=429, headers={"Retry-After": asked[arrival.message_id]})
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1", user="u1"), event("m2", user="u2"), event("m3", user="u3")])
    began = time.time() * 1000
    async with world.working():
        await world.queue.until(lambda: len({each.id for each in world.queue.retries}) == 3)
    first = {each.id: each for each in reversed(world.queue.retries)}
    waits = [first[each].due_at_ms - first[each].first_attempt_at_ms for each in sorted(first)]
    assert waits == [100_000, 3_600_000, 10]
    assert first[min(first)].due_at_ms >= began + 100_000


@pytest.mark.parametrize("users", [1, 20])
async def test_a_clock_set_back_by_a_year_holds_nothing_up(world: World, partner: Partner, users: int) -> None:
    year_ms = 365 * 86_400_000
    ahead_ms = year_ms
    partner.answer = lambda arrival: 503 if ahead_ms else 200
    world.settings = quick(retry_base_seconds=30, retry_cap_seconds=60)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(users)])
    async with world.working(now_ms=lambda: int(time.time() * 1000) + ahead_ms):
        await world.queue.until(lambda: len(world.queue.retries) >= min(users, 10))
        ahead_ms = 0
        await world.until_settled(users)
    assert {stage for stage, _ in world.outcomes()} == {DELIVERED_FIRST[0]}


async def test_a_retry_noted_before_the_clock_was_set_back_is_due_at_the_next_start(
    world: World, partner: Partner
) -> None:
    partner.answer = lambda arrival: 503
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1"), event("m2")])
    async with world.working(now_ms=lambda: int(time.time() * 1000) + 365 * 86_400_000):
        await world.queue.until(lambda: bool(world.queue.retries))
    partner.answer = lambda arrival: 200
    async with world.working():
        await world.until_settled(2)
    assert partner.message_ids()[-2:] == ["m1", "m2"]


async def test_a_restarted_worker_goes_on_where_the_last_one_stopped(world: World, partner: Partner) -> None:
    partner.answer = lambda arrival: 503
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1"), event("m2"), event("m3", user="u2")])
    async with world.working():
        await world.queue.until(lambda: len({each.id for each in world.queue.retries}) == 2)
    attempts = {each.id: each.attempts for each in world.queue.retries}
    partner.answer = lambda arrival: 200
    before = len(partner.arrivals)
    async with world.working():
        await world.until_settled(3)
    retries = {each.id: each.retries for each in world.queue.settled}
    assert {each: retries[each] for each in attempts} == attempts
    of_first_user = [each for each in partner.message_ids()[before:] if each != "m3"]
    assert of_first_user == ["m1", "m2"]


async def test_stopping_finishes_what_is_in_flight_and_leaves_the_rest_queued(world: World, partner: Partner) -> None:
    release = asyncio.Event()

    async def answer(arrival: Arrival) -> int:
        await release.wait()
        return 200

    partner.answer = answer
    world.settings = quick(delivery_concurrency=2)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n}") for n in range(10)])
    async with world.working():
        await partner.until(2)
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert world.outcomes() == {DELIVERED_FIRST: 2}
    assert len(partner.arrivals) == 2
    assert len(world.queue.take("d1", 0, 100, (0, 1))) == 8


class Fragile:
    """A connector that breaks on some events, as a fault of ours would."""

    def __init__(self, breaks_on: set[str]) -> None:
        self.breaks_on = breaks_on
        self.took: list[str] = []
        self.destination = Destination("fragile", "fragile", "Fragile", EVENT_TYPES, self.connect, lambda _: [])

    def connect(self, settings: Mapping[str, Any]) -> Perform:
        return self._perform

    async def _perform(self, message: Message, http: ClientSession) -> None:
        message_id = json.loads(message.body)["messageId"]
        if message_id in self.breaks_on:
            raise KeyError("the secret is hunter2")
        self.took.append(message_id)


async def test_an_event_that_breaks_the_connector_is_set_aside_and_the_rest_go_on(world: World) -> None:
    fragile = Fragile({"m1"})
    world.configuration.put("d1", {}, metadata_id="fragile")
    world.append([event("m0"), event("m1"), event("m2")])
    async with world.working(connectors=Connectors(built_in={"fragile": fragile.destination})):
        await world.until_settled(3)
    assert fragile.took == ["m0", "m2"]
    assert world.outcomes() == {DELIVERED_FIRST: 2, ("failed_delivery", "INTERNAL"): 1}
    [letter] = world.dead_letters.list(0, 10)
    assert (letter.new.source_id, letter.new.destination_id, letter.new.message_id) == ("s1", "d1", "m1")
    assert letter.new.where == "fragile"
    assert letter.new.error.startswith("KeyError at ")
    assert "hunter2" not in letter.new.error
    assert json.loads(letter.new.body)["messageId"] == "m1"


async def test_a_dead_letter_sent_back_is_delivered(world: World) -> None:
    fragile = Fragile({"m1"})
    world.configuration.put("d1", {}, metadata_id="fragile")
    world.append([event("m1")])
    async with world.working(connectors=Connectors(built_in={"fragile": fragile.destination})):
        await world.until_settled(1)
        fragile.breaks_on = set()
        [letter] = world.dead_letters.list(0, 10)
        assert world.dead_letters.redrive(letter.id)
        await world.until_settled(2)
    assert fragile.took == ["m1"]
    assert not world.dead_letters.list(0, 10)


async def test_settings_that_cannot_be_used_fail_as_invalid_settings(world: World) -> None:
    world.configuration.put("d1", {"hooks": []})
    world.configuration.put("d2", {}, metadata_id="unknown")
    world.append([event("m1"), event("m2", to="d2")])
    async with world.working():
        await world.until_settled(2)
    assert world.outcomes() == {("failed_delivery", "INVALID_SETTINGS"): 2}


async def test_changed_settings_take_effect(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(f"{partner.url}/old"))
    world.append([event("m1")])
    async with world.working():
        await partner.until(1)
        world.configuration.put("d1", webhook(f"{partner.url}/new"))
        world.append([event("m2")])
        await partner.until(2)
    assert [each.path for each in partner.arrivals] == ["/old", "/new"]


async def test_a_destination_that_is_down_is_believed_in_again_when_its_settings_change(
    world: World, partner: Partner
) -> None:
    world.settings = quick(retry_base_seconds=3600, retry_cap_seconds=3600, retry_hours=4)
    world.configuration.put("d1", webhook(closed_port_url()))
    world.append([event(f"m{n:02}", user=f"u{n}") for n in range(100)])
    async with world.working():
        await world.queue.until(lambda: len(world.queue.retries) >= 64)
        world.configuration.put("d1", webhook(partner.url))
        await world.queue.until(lambda: len(world.queue.settled) + len(world.queue.retries) == 100)
    assert world.outcomes() == {DELIVERED_FIRST: len(world.queue.settled)}, "the others wait for their hour"
    assert len(world.queue.settled) >= 25


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_what_waits_for_a_destination_that_is_switched_off_is_dropped_and_counted(
    world: World, partner: Partner, is_deleted: bool
) -> None:
    release = asyncio.Event()

    async def answer(arrival: Arrival) -> int:
        await release.wait()
        return 200

    partner.answer = answer
    world.settings = quick(delivery_concurrency=2)
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n}", user=f"u{n % 5}") for n in range(400)])
    async with world.working():
        await partner.until(2)
        if is_deleted:
            world.configuration.delete("d1")
        else:
            world.configuration.put("d1", webhook(partner.url), enabled=False)
        world.append([event("late", user="late")])
        release.set()
        await world.until_settled(401)
    delivered = world.outcomes()[DELIVERED_FIRST]
    assert world.outcomes() == {DELIVERED_FIRST: delivered, ("failed_delivery", "MESSAGE_REJECTED"): 401 - delivered}
    assert len(partner.arrivals) == delivered < 401
    assert not world.queue.destinations()


async def test_a_destination_switched_on_again_gets_what_comes_then(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url), enabled=False)
    world.append([event("m1")])
    async with world.working():
        await world.until_settled(1)
        world.configuration.put("d1", webhook(partner.url))
        world.append([event("m2")])
        await world.until_settled(2)
    assert world.outcomes() == {("failed_delivery", "MESSAGE_REJECTED"): 1, DELIVERED_FIRST: 1}


async def test_outcomes_that_cannot_be_saved_are_kept_and_nothing_is_sent_twice(
    world: World, partner: Partner
) -> None:
    answers = defaultdict(lambda: iter([503, 200]))
    partner.answer = lambda arrival: next(answers[arrival.message_id])
    world.queue.refusals = 2
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1"), event("m2")])
    async with world.working():
        await world.until_settled(2)
    assert world.queue.refused == 2
    assert partner.message_ids() == ["m1", "m1", "m2", "m2"]
    assert world.outcomes() == {("successful_delivery", "successes.attempt.2"): 2}


async def test_stopping_tries_again_to_save_what_the_store_refuses(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    world.append([event("m1")])
    world.queue.refusals = 3
    async with world.working():
        await partner.until(1)
    assert world.queue.refused == 3
    assert world.outcomes() == {DELIVERED_FIRST: 1}


async def test_workers_share_the_users_between_them(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    world.append([event(f"m{n:03}", user=f"u{n % 11}") for n in range(200)])
    async with world.working(share=(0, 2)), world.working(share=(1, 2), queue=world.second_queue):
        await partner.until(200)
    assert sorted(partner.message_ids()) == [f"m{n:03}" for n in range(200)]
    assert len(world.queue.settled) + len(world.second_queue.settled) == 200
    assert world.queue.settled
    assert world.second_queue.settled
    assert not world.queue.destinations()


async def test_what_waits_for_another_worker_is_not_looked_through_again(world: World, partner: Partner) -> None:
    world.configuration.put("d1", webhook(partner.url))
    mine, others = (
        next(f"u{n}" for n in range(99) if event("m", user=f"u{n}").lane % 2 == share) for share in (0, 1)
    )
    world.append([event(f"other{n}", user=others) for n in range(50)])
    async with world.working(share=(0, 2)):
        for number in range(3):
            world.append([event(f"m{number}", user=mine)])
            await world.until_settled(number + 1)
    assert partner.message_ids() == ["m0", "m1", "m2"]
    assert sorted(world.queue.taken_after) == world.queue.taken_after
    assert world.queue.taken_after.count(0) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_each_delivery_ends_once_and_in_order(
    world: World, partner: Partner, seed: int
) -> None:
    """Partners that fail, hang for a moment and come back, settings that change, destinations switched off and
    on, a store that refuses, workers that stop and start."""
    chance, queued = random.Random(seed), 0
    destinations = ["d1", "d2", "d3"]
    moods = dict.fromkeys(destinations, "well")
    arrived: dict[tuple[str, str], list[str]] = defaultdict(list)

    async def answer(arrival: Arrival) -> int:
        to = arrival.path.removeprefix("/")
        if moods[to] == "slow":
            await asyncio.sleep(chance.random() / 100)
        if moods[to] == "down" or (moods[to] == "flaky" and chance.random() < 0.3):
            return chance.choice([429, 500, 503])
        if moods[to] == "refuses" and chance.random() < 0.2:
            return 400
        arrived[to, json.loads(arrival.body)["userId"]].append(arrival.message_id)
        return 200

    def change_something(step: int) -> None:
        to = chance.choice(destinations)
        moods[to] = chance.choice(["well", "slow", "down", "flaky", "refuses"])
        match chance.randrange(10):
            case 0:
                world.queue.refusals = chance.randrange(3)
            case 1:
                world.configuration.put(to, webhook(f"{partner.url}/{to}"), enabled=False)
            case 2 | 3:
                world.configuration.put(to, webhook(f"{partner.url}/{to}", step=step))

    partner.answer = answer
    world.settings = quick(delivery_concurrency=chance.choice([1, 3, 16]))
    for life in range(3):
        for to in destinations:
            world.configuration.put(to, webhook(f"{partner.url}/{to}", life=life))
        async with world.working():
            for step in range(25):
                batch = [
                    event(f"m{number:06}", user=f"u{chance.randrange(9)}", to=chance.choice(destinations))
                    for number in range(queued, queued + chance.randrange(30))
                ]
                queued += len(batch)
                await asyncio.to_thread(world.append, batch)
                change_something(step)
    moods = dict.fromkeys(destinations, "well")
    for to in destinations:
        world.configuration.put(to, webhook(f"{partner.url}/{to}"))
    async with world.working():
        await world.until_settled(queued)
    assert len({each.id for each in world.queue.settled}) == len(world.queue.settled) == queued
    assert not world.queue.destinations()
    delivered = sum(each.key.stage == "successful_delivery" for each in world.queue.settled)
    assert sum(map(len, arrived.values())) == delivered
    assert all(ids == sorted(set(ids)) for ids in arrived.values())
