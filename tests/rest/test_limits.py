"""Rate limits: who is refused, and what the headers say."""

from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest

from mainstem.errors import TooManyRequests
from mainstem.rest import limits
from mainstem.rest.limits import Limiter, LocalWindows, per_minute

NOW = 1_700_000_000.0


def used(limiter: Limiter, times: int, token: str = "t", operation: str = "createLabel") -> None:
    for _ in range(times):
        limiter.consume(token, operation, per_minute(5), NOW)


def test_the_request_beyond_the_limit_is_refused_with_an_honest_wait() -> None:
    limiter = Limiter(1000, {}, enforced=True)
    used(limiter, 5)
    with pytest.raises(TooManyRequests) as refused:
        limiter.consume("t", "createLabel", per_minute(5), NOW + 20)
    assert refused.value.headers["Retry-After"] == "40"
    assert refused.value.faults[0].data == {"remainingPoints": 0, "msBeforeNext": 40_000, "consumedPoints": 6}
    assert limiter.consume("t", "createLabel", per_minute(5), NOW + 60).consumed == 1


def test_tokens_and_operations_are_counted_apart() -> None:
    limiter = Limiter(1000, {}, enforced=True)
    used(limiter, 5)
    used(limiter, 5, token="other")
    used(limiter, 5, operation="deleteLabel")


def test_an_operator_can_raise_a_limit_for_a_token_an_operation_or_both() -> None:
    limiter = Limiter(1000, {"t:createLabel": 7, "t": 6, "deleteLabel": 8}, enforced=True)
    limits = [
        limiter.limit(token, operation, per_minute(5)).requests
        for token, operation in [
            ("t", "createLabel"), ("t", "deleteLabel"), ("u", "deleteLabel"), ("u", "createLabel"),
        ]
    ]  # fmt: skip
    assert limits == [7, 6, 8, 5]
    assert limiter.limit("u", "listLabels", None).requests == 1000


def test_switched_off_limits_are_still_counted_and_shown() -> None:
    limiter = Limiter(1000, {}, enforced=False)
    used(limiter, 6)
    headers = limiter.consume("t", "createLabel", per_minute(5), NOW).headers
    assert (headers["X-RateLimit-Consumed"], headers["X-RateLimit-Remaining"]) == ("7", "0")
    assert parsedate_to_datetime(headers["X-RateLimit-Reset"]).timestamp() == NOW + 60


def test_who_waits_until_reset_is_let_in() -> None:
    limiter = Limiter(1000, {}, enforced=True)
    reset = limiter.consume("t", "createLabel", per_minute(1), NOW + 0.4).headers["X-RateLimit-Reset"]
    at = parsedate_to_datetime(reset).timestamp()
    with pytest.raises(TooManyRequests) as refused:
        limiter.consume("t", "createLabel", per_minute(1), NOW + 0.5)
    assert NOW + 0.5 + int(refused.value.headers["Retry-After"]) <= at
    assert limiter.consume("t", "createLabel", per_minute(1), at).consumed == 1


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    limiter = Limiter(1000, {}, enforced=True)
    used(limiter, 5)
    assert limiter.consume("t", "createLabel", per_minute(5), NOW - 3600).consumed == 1


def test_windows_that_are_over_are_forgotten_and_running_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MANY_WINDOWS", 10)
    windows = LocalWindows()
    limiter = Limiter(1000, {}, enforced=True, windows=windows)
    for token in range(50):
        limiter.consume(f"old {token}", "listLabels", None, NOW)
    for token in range(60):
        limiter.consume(f"new {token}", "listLabels", None, NOW + 86_400)
    assert len(windows._windows) < 100
    assert limiter.consume("new 0", "listLabels", None, NOW + 86_401).consumed == 2


def test_threads_lose_no_request() -> None:
    limiter = Limiter(10_000, {}, enforced=True)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: limiter.consume("t", "listLabels", None, NOW), range(2000)))
    assert limiter.consume("t", "listLabels", None, NOW).consumed == 2001
