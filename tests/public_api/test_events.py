from typing import Any
from urllib.parse import urlencode

import pytest

from contract.proves import proves
from mainstem.model.outcome import Stage
from public_api.client import START, Api
from public_api.connections import new_source
from public_api.outcomes import ListedOutcomes

NOW = int(START.timestamp()) // 60
WINDOW = {"granularity": "MINUTE", "startTime": "2026-03-10T11:58:00Z", "endTime": "2026-03-10T12:00:00Z"}


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def other_id(api: Api) -> str:
    return new_source(api, "other")


@pytest.fixture(autouse=True)
def counted(outcomes: ListedOutcomes, source_id: str, other_id: str) -> None:
    stage = Stage.SUCCESSFULLY_RECEIVED
    outcomes.add(NOW - 2, source_id, stage, name="Paid", version="1.0", count=2)
    outcomes.add(NOW - 1, source_id, stage, type="identify", version="2.0")
    outcomes.add(NOW - 1, other_id, stage, name="Paid", version="1.0", count=4)
    outcomes.add(NOW, source_id, stage, name="Paid", count=100)
    outcomes.add(NOW - 1, source_id, Stage.FAILED_ON_INGEST, name="Paid", count=100)
    outcomes.add(NOW - 1, "a source of another workspace", stage, name="Paid", count=100)


def ask(api: Api, extra: str = "", **parameters: Any) -> Any:
    reply = api.get(f"/events/volume?{urlencode(WINDOW | parameters)}{extra}")
    return reply if reply.status != 200 else reply.data


@proves("getEventsVolumeFromWorkspace", level=4)
def test_the_volume_is_what_all_sources_received(api: Api) -> None:
    assert ask(api) == {
        "path": "/events/volume",
        "query": {
            "workspaceId": api.workspace.id,
            "granularity": "MINUTE",
            "startTime": "2026-03-10T11:58:00.000Z",
            "endTime": "2026-03-10T12:00:00.000Z",
        },
        "result": [
            {
                "total": 7,
                "series": [
                    {"time": "2026-03-10T11:58:00.000Z", "count": 2},
                    {"time": "2026-03-10T11:59:00.000Z", "count": 5},
                ],
            }
        ],
        "pagination": {"current": "MA==", "totalEntries": 1},
    }


def test_sources_are_grouped_by_with_name_and_slug_the_largest_first(api: Api, source_id: str, other_id: str) -> None:
    result = ask(api, groupBy="source")["result"]
    assert [(each["source"], each["total"]) for each in result] == [
        ({"id": other_id, "name": "other", "slug": "other"}, 4),
        ({"id": source_id, "name": "site", "slug": "site"}, 3),
    ]
    assert all(each.keys() == {"source", "total", "series"} for each in result)


def test_names_and_types_are_grouped_by_together(api: Api) -> None:
    data = ask(api, extra="&groupBy.0=eventType&groupBy.1=eventName")
    assert [(each["eventName"], each["eventType"], each["total"]) for each in data["result"]] == [
        ("Paid", "track", 6),
        ("", "identify", 1),
    ]
    assert data["query"]["groupBy"] == ["eventType", "eventName"]


@pytest.mark.parametrize(
    ("name", "value", "total"),
    [("eventName", "Paid", 6), ("eventType", "identify", 1), ("appVersion", "2.0", 1), ("appVersion", "3.0", 0)],
)
def test_values_are_chosen_by_parameters_and_echoed(api: Api, name: str, value: str, total: int) -> None:
    data = ask(api, extra=f"&{name}.0={value}")
    assert sum(each["total"] for each in data["result"]) == total
    assert data["query"][name] == [value]


def test_sources_are_chosen_and_unknown_ones_have_no_volume(api: Api, source_id: str, other_id: str) -> None:
    assert [each["total"] for each in ask(api, sourceId=other_id)["result"]] == [4]
    assert [each["total"] for each in ask(api, extra=f"&sourceId={source_id}&sourceId={other_id}")["result"]] == [7]
    assert [each["total"] for each in ask(api, sourceId="nowhere")["result"]] == [0]
    assert ask(api, sourceId="nowhere", groupBy="source")["result"] == []


def test_entries_come_in_pages(api: Api) -> None:
    first = ask(api, groupBy="source", extra="&pagination.count=1")
    second = ask(api, groupBy="source", extra=f"&pagination.count=1&pagination.cursor={first['pagination']['next']}")
    assert [each["source"]["slug"] for each in first["result"] + second["result"]] == ["other", "site"]
    assert "next" not in second["pagination"]


def test_at_most_five_thousand_entries_are_listed(api: Api, outcomes: ListedOutcomes, source_id: str) -> None:
    for number in range(5001):
        outcomes.add(NOW - 1, source_id, Stage.SUCCESSFULLY_RECEIVED, name=f"Event {number}")
    data = ask(api, groupBy="eventName")
    assert data["pagination"]["totalEntries"] == 5000
    assert len(data["result"]) == 200


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"startTime": "2026-03-08T11:59:00Z"}, "endTime"),
        ({"startTime": "2026-03-10T12:00:00Z"}, "endTime"),
        ({"groupBy": "appVersion"}, "groupBy[0]"),
        ({"granularity": "WEEK"}, "granularity"),
        ({"endTime": "now"}, "endTime"),
        ({"pagination.count": "1001"}, "pagination.count"),
    ],
)
def test_what_cannot_be_answered_is_refused_naming_the_parameter(
    api: Api, parameters: dict[str, str], field: str
) -> None:
    reply = ask(api, **parameters)
    assert (reply.status, reply.fields) == (422, [field])


def test_a_window_of_years_ago_has_no_volume(api: Api) -> None:
    window = {"granularity": "DAY", "startTime": "2021-10-28T00:00:00Z", "endTime": "2021-10-29T16:40:00Z"}
    (only,) = ask(api, **window)["result"]
    assert [(point["time"], point["count"]) for point in only["series"]] == [
        ("2021-10-28T00:00:00.000Z", 0),
        ("2021-10-29T00:00:00.000Z", 0),
    ]


def test_what_deleted_sources_received_stays_counted_without_a_name(api: Api, other_id: str) -> None:
    api.delete(f"/sources/{other_id}")
    assert [each["total"] for each in ask(api)["result"]] == [7]
    assert ask(api, groupBy="source")["result"][0]["source"] == {"id": other_id}
