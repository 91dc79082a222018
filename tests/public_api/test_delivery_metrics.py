from typing import Any
from urllib.parse import urlencode

import pytest

from contract.proves import proves
from mainstem.model.outcome import Stage
from public_api.client import START, Api, Reply
from public_api.connections import WEBHOOKS, new_source, new_webhook
from public_api.outcomes import ListedOutcomes

NOW = int(START.timestamp()) // 60
DAY = 24 * 60


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def destination_id(api: Api, source_id: str) -> str:
    return new_webhook(api, source_id)


def ask(api: Api, destination_id: str, source_id: str, **parameters: str) -> Reply:
    query = urlencode({"sourceId": source_id} | parameters)
    return api.get(f"/destinations/{destination_id}/delivery-metrics?{query}")


def totals(reply: Reply) -> dict[str, Any]:
    """The sums by their names."""
    return {each["metricName"]: each["total"] for each in reply.data["deliveryMetricsSummary"]["metrics"]}


@proves("listDeliveryMetricsSummaryFromDestination", level=4)
def test_the_sums_come_with_their_parts_the_largest_first(
    api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str
) -> None:
    for stage, reason, count in (
        (Stage.SUCCESSFUL_DELIVERY, "successes.attempt.1", 7),
        (Stage.SUCCESSFUL_DELIVERY, "successes.attempt.2", 2),
        (Stage.FAILED_DELIVERY, "400", 3),
        (Stage.FAILED_DELIVERY, "MESSAGE_REJECTED", 4),
        (Stage.FILTERED_AT_DESTINATION, "INVALID_SETTINGS", 1),
        (Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_RULES", 50),
        (Stage.SUCCESSFULLY_RECEIVED, "", 90),
    ):
        outcomes.add(NOW - 1, source_id, stage, destination_id=destination_id, reason=reason, count=count)
    outcomes.retries[destination_id] = {"503": 5, "ETIMEDOUT": 6, "": 8}
    assert ask(api, destination_id, source_id).data == {
        "deliveryMetricsSummary": {
            "sourceId": source_id,
            "destinationMetadataId": WEBHOOKS,
            "metrics": [
                {
                    "metricName": "successes",
                    "total": 9,
                    "breakdown": [
                        {"metricName": "successes.attempt.1", "value": 7},
                        {"metricName": "successes.attempt.2", "value": 2},
                    ],
                },
                {
                    "metricName": "errors.discarded",
                    "total": 8,
                    "breakdown": [
                        {"metricName": "errors.discarded.MESSAGE_REJECTED", "value": 4},
                        {"metricName": "errors.discarded.400", "value": 3},
                        {"metricName": "errors.discarded.INVALID_SETTINGS", "value": 1},
                    ],
                },
                {
                    "metricName": "errors.awaiting-retry",
                    "total": 11,
                    "breakdown": [
                        {"metricName": "errors.awaiting-retry.ETIMEDOUT", "value": 6},
                        {"metricName": "errors.awaiting-retry.503", "value": 5},
                    ],
                },
            ],
        }
    }


def test_before_the_first_event_every_sum_is_zero(api: Api, source_id: str, destination_id: str) -> None:
    expected = {"successes": 0, "errors.discarded": 0, "errors.awaiting-retry": 0}
    assert totals(ask(api, destination_id, source_id)) == expected


def test_two_instances_share_the_id_of_their_type_and_not_their_counts(
    api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str
) -> None:
    other = new_webhook(api, source_id)
    for each, count in ((destination_id, 1), (other, 2)):
        stage = Stage.SUCCESSFUL_DELIVERY
        outcomes.add(NOW - 1, source_id, stage, destination_id=each, reason="successes.attempt.1", count=count)
    replies = [ask(api, each, source_id) for each in (destination_id, other)]
    assert [each.data["deliveryMetricsSummary"]["destinationMetadataId"] for each in replies] == [WEBHOOKS] * 2
    assert [totals(each)["successes"] for each in replies] == [1, 2]


@pytest.mark.parametrize(
    ("parameters", "first"),
    [
        ({}, NOW - 60),
        ({"granularity": "MINUTE"}, NOW - 60),
        ({"granularity": "HOUR"}, NOW - 7 * DAY),
        ({"granularity": "DAY"}, NOW - 14 * DAY),
        ({"granularity": "MINUTE", "endTime": "2026-03-10T11:00:00Z"}, NOW - 120),
        ({"granularity": "DAY", "endTime": "2026-03-09T12:00:00Z"}, NOW - 14 * DAY),
        ({"granularity": "HOUR", "startTime": "2026-03-10T09:00:00Z"}, NOW - 180),
    ],
)
def test_a_window_that_is_not_given_has_its_default_clamped_to_the_limit(
    api: Api,
    outcomes: ListedOutcomes,
    source_id: str,
    destination_id: str,
    parameters: dict[str, str],
    first: int,
) -> None:
    for minute in (first - 60, first):
        stage = Stage.SUCCESSFUL_DELIVERY
        outcomes.add(minute, source_id, stage, destination_id=destination_id, reason="successes.attempt.1")
    assert totals(ask(api, destination_id, source_id, **parameters))["successes"] == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"startTime": "2026-03-10T07:00:00Z"}, "endTime"),
        ({"startTime": "2026-03-08T11:00:00Z", "endTime": "2026-03-08T12:00:00Z"}, "startTime"),
        (
            {"granularity": "HOUR", "startTime": "2026-03-03T11:00:00Z", "endTime": "2026-03-04T00:00:00Z"},
            "startTime",
        ),
        ({"granularity": "DAY", "startTime": "2026-02-20T00:00:00Z", "endTime": "2026-03-01T00:00:00Z"}, "startTime"),
        ({"granularity": "DAY", "startTime": "2026-03-01T00:00:00Z", "endTime": "2026-03-20T00:00:00Z"}, "endTime"),
        ({"granularity": "WEEK"}, "granularity"),
        ({"sourceId": ""}, "sourceId"),
    ],
)
def test_what_breaks_a_limit_is_refused_naming_the_parameter(
    api: Api, source_id: str, destination_id: str, parameters: dict[str, str], field: str
) -> None:
    reply = ask(api, destination_id, source_id, **parameters)
    assert (reply.status, reply.fields) == (422, [field])


def test_the_source_is_required_and_must_be_that_of_the_destination(
    api: Api, source_id: str, destination_id: str
) -> None:
    assert api.get(f"/destinations/{destination_id}/delivery-metrics").fields == ["sourceId"]
    assert ask(api, destination_id, new_source(api, "other")).fields == ["sourceId"]
    assert ask(api, "nowhere", source_id).status == 404


@pytest.mark.parametrize(("version", "status"), [("v1", 406), ("v1beta", 200), ("v1alpha", 200)])
def test_beta_and_alpha_alone_exist(api: Api, source_id: str, destination_id: str, version: str, status: int) -> None:
    accept = {"accept": f"application/vnd.segment.{version}+json"}
    reply = api.get(f"/destinations/{destination_id}/delivery-metrics?sourceId={source_id}", headers=accept)
    assert reply.status == status
