"""The last owner, when several go at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from public_api.client import Api, Reply
from public_api.iam.people import new_group, new_user, owner_id, permission


@pytest.mark.parametrize("way", ["remove", "demote"])
def test_of_two_owners_who_go_at_once_one_stays(api: Api, way: str) -> None:
    owners = [owner_id(api), new_user(api, "ann@x.example", permission(api, "Workspace Owner"))]
    barrier = threading.Barrier(2)

    def go(user_id: str) -> Reply:
        barrier.wait()
        if way == "remove":
            return api.delete(f"/users?userIds.0={user_id}")
        return api.put(f"/users/{user_id}/permissions", {"permissions": []})

    with ThreadPoolExecutor(2) as threads:
        replies = [*threads.map(go, owners)]
    assert sorted(reply.status for reply in replies) == [200, 409]
    left = [each for each in api.get("/users").data["users"] if each["permissions"]]
    assert len(left) == 1


def test_both_owners_cannot_be_removed_in_one_call(api: Api) -> None:
    owners = [owner_id(api), new_user(api, "ann@x.example", permission(api, "Workspace Owner"))]
    assert api.delete(f"/users?userIds.0={owners[0]}&userIds.1={owners[1]}").status == 409
    assert len(api.get("/users").data["users"]) == 2


def test_a_group_in_which_another_owner_stays_may_go(api: Api) -> None:
    group_id = new_group(api, permission(api, "Workspace Owner"))
    new_user(api, "ann@x.example")
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    assert api.delete(f"/groups/{group_id}").status == 200
