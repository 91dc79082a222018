"""Versions: one for each change of the code, the way back, and what runs meanwhile."""

from __future__ import annotations

from typing import Any

from contract.proves import proves
from public_api.client import Api
from public_api.functions.making import DROP, PASS_ON, deployed, get_function, new_function


def versions(api: Api, function: dict[str, Any]) -> list[dict[str, Any]]:
    """Versions, the newest first."""
    listed: list[dict[str, Any]] = api.get(f"/functions/{function['id']}/versions").data["versions"]
    return listed


@proves("listFunctionVersions", "getFunctionVersion", level=3)
def test_each_change_of_the_code_makes_a_version(api: Api) -> None:
    function = new_function(api)
    path = f"/functions/{function['id']}"
    api.pass_time(minutes=1)
    for body in ({"code": DROP}, {"code": DROP}, {"displayName": "G"}):
        assert api.patch(path, body).status == 200
    newest, oldest = versions(api, function)
    assert oldest == {
        "id": oldest["id"],
        "author": function["createdBy"],
        "code": PASS_ON,
        "isDeployed": False,
        "createdAt": "2026-03-10T12:00:00.000Z",
        "updatedAt": "2026-03-10T12:00:00.000Z",
        "deployedAt": "2026-03-10T12:00:00.000Z",
    }
    assert (newest["code"], newest["isDeployed"], newest["createdAt"]) == (DROP, True, "2026-03-10T12:01:00.000Z")
    for version in (newest, oldest):
        assert api.get(f"{path}/versions/{version['id']}").data == {"version": version}


def test_versions_are_listed_by_pages(api: Api) -> None:
    function = new_function(api)
    for number in range(3):
        api.patch(f"/functions/{function['id']}", {"code": f"{number}"})
    path = f"/functions/{function['id']}/versions"
    first = api.get(f"{path}?pagination.count=3").data
    assert [each["code"] for each in first["versions"]] == ["2", "1", "0"]
    last = api.get(f"{path}?pagination.count=3&pagination.cursor={first['pagination']['next']}").data
    assert [each["code"] for each in last["versions"]] == [PASS_ON]


def test_a_version_that_never_ran_has_no_time_of_deployment(api: Api) -> None:
    (version,) = versions(api, new_function(api, "SOURCE"))
    assert version["isDeployed"] is False
    assert "deployedAt" not in version


@proves("restoreFunctionVersion", level=4)
def test_a_restored_version_is_the_newest_and_runs_only_once_deployed(api: Api) -> None:
    function = new_function(api, "SOURCE")
    path = f"/functions/{function['id']}"
    api.patch(path, {"code": DROP})
    api.post(f"{path}/deploy")
    oldest = versions(api, function)[-1]
    restored = api.post(f"{path}/versions", {"versionId": oldest["id"]}).data["version"]
    assert (restored["code"], restored["isDeployed"], restored["id"] != oldest["id"]) == (PASS_ON, False, True)
    assert [each["code"] for each in versions(api, function)] == [PASS_ON, DROP, PASS_ON]
    after = get_function(api, function)
    assert (after["code"], after["isLatestVersion"]) == (PASS_ON, False)
    assert getattr(deployed(api, function), "code", None) == DROP
    api.post(f"{path}/deploy")
    assert getattr(deployed(api, function), "version", None) == restored["id"]
    assert get_function(api, function)["isLatestVersion"] is True


def test_an_update_deploys_what_was_restored_of_a_destination_function(api: Api) -> None:
    function = new_function(api)
    path = f"/functions/{function['id']}"
    api.patch(path, {"code": DROP})
    api.post(f"{path}/versions", {"versionId": versions(api, function)[-1]["id"]})
    assert get_function(api, function)["isLatestVersion"] is False
    assert getattr(deployed(api, function), "code", None) == DROP
    assert api.patch(path, {"code": PASS_ON}).data["function"]["isLatestVersion"] is True
    assert getattr(deployed(api, function), "code", None) == PASS_ON


def test_versions_of_other_functions_are_not_found(api: Api) -> None:
    function, other = new_function(api), new_function(api)
    (version,) = versions(api, other)
    path = f"/functions/{function['id']}/versions"
    for reply in (api.get(f"{path}/{version['id']}"), api.post(path, {"versionId": version["id"]})):
        assert (reply.status, reply.messages) == (404, [f"Function version with id '{version['id']}' not found."])
    assert api.post(path, {}).fields == ["versionId"]
    assert api.get("/functions/dfn_none/versions").status == 404


def test_a_member_reads_versions_and_restores_none(api: Api) -> None:
    function = new_function(api)
    path = f"/functions/{function['id']}/versions"
    (version,) = api.get(path, token=api.member).data["versions"]
    assert api.post(path, {"versionId": version["id"]}, token=api.member).status == 403
