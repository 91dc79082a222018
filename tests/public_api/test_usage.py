import datetime as dt
from typing import Any

import pytest

from contract.proves import proves
from mainstem.model.ports import TrackedUser
from public_api.client import START, Api
from public_api.connections import new_source
from public_api.outcomes import ListedOutcomes

TODAY = START.date()  # the tenth of March 2026
FIRST = (TODAY.replace(day=1) - dt.date(1970, 1, 1)).days
OPERATIONS = ["api-calls/daily", "api-calls/sources/daily", "mtu/daily", "mtu/sources/daily"]


@pytest.fixture
def site(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def shop(api: Api) -> str:
    return new_source(api, "shop")


def usage(api: Api, operation: str, period: str = "2026-03-01", extra: str = "") -> list[Any]:
    """The list of a reply, whatever its name."""
    data = api.get(f"/usage/{operation}?period={period}{extra}").data
    (items,) = [value for name, value in data.items() if name != "pagination"]
    return items  # type: ignore[no-any-return]


class TestApiCalls:
    @pytest.fixture(autouse=True)
    def counted(self, outcomes: ListedOutcomes, site: str, shop: str) -> None:
        outcomes.calls[site, FIRST - 1] = 1000
        outcomes.calls[site, FIRST] = 5
        outcomes.calls[site, FIRST + 2] = 10**16
        outcomes.calls[shop, FIRST + 1] = 7
        outcomes.calls["another", FIRST] = 1000

    @proves("getDailyWorkspaceAPICallsUsage", level=4)
    def test_days_are_cumulative_strings_up_to_today(self, api: Api) -> None:
        items = usage(api, "api-calls/daily")
        assert items[0] == {"apiCalls": "5", "timestamp": "2026-03-01T00:00:00.000Z"}
        assert [each["apiCalls"] for each in items] == ["5", "12", *["10000000000000012"] * 8]
        assert items[-1]["timestamp"] == "2026-03-10T00:00:00.000Z"

    @proves("getDailyPerSourceAPICallsUsage", level=4)
    def test_each_source_has_its_own_sums(self, api: Api, site: str, shop: str) -> None:
        items = usage(api, "api-calls/sources/daily")
        assert items[:4] == [
            {"sourceId": site, "apiCalls": "5", "timestamp": "2026-03-01T00:00:00.000Z"},
            {"sourceId": shop, "apiCalls": "0", "timestamp": "2026-03-01T00:00:00.000Z"},
            {"sourceId": site, "apiCalls": "5", "timestamp": "2026-03-02T00:00:00.000Z"},
            {"sourceId": shop, "apiCalls": "7", "timestamp": "2026-03-02T00:00:00.000Z"},
        ]
        assert len(items) == 20

    def test_usage_does_not_shrink_when_a_source_is_deleted(self, api: Api, site: str, shop: str) -> None:
        before = usage(api, "api-calls/daily")
        api.delete(f"/sources/{site}")
        assert usage(api, "api-calls/daily") == before
        assert [each["sourceId"] for each in usage(api, "api-calls/sources/daily")[:2]] == [shop, site]

    def test_a_past_month_is_listed_whole(self, api: Api) -> None:
        items = usage(api, "api-calls/daily", "2026-02-01")
        assert [each["apiCalls"] for each in items] == ["0"] * 27 + ["1000"]


class TestTrackedUsers:
    @pytest.fixture(autouse=True)
    def counted(self, outcomes: ListedOutcomes, site: str, shop: str) -> None:
        outcomes.users = [
            TrackedUser(FIRST, site, "", "a1"),
            TrackedUser(FIRST + 1, site, "u1", "a1"),
            TrackedUser(FIRST + 1, shop, "u1", ""),
            TrackedUser(FIRST + 3, shop, "", "a2"),
        ]

    @proves("getDailyWorkspaceMTUUsage", level=4)
    def test_the_workspace_counts_an_id_of_several_sources_once(self, api: Api) -> None:
        items = usage(api, "mtu/daily")
        assert len(items) == 10
        assert items[0] == {
            "periodStart": 1772323200,
            "periodEnd": 1775001600,
            "anonymous": "1",
            "anonymousIdentified": "0",
            "identified": "0",
            "neverIdentified": "1",
            "timestamp": "2026-03-01T00:00:00.000Z",
        }
        figures = ("anonymous", "anonymousIdentified", "identified", "neverIdentified")
        assert [tuple(each[name] for name in figures) for each in items[1:5]] == [
            ("1", "1", "1", "0"),
            ("1", "1", "1", "0"),
            ("2", "1", "1", "1"),
            ("2", "1", "1", "1"),
        ]

    @proves("getDailyPerSourceMTUUsage", level=4)
    def test_each_source_counts_its_own_ids(self, api: Api, site: str, shop: str) -> None:
        last = usage(api, "mtu/sources/daily")[-2:]
        assert [(each["sourceId"], each["identified"], each["anonymous"]) for each in last] == [
            (site, "1", "1"),
            (shop, "1", "1"),
        ]
        assert {each["timestamp"] for each in last} == {"2026-03-10T00:00:00.000Z"}


@pytest.mark.parametrize("operation", OPERATIONS)
class TestPeriod:
    @pytest.mark.parametrize("period", ["2026-03-02", "2026-13-01", "2026-03", "March", "2026-03-01T10:00:00Z", ""])
    def test_only_the_first_day_of_a_month_begins_one(self, api: Api, operation: str, period: str) -> None:
        reply = api.get(f"/usage/{operation}?period={period}")
        assert (reply.status, reply.fields) == (422, ["period"])

    def test_it_is_required(self, api: Api, operation: str) -> None:
        assert api.get(f"/usage/{operation}").messages == ['"period" is required']

    def test_a_month_to_come_has_no_days_yet(self, api: Api, operation: str, site: str) -> None:
        assert usage(api, operation, "2026-04-01") == []

    def test_a_full_time_is_understood(self, api: Api, operation: str, site: str) -> None:
        assert len(usage(api, operation, "2024-02-01T00:00:00.000Z")) == 29

    def test_days_come_in_pages(self, api: Api, operation: str, site: str) -> None:
        whole = usage(api, operation)
        first = api.get(f"/usage/{operation}?period=2026-03-01&pagination.count=4").data["pagination"]
        assert first["totalEntries"] == len(whole) == 10
        assert usage(api, operation, extra="&pagination.count=4&pagination.cursor=" + first["next"]) == whole[4:8]


@pytest.mark.parametrize("operation", ["api-calls/daily", "mtu/daily"])
def test_a_workspace_without_sources_has_days_of_zero(api: Api, operation: str) -> None:
    items = usage(api, operation)
    assert len(items) == 10
    assert {each.get("apiCalls", each.get("identified")) for each in items} == {"0"}
