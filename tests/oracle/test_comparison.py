"""The comparison finds what it is there to find: a verdict that cannot be bad would say nothing."""

from __future__ import annotations

from oracle.comparison import compare
from oracle.numbered import Id, event_of, id_of, is_as_sent
from oracle.sink import HEALTHY, NO_ANSWER, OK, REFUSED, Arrival

POISON_NUMBER = 12


def sent(count: int = 4, *users: str) -> list[Id]:
    return [Id(user, number) for number in range(count) for user in users or ("a",)]


def arrival(number: int, status: int = OK, *, user: str = "a", at: float = 0.0, as_sent: bool = True) -> Arrival:
    return Arrival(HEALTHY, Id(user, number), status, at, as_sent)


def test_all_in_order_is_flawless() -> None:
    arrivals = [arrival(number, user=user) for number in range(4) for user in ("b", "a")]
    findings = compare(sent(4, "a", "b"), arrivals)
    assert findings.is_flawless
    assert not findings.duplicates


def test_an_event_that_never_came_is_missing() -> None:
    findings = compare(sent(4), [arrival(0), arrival(1), arrival(2)])
    assert findings.missing == [Id("a", 3)]
    assert not findings.is_flawless
    assert "a.3" in str(findings)


def test_an_event_that_was_tried_and_never_taken_is_missing() -> None:
    assert compare(sent(1), [arrival(0, 500), arrival(0, NO_ANSWER)]).missing == [Id("a", 0)]


def test_an_event_that_was_refused_is_missing_unless_it_is_poison() -> None:
    refused = [arrival(number, REFUSED) for number in (0, POISON_NUMBER)]
    assert compare([Id("a", 0), Id("a", POISON_NUMBER)], refused).missing == [Id("a", 0)]


def test_an_event_that_nobody_was_promised_is_unexpected() -> None:
    findings = compare(sent(1), [arrival(0), arrival(1)])
    assert findings.unexpected == [Id("a", 1)]
    assert not findings.is_flawless


def test_an_event_that_had_to_be_refused_and_was_taken_is_unexpected() -> None:
    assert compare([Id("a", POISON_NUMBER)], [arrival(POISON_NUMBER)]).unexpected == [Id("a", POISON_NUMBER)]
    assert compare(sent(1), [arrival(0)], lambda each: each.number == 0).unexpected == [Id("a", 0)]


def test_a_later_event_before_an_earlier_one_is_out_of_order() -> None:
    findings = compare(sent(3), [arrival(0), arrival(2), arrival(1)])
    assert findings.out_of_order == [Id("a", 2)]
    assert not findings.missing
    assert not findings.is_flawless


def test_a_later_event_that_overtakes_a_retry_is_out_of_order() -> None:
    assert compare(sent(2), [arrival(0, 503), arrival(1), arrival(0)]).out_of_order == [Id("a", 1)]


def test_users_have_no_order_among_each_other() -> None:
    arrivals = [arrival(0), arrival(1), arrival(0, user="b"), arrival(1, user="b")]
    assert compare(sent(2, "b", "a"), arrivals).is_flawless


def test_an_event_that_was_taken_twice_is_a_duplicate_and_one_that_was_tried_again_is_not() -> None:
    arrivals = [arrival(0, 503), arrival(0, at=1.0), arrival(1), arrival(0, at=3.0)]
    (again,) = compare(sent(2), arrivals).duplicates
    assert (again.id, again.first_at, again.again_at) == (Id("a", 0), 1.0, 3.0)


def test_an_event_that_was_changed_on_the_way_is_altered() -> None:
    findings = compare(sent(1), [arrival(0, as_sent=False)])
    assert findings.altered == [Id("a", 0)]
    assert not findings.is_flawless


def test_a_numbered_event_tells_which_it_is_and_whether_it_was_changed() -> None:
    event = event_of(Id("a", 7))
    assert id_of(event) == Id("a", 7)
    assert is_as_sent({**event, "receivedAt": "2026-01-01T00:00:00.000Z"}, Id("a", 7))
    assert not is_as_sent({**event, "properties": {**event["properties"], "note": ""}}, Id("a", 7))
