"""Two workspaces of one instance know nothing of each other's people."""

from __future__ import annotations

import pytest

from mainstem.public_api import workspaces
from mainstem.rest import tokens
from mainstem.rest.tokens import Access
from public_api.client import START, Api
from public_api.connections import trail
from public_api.iam.people import invite, new_group, new_user, owner_id, permission


@pytest.fixture
def stranger(api: Api) -> str:
    """The owner's token of another workspace."""
    secret = tokens.new_secret()
    with api.database.transaction(writes=True) as db:
        other = workspaces.create(db, "Other", "other", "owner@localhost", START)
        tokens.create(db, api.vault, other.id, "other", Access.OWNER, START, secret)
    return secret


def test_people_of_another_workspace_are_not_there(api: Api, stranger: str) -> None:
    user_id, group_id = new_user(api, "ann@x.example"), new_group(api)
    invite(api, "bob@x.example")
    assert [each["email"] for each in api.get("/users", token=stranger).data["users"]] == ["owner@localhost"]
    assert api.get("/invites", token=stranger).data["invites"] == []
    assert api.get("/groups", token=stranger).data["userGroups"] == []
    for route in (
        f"GET /users/{user_id}",
        f"GET /users/{user_id}/groups",
        f"GET /groups/{group_id}",
        f"GET /groups/{group_id}/users",
        f"DELETE /groups/{group_id}",
        f"DELETE /group/{group_id}/users?emails.0=ann@x.example",
    ):
        assert api.call(route, token=stranger).status == 404, route
    for path in (f"/users/{user_id}/permissions", f"/groups/{group_id}/permissions"):
        assert api.put(path, {"permissions": []}, token=stranger).status == 404


def test_another_workspace_removes_nobody_here(api: Api, stranger: str) -> None:
    user_id = new_user(api, "ann@x.example")
    invite(api, "bob@x.example")
    assert api.delete(f"/users?userIds.0={user_id}&userIds.1={owner_id(api)}", token=stranger).status == 200
    assert api.delete("/invites?emails.0=bob@x.example", token=stranger).status == 200
    assert len(api.get("/users").data["users"]) == 2
    assert api.get("/invites").data["invites"] == ["bob@x.example"]


def test_the_same_person_is_invited_by_both_and_the_trail_does_not_tell(api: Api, stranger: str) -> None:
    new_user(api, "ann@x.example")
    sent = {"invites": [{"email": "ann@x.example"}]}
    assert api.post("/invites", sent, token=stranger).status == 201
    assert api.get("/invites").data["invites"] == []
    theirs = api.get("/audit-events", token=stranger).data["events"]
    assert [each["type"] for each in theirs] == ["Non-Segment User Invited to Workspace"]
    assert trail(api) == ["Non-Segment User Invited to Workspace"]


def test_nothing_of_another_workspace_can_be_granted_or_put_into_a_group(api: Api, stranger: str) -> None:
    new_user(api, "ann@x.example")
    elsewhere = permission(api, "Source Admin")
    theirs = api.get("/users", token=stranger).data["users"][0]["id"]
    refused = api.post(f"/users/{theirs}/permissions", {"permissions": [elsewhere]}, token=stranger)
    assert refused.fields == ["permissions[0].resources[0].id"]
    group = api.post("/groups", {"name": "Team"}, token=stranger).data["userGroup"]["id"]
    joined = api.post(f"/groups/{group}/users", {"emails": ["ann@x.example"]}, token=stranger)
    assert joined.fields == ["emails[0]"]
