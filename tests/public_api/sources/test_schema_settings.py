from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import trail

OPEN = {
    "group": {
        "allowTraitsOnViolations": True,
        "allowUnplannedTraits": True,
        "commonEventOnViolations": "ALLOW",
    },
    "identify": {
        "allowTraitsOnViolations": True,
        "allowUnplannedTraits": True,
        "commonEventOnViolations": "ALLOW",
    },
    "track": {
        "allowEventOnViolations": True,
        "allowPropertiesOnViolations": True,
        "allowUnplannedEventProperties": True,
        "allowUnplannedEvents": True,
        "commonEventOnViolations": "ALLOW",
    },
}
# The body that the reference's troubleshooting section prints, `Block` included.
PRINTED = {
    "group": {
        "allowTraitsOnViolations": False,
        "allowUnplannedTraits": False,
        "commonEventOnViolations": "ALLOW",
    },
    "identify": {
        "allowTraitsOnViolations": True,
        "allowUnplannedTraits": True,
        "commonEventOnViolations": "Block",
    },
    "track": {
        "allowEventOnViolations": False,
        "allowPropertiesOnViolations": False,
        "allowUnplannedEventProperties": False,
        "allowUnplannedEvents": False,
        "commonEventOnViolations": "OMIT_PROPERTIES",
    },
}
READ_BACK = PRINTED | {"identify": PRINTED["identify"] | {"commonEventOnViolations": "BLOCK"}}
FORWARDING = ["forwardingViolationsTo", "forwardingBlockedEventsTo"]


@pytest.fixture
def url(api: Api, source: dict[str, Any]) -> str:
    """The path of the source, connected to a tracking plan."""
    plan = api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"}).data["trackingPlan"]
    api.post(f"/tracking-plans/{plan['id']}/sources", {"sourceId": source["id"]})
    return f"/sources/{source['id']}"


@pytest.fixture
def other(api: Api) -> str:
    """The id of a second source."""
    body = {"slug": "other", "enabled": True, "metadataId": "iUM16Md8P2"}
    return str(api.post("/sources", body).data["source"]["id"])


def settings(api: Api, url: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"{url}/settings").data["settings"]
    return found


@proves("listSchemaSettingsInSource", level=3)
def test_everything_is_allowed_at_first(api: Api, source: dict[str, Any], url: str) -> None:
    assert api.get(f"{url}/settings").data == {"sourceId": source["id"], "settings": OPEN}


@proves("updateSchemaSettingsInSource", "listSchemaSettingsInSource", level=3)
def test_the_printed_body_is_accepted_and_comes_back_in_upper_case(
    api: Api, source: dict[str, Any], url: str
) -> None:
    reply = api.patch(f"{url}/settings", PRINTED)
    assert (reply.status, reply.data) == (200, {"sourceId": source["id"], "settings": READ_BACK})
    assert settings(api, url) == READ_BACK


@proves("updateSchemaSettingsInSource", level=3)
def test_a_change_keeps_what_it_does_not_name(api: Api, url: str) -> None:
    api.patch(f"{url}/settings", PRINTED)
    changed = api.patch(f"{url}/settings", {"track": {"allowUnplannedEvents": True}}).data["settings"]
    assert changed == READ_BACK | {"track": PRINTED["track"] | {"allowUnplannedEvents": True}}
    assert api.patch(f"{url}/settings", {}).data["settings"] == changed


@pytest.mark.parametrize("spelling", ["block", "Block", "BLOCK", "bLoCk"])
@pytest.mark.parametrize("block", ["group", "identify", "track"])
def test_the_case_of_an_action_does_not_matter(api: Api, url: str, block: str, spelling: str) -> None:
    changed = api.patch(f"{url}/settings", {block: {"commonEventOnViolations": spelling}}).data["settings"]
    assert changed[block]["commonEventOnViolations"] == "BLOCK"


@pytest.mark.parametrize("action", ["OMIT_TRAITS", "omit_traits", "", "DROP", 1, None, []])
def test_an_action_that_track_does_not_have_is_refused(api: Api, url: str, action: Any) -> None:
    body = {"track": {"commonEventOnViolations": action}}
    reply = api.patch(f"{url}/settings", body)
    assert (reply.status, reply.fields) == (422, ["track.commonEventOnViolations"])
    assert reply.messages == ['"track.commonEventOnViolations" must be one of [ALLOW, BLOCK, OMIT_PROPERTIES]']


def test_only_faults_are_named_beside_an_action_in_mixed_case(api: Api, url: str) -> None:
    reply = api.patch(f"{url}/settings", PRINTED | {"group": {"allowUnplannedTraits": "no"}, "track": []})
    assert (reply.status, reply.fields) == (422, ["group.allowUnplannedTraits", "track"])


@pytest.mark.parametrize("field", FORWARDING)
def test_forwarding_is_set_by_naming_a_source_and_switched_off_by_leaving_it_out(
    api: Api, url: str, other: str, field: str
) -> None:
    assert api.patch(f"{url}/settings", {field: other}).data["settings"] == OPEN | {field: other}
    assert settings(api, url) == OPEN | {field: other}
    assert api.patch(f"{url}/settings", PRINTED).data["settings"] == READ_BACK
    assert settings(api, url) == READ_BACK


def test_one_forwarding_goes_off_while_the_other_stays(api: Api, url: str, other: str) -> None:
    both = dict.fromkeys(FORWARDING, other)
    assert api.patch(f"{url}/settings", both).data["settings"] == OPEN | both
    assert api.patch(f"{url}/settings", {FORWARDING[0]: other}).data["settings"] == OPEN | {FORWARDING[0]: other}


@pytest.mark.parametrize("field", FORWARDING)
@pytest.mark.parametrize("target", ["", None, "nothing", "site", "other", 7, []])
def test_forwarding_without_a_source_is_an_error_on_that_field(
    api: Api, url: str, other: str, field: str, target: Any
) -> None:
    api.patch(f"{url}/settings", {field: other})
    reply = api.patch(f"{url}/settings", PRINTED | {field: target})
    assert (reply.status, reply.fields) == (422, [field])
    assert field in reply.messages[0]
    assert settings(api, url) == OPEN | {field: other}


def test_a_source_does_not_forward_to_itself(api: Api, source: dict[str, Any], url: str) -> None:
    reply = api.patch(f"{url}/settings", dict.fromkeys(FORWARDING, source["id"]))
    assert (reply.status, reply.fields) == (422, FORWARDING)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"track": {"commonEventOnViolations": "BLOCK"}}, "track.commonEventOnViolations"),
        (
            {"track": {"allowUnplannedEvents": False, "allowEventOnViolations": True}},
            "track.allowEventOnViolations",
        ),
        (
            {"identify": {"allowTraitsOnViolations": False}, "group": {"commonEventOnViolations": "Allow"}},
            "group.commonEventOnViolations', 'identify.allowTraitsOnViolations",
        ),
        ({"forwardingViolationsTo": "OTHER"}, "forwardingViolationsTo"),
    ],
)
def test_a_source_without_a_plan_has_no_settings_about_violations(
    api: Api, source: dict[str, Any], other: str, body: dict[str, Any], fields: str
) -> None:
    body = {name: other if value == "OTHER" else value for name, value in body.items()}
    reply = api.patch(f"/sources/{source['id']}/settings", body)
    message = f"Source is not connected to a tracking plan: fields '{fields}' cannot be updated"
    assert (reply.status, reply.messages) == (400, [message])
    assert settings(api, f"/sources/{source['id']}") == OPEN


def test_what_is_unplanned_can_be_settled_before_there_is_a_plan(api: Api, source: dict[str, Any]) -> None:
    body = {
        "track": {"allowUnplannedEvents": False, "allowUnplannedEventProperties": False},
        "identify": {"allowUnplannedTraits": False},
        "group": {"allowUnplannedTraits": False},
    }
    reply = api.patch(f"/sources/{source['id']}/settings", body)
    assert reply.status == 200
    assert reply.data["settings"] == {name: OPEN[name] | changed for name, changed in body.items()}


def test_the_settings_go_back_to_the_defaults_with_the_plan(api: Api, source: dict[str, Any], url: str) -> None:
    api.patch(f"{url}/settings", PRINTED)
    plan_id = api.get(url).data["trackingPlanId"]
    assert api.delete(f"/tracking-plans/{plan_id}/sources?sourceId={source['id']}").status == 200
    assert settings(api, url) == OPEN


def test_a_deleted_source_is_no_target_any_more(api: Api, url: str, other: str) -> None:
    api.patch(f"{url}/settings", dict.fromkeys(FORWARDING, other))
    api.delete(f"/sources/{other}")
    assert settings(api, url) == OPEN
    assert api.patch(f"{url}/settings", {FORWARDING[0]: other}).fields == [FORWARDING[0]]


def test_each_source_has_its_own(api: Api, url: str, other: str) -> None:
    api.patch(f"{url}/settings", PRINTED)
    assert settings(api, f"/sources/{other}") == OPEN


def test_an_unknown_source_is_not_found(api: Api, source: dict[str, Any]) -> None:
    assert api.get("/sources/site/settings").status == 404
    assert api.patch("/sources/site/settings", {}).messages == ["Source with id 'site' not found."]


def test_members_read_and_do_not_write(api: Api, url: str) -> None:
    assert api.get(f"{url}/settings", token=api.member).data["settings"] == OPEN
    assert api.patch(f"{url}/settings", {}, token=api.member).status == 403


def test_a_change_is_in_the_audit_trail_once(api: Api, url: str) -> None:
    for _ in range(2):
        assert api.patch(f"{url}/settings", {"track": {"allowUnplannedEvents": False}}).status == 200
    assert trail(api)[-1] == "Source Settings Modified"
    assert trail(api).count("Source Settings Modified") == 1
