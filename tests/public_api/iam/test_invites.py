"""Invites, and what becomes of them."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from contract.proves import proves
from mainstem.public_api.iam import invites
from mainstem.rest import grants
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import new_source, trail
from public_api.iam.people import accept, invite, mailbox, new_group, new_user, on, on_workspace, permission, role


def invited(api: Api) -> list[str]:
    """Addresses of pending invites."""
    emails: list[str] = api.get("/invites").data["invites"]
    return emails


@proves("createInvites", "listInvites", "deleteInvites", level=3)
def test_people_are_invited_listed_and_uninvited(api: Api) -> None:
    sent = {"invites": [{"email": "Ann@X.example"}, {"email": "bob@x.example", "permissions": []}]}
    reply = api.post("/invites", sent)
    assert (reply.status, reply.data) == (201, {"emails": ["ann@x.example", "bob@x.example"]})
    assert invited(api) == ["ann@x.example", "bob@x.example"]
    first = api.get("/invites?pagination.count=1").data["pagination"]
    assert api.get(f"/invites?pagination.cursor={first['next']}").data["invites"] == ["bob@x.example"]
    assert api.delete("/invites?emails.0=ANN%40x.example&emails.1=nobody%40x.example").data == {"status": "SUCCESS"}
    assert invited(api) == ["bob@x.example"]
    assert trail(api)[-1] == "Invite Deleted"


def test_an_accepted_invite_is_a_user_with_the_same_permissions_and_groups(api: Api) -> None:
    source = on(ResourceType.SOURCE, new_source(api))
    group_id = new_group(api)
    invite(api, "ann@x.example", permission(api, "Source Admin", source))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    assert [each["email"] for each in api.get("/users").data["users"]] == ["owner@localhost"]
    assert api.get(f"/groups/{group_id}/invites").data["emails"] == ["ann@x.example"]
    user_id = accept(api, "ann@x.example", "Ann")
    user = api.get("/users").data["users"][1]
    assert (user["id"], user["name"]) == (user_id, "Ann")
    assert user["permissions"] == [
        {"roleId": role("Source Admin").id, "roleName": "Source Admin", "resources": [source | {"labels": []}]}
    ]
    assert api.get(f"/users/{user_id}/groups").data["groups"] == [{"id": group_id, "name": "Team"}]
    assert api.get(f"/groups/{group_id}/invites").data["emails"] == []
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 1
    assert invited(api) == []


def test_inviting_again_makes_no_second_invite_and_replaces_the_permissions(api: Api) -> None:
    """A51"""
    invite(api, "ann@x.example", permission(api, "Source Admin"))
    group_id = new_group(api)
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    api.pass_time(days=5)
    invite(api, "ANN@x.example", permission(api, "Function Admin"))
    assert invited(api) == ["ann@x.example"]
    api.pass_time(days=5)
    user_id = accept(api, "ann@x.example")
    (only,) = api.get(f"/users/{user_id}").data["user"]["permissions"]
    assert only["roleName"] == "Function Admin"
    assert [each["id"] for each in api.get(f"/users/{user_id}/groups").data["groups"]] == [group_id]


def test_an_invite_expires_and_nothing_of_it_returns(api: Api) -> None:
    group_id = new_group(api)
    invite(api, "ann@x.example", permission(api, "Source Admin"))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    api.pass_time(days=7)
    assert invited(api) == []
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 0
    with api.database.transaction(writes=False) as db:
        assert invites.find_pending(db, api.vault, api.workspace.id, "ann@x.example", api.now) is None
    user_id = new_user(api, "ann@x.example")
    assert api.get(f"/users/{user_id}").data["user"]["permissions"] == []
    assert api.get(f"/users/{user_id}/groups").data["groups"] == []


def test_who_is_a_user_already_is_not_invited_and_nobody_else_of_that_call(api: Api) -> None:
    new_user(api, "ann@x.example")
    reply = api.post("/invites", {"invites": [{"email": "bob@x.example"}, {"email": "Ann@x.example"}]})
    assert reply.status == 409
    assert invited(api) == []


@pytest.mark.parametrize(
    "address", ["", "ann", "ann@", "@x.example", "a b@x.example", "a@x.example\nBcc: b@x.example", "a@b@c", "a,b@c"]
)
def test_what_is_no_address_is_refused(api: Api, address: str) -> None:
    reply = api.post("/invites", {"invites": [{"email": address}]})
    assert (reply.status, reply.fields) == (422, ["invites[0].email"])


def test_labels_of_an_invite_s_permission_narrow_what_it_grants_on_the_workspace(api: Api) -> None:
    label = {"key": "environment", "value": "prod"}
    everywhere = {"roleId": role("Source Read-only").id, "labels": [label]}
    on_resource = permission(api, "Source Admin", on_workspace(api, ("environment", "prod")))
    user_id = new_user(api, "ann@x.example", everywhere, on_resource)
    for shown in api.get(f"/users/{user_id}").data["user"]["permissions"]:
        assert shown["resources"] == [{"id": api.workspace.id, "type": "WORKSPACE", "labels": [label]}]


def test_every_fault_of_all_invites_is_named(api: Api) -> None:
    source = on(ResourceType.SOURCE, new_source(api))
    label = {"key": "environment", "value": "prod"}
    ann = {"email": "ann@x.example", "permissions": [permission(api, "Source Admin", source) | {"labels": [label]}]}
    bob = {"email": "bob@x.example", "permissions": [{"roleId": "unknown", "resources": [source]}]}
    unknown = {"roleId": role("Source Admin").id, "labels": [{"key": "a", "value": "b"}]}
    eve = {"email": "eve@x.example", "permissions": [unknown]}
    reply = api.post("/invites", {"invites": [ann, bob, eve]})
    assert reply.status == 422
    assert reply.fields == [
        "invites[0].permissions[0].labels",
        "invites[1].permissions[0].roleId",
        "invites[2].permissions[0].labels[0]",
    ]
    assert invited(api) == []


def test_an_uninvited_person_leaves_groups_and_grants(api: Api) -> None:
    group_id = new_group(api)
    invite(api, "ann@x.example", permission(api, "Source Admin"))
    api.post(f"/groups/{group_id}/users", {"emails": ["ann@x.example"]})
    api.delete("/invites?emails.0=ann@x.example")
    assert trail(api)[-2:] == ["Group Memberships Deleted", "Invite Deleted"]
    user_id = new_user(api, "ann@x.example")
    assert api.get(f"/users/{user_id}").data["user"]["permissions"] == []
    assert api.get(f"/groups/{group_id}").data["userGroup"]["memberCount"] == 0


def test_who_is_invited_gets_a_letter_with_the_token_that_accepts(api: Api) -> None:
    letters = mailbox(api)
    invite(api, "ann@x.example")
    (letter,) = letters
    found = re.search(r"inv_\S+", letter.text)
    assert found is not None
    assert (letter.to, letter.subject) == ("ann@x.example", "Invitation to Acme")
    assert "inv_" not in letter.subject
    with api.database.transaction(writes=False) as db:
        assert found.group() not in repr(db.execute(select(grants.invites)).all())
        row = invites.find_pending(db, api.vault, api.workspace.id, found.group(), api.now)
    assert row is not None
    assert row.email == "ann@x.example"


def test_the_token_of_an_earlier_letter_accepts_no_more(api: Api) -> None:
    letters = mailbox(api)
    invite(api, "ann@x.example")
    invite(api, "ann@x.example")
    tokens = [each.text.partition("accept ")[2].split()[0] for each in letters]
    with api.database.transaction(writes=False) as db:
        found = [invites.find_pending(db, api.vault, api.workspace.id, each, api.now) for each in tokens]
    assert [each is not None for each in found] == [False, True]


def test_nobody_gets_a_letter_when_the_call_is_refused(api: Api) -> None:
    letters = mailbox(api)
    reply = api.post("/invites", {"invites": [{"email": "ann@x.example"}, {"email": "owner@localhost"}]})
    assert (reply.status, letters) == (409, [])
