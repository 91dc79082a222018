"""Users, invites and groups, as the tests of IAM need them."""

from __future__ import annotations

from typing import Any

from mainstem.mail import Letter
from mainstem.public_api import build
from mainstem.public_api.iam import invites
from mainstem.rest import tokens
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import Role, find_role_by_name
from mainstem.rest.tokens import Access
from mainstem.settings import Settings
from public_api.client import START, Api, NoOutcomes


def role(name: str) -> Role:
    """A role by its name."""
    found = find_role_by_name(name)
    assert found is not None
    return found


def permission(api: Api, name: str, *resources: dict[str, Any]) -> dict[str, Any]:
    """A permission to send: on the whole workspace unless told otherwise."""
    return {"roleId": role(name).id, "resources": [*resources] or [on_workspace(api)]}


def on_workspace(api: Api, *labels: tuple[str, str]) -> dict[str, Any]:
    """The workspace as a resource, narrowed to labels."""
    marks = {"labels": [{"key": key, "value": value} for key, value in labels]} if labels else {}
    return {"id": api.workspace.id, "type": "WORKSPACE"} | marks


def on(kind: ResourceType, id: str) -> dict[str, Any]:
    """A resource."""
    return {"id": id, "type": kind.value}


def invite(api: Api, email: str, *permissions: dict[str, Any]) -> None:
    """createInvites for one person."""
    assert api.post("/invites", {"invites": [{"email": email, "permissions": [*permissions]}]}).status == 201


def accept(api: Api, email: str, name: str = "") -> str:
    """The id of the user that an invite becomes."""
    with api.database.transaction(writes=True) as db:
        row = invites.find_pending(db, api.vault, api.workspace.id, email, api.now)
        assert row is not None
        invites.accept(db, row, name, api.now)
    return str(row.id)


def new_user(api: Api, email: str, *permissions: dict[str, Any]) -> str:
    """The id of a user who was invited and accepted."""
    invite(api, email, *permissions)
    return accept(api, email)


def new_group(api: Api, *permissions: dict[str, Any], name: str = "Team") -> str:
    """The id of a group with these permissions."""
    group_id: str = api.post("/groups", {"name": name}).data["userGroup"]["id"]
    assert api.put(f"/groups/{group_id}/permissions", {"permissions": [*permissions]}).status == 200
    return group_id


def token_of(api: Api, user_id: str) -> str:
    """A token that acts for a user."""
    secret = tokens.new_secret()
    with api.database.transaction(writes=True) as db:
        tokens.create(db, api.vault, api.workspace.id, "of a user", Access.MEMBER, START, secret, user_id)
    return secret


def owner_id(api: Api) -> str:
    """The user that the workspace was made with."""
    return str(api.get("/users").data["users"][0]["id"])


def mailbox(api: Api) -> list[Letter]:
    """Letters that `api` sends from now on."""
    letters: list[Letter] = []
    api.dispatcher = build(
        Settings(rate_limits=False), api.database, api.vault, NoOutcomes(), lambda: api.now, send=letters.append
    )
    return letters
