"""The catalogue of roles."""

from __future__ import annotations

from contract.proves import proves
from mainstem.rest.roles import ROLES
from public_api.client import Api


@proves("listRoles", level=3)
def test_roles_are_listed_in_pages_with_ids_that_stay(api: Api) -> None:
    first = api.get("/roles?pagination.count=15").data
    rest = api.get(f"/roles?pagination.count=15&pagination.cursor={first['pagination']['next']}").data
    listed = [*first["roles"], *rest["roles"]]
    assert [(each["id"], each["name"]) for each in listed] == [(role.id, role.name) for role in ROLES]
    assert "next" not in rest["pagination"]
    assert all(each["description"] for each in listed)


def test_who_is_no_owner_sees_no_roles(api: Api) -> None:
    assert api.get("/roles", token=api.member).status == 403
