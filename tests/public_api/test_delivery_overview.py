import datetime as dt
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from contract.proves import proves
from mainstem.model.outcome import Stage
from public_api.client import START, Api, Reply
from public_api.connections import new_source, new_webhook
from public_api.outcomes import ListedOutcomes

NOW = int(START.timestamp()) // 60
RECEIVED, DELIVERED, FAILED = "successfully-received", "successful-delivery", "failed-delivery"
OF_A_SOURCE = {
    RECEIVED: Stage.SUCCESSFULLY_RECEIVED,
    "failed-on-ingest": Stage.FAILED_ON_INGEST,
    "filtered-at-source": Stage.FILTERED_AT_SOURCE,
}
OF_A_DESTINATION = {
    "filtered-at-destination": Stage.FILTERED_AT_DESTINATION,
    FAILED: Stage.FAILED_DELIVERY,
    DELIVERED: Stage.SUCCESSFUL_DELIVERY,
}


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def destination_id(api: Api, source_id: str) -> str:
    return new_webhook(api, source_id)


def time(minute: int) -> str:
    """As the API prints it."""
    return dt.datetime.fromtimestamp(minute * 60, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def ask(api: Api, stage: str, source_id: str, *, extra: str = "", **parameters: Any) -> Reply:
    """Ask for the last three minutes by minute, unless told otherwise; `extra` is more of a query string."""
    window = {"startTime": time(NOW - 3), "endTime": time(NOW), "granularity": "MINUTE"}
    query = urlencode({"sourceId": source_id} | window | parameters)
    return api.get(f"/delivery-overview/{stage}?{query}{extra}")


@proves("getIngressSuccessMetricsFromDeliveryOverview", level=4)
def test_every_minute_of_the_window_is_listed_the_empty_ones_with_zero(
    api: Api, outcomes: ListedOutcomes, source_id: str
) -> None:
    for minute, count in ((NOW - 4, 100), (NOW - 3, 2), (NOW - 1, 3), (NOW, 100)):
        outcomes.add(minute, source_id, Stage.SUCCESSFULLY_RECEIVED, count=count)
    outcomes.add(NOW - 1, "another source", Stage.SUCCESSFULLY_RECEIVED)
    outcomes.add(NOW - 1, source_id, Stage.FAILED_ON_INGEST)
    assert ask(api, RECEIVED, source_id).data == {
        "total": 5,
        "dataset": [
            {
                "total": 5,
                "series": [
                    {"time": time(NOW - 3), "count": 2},
                    {"time": time(NOW - 2), "count": 0},
                    {"time": time(NOW - 1), "count": 3},
                ],
            }
        ],
        "pagination": {"current": "MA==", "totalEntries": 1},
    }


@proves(
    "getIngressFailedMetricsFromDeliveryOverview",
    "getFilteredAtSourceMetricsFromDeliveryOverview",
    level=4,
)
@pytest.mark.parametrize(("path", "stage"), OF_A_SOURCE.items())
def test_each_stage_of_a_source_counts_its_own_outcomes(
    api: Api, outcomes: ListedOutcomes, source_id: str, path: str, stage: Stage
) -> None:
    for number, each in enumerate(Stage, start=1):
        outcomes.add(NOW - 1, source_id, each, reason="because", count=10**number)
    assert ask(api, path, source_id).data["total"] == 10 ** (list(Stage).index(stage) + 1)


@proves(
    "getFilteredAtDestinationMetricsFromDeliveryOverview",
    "getEgressFailedMetricsFromDeliveryOverview",
    "getEgressSuccessMetricsFromDeliveryOverview",
    level=4,
)
@pytest.mark.parametrize(("path", "stage"), OF_A_DESTINATION.items())
def test_each_stage_of_a_destination_counts_its_own_outcomes(
    api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str, path: str, stage: Stage
) -> None:
    for number, each in enumerate(Stage, start=1):
        outcomes.add(NOW - 1, source_id, each, destination_id=destination_id, count=10**number)
        outcomes.add(NOW - 1, source_id, each, destination_id="another", count=7)
    reply = ask(api, path, source_id, destinationConfigId=destination_id)
    assert reply.data["total"] == 10 ** (list(Stage).index(stage) + 1)


def test_the_granularity_is_read_in_either_case(api: Api, outcomes: ListedOutcomes, source_id: str) -> None:
    outcomes.add(NOW - 1, source_id, Stage.SUCCESSFULLY_RECEIVED)
    upper = ask(api, RECEIVED, source_id).data
    assert ask(api, RECEIVED, source_id, granularity="minute").data == upper
    assert ask(api, RECEIVED, source_id, granularity="week").status == 422


def test_retries_are_told_where_there_can_be_any(
    api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str
) -> None:
    for minute, retries in ((NOW - 3, 4), (NOW - 1, 1)):
        for stage in OF_A_DESTINATION.values():
            outcomes.add(minute, source_id, stage, destination_id=destination_id, retries=retries)
    for path in (FAILED, DELIVERED):
        (item,) = ask(api, path, source_id, destinationConfigId=destination_id).data["dataset"]
        assert item["totalRetryCount"] == 5
        assert [point["retryCount"] for point in item["series"]] == [4, 0, 1]
    (item,) = ask(api, "filtered-at-destination", source_id, destinationConfigId=destination_id).data["dataset"]
    assert "totalRetryCount" not in item
    assert "retryCount" not in item["series"][0]


class TestGroups:
    @pytest.fixture(autouse=True)
    def counted(self, outcomes: ListedOutcomes, source_id: str) -> None:
        stage = Stage.SUCCESSFULLY_RECEIVED
        outcomes.add(NOW - 2, source_id, stage, name="Paid", version="1.0", count=2)
        outcomes.add(NOW - 1, source_id, stage, name="Paid", version="2.0", count=2)
        outcomes.add(NOW - 1, source_id, stage, name="Cart, opened", version="1.0", count=5)
        outcomes.add(NOW - 1, source_id, stage, type="identify")

    def test_a_dimension_is_there_when_grouped_by_and_no_other(self, api: Api, source_id: str) -> None:
        data = ask(api, RECEIVED, source_id, groupBy="eventName").data
        assert data["total"] == 10
        assert [(item["eventName"], item["total"]) for item in data["dataset"]] == [
            ("Cart, opened", 5),
            ("Paid", 4),
            ("", 1),
        ]
        assert all(item.keys() == {"eventName", "total", "series"} for item in data["dataset"])
        assert [point["count"] for point in data["dataset"][1]["series"]] == [0, 2, 2]

    @pytest.mark.parametrize(
        "encoded",
        [
            "groupBy.0=eventType&groupBy.1=appVersion",
            "groupBy=eventType&groupBy=appVersion",
            "groupBy[0]=eventType&groupBy[1]=appVersion",
            "groupBy%5B0%5D=eventType&groupBy%5B1%5D=appVersion",
            "groupBy=eventType,appVersion",
            "groupBy.0=appVersion&groupBy.1=eventType&groupBy.2=eventType",
        ],
    )
    def test_every_encoding_of_two_dimensions_is_understood(self, api: Api, source_id: str, encoded: str) -> None:
        dataset = ask(api, RECEIVED, source_id, extra=f"&{encoded}").data["dataset"]
        assert [(item["eventType"], item["appVersion"], item["total"]) for item in dataset] == [
            ("track", "1.0", 7),
            ("track", "2.0", 2),
            ("identify", "", 1),
        ]

    @pytest.mark.parametrize(
        "encoded",
        [
            "filter[eventName].0=" + quote("Cart, opened"),
            "filter[eventName][0]=" + quote("Cart, opened"),
            "filter%5BeventName%5D%5B0%5D=" + quote("Cart, opened"),
            "filter.eventName.0=" + quote("Cart, opened"),
            "filter.eventName=" + quote("Cart, opened"),
            "filter=" + quote(json.dumps({"eventName": ["Cart, opened"]})),
        ],
    )
    def test_every_encoding_of_a_filter_is_understood(self, api: Api, source_id: str, encoded: str) -> None:
        assert ask(api, RECEIVED, source_id, extra=f"&{encoded}").data["total"] == 5

    def test_filters_of_several_dimensions_must_all_hold(self, api: Api, source_id: str) -> None:
        chosen = {"eventName": ["Paid", "Cart, opened"], "appVersion": ["1.0"], "eventType": []}
        data = ask(api, RECEIVED, source_id, groupBy="eventName", filter=json.dumps(chosen)).data
        assert [(item["eventName"], item["total"]) for item in data["dataset"]] == [("Cart, opened", 5), ("Paid", 2)]

    def test_groups_come_in_pages_and_the_total_is_over_all(self, api: Api, source_id: str) -> None:
        first = ask(api, RECEIVED, source_id, groupBy="eventName", extra="&pagination.count=2").data
        cursor = first["pagination"]["next"]
        extra = f"&pagination.count=2&pagination.cursor={cursor}"
        second = ask(api, RECEIVED, source_id, groupBy="eventName", extra=extra).data
        assert [len(each["dataset"]) for each in (first, second)] == [2, 1]
        assert (first["total"], second["total"]) == (10, 10)
        assert "next" not in second["pagination"]

    def test_what_finds_nothing_has_no_groups_but_one_when_ungrouped(self, api: Api, source_id: str) -> None:
        nothing = "&filter.eventName.0=None"
        assert ask(api, RECEIVED, source_id, groupBy="eventName", extra=nothing).data["dataset"] == []
        (item,) = ask(api, RECEIVED, source_id, extra=nothing).data["dataset"]
        assert (item["total"], len(item["series"])) == (0, 3)


class TestReasons:
    def test_reasons_are_grouped_and_filtered_by(self, api: Api, outcomes: ListedOutcomes, source_id: str) -> None:
        for reason, count in (("no_user_anon_id", 2), ("event_not_string", 3)):
            outcomes.add(NOW - 1, source_id, Stage.FAILED_ON_INGEST, reason=reason, count=count)
        grouped = ask(api, "failed-on-ingest", source_id, groupBy="discardReason").data["dataset"]
        assert [item["discardReason"] for item in grouped] == ["event_not_string", "no_user_anon_id"]
        chosen = "&filter.discardReason.0=no_user_anon_id"
        assert ask(api, "failed-on-ingest", source_id, extra=chosen).data["total"] == 2

    def test_deliveries_are_told_apart_by_attempt(
        self, api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str
    ) -> None:
        for attempt, count in ((1, 5), (3, 2)):
            reason = f"successes.attempt.{attempt}"
            stage = Stage.SUCCESSFUL_DELIVERY
            outcomes.add(NOW - 1, source_id, stage, destination_id=destination_id, reason=reason, count=count)
        chosen = "&filter.discardReason.0=successes.attempt.3"
        reply = ask(api, DELIVERED, source_id, destinationConfigId=destination_id, extra=chosen)
        assert reply.data["total"] == 2

    def test_received_events_have_no_reason(self, api: Api, source_id: str) -> None:
        reply = ask(api, RECEIVED, source_id, extra="&groupBy.0=discardReason")
        assert (reply.status, reply.fields) == (422, ["groupBy[0]"])
        reply = ask(api, RECEIVED, source_id, extra="&filter.discardReason.0=x")
        assert (reply.status, reply.fields) == (422, ["filter.discardReason"])
        for name in ("nothing", "event%20Name"):
            reply = ask(api, RECEIVED, source_id, extra=f"&filter.{name}.0=x")
            assert (reply.status, reply.fields) == (422, ["filter"])


class TestMappings:
    @pytest.fixture(autouse=True)
    def deliveries(self, outcomes: ListedOutcomes, source_id: str, destination_id: str) -> None:
        for mapping, count in (("s1", 2), ("s2", 5)):
            outcomes.add(
                NOW - 1, source_id, Stage.SUCCESSFUL_DELIVERY, destination_id=destination_id, count=count,
                subscription_id=mapping,
            )  # fmt: skip

    def test_deliveries_are_filtered_by_mapping(self, api: Api, source_id: str, destination_id: str) -> None:
        for mapping, count in (("s1", 2), ("s2", 5), ("s3", 0)):
            chosen = f"&filter.subscriptionId.0={mapping}"
            reply = ask(api, DELIVERED, source_id, destinationConfigId=destination_id, extra=chosen)
            assert reply.data["total"] == count

    def test_deliveries_are_grouped_by_mapping(self, api: Api, source_id: str, destination_id: str) -> None:
        reply = ask(api, DELIVERED, source_id, destinationConfigId=destination_id, groupBy="subscriptionId")
        assert [item["total"] for item in reply.data["dataset"]] == [5, 2]

    def test_a_source_has_no_mappings(self, api: Api, source_id: str) -> None:
        assert ask(api, RECEIVED, source_id, groupBy="subscriptionId").fields == ["groupBy[0]"]


class TestDimensionsWithoutValues:
    @pytest.mark.parametrize("name", ["activationId", "audienceId", "spaceId"])
    def test_grouping_changes_nothing_and_filtering_finds_nothing(
        self, api: Api, outcomes: ListedOutcomes, source_id: str, destination_id: str, name: str
    ) -> None:
        outcomes.add(NOW - 1, source_id, Stage.SUCCESSFUL_DELIVERY, destination_id=destination_id, count=4)
        plain = ask(api, DELIVERED, source_id, destinationConfigId=destination_id).data
        grouped = ask(api, DELIVERED, source_id, destinationConfigId=destination_id, groupBy=name).data
        filtered = ask(
            api, DELIVERED, source_id, destinationConfigId=destination_id, extra=f"&filter.{name}.0=x"
        ).data
        assert plain == grouped
        assert (plain["total"], filtered["total"]) == (4, 0)

    @pytest.mark.parametrize("path", OF_A_SOURCE)
    def test_a_source_does_not_have_them(self, api: Api, source_id: str, path: str) -> None:
        assert ask(api, path, source_id, groupBy="spaceId").fields == ["groupBy[0]"]
        assert ask(api, path, source_id, extra="&filter.spaceId.0=x").fields == ["filter.spaceId"]


class TestWindow:
    @pytest.mark.parametrize(
        ("granularity", "hours_ago", "hours", "field"),
        [
            ("MINUTE", 5, 5, "endTime"),
            ("MINUTE", 49, 1, "startTime"),
            ("HOUR", 15 * 24, 14 * 24 + 1, "endTime"),
            ("HOUR", 31 * 24, 1, "startTime"),
            ("DAY", 30 * 24, 31 * 24, "endTime"),
            ("DAY", 31 * 24, 24, "startTime"),
            ("DAY", 24, 0, "endTime"),
            ("DAY", 24, -1, "endTime"),
        ],
    )
    def test_what_breaks_a_limit_is_refused_naming_the_parameter(
        self, api: Api, source_id: str, granularity: str, hours_ago: int, hours: int, field: str
    ) -> None:
        start = NOW - hours_ago * 60
        reply = ask(
            api,
            RECEIVED,
            source_id,
            granularity=granularity,
            startTime=time(start),
            endTime=time(start + hours * 60),
        )
        assert (reply.status, reply.fields) == (422, [field])

    @pytest.mark.parametrize(
        ("granularity", "hours_ago", "hours", "buckets"),
        [("MINUTE", 48, 4, 240), ("HOUR", 30 * 24, 14 * 24, 336), ("DAY", 30 * 24, 30 * 24, 31)],
    )
    def test_the_limits_themselves_are_allowed(
        self, api: Api, source_id: str, granularity: str, hours_ago: int, hours: int, buckets: int
    ) -> None:
        start = NOW - hours_ago * 60
        window = {"startTime": time(start), "endTime": time(start + hours * 60)}
        (item,) = ask(api, RECEIVED, source_id, granularity=granularity, **window).data["dataset"]
        assert len(item["series"]) == buckets

    def test_a_request_that_took_half_a_minute_on_its_way_is_not_refused(self, api: Api, source_id: str) -> None:
        window = {"startTime": time(NOW - 48 * 60), "endTime": time(NOW - 47 * 60)}
        api.pass_time(seconds=30)
        assert ask(api, RECEIVED, source_id, **window).status == 200

    def test_hours_and_days_begin_at_whole_ones(self, api: Api, outcomes: ListedOutcomes, source_id: str) -> None:
        for minute in (NOW - 12 * 60 - 1, NOW - 12 * 60, NOW - 61, NOW - 1):
            outcomes.add(minute, source_id, Stage.SUCCESSFULLY_RECEIVED)
        window = {"startTime": "2026-03-09T23:00:00+00:00", "endTime": "2026-03-10T12:00:00Z"}
        (days,) = ask(api, RECEIVED, source_id, granularity="DAY", **window).data["dataset"]
        assert days["series"] == [
            {"time": "2026-03-09T00:00:00.000Z", "count": 1},
            {"time": "2026-03-10T00:00:00.000Z", "count": 3},
        ]
        (hours,) = ask(api, RECEIVED, source_id, granularity="HOUR", **window).data["dataset"]
        assert [point["count"] for point in hours["series"]] == [1, 1, *[0] * 9, 1, 1]
        assert hours["series"][-1]["time"] == "2026-03-10T11:00:00.000Z"

    def test_the_minute_that_is_going_on_is_counted(self, api: Api, outcomes: ListedOutcomes, source_id: str) -> None:
        outcomes.add(NOW, source_id, Stage.SUCCESSFULLY_RECEIVED)
        reply = ask(api, RECEIVED, source_id, endTime="2026-03-10T12:00:05.123Z")
        assert reply.data["dataset"][0]["series"][-1] == {"time": time(NOW), "count": 1}

    def test_all_faults_of_shape_are_named_together(self, api: Api) -> None:
        reply = api.get("/delivery-overview/failed-delivery?startTime=yesterday&granularity=WEEK&groupBy=x")
        assert reply.status == 422
        assert sorted(reply.fields) == [
            "destinationConfigId",
            "endTime",
            "granularity",
            "groupBy[0]",
            "sourceId",
            "startTime",
        ]

    def test_a_time_beyond_the_calendar_is_refused(self, api: Api, source_id: str) -> None:
        window = {"startTime": "0001-01-01T00:00:00+10:00", "endTime": "9999-12-31T23:59:59-10:00"}
        assert ask(api, RECEIVED, source_id, **window).fields == ["startTime", "endTime"]


class TestScope:
    def test_members_may_read(self, api: Api, source_id: str) -> None:
        query = f"sourceId={source_id}&startTime={time(NOW - 3)}&endTime={time(NOW)}&granularity=MINUTE"
        assert api.get(f"/delivery-overview/{RECEIVED}?{query}", token=api.member).status == 200

    def test_an_unknown_source_or_destination_is_not_found(self, api: Api, source_id: str) -> None:
        assert ask(api, RECEIVED, "nowhere").messages == ["Source with id 'nowhere' not found."]
        reply = ask(api, DELIVERED, source_id, destinationConfigId="nowhere")
        assert (reply.status, reply.messages) == (404, ["Destination with id 'nowhere' not found."])

    def test_the_destination_must_be_fed_by_the_source(self, api: Api, destination_id: str) -> None:
        other = new_source(api, "other")
        reply = ask(api, DELIVERED, other, destinationConfigId=destination_id)
        assert (reply.status, reply.fields) == (422, ["sourceId"])

    @pytest.mark.parametrize("path", [*OF_A_SOURCE, *OF_A_DESTINATION])
    def test_only_the_beta_version_exists(self, api: Api, path: str) -> None:
        accept = {"accept": "application/vnd.segment.v1+json"}
        assert api.get(f"/delivery-overview/{path}", headers=accept).status == 406

    def test_the_beta_media_type_is_answered_in_kind(self, api: Api, source_id: str) -> None:
        query = f"sourceId={source_id}&startTime={time(NOW - 3)}&endTime={time(NOW)}&granularity=MINUTE"
        beta = "application/vnd.segment.v1beta+json"
        reply = api.get(f"/delivery-overview/{RECEIVED}?{query}", headers={"accept": beta})
        assert reply.headers["Content-Type"] == beta
