"""When a failed delivery is tried again, and when a destination counts as down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.delivering import event
from mainstem.delivery.retry import DOWN_AFTER, Backoff, Health, final_reason, is_over, next_attempt
from mainstem.destinations.base import Retryable
from mainstem.model.ports import Delivery
from mainstem.settings import Settings

HOUR_MS = 3_600_000
NOW_MS = 1_780_000_000_000
DEFAULT = Backoff.of(Settings(), lambda: 1.0)


def tried(attempts: int, first_attempt_at_ms: int = NOW_MS) -> Delivery:
    return Delivery(7, event("m1"), attempts, 0, first_attempt_at_ms if attempts else 0, 0, "")


def test_waits_double_from_30_seconds_to_half_an_hour() -> None:
    waits = [DEFAULT.wait_ms(attempts) / 1000 for attempts in range(1, 10)]
    assert waits == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert DEFAULT.wait_ms(10_000) == 1_800_000


@given(st.floats(0, 1), st.integers(1, 500))
def test_a_wait_is_any_part_of_its_length(jitter: float, attempts: int) -> None:
    backoff = Backoff.of(Settings(), lambda: jitter)
    assert backoff.wait_ms(attempts) == DEFAULT.wait_ms(attempts) * jitter


def test_a_first_failure_begins_the_four_hours() -> None:
    retry = next_attempt(tried(0), Retryable("503", progress=5), DEFAULT, NOW_MS)
    assert retry is not None
    assert (retry.id, retry.attempts, retry.reason, retry.progress) == (7, 1, "503", 5)
    assert (retry.first_attempt_at_ms, retry.due_at_ms) == (NOW_MS, NOW_MS + 30_000)


def test_the_last_attempt_is_made_when_the_time_is_over_and_then_no_more() -> None:
    last = next_attempt(tried(9), Retryable("500"), DEFAULT, NOW_MS + 4 * HOUR_MS - 1_000)
    assert last is not None
    assert last.due_at_ms == NOW_MS + 4 * HOUR_MS
    assert next_attempt(tried(10), Retryable("500"), DEFAULT, NOW_MS + 4 * HOUR_MS) is None


@pytest.mark.parametrize(("asked", "wait_ms"), [(None, 30_000), (5, 30_000), (90, 90_000), (10**9, 4 * HOUR_MS)])
def test_a_partner_may_ask_for_a_longer_wait_within_the_four_hours(asked: float | None, wait_ms: int) -> None:
    retry = next_attempt(tried(0), Retryable("429", retry_after_seconds=asked), DEFAULT, NOW_MS)
    assert retry is not None
    assert retry.due_at_ms - NOW_MS == wait_ms


@given(st.floats(0, 1), st.integers(0, 50), st.integers(0, 4 * HOUR_MS - 1))
def test_a_retry_is_always_later_and_never_beyond_the_four_hours(jitter: float, attempts: int, since_ms: int) -> None:
    backoff = Backoff.of(Settings(), lambda: jitter)
    now_ms = NOW_MS + (since_ms if attempts else 0)
    retry = next_attempt(tried(attempts), Retryable("503"), backoff, now_ms)
    assert retry is not None
    assert now_ms < retry.due_at_ms <= NOW_MS + 4 * HOUR_MS


@pytest.mark.parametrize(
    ("reason", "counted_as"),
    [("429", "429"), ("502", "502"), ("503", "503"), ("ETIMEDOUT", "ETIMEDOUT"), ("EREFUSED", "EREFUSED"),
     ("500", "RETRY"), ("504", "RETRY"), ("408", "RETRY"), ("423", "RETRY"), ("", "RETRY")],
)  # fmt: skip
def test_what_ran_out_of_time_counts_under_a_published_reason(reason: str, counted_as: str) -> None:
    assert final_reason(reason) == counted_as


def test_what_waits_for_a_down_destination_has_four_hours_of_it() -> None:
    down_since_ms = NOW_MS - HOUR_MS
    never_tried = Delivery(1, event("m1", received_at_ms=NOW_MS - 9 * HOUR_MS), 0, 0, 0, 0, "")
    assert not is_over(never_tried, down_since_ms, DEFAULT, NOW_MS), "what came before it was down waits as long"
    assert is_over(never_tried, down_since_ms, DEFAULT, NOW_MS + 3 * HOUR_MS)
    assert is_over(tried(2, NOW_MS - 4 * HOUR_MS), down_since_ms, DEFAULT, NOW_MS)


def test_ten_different_failures_in_a_row_make_a_destination_down() -> None:
    health = Health()
    for number in range(1, DOWN_AFTER):
        assert not health.failed(number, Retryable("503"), DEFAULT, NOW_MS)
        assert not health.failed(number, Retryable("503"), DEFAULT, NOW_MS), "the same one again proves nothing new"
    assert not health.is_down
    assert health.failed(DOWN_AFTER, Retryable("503"), DEFAULT, NOW_MS)
    assert health.is_down
    assert not health.failed(99, Retryable("503"), DEFAULT, NOW_MS), "it is down already"


def test_one_answer_in_between_keeps_a_destination_up() -> None:
    health = Health()
    for number in range(100):
        assert not health.failed(number, Retryable("503"), DEFAULT, NOW_MS)
        if number % 9 == 8:
            assert not health.settled()
    assert not health.is_down


def down(jitter: float, failure: Retryable) -> Health:
    backoff, health = Backoff.of(Settings(), lambda: jitter), Health()
    for number in range(DOWN_AFTER):
        health.failed(number, failure, backoff, NOW_MS)
    return health


@pytest.mark.parametrize(("jitter", "waits"), [(1.0, [30, 60, 60, 60]), (0.0, [15, 30, 30, 30])])
def test_probes_come_at_most_a_minute_apart(jitter: float, waits: list[float]) -> None:
    health, backoff = down(jitter, Retryable("503")), Backoff.of(Settings(), lambda: jitter)
    seen, now_ms = [], float(NOW_MS)
    for _ in waits:
        seen.append((health.probe_at_ms - now_ms) / 1000)
        now_ms = health.probe_at_ms
        health.probe_failed(Retryable("503"), backoff, int(now_ms))
    assert seen == waits


def test_a_probe_waits_as_long_as_the_partner_asked() -> None:
    health = down(1.0, Retryable("429", retry_after_seconds=600))
    assert health.probe_at_ms == NOW_MS + 600_000


def test_an_answer_ends_the_time_of_being_down() -> None:
    health = down(1.0, Retryable("503"))
    assert health.settled()
    assert not health.is_down
    assert not health.settled()
