"""Rate limits: who is refused, and what the headers say."""

from email.utils import parsedate_to_datetime

import pytest

from mainstem.errors import TooManyRequests
from mainstem.rest.limits import Limiter, per_minute

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
