"""The audit trail cannot be changed unnoticed."""

import pytest
from sqlalchemy import text

from mainstem.rest import audit
from public_api.client import Api


@pytest.fixture
def trail(api: Api) -> Api:
    for value in ("a", "b", "c", "d"):
        api.post("/labels", {"label": {"key": "n", "value": value}})
    return api


def verified(api: Api) -> tuple[int, str | None]:
    with api.database.transaction(writes=False) as db:
        return audit.verify(db, api.vault)


def tampered(api: Api, *statements: str) -> tuple[int, str | None]:
    with api.database.transaction(writes=True) as db:
        for statement in statements:
            db.execute(text(statement))
    return verified(api)


def test_an_untouched_trail_is_whole(trail: Api) -> None:
    assert verified(trail) == (4, None)


def test_a_changed_row_is_found(trail: Api) -> None:
    found = tampered(trail, "UPDATE audit_events SET actor = 'somebody' WHERE seq = 2")
    assert found[0] == 1
    assert "row 2" in str(found[1])


def test_a_removed_row_is_found(trail: Api) -> None:
    assert tampered(trail, "DELETE FROM audit_events WHERE seq = 2") == (1, "row 2 is missing")


def test_a_removed_last_row_is_found(trail: Api) -> None:
    assert tampered(trail, "DELETE FROM audit_events WHERE seq = 4") == (3, "rows after 3 were removed")


def test_a_trail_that_was_emptied_is_found(trail: Api) -> None:
    assert tampered(trail, "DELETE FROM audit_events")[1] == "rows after 0 were removed"


def test_two_rows_that_changed_places_are_found(trail: Api) -> None:
    found = tampered(
        trail,
        "UPDATE audit_events SET seq = 99 WHERE seq = 2",
        "UPDATE audit_events SET seq = 2 WHERE seq = 3",
        "UPDATE audit_events SET seq = 3 WHERE seq = 99",
    )
    assert found[0] == 1


def test_a_failed_call_leaves_no_row(trail: Api) -> None:
    assert trail.post("/labels", {"label": {"key": "n", "value": "a"}}).status == 409
    assert verified(trail) == (4, None)


def test_the_cursor_freezes_the_trail_so_that_new_events_repeat_nothing(trail: Api) -> None:
    first = trail.get("/audit-events?pagination.count=2").data
    trail.delete("/labels/n/a")
    second = trail.get(f"/audit-events?pagination.count=2&pagination.cursor={first['pagination']['next']}").data
    names = [event["resourceName"] for event in first["events"] + second["events"]]
    assert names == ["n:d", "n:c", "n:b", "n:a"]
    assert "next" not in second["pagination"]


def test_the_trail_is_filtered_by_resource_and_time(trail: Api) -> None:
    assert len(trail.get("/audit-events?resourceId=n:a").data["events"]) == 1
    assert len(trail.get("/audit-events?resourceType=label").data["events"]) == 4
    assert trail.get("/audit-events?resourceType=source").data["events"] == []
    assert trail.get("/audit-events?startTime=2027-01-01T00:00:00Z").data["events"] == []
    assert trail.get("/audit-events?startTime=soon").fields == ["startTime"]


def test_members_do_not_read_the_trail(trail: Api) -> None:
    assert trail.get("/audit-events", token=trail.member).status == 403
