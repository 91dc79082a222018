import re
from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api, Reply

JAVASCRIPT = "IqDTy1TpoU"
VERSIONS = ["v1", "v1beta", "v1alpha"]


def create(api: Api, slug: str = "site", **more: Any) -> Reply:
    return api.post("/sources", {"slug": slug, "enabled": True, "metadataId": JAVASCRIPT} | more)


def trail(api: Api) -> list[str]:
    """Types of the audit events, the oldest first."""
    return [event["type"] for event in reversed(api.get("/audit-events").data["events"])]


class TestCreate:
    @proves("createSource", level=3)
    def test_a_source_has_a_write_key_and_is_named_after_its_slug(self, api: Api) -> None:
        reply = create(api)
        assert reply.status == 201
        source = reply.data["source"]
        assert re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{22}", source["id"])
        (write_key,) = source["writeKeys"]
        assert re.fullmatch(r"[0-9A-Za-z]{32}", write_key)
        assert (source["slug"], source["name"], source["enabled"]) == ("site", "site", True)
        assert (source["settings"], source["labels"]) == ({}, [])
        assert source["workspaceId"] == api.workspace.id
        assert source["metadata"] == api.get(f"/catalog/sources/{JAVASCRIPT}").data["sourceMetadata"]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_every_version_takes_a_name(self, api: Api, version: str) -> None:
        accept = {"accept": f"application/vnd.segment.{version}+json"}
        body = {"slug": "site", "enabled": True, "metadataId": JAVASCRIPT, "name": "My site"}
        assert api.post("/sources", body, headers=accept).data["source"]["name"] == "My site"

    def test_a_name_of_null_is_the_slug(self, api: Api) -> None:
        assert create(api, name=None).data["source"]["name"] == "site"

    def test_settings_that_no_option_names_are_stored(self, api: Api) -> None:
        settings = {"website_url": "https://example.com", "own": {"list": [1, 2.5, None, True], "text": "é"}}
        source = create(api, settings=settings).data["source"]
        assert source["settings"] == settings
        assert api.get(f"/sources/{source['id']}").data["source"]["settings"] == settings

    def test_an_empty_body_is_told_every_missing_field(self, api: Api) -> None:
        reply = api.post("/sources", {})
        assert reply.status == 422
        assert reply.messages == ['"slug" is required', '"enabled" is required', '"metadataId" is required']
        assert reply.fields == ["slug", "enabled", "metadataId"]

    @pytest.mark.parametrize("slug", ["", "My-Site", "my site", "site/1", "sité", "site\n", "a" * 256, 5, None])
    def test_a_slug_of_other_characters_is_refused(self, api: Api, slug: Any) -> None:
        reply = create(api, slug)
        assert (reply.status, reply.fields) == (422, ["slug"])

    @pytest.mark.parametrize("slug", ["a", "my_source-2", "2024"])
    def test_a_slug_of_lower_case_letters_digits_and_dashes_is_taken(self, api: Api, slug: str) -> None:
        assert create(api, slug).data["source"]["slug"] == slug

    def test_an_unknown_metadata_id_is_named(self, api: Api) -> None:
        reply = create(api, metadataId="javascript")
        assert (reply.status, reply.fields) == (422, ["metadataId"])

    def test_a_second_source_of_the_same_slug_is_a_conflict_naming_it(self, api: Api) -> None:
        create(api)
        reply = create(api)
        assert (reply.status, reply.fields) == (409, ["slug"])
        assert reply.messages == ["A source with slug 'site' already exists."]
        assert len(api.get("/sources").data["sources"]) == 1

    def test_names_may_repeat(self, api: Api) -> None:
        assert [create(api, slug, name="Site").status for slug in ("one", "two")] == [201, 201]

    def test_an_integer_that_cannot_be_kept_exactly_is_refused(self, api: Api) -> None:
        reply = create(api, settings={"big": 2**70})
        assert (reply.status, reply.fields) == (422, ["settings.big"])

    def test_members_may_not_create_sources(self, api: Api) -> None:
        body = {"slug": "site", "enabled": True, "metadataId": JAVASCRIPT}
        assert api.post("/sources", body, token=api.member).status == 403

    def test_it_is_in_the_audit_trail(self, api: Api) -> None:
        source = create(api, name="My site").data["source"]
        (event,) = api.get("/audit-events").data["events"]
        assert event["type"] == "Source Created"
        named = (event["resourceId"], event["resourceType"], event["resourceName"])
        assert named == (source["id"], "SOURCE", "My site")

    def test_settings_lie_sealed_in_their_row(self, api: Api) -> None:
        create(api, settings={"note": "mark-of-the-plain-text"})
        with api.database.transaction(writes=False) as db:
            rows = db.exec_driver_sql("SELECT settings FROM sources UNION ALL SELECT body FROM published").all()
        assert len(rows) == 2
        assert not any(b"mark-of-the-plain-text" in row[0] for row in rows)


class TestRead:
    @proves("getSource", level=3)
    def test_a_source_comes_back_as_it_was_created(self, api: Api, source: dict[str, Any], url: str) -> None:
        assert api.get(url).data == {"source": source, "trackingPlanId": None}

    @pytest.mark.parametrize("version", VERSIONS)
    def test_the_tracking_plan_is_null_rather_than_absent(self, api: Api, url: str, version: str) -> None:
        reply = api.get(url, headers={"accept": f"application/vnd.segment.{version}+json"})
        assert reply.data["trackingPlanId"] is None

    def test_a_slug_is_no_id(self, api: Api, source: dict[str, Any]) -> None:
        reply = api.get("/sources/site")
        assert (reply.status, reply.messages) == (404, ["Source with id 'site' not found."])

    def test_members_see_no_write_keys(self, api: Api, source: dict[str, Any], url: str) -> None:
        hidden = source | {"writeKeys": []}
        assert api.get(url, token=api.member).data["source"] == hidden
        assert api.get("/sources", token=api.member).data["sources"] == [hidden]

    @proves("listSources", level=3)
    def test_a_list_is_in_order_of_creation(self, api: Api) -> None:
        created = [create(api, slug).data["source"] for slug in ("zebra", "ant", "mole")]
        api.patch(f"/sources/{created[0]['id']}", {"slug": "bee"})
        listed = api.get("/sources").data["sources"]
        assert [source["slug"] for source in listed] == ["bee", "ant", "mole"]
        assert listed[1:] == created[1:]

    @proves("listSources", level=3)
    def test_the_first_of_two_pages_has_a_next_and_the_last_has_none(self, api: Api) -> None:
        for slug in ("one", "two"):
            create(api, slug)
        first = api.get("/sources?pagination.count=1").data
        assert first["pagination"].keys() == {"current", "next", "totalEntries"}
        assert first["pagination"]["totalEntries"] == 2
        last = api.get(f"/sources?pagination.count=1&pagination.cursor={first['pagination']['next']}").data
        assert last["pagination"].keys() == {"current", "previous", "totalEntries"}
        assert [page["sources"][0]["slug"] for page in (first, last)] == ["one", "two"]

    @pytest.mark.parametrize(
        "query",
        [
            "pagination%5Bcount%5D=1&pagination%5Bcursor%5D=MA%3D%3D",
            "pagination=%7B%22count%22%3A%201%7D",
            "pagination.count=1",
        ],
    )
    def test_every_client_gets_the_same_first_page(self, api: Api, query: str) -> None:
        for slug in ("one", "two"):
            create(api, slug)
        assert [source["slug"] for source in api.get(f"/sources?{query}").data["sources"]] == ["one"]

    @pytest.mark.parametrize("count", ["0", "1001", "abc"])
    def test_a_count_out_of_bounds_is_refused(self, api: Api, count: str) -> None:
        reply = api.get(f"/sources?pagination.count={count}")
        assert (reply.status, reply.fields) == (422, ["pagination.count"])

    def test_another_workspace_sees_nothing_of_it(self, api: Api, source: dict[str, Any], url: str) -> None:
        with api.database.transaction(writes=True) as db:
            db.exec_driver_sql("UPDATE sources SET workspace_id = 'another'")
        assert api.get(url).status == 404
        assert api.get("/sources").data["sources"] == []
        assert create(api).status == 201  # a slug is unique in its workspace alone


class TestUpdate:
    @proves("updateSource", level=3)
    def test_what_is_sent_changes_and_the_rest_stays(self, api: Api, source: dict[str, Any], url: str) -> None:
        changed = api.patch(url, {"name": "My site", "enabled": False}).data["source"]
        assert changed == source | {"name": "My site", "enabled": False}
        assert api.get(url).data["source"] == changed

    def test_settings_merge_and_null_deletes(self, api: Api, url: str) -> None:
        steps = [{"a": 1}, {"b": 2}, {"a": None}]
        after = [api.patch(url, {"settings": step}).data["source"]["settings"] for step in steps]
        assert after == [{"a": 1}, {"a": 1, "b": 2}, {"b": 2}]

    def test_every_kind_of_value_comes_back_equal(self, api: Api, url: str) -> None:
        settings = {"text": "é\u0000", "int": 2**63, "float": 0.05, "yes": True, "list": [{"a": None}], "empty": ""}
        assert api.patch(url, {"settings": settings}).data["source"]["settings"] == settings

    def test_a_deeply_nested_setting_is_refused(self, api: Api, url: str) -> None:
        raw = b'{"settings": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}"
        reply = api.patch(url, raw=raw)
        assert (reply.status, reply.fields) == (422, ["settings.a"])

    @pytest.mark.parametrize("body", [None, {}, {"settings": {}}, {"unknown": 1}, {"slug": "site", "enabled": True}])
    def test_a_body_that_changes_nothing_leaves_the_source_alone(
        self, api: Api, source: dict[str, Any], url: str, body: Any
    ) -> None:
        assert api.patch(url, body).data["source"] == source
        assert trail(api) == ["Source Created"]

    def test_a_slug_that_is_taken_is_a_conflict(self, api: Api, url: str) -> None:
        create(api, "other")
        reply = api.patch(url, {"slug": "other", "enabled": False})
        assert (reply.status, reply.fields) == (409, ["slug"])
        assert api.get(url).data["source"]["enabled"] is True

    def test_a_name_of_null_goes_back_to_the_slug(self, api: Api, url: str) -> None:
        api.patch(url, {"name": "My site"})
        assert api.patch(url, {"name": None}).data["source"]["name"] == "site"

    def test_all_faults_are_told_at_once(self, api: Api, url: str) -> None:
        reply = api.patch(url, {"name": "", "enabled": None, "slug": "A", "settings": []})
        assert (reply.status, sorted(reply.fields)) == (422, ["enabled", "name", "settings", "slug"])

    @pytest.mark.parametrize(
        ("body", "events"),
        [
            ({"enabled": False}, ["Source Disabled"]),
            ({"name": "My site"}, ["Source Modified"]),
            ({"slug": "page"}, ["Source Modified"]),
            ({"settings": {"a": 1}}, ["Source Settings Modified"]),
            ({"settings": {"a": None}}, []),
            ({"enabled": True, "name": "site", "settings": {}}, []),
            (
                {"enabled": False, "name": "n", "settings": {"a": 1}},
                ["Source Modified", "Source Disabled", "Source Settings Modified"],
            ),
        ],
    )
    @proves("updateSource", level=3)
    def test_the_audit_trail_says_what_really_changed(
        self, api: Api, url: str, body: dict[str, Any], events: list[str]
    ) -> None:
        api.patch(url, body)
        assert trail(api) == ["Source Created", *events]

    def test_a_source_that_is_switched_on_again_is_in_the_trail(self, api: Api, url: str) -> None:
        for enabled in (False, True):
            api.patch(url, {"enabled": enabled})
        assert trail(api) == ["Source Created", "Source Disabled", "Source Enabled"]

    def test_members_may_not_change_a_source(self, api: Api, url: str) -> None:
        assert api.patch(url, {"enabled": False}, token=api.member).status == 403


class TestDelete:
    @proves("deleteSource", level=3)
    def test_a_deleted_source_is_gone_and_a_second_delete_finds_nothing(self, api: Api, url: str) -> None:
        assert api.delete(url).data == {"status": "SUCCESS"}
        assert api.get(url).status == 404
        assert api.get("/sources").data["sources"] == []
        assert api.delete(url).status == 404
        assert trail(api) == ["Source Created", "Source Deleted"]

    @proves("deleteSource", level=4)
    def test_everything_that_hangs_on_a_source_goes_with_it(self, api: Api, source: dict[str, Any], url: str) -> None:
        kept = create(api, "kept").data["source"]
        for each in (source, kept):
            furnish(api, each["id"])
        api.patch(f"/sources/{kept['id']}/settings", {"forwardingViolationsTo": source["id"]})
        before = counts(api)
        api.delete(url)
        assert counts(api) == {table: rows // 2 for table, rows in before.items()}
        assert "forwardingViolationsTo" not in api.get(f"/sources/{kept['id']}/settings").data["settings"]
        assert api.get(f"/sources/{kept['id']}").data["source"] == kept | {
            "labels": [{"key": "environment", "value": "dev"}]
        }
        assert api.delete("/labels/environment/dev").status == 409
        api.delete(f"/sources/{kept['id']}")
        assert set(counts(api).values()) == {0}
        assert api.delete("/labels/environment/dev").status == 200

    def test_its_slug_is_free_again(self, api: Api, source: dict[str, Any], url: str) -> None:
        api.delete(url)
        again = create(api).data["source"]
        assert again["id"] != source["id"]
        assert set(again["writeKeys"]).isdisjoint(source["writeKeys"])

    def test_members_may_not_delete_a_source(self, api: Api, url: str) -> None:
        assert api.delete(url, token=api.member).status == 403


def furnish(api: Api, source_id: str) -> None:
    """Give a source a destination with a filter, a label and schema settings."""
    hooks = {"hooks": [{"hook": "https://example.com/hook"}]}
    body = {"sourceId": source_id, "metadataId": "54521fdc25e721e32a72ef04", "settings": hooks}
    destination = api.post("/destinations", body).data["destination"]
    rule = {
        "sourceId": source_id,
        "if": "type = 'track'",
        "actions": [{"type": "DROP"}],
        "title": "t",
        "enabled": True,
    }
    assert api.post(f"/destination/{destination['id']}/filters", rule).status == 200
    api.post(f"/sources/{source_id}/labels", {"labels": [{"key": "environment", "value": "dev"}]})
    api.patch(f"/sources/{source_id}/settings", {"track": {"allowUnplannedEvents": False}})


def counts(api: Api) -> dict[str, int]:
    """Rows in each table that belongs to sources."""
    tables = ["sources", "write_keys", "source_labels", "schema_settings", "destinations", "destination_filters"]
    with api.database.transaction(writes=False) as db:
        return {table: db.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() for table in tables}
