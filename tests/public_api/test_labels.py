from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api


def test_a_workspace_starts_with_the_two_default_labels(api: Api) -> None:
    labels = api.get("/labels").data["labels"]
    assert [(label["key"], label["value"]) for label in labels] == [("environment", "dev"), ("environment", "prod")]


@proves("createLabel", "listLabels", level=3)
def test_a_label_is_created_and_listed(api: Api) -> None:
    reply = api.post("/labels", {"label": {"key": "team", "value": "web", "description": "the web team"}})
    assert reply.status == 201
    assert reply.data == {"label": {"key": "team", "value": "web", "description": "the web team"}}
    assert api.get("/labels").data["labels"][-1] == reply.data["label"]


def test_a_second_label_of_the_same_pair_is_a_conflict(api: Api) -> None:
    reply = api.post("/labels", {"label": {"key": "environment", "value": "dev"}})
    assert (reply.status, reply.messages) == (409, ["Label environment:dev already exists."])


def test_a_label_with_a_blank_is_refused_naming_the_field(api: Api) -> None:
    reply = api.post("/labels", {"label": {"key": "my team"}})
    assert reply.status == 422
    assert sorted(reply.fields) == ["label.key", "label.value"]


@proves("deleteLabel", level=3)
def test_a_deleted_label_is_gone_and_a_second_delete_finds_nothing(api: Api) -> None:
    assert api.delete("/labels/environment/dev").data == {"status": "SUCCESS"}
    assert api.delete("/labels/environment/dev").status == 404


def test_members_may_not_create_labels(api: Api) -> None:
    body = {"label": {"key": "a", "value": "b"}}
    assert api.post("/labels", body, token=api.member).status == 403


def test_creating_and_deleting_a_label_is_in_the_audit_trail(api: Api) -> None:
    api.post("/labels", {"label": {"key": "team", "value": "web"}})
    api.delete("/labels/team/web")
    events = api.get("/audit-events").data["events"]
    assert [event["type"] for event in events] == ["Label Deleted", "Label Created"]
    assert {event["resourceId"] for event in events} == {"team:web"}


def test_a_label_with_a_line_break_at_its_end_is_refused(api: Api) -> None:
    reply = api.post("/labels", {"label": {"key": "team\n", "value": "web"}})
    assert (reply.status, reply.fields) == (422, ["label.key"])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, {}),
        ({"description": None}, {}),
        ({"description": ""}, {"description": ""}),
        ({"description": " "}, {"description": " "}),
    ],
)
def test_a_description_is_kept_as_it_was_sent(api: Api, sent: dict[str, Any], shown: dict[str, str]) -> None:
    label = {"key": "team", "value": "web"}
    created = api.post("/labels", {"label": label | sent}).data["label"]
    assert created == label | shown
    assert api.get("/labels").data["labels"][-1] == created
