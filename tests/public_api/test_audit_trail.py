from typing import Any

import pytest

from contract.proves import proves
from public_api.client import START, Api

JAVASCRIPT = "IqDTy1TpoU"


def create_label(api: Api, value: str) -> None:
    api.post("/labels", {"label": {"key": "team", "value": value}})


def names(api: Api, query: str = "") -> list[str]:
    return [event["resourceName"] for event in api.get(f"/audit-events{query}").data["events"]]


@proves("listAuditEvents", level=3)
def test_an_event_says_who_did_what_to_which_object_and_when(api: Api) -> None:
    create_label(api, "web")
    (event,) = api.get("/audit-events").data["events"]
    assert event["type"] == "Label Created"
    assert (event["resourceType"], event["resourceId"]) == ("LABEL", "team:web")
    assert event["timestamp"] == "2026-03-10T12:00:00.000Z"
    assert event["actor"]
    assert event["actor"] not in {api.owner, api.member}


def test_the_newest_event_stands_first(api: Api) -> None:
    for value in ("a", "b", "c"):
        create_label(api, value)
        api.pass_time(minutes=1)
    assert names(api) == ["team:c", "team:b", "team:a"]


def test_a_refused_call_leaves_no_event(api: Api) -> None:
    create_label(api, "web")
    create_label(api, "web")
    api.post("/labels", {"label": {"key": "team", "value": "x"}}, token=api.member)
    assert names(api) == ["team:web"]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("startTime=2026-03-10T12:01:00Z", ["team:c", "team:b"]),
        ("endTime=2026-03-10T12:01:00Z", ["team:a"]),
        ("startTime=2026-03-10T12:01:00Z&endTime=2026-03-10T12:02:00Z", ["team:b"]),
        ("startTime=2026-03-10T13:01:00%2B01:00", ["team:c", "team:b"]),
        ("resourceId=team:b", ["team:b"]),
        ("resourceType=LABEL", ["team:c", "team:b", "team:a"]),
        ("resourceType=source", []),
    ],
)
def test_events_are_filtered_by_time_and_object(api: Api, query: str, shown: list[str]) -> None:
    for value in ("a", "b", "c"):
        create_label(api, value)
        api.pass_time(minutes=1)
    assert names(api, f"?{query}") == shown


def test_pages_stay_the_same_while_new_events_arrive(api: Api) -> None:
    for value in ("a", "b", "c"):
        create_label(api, value)
    first = api.get("/audit-events?pagination.count=2").data
    create_label(api, "late")
    second = api.get(f"/audit-events?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
    shown = [event["resourceName"] for page in (first, second) for event in page["events"]]
    assert shown == ["team:c", "team:b", "team:a"]
    assert "next" not in second["pagination"]


def test_events_are_shown_for_90_days(api: Api) -> None:
    create_label(api, "web")
    api.pass_time(days=90)
    assert names(api) == ["team:web"]
    api.pass_time(seconds=1)
    assert names(api) == []


def test_the_trail_is_for_owners(api: Api) -> None:
    assert api.get("/audit-events", token=api.member).status == 403


def test_a_damaged_time_is_refused_by_name(api: Api) -> None:
    reply = api.get("/audit-events?startTime=yesterday")
    assert (reply.status, reply.fields) == (422, ["startTime"])


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ({"name": "Shop"}, "Source Modified"),
        ({"enabled": False}, "Source Disabled"),
    ],
)
def test_a_change_of_a_source_names_what_changed(api: Api, change: dict[str, Any], event: str) -> None:
    created = api.post("/sources", {"slug": "shop", "enabled": True, "metadataId": JAVASCRIPT}).data["source"]
    api.now = START.replace(hour=13)
    api.patch(f"/sources/{created['id']}", change)
    events = api.get(f"/audit-events?resourceId={created['id']}").data["events"]
    assert events[0]["type"] == event
    assert events[-1]["type"] == "Source Created"
