"""The metrics from the engine that a real instance has, held against the list that the other tests use."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.proves import proves
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.model.outcome import OutcomeKey, Stage, Tally
from mainstem.model.ports import OutcomeCount, OutcomeQuery, Processed, TrackedUser
from public_api.client import START, Api
from public_api.connections import new_source, new_webhook
from public_api.outcomes import ListedOutcomes

NOW = int(START.timestamp()) // 60
TODAY = NOW // 1440


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[SqliteFlow]:
    engine = SqliteFlow(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def api(tmp_path: Path, flow: SqliteFlow) -> Iterator[Api]:
    instance = Api(tmp_path, flow.outcomes)
    yield instance
    instance.database.close()


def save(flow: SqliteFlow, batch: Processed) -> None:
    """What the pipeline does after a batch."""
    batch.after = flow.pipeline.position()
    batch.position = batch.after + 1
    flow.pipeline.save(batch, NOW * 60_000)


def key(
    minute: int, source_id: str, stage: Stage, destination_id: str = "", reason: str = "", name: str = "Paid"
) -> OutcomeKey:
    return OutcomeKey(minute, source_id, destination_id, stage, reason, "track", name, "1.0")


@proves(
    "getIngressSuccessMetricsFromDeliveryOverview",
    "getEgressSuccessMetricsFromDeliveryOverview",
    "getEgressFailedMetricsFromDeliveryOverview",
    "getFilteredAtDestinationMetricsFromDeliveryOverview",
    "listDeliveryMetricsSummaryFromDestination",
    "getEventsVolumeFromWorkspace",
    level=4,
)
@pytest.mark.parametrize("granularity", ["MINUTE", "HOUR", "DAY"])
def test_what_was_received_is_the_sum_of_its_ends_in_every_granularity(
    api: Api, flow: SqliteFlow, granularity: str
) -> None:
    source_id = new_source(api)
    destination_id = new_webhook(api, source_id)
    ends = {
        "successful-delivery": (Stage.SUCCESSFUL_DELIVERY, "successes.attempt.2", 7),
        "failed-delivery": (Stage.FAILED_DELIVERY, "400", 2),
        "filtered-at-destination": (Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_RULES", 1),
    }
    tallies = {key(NOW - 1, source_id, Stage.SUCCESSFULLY_RECEIVED): Tally(10)}
    for stage, reason, count in ends.values():
        tallies[key(NOW - 1, source_id, stage, destination_id, reason)] = Tally(count, retries=count)
    save(flow, Processed(0, 1, tallies=tallies))
    window = {
        "granularity": granularity,
        "startTime": (START - dt.timedelta(hours=1)).isoformat(),
        "endTime": START.isoformat(),
    }
    of_source = urlencode({"sourceId": source_id} | window)
    received = api.get(f"/delivery-overview/successfully-received?{of_source}").data
    of_destination = f"{of_source}&destinationConfigId={destination_id}&groupBy=discardReason"
    ended = {end: api.get(f"/delivery-overview/{end}?{of_destination}").data for end in ends}
    assert received["total"] == 10 == sum(each["total"] for each in ended.values())
    assert received["dataset"][0]["series"][-1]["count"] == 10
    for end, (_, reason, count) in ends.items():
        assert [(each["discardReason"], each["total"]) for each in ended[end]["dataset"]] == [(reason, count)]
    assert ended["successful-delivery"]["dataset"][0]["totalRetryCount"] == 7
    assert api.get(f"/events/volume?{urlencode(window)}").data["result"][0]["total"] == 10
    summary = api.get(f"/destinations/{destination_id}/delivery-metrics?{of_source}").data
    metrics = {each["metricName"]: each["total"] for each in summary["deliveryMetricsSummary"]["metrics"]}
    assert metrics == {"successes": 7, "errors.discarded": 2, "errors.awaiting-retry": 0}


@proves("getDailyWorkspaceAPICallsUsage", "getDailyPerSourceMTUUsage", level=4)
def test_usage_is_cumulative_over_the_batches_of_the_month(api: Api, flow: SqliteFlow) -> None:
    source_id = new_source(api)
    for day, user in ((TODAY - 1, "u1"), (TODAY, "u1"), (TODAY, "u2")):
        users = [TrackedUser(day, source_id, user, "a1"), TrackedUser(day, source_id, "", f"a-{day}")]
        save(flow, Processed(0, 1, calls={(source_id, day): 2}, users=users))
    calls = api.get("/usage/api-calls/daily?period=2026-03-01").data["dailyWorkspaceAPICallsUsage"]
    assert [each["apiCalls"] for each in calls][-3:] == ["0", "2", "6"]
    tracked = api.get("/usage/mtu/sources/daily?period=2026-03-01").data["dailyPerSourceMTUUsage"]
    figures = ("identified", "anonymous", "anonymousIdentified", "neverIdentified")
    assert [tuple(each[name] for name in figures) for each in tracked][-3:] == [
        ("0", "0", "0", "0"),
        ("1", "2", "1", "1"),
        ("2", "3", "1", "2"),
    ]


keys = st.builds(
    key,
    minute=st.integers(NOW - 200, NOW),
    source_id=st.sampled_from(["s1", "s2"]),
    stage=st.sampled_from([Stage.SUCCESSFUL_DELIVERY, Stage.FAILED_DELIVERY]),
    destination_id=st.sampled_from(["d1", "d2"]),
    reason=st.sampled_from(["400", "503"]),
    name=st.sampled_from(["Paid", "it's", ""]),
)
queries = st.builds(
    OutcomeQuery,
    source_ids=st.lists(st.sampled_from(["s1", "s2"]), min_size=1, unique=True),
    stages=st.lists(st.sampled_from(list(Stage)), min_size=1, unique=True),
    start_minute=st.integers(NOW - 200, NOW),
    end_minute=st.integers(NOW - 200, NOW),
    bucket_minutes=st.sampled_from([1, 60, 1440]),
    destination_id=st.sampled_from([None, "d1"]),
    group_by=st.lists(st.sampled_from(["event_name", "reason", "stage"]), unique=True),
    filters=st.dictionaries(
        st.sampled_from(["event_name", "reason"]), st.lists(st.sampled_from(["Paid", "it's", "400"]))
    ),
)


@given(tallies=st.dictionaries(keys, st.builds(Tally, st.integers(1, 9), st.integers(0, 9))), query=queries)
@settings(max_examples=60, deadline=None)
def test_the_engine_adds_up_like_the_list(
    tmp_path_factory: pytest.TempPathFactory, tallies: dict[OutcomeKey, Tally], query: OutcomeQuery
) -> None:
    flow = SqliteFlow(tmp_path_factory.mktemp("flow"))
    listed = ListedOutcomes()
    listed.outcomes = [(each, tally.count, tally.retries) for each, tally in tallies.items()]
    save(flow, Processed(0, 1, tallies=tallies))
    found, expected = ordered(flow.outcomes.counts(query)), ordered(listed.counts(query))
    flow.close()
    assert found == expected


def ordered(counts: Sequence[OutcomeCount]) -> list[OutcomeCount]:
    return sorted(counts, key=lambda each: (each.group, each.bucket_minute))
