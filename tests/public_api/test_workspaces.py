from contract.proves import proves
from public_api.client import Api


@proves("getWorkspace", level=3)
def test_a_token_shows_the_workspace_that_it_belongs_to(api: Api) -> None:
    shown = api.get("/").data
    assert shown == {"workspace": {"id": api.workspace.id, "slug": "acme", "name": "Acme"}}


def test_members_may_see_the_workspace(api: Api) -> None:
    assert api.get("/", token=api.member).data["workspace"]["slug"] == "acme"


def test_nobody_sees_a_workspace_without_a_token(api: Api) -> None:
    reply = api.get("/", token="")
    assert (reply.status, reply.body["errors"][0]["type"]) == (401, "unauthorized")
