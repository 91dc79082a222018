"""Functions: what comes back, what is refused, what runs."""

from __future__ import annotations

from typing import Any

import pytest

from contract.proves import proves
from mainstem.model.snapshot import FunctionConfig
from public_api.client import Api
from public_api.connections import new_source, published, trail
from public_api.functions.making import (
    DROP,
    PASS_ON,
    deployed,
    get_function,
    new_function,
    new_instance,
    post_destination,
    post_function,
    post_source,
    setting,
    token_of_another_workspace,
)

KINDS = {"SOURCE": "sfnc_", "DESTINATION": "dfn_", "INSERT_DESTINATION": "ifnd_", "INSERT_SOURCE": "ifns_"}


class TestCreate:
    @proves("createFunction", "getFunction", level=3)
    @pytest.mark.parametrize(("kind", "prefix"), KINDS.items())
    def test_a_function_comes_back_as_it_was_sent(self, api: Api, kind: str, prefix: str) -> None:
        definitions = [setting(), setting("names", type="ARRAY", required=True, sensitive=True)]
        function = new_function(
            api,
            kind,
            displayName="Mine",
            settings=definitions,
            description="what for",
            logoUrl="https://x.test/l.png",
        )
        assert function["id"].startswith(prefix)
        assert function["displayName"] == ("Mine" if kind == "SOURCE" else "Mine (Acme)")
        assert {name: function[name] for name in ("code", "description", "logoUrl", "resourceType", "settings")} == {
            "code": PASS_ON,
            "description": "what for",
            "logoUrl": "https://x.test/l.png",
            "resourceType": kind,
            "settings": definitions,
        }
        assert (function["previewWebhookUrl"], function["batchMaxCount"]) == ("", 0)
        assert function["createdAt"] == "2026-03-10T12:00:00.000Z"
        assert function["createdBy"]
        assert get_function(api, function) == function

    def test_what_was_not_sent_is_absent_and_settings_are_a_list(self, api: Api) -> None:
        for more in ({}, {"description": None, "logoUrl": None, "settings": None}):
            function = new_function(api, **more)
            assert function.keys().isdisjoint({"description", "logoUrl"})
            assert function["settings"] == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_all_but_source_functions_run_at_once(self, api: Api, kind: str) -> None:
        function = new_function(api, kind)
        if kind == "SOURCE":
            assert (function["deployedAt"], function["isLatestVersion"]) == (None, False)
            assert deployed(api, function) is None
        else:
            assert (function["deployedAt"], function["isLatestVersion"]) == (function["createdAt"], True)
            (version,) = api.get(f"/functions/{function['id']}/versions").data["versions"]
            assert deployed(api, function) == FunctionConfig(function["id"], version["id"], kind, PASS_ON)

    @pytest.mark.parametrize(
        ("code", "where"),
        [
            ("async function onTrack(event) {\n  return event +\n}", "line 3, column 1"),
            ("let a = 1;\nlet a = 2;", "line 2, column"),
            ("import fs from 'fs'", "line 1"),
        ],
    )
    def test_a_syntax_error_is_named_with_line_and_column(self, api: Api, code: str, where: str) -> None:
        reply = post_function(api, code=code)
        assert (reply.status, reply.fields) == (422, ["code"])
        assert '"code" is not valid JavaScript' in reply.messages[0]
        assert where in reply.messages[0]
        assert api.get("/functions?resourceType=DESTINATION").data["functions"] == []

    def test_the_size_of_code_is_bounded(self, api: Api) -> None:
        longest = "//" + "x" * (256 * 1024 - 2)
        assert post_function(api, code=longest).status == 200
        for code in (longest + "x", ""):
            reply = post_function(api, code=code)
            assert (reply.status, reply.fields) == (422, ["code"])

    def test_every_missing_field_is_named(self, api: Api) -> None:
        reply = api.post("/functions", {})
        assert (reply.status, set(reply.fields)) == (422, {"code", "displayName", "resourceType"})

    @pytest.mark.parametrize(
        ("fault", "field"),
        [
            ({"resourceType": "INSERT_TRANSFORMATION"}, "resourceType"),
            ({"resourceType": "OTHER"}, "resourceType"),
            ({"displayName": "n" * 121}, "displayName"),
            ({"displayName": ""}, "displayName"),
            ({"settings": [setting(), setting()]}, "settings[1].name"),
            ({"settings": [setting(type="NUMBER")]}, "settings[0].type"),
            ({"settings": [setting(name="")]}, "settings[0].name"),
            ({"settings": [{"name": "apiKey"}]}, "settings[0].label"),
            ({"settings": [setting(f"s{number}") for number in range(101)]}, "settings"),
        ],
    )
    def test_what_does_not_fit_is_named(self, api: Api, fault: dict[str, Any], field: str) -> None:
        reply = api.post("/functions", {"code": PASS_ON, "displayName": "F", "resourceType": "DESTINATION"} | fault)
        assert reply.status == 422
        assert field in reply.fields

    def test_a_name_of_120_characters_fits_with_the_suffix_that_replies_add(self, api: Api) -> None:
        name = "n" * 120
        assert new_function(api, displayName=name)["displayName"] == f"{name} (Acme)"
        assert new_function(api, displayName=f"{name} (Acme)")["displayName"] == f"{name} (Acme)"
        assert new_function(api, "SOURCE", displayName="F (Acme)")["displayName"] == "F (Acme)"

    def test_a_workspace_has_at_most_25_functions(self, api: Api) -> None:
        for number in range(25):
            assert post_function(api, sorted(KINDS)[number % 4], code="0").status == 200
        reply = post_function(api, "SOURCE")
        assert (reply.status, reply.messages) == (400, ["A workspace has at most 25 functions."])


class TestList:
    @proves("listFunctions", level=3)
    def test_functions_of_one_kind_are_listed_without_code_and_settings(self, api: Api) -> None:
        first, second = (new_function(api, displayName=name, settings=[setting()]) for name in ("A", "B"))
        new_function(api, "SOURCE")
        data = api.get("/functions?resourceType=DESTINATION&pagination.count=1").data
        assert [each["id"] for each in data["functions"]] == [first["id"]]
        assert data["functions"][0].keys() == {
            "id", "resourceType", "createdAt", "createdBy", "displayName", "catalogId",
        }  # fmt: skip
        assert data["functions"][0]["displayName"] == "A (Acme)"
        cursor = data["pagination"]["next"]
        rest = api.get(f"/functions?resourceType=DESTINATION&pagination.count=1&pagination.cursor={cursor}").data
        assert [each["id"] for each in rest["functions"]] == [second["id"]]
        assert "next" not in rest["pagination"]

    def test_the_kind_must_be_named(self, api: Api) -> None:
        reply = api.get("/functions")
        assert (reply.status, reply.fields) == (422, ["resourceType"])
        assert api.get("/functions?resourceType=OTHER").fields == ["resourceType"]
        assert api.get("/functions?resourceType=INSERT_TRANSFORMATION").data["functions"] == []


class TestUpdate:
    @proves("updateFunction", level=3)
    def test_what_is_sent_changes_and_the_rest_stays(self, api: Api) -> None:
        before = new_function(api, settings=[setting()], description="old", logoUrl="l")
        path = f"/functions/{before['id']}"
        assert api.patch(path, {"displayName": "G"}).data["function"] == before | {"displayName": "G (Acme)"}
        after = api.patch(path, {"settings": [setting("b")], "description": None}).data["function"]
        expected = {**before, "displayName": "G (Acme)", "settings": [setting("b")]}
        del expected["description"]
        assert after == expected == get_function(api, before)
        assert api.patch(path, {"settings": []}).data["function"]["settings"] == []

    def test_the_name_that_was_read_back_can_be_sent_again(self, api: Api) -> None:
        function = new_function(api)
        body = {"displayName": function["displayName"], "code": function["code"], "settings": function["settings"]}
        assert api.patch(f"/functions/{function['id']}", body).data["function"] == function

    def test_new_code_of_a_destination_function_runs_at_once(self, api: Api) -> None:
        function = new_function(api)
        before = deployed(api, function)
        api.pass_time(minutes=1)
        after = api.patch(f"/functions/{function['id']}", {"code": DROP}).data["function"]
        assert (after["code"], after["deployedAt"]) == (DROP, "2026-03-10T12:01:00.000Z")
        running = deployed(api, function)
        assert before
        assert running
        assert (running.code, running.version != before.version) == (DROP, True)

    def test_new_code_of_a_source_function_waits_for_its_deployment(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        assert api.post(f"/functions/{function['id']}/deploy").status == 200
        after = api.patch(f"/functions/{function['id']}", {"code": DROP}).data["function"]
        assert (after["code"], after["isLatestVersion"]) == (DROP, False)
        running = deployed(api, function)
        assert running
        assert running.code == PASS_ON

    def test_code_that_does_not_parse_changes_nothing(self, api: Api) -> None:
        function = new_function(api)
        reply = api.patch(f"/functions/{function['id']}", {"code": "function (", "displayName": "G"})
        assert (reply.status, reply.fields) == (422, ["code"])
        assert get_function(api, function) == function

    def test_code_that_nothing_can_check_is_not_taken(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        from mainstem import sandbox
        from mainstem.errors import SandboxUnavailable

        def missing(_source: str) -> None:
            raise SandboxUnavailable("Deno is missing")

        monkeypatch.setattr(sandbox, "check", missing)
        assert post_function(api).status == 503


class TestDeploy:
    @proves("createFunctionDeployment", level=4)
    def test_a_source_function_runs_once_it_is_deployed(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        api.pass_time(minutes=1)
        reply = api.post(f"/functions/{function['id']}/deploy")
        assert reply.data == {"functionDeployment": {"status": "SUCCESS"}}
        after = get_function(api, function)
        assert (after["deployedAt"], after["isLatestVersion"]) == ("2026-03-10T12:01:00.000Z", True)
        running = deployed(api, function)
        assert running
        assert (running.kind, running.code) == ("SOURCE", PASS_ON)

    def test_an_instance_is_deployed_by_the_id_of_its_source(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        source_id = post_source(api, function).data["source"]["id"]
        api.patch(f"/functions/{function['id']}", {"code": DROP})
        assert api.post(f"/functions/sfn_{source_id}/deploy").status == 200
        running = deployed(api, function)
        assert running
        assert running.code == DROP

    @pytest.mark.parametrize("kind", ["DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE"])
    def test_functions_of_other_kinds_are_not_deployed_by_it(self, api: Api, kind: str) -> None:
        reply = api.post(f"/functions/{new_function(api, kind)['id']}/deploy")
        assert reply.status == 400
        assert "Only source functions" in reply.messages[0]

    def test_an_unknown_function_or_instance_is_not_found(self, api: Api) -> None:
        other = new_source(api)
        for unknown in ("sfnc_none", "sfn_none", f"sfn_{other}"):
            reply = api.post(f"/functions/{unknown}/deploy")
            assert (reply.status, reply.messages) == (404, [f"Function with id '{unknown}' not found."])


class TestDelete:
    @proves("deleteFunction", level=4)
    def test_a_deleted_function_is_gone_for_good(self, api: Api) -> None:
        function = new_function(api)
        assert api.delete(f"/functions/{function['id']}").data == {"status": "SUCCESS"}
        assert deployed(api, function) is None
        for reply in (
            api.get(f"/functions/{function['id']}"),
            api.delete(f"/functions/{function['id']}"),
            api.get(f"/functions/{function['id']}/versions"),
        ):
            assert (reply.status, reply.messages) == (404, [f"Function with id '{function['id']}' not found."])

    def test_a_function_in_use_stays(self, api: Api) -> None:
        source_id = new_source(api)
        as_destination, as_source = new_function(api), new_function(api, "SOURCE")
        inserted = new_function(api, "INSERT_SOURCE")
        destination_id = post_destination(api, source_id, as_destination).data["destination"]["id"]
        made_source_id = post_source(api, as_source).data["source"]["id"]
        instance_id = new_instance(api, inserted, source_id)["id"]
        for function, used_by, path in (
            (as_destination, f"destination {destination_id}", f"/destinations/{destination_id}"),
            (as_source, f"source {made_source_id}", f"/sources/{made_source_id}"),
            (inserted, f"insert function instance {instance_id}", f"/insert-function-instances/{instance_id}"),
        ):
            reply = api.delete(f"/functions/{function['id']}")
            assert reply.status == 409
            assert used_by in reply.messages[0]
            assert api.delete(path).status == 200
            assert api.delete(f"/functions/{function['id']}").status == 200

    def test_only_some_of_many_uses_are_named(self, api: Api) -> None:
        function, source_id = new_function(api), new_source(api)
        for number in range(5):
            assert post_destination(api, source_id, function, name=str(number)).status == 200
        assert "2 more" in api.delete(f"/functions/{function['id']}").messages[0]


class TestEverywhere:
    def test_a_member_reads_and_changes_nothing(self, api: Api) -> None:
        function = new_function(api)
        path = f"/functions/{function['id']}"
        assert api.get(path, token=api.member).data["function"]["code"] == PASS_ON
        assert api.get("/functions?resourceType=SOURCE", token=api.member).status == 200
        for reply in (
            api.post("/functions", {"code": "0", "displayName": "F", "resourceType": "SOURCE"}, token=api.member),
            api.patch(path, {"code": "0"}, token=api.member),
            api.post(f"{path}/deploy", token=api.member),
            api.delete(path, token=api.member),
        ):
            assert reply.status == 403
            assert "Function Admin" in reply.messages[0]

    def test_changes_are_in_the_audit_trail(self, api: Api) -> None:
        function = new_function(api, "SOURCE")
        path = f"/functions/{function['id']}"
        api.patch(path, {"code": DROP})
        api.patch(path, {"code": DROP})
        api.post(f"{path}/deploy")
        api.delete(path)
        new_function(api, "INSERT_SOURCE")
        verbs = ("Created", "Modified", "Deployed", "Deleted")
        assert trail(api) == [f"Source Function {verb}" for verb in verbs] + ["Insert Source Function Created"]

    def test_functions_of_another_workspace_do_not_exist(self, api: Api) -> None:
        function = new_function(api)
        elsewhere = token_of_another_workspace(api)
        assert api.get(f"/functions/{function['id']}", token=elsewhere).status == 404
        assert api.get("/functions?resourceType=DESTINATION", token=elsewhere).data["functions"] == []
        source = api.post(
            "/sources", {"slug": "s", "enabled": True, "metadataId": "iUM16Md8P2"}, token=elsewhere
        ).data["source"]
        body = {"sourceId": source["id"], "metadataId": function["catalogId"], "settings": {}}
        assert api.post("/destinations", body, token=elsewhere).fields == ["metadataId"]

    def test_a_change_of_settings_is_seen_by_every_source_it_concerns(self, api: Api) -> None:
        function, source_id = new_function(api), new_source(api)
        post_destination(api, source_id, function)
        api.patch(f"/functions/{function['id']}", {"displayName": "G"})
        assert [each.name for each in published(api, source_id).destinations] == ["G (Acme)"]
