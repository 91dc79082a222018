"""The order of one destination's deliveries, whatever happens to each."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from delivery.delivering import event
from mainstem.delivery.lanes import MAX_IDS, Lanes
from mainstem.model.ports import Delivery, NewDelivery


def waiting(id: int, user: str = "u1", due_at_ms: int = 0) -> Delivery:
    return Delivery(id, event(f"m{id}", user=user), 0, due_at_ms, 0, 0, "")


def started(lanes: Lanes) -> list[int]:
    found = []
    while (delivery := lanes.start()) is not None:
        found.append(delivery.id)
    return found


def test_the_next_of_a_user_starts_when_the_one_before_is_settled() -> None:
    lanes = Lanes(100)
    first = waiting(1)
    for delivery in (first, waiting(2), waiting(3, user="u2")):
        lanes.add(delivery, 0)
    assert started(lanes) == [1, 3]
    lanes.finish(first.new.lane, 0)
    assert started(lanes) == [2]


def test_a_parked_delivery_holds_its_user_until_it_is_due_and_read_again() -> None:
    lanes = Lanes(100)
    first, other = waiting(1), waiting(3, user="u2")
    for delivery in (first, waiting(2), other):
        lanes.add(delivery, 0)
    started(lanes)
    lanes.park(first.new.lane, 50)
    lanes.finish(other.new.lane, 0)
    lanes.release_due(49)
    assert (started(lanes), list(lanes.unread(9)), lanes.next_due_ms) == ([], [], 50)
    lanes.release_due(50)
    assert list(lanes.unread(9)) == [1, 2]
    lanes.supply([1, 2], [waiting(1), waiting(2)], 50)
    assert started(lanes) == [1]
    lanes.finish(first.new.lane, 50)
    assert started(lanes) == [2]
    lanes.finish(first.new.lane, 50)
    assert len(lanes) == 0


def test_a_delivery_read_before_it_is_due_waits() -> None:
    lanes = Lanes(100)
    lanes.add(waiting(1, due_at_ms=70), 0)
    assert started(lanes) == []
    assert lanes.next_due_ms == 70


def test_a_delivery_that_is_gone_when_it_is_read_again_makes_way() -> None:
    lanes = Lanes(100)
    first = waiting(1)
    for delivery in (first, waiting(2), waiting(3)):
        lanes.add(delivery, 0)
    started(lanes)
    lanes.park(first.new.lane, 5)
    lanes.release_due(5)
    lanes.supply(lanes.unread(9), [waiting(3)], 5)
    assert started(lanes) == [3]
    assert len(lanes) == 1


def test_bodies_and_ids_are_bounded() -> None:
    lanes = Lanes(10)
    for number in range(1, 9):
        lanes.add(waiting(number, user=f"u{number}"), 0)
    assert lanes.room == 0, "reads begin anew when half is gone"
    started(lanes)
    assert lanes.room == 10
    busy = Lanes(10)
    number = 0
    while busy.room:
        for _ in range(busy.room):
            number += 1
            busy.add(waiting(number), 0)
    assert len(busy) == MAX_IDS


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["finish", "park", "late"])), max_size=60), st.integers()
)
def test_every_delivery_goes_out_in_its_users_order(steps: list[tuple[int, str]], seed: int) -> None:
    """Drive lanes against a queue that keeps what is not settled, with parks, early reads and few bodies."""
    chance = Random(seed)
    lanes, now_ms = Lanes(6), 0
    fates = {number: fate for number, (_, fate) in enumerate(steps, 1)}
    queue = {
        number: Delivery(number, _new(number, user), 0, 30 if fate == "late" else 0, 0, 0, "")
        for number, (user, fate) in enumerate(steps, 1)
    }
    sent: dict[int, list[int]] = defaultdict(list)
    in_flight: list[Delivery] = []
    cursor = 0
    for _ in range(20 * len(steps) + 20):
        for number in [each for each in queue if each > cursor][: lanes.room]:
            lanes.add(queue[number], now_ms)
            cursor = number
        asked = list(lanes.unread(4))
        lanes.supply(asked, [queue[each] for each in asked if each in queue], now_ms)
        while (delivery := lanes.start()) is not None:
            in_flight.append(delivery)
        assert len({each.new.lane for each in in_flight}) == len(in_flight), "one of a user at a time"
        if in_flight:
            delivery = in_flight.pop(chance.randrange(len(in_flight)))
            if fates[delivery.id] == "park":
                fates[delivery.id] = "finish"
                lanes.park(delivery.new.lane, now_ms + chance.randrange(1, 20))
            else:
                sent[delivery.new.lane].append(delivery.id)
                del queue[delivery.id]
                lanes.finish(delivery.new.lane, now_ms)
        now_ms += 5
        lanes.release_due(now_ms)
    assert not queue
    assert len(lanes) == 0
    assert all(ids == sorted(ids) for ids in sent.values())


def _new(number: int, lane: int) -> NewDelivery:
    return NewDelivery("d1", lane, "s1", f"m{number}", "track", "", "", 0, b"{}")
