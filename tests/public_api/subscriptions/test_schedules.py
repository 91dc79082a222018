from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from public_api.client import Api, Reply

KEPT = [
    {"strategy": "PERIODIC", "config": {"interval": "15m"}},
    {"strategy": "PERIODIC", "config": {"interval": "1d"}},
    {"strategy": "PERIODIC", "config": {"interval": "3h25m30s"}},
    {"strategy": "PERIODIC", "config": {"interval": "10m1s"}},
    {"strategy": "PERIODIC", "config": {"interval": "167.5h"}},
    {"strategy": "SPECIFIC_DAYS", "config": {"days": [0, 6], "hours": [0, 23], "timezone": "Europe/Berlin"}},
    {"strategy": "CRON", "config": {"spec": "0 */2 * * *", "timezone": "UTC"}},
    {"strategy": "CRON", "config": {"spec": "5,35 8-17 1 JAN-MAR MON", "timezone": "America/New_York"}},
    {"strategy": "DBT_CLOUD", "config": {"jobId": "1", "accountId": "2"}},
    {"strategy": "MANUAL"},
]
REFUSED: list[tuple[Any, str]] = [
    ({}, "strategy"),
    ({"strategy": "WEEKLY"}, "strategy"),
    ({"strategy": "MANUAL", "config": {"interval": "1h"}}, "config"),
    ({"strategy": "PERIODIC"}, "config"),
    ({"strategy": "PERIODIC", "config": None}, "config"),
    ({"strategy": "PERIODIC", "config": {}}, "config.interval"),
    *(
        ({"strategy": "PERIODIC", "config": {"interval": interval}}, "config.interval")
        for interval in (
            "5m",
            "10m",
            "168h",
            "7d",
            "",
            "1",
            "-1h",
            "1h ",
            "h",
            "one hour",
            "9" * 5_000 + "h",
            None,
            60,
        )
    ),
    ({"strategy": "SPECIFIC_DAYS", "config": {"days": [], "hours": [0], "timezone": "UTC"}}, "config.days"),
    ({"strategy": "SPECIFIC_DAYS", "config": {"days": [0], "hours": [], "timezone": "UTC"}}, "config.hours"),
    ({"strategy": "SPECIFIC_DAYS", "config": {"days": [7], "hours": [0], "timezone": "UTC"}}, "config.days[0]"),
    ({"strategy": "SPECIFIC_DAYS", "config": {"days": [1], "hours": [24], "timezone": "UTC"}}, "config.hours[0]"),
    (
        {"strategy": "SPECIFIC_DAYS", "config": {"days": [1], "hours": [1], "timezone": "Mars/Base"}},
        "config.timezone",
    ),
    ({"strategy": "CRON", "config": {"spec": "0 0 * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "CRON", "config": {"spec": "60 0 * * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "CRON", "config": {"spec": "1" * 5_000 + " 0 * * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "CRON", "config": {"spec": "x 0 * * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "CRON", "config": {"spec": "*/10 * * * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "CRON", "config": {"spec": "0,55 * * * *", "timezone": "UTC"}}, "config.spec"),
    ({"strategy": "DBT_CLOUD", "config": {"jobId": "1"}}, "config.accountId"),
]


@pytest.fixture
def update(api: Api, url: str, model_id: str, create: Callable[..., Reply]) -> Callable[[Any], Reply]:
    own_id = create(modelId=model_id).data["destinationSubscription"]["id"]
    return lambda schedule: api.patch(f"{url}/{own_id}", {"input": {"reverseETLSchedule": schedule}})


@pytest.mark.parametrize("schedule", KEPT)
def test_a_schedule_comes_back_with_exactly_the_keys_of_its_strategy(
    update: Callable[[Any], Reply], schedule: dict[str, Any]
) -> None:
    assert update(schedule).data["subscription"]["reverseETLSchedule"] == schedule


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"strategy": "MANUAL", "config": None}, {"strategy": "MANUAL"}),
        ({"strategy": "MANUAL", "config": {}}, {"strategy": "MANUAL"}),
        (
            {"strategy": "PERIODIC", "config": {"interval": "1h", "timezone": "UTC"}},
            {"strategy": "PERIODIC", "config": {"interval": "1h"}},
        ),
    ],
)
def test_keys_of_other_strategies_are_left_out(update: Callable[[Any], Reply], sent: Any, kept: Any) -> None:
    assert update(sent).data["subscription"]["reverseETLSchedule"] == kept


@pytest.mark.parametrize(("schedule", "field"), REFUSED)
def test_what_does_not_fit_its_strategy_is_refused(update: Callable[[Any], Reply], schedule: Any, field: str) -> None:
    reply = update(schedule)
    assert (reply.status, reply.fields) == (422, [f"input.reverseETLSchedule.{field}"])


def test_null_takes_the_schedule_away(update: Callable[[Any], Reply]) -> None:
    update(KEPT[0])
    assert "reverseETLSchedule" not in update(None).data["subscription"]
