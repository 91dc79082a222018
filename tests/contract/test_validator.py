"""The validator finds what it is there to find, and lets through what the contract allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.validator import check_reply, find_operation, published, response_validator, violations

V1 = "application/vnd.segment.v1+json"
JSON = "application/json"
LABEL = {"key": "env", "value": "prod", "description": "Production"}


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(**fault: Any) -> bytes:
    return body({"errors": [fault]})


def test_a_published_reply_passes() -> None:
    check_reply("POST", "/labels", 201, V1, body({"data": {"label": LABEL}}))
    check_reply("POST", "/labels", 201, f"{JSON}; charset=utf-8", body({"data": {"label": LABEL}}))


def test_a_query_string_does_not_hide_the_operation() -> None:
    page = {"data": {"sources": [], "pagination": {"current": "MA=="}}}
    check_reply("GET", "/sources?pagination.count=1", 200, V1, body(page))


@pytest.mark.parametrize(
    ("status", "content_type", "value", "complaint"),
    [
        (200, V1, {"data": {"label": LABEL}}, "published is 201"),
        (201, "text/html", {"data": {"label": LABEL}}, "content type text/html"),
        (201, None, {"data": {"label": LABEL}}, "content type None"),
        (201, V1, {}, '"data" is a required property'),
        (201, V1, {"data": {"label": LABEL}, "errors": []}, "errors"),
        (201, V1, {"data": {"label": LABEL, "extra": 1}}, "extra"),
        (201, V1, {"data": {"label": {**LABEL, "id": 1}}}, "id"),
        (201, V1, {"data": {"label": {"key": "env"}}}, '"value" is a required property'),
        (201, V1, {"data": {"label": {**LABEL, "description": None}}}, "data.label.description"),
        (201, V1, [], "is not of type"),
    ],
)
def test_a_success_outside_the_contract_is_reported(
    status: int, content_type: str | None, value: Any, complaint: str
) -> None:
    found = violations("POST", "/labels", status, content_type, body(value))
    assert any(complaint in one for one in found), found


def test_text_that_is_not_json_is_reported() -> None:
    assert violations("POST", "/labels", 201, V1, b"<html>") != []
    assert violations("GET", "/nowhere", 404, JSON, b"") != []


def test_an_absent_next_is_right_and_a_null_next_is_wrong() -> None:
    page: dict[str, Any] = {"current": "MA==", "totalEntries": 0}
    reply = {"data": {"sources": [], "pagination": page}}
    assert violations("GET", "/sources", 200, V1, body(reply)) == []
    page["next"] = None
    assert violations("GET", "/sources", 200, V1, body(reply)) != []


@pytest.mark.parametrize(
    ("method", "path", "status", "type_"),
    [
        ("GET", "/no/such/route", 404, "not-found"),
        ("PATCH", "/labels", 405, "method-not-allowed"),
        ("GET", "/labels", 401, "unauthorized"),
        ("GET", "/labels", 403, "forbidden"),
        ("GET", "/labels", 406, "not-acceptable"),
        ("POST", "/labels", 409, "conflict"),
        ("POST", "/labels", 413, "payload-too-large"),
        ("POST", "/labels", 415, "unsupported-media-type"),
        ("POST", "/labels", 400, "bad-request"),
        ("GET", "/labels", 429, "RequestError"),
        ("GET", "/labels", 500, "unexpected"),
    ],
)
def test_an_error_of_any_status_passes_in_the_envelope_alone(method: str, path: str, status: int, type_: str) -> None:
    assert violations(method, path, status, JSON, refusal(type=type_, message="Why")) == []
    for wrong in (
        {"error": "Why", "code": 7},
        {"errors": []},
        {"errors": [{"type": type_}]},
        {"errors": [{"type": type_, "message": ""}]},
        {"errors": [{"type": "other", "message": "Why"}]},
        {"errors": [{"type": type_, "message": "Why", "stack": "at line 1"}]},
        {"errors": [{"type": type_, "message": "Why", "status": 418}]},
        {"errors": [{"type": type_, "message": "Why"}], "data": {}},
    ):
        assert violations(method, path, status, JSON, body(wrong)) != [], wrong


def test_an_error_is_application_json() -> None:
    assert violations("GET", "/labels", 401, V1, refusal(type="unauthorized", message="Why")) != []


def test_an_input_error_names_its_field() -> None:
    fault = {"type": "input-validation", "message": '"label" is required'}
    assert violations("POST", "/labels", 422, JSON, refusal(**fault)) != []
    assert violations("POST", "/labels", 422, JSON, refusal(**fault, field="label")) == []


def test_a_status_that_the_api_does_not_know_is_reported() -> None:
    assert violations("GET", "/labels", 418, JSON, refusal(type="teapot", message="Why")) != []
    assert violations("GET", "/labels", 302, JSON, b"{}") != []


def test_a_success_on_an_unpublished_route_is_reported() -> None:
    assert violations("GET", "/no/such/route", 200, JSON, body({"data": {}})) != []


def test_an_object_that_declares_no_keys_is_free_form() -> None:
    source = {
        "id": "s1",
        "slug": "web",
        "workspaceId": "w1",
        "enabled": True,
        "writeKeys": [],
        "labels": [],
        "settings": {"anything": {"goes": [1, None]}},
        "metadata": {
            "id": "m1",
            "name": "Web",
            "slug": "web",
            "description": "",
            "logos": {"default": "l"},
            "options": [],
            "categories": [],
            "isCloudEventSource": False,
            "status": "PUBLIC",
        },
    }
    reply = {"data": {"source": source, "trackingPlanId": None}}
    assert violations("GET", "/sources/s1", 200, V1, body(reply)) == []


def test_a_fixed_segment_wins_over_a_parameter() -> None:
    found = find_operation("POST", "/destination/filters/preview")
    assert found is not None
    assert found.id == "previewDestinationFilter"


def test_an_escaped_slash_stays_inside_its_segment() -> None:
    found = find_operation("DELETE", "/labels/env/a%2Fb")
    assert found is not None
    assert found.id == "deleteLabel"


def test_every_operation_can_be_validated_under_each_of_its_media_types() -> None:
    for operation in published().values():
        for media_type in operation.media_types:
            assert not response_validator(operation.id, media_type).is_valid({"data": 1})


def test_the_echo_answers_with_any_status_in_the_envelope() -> None:
    assert violations("GET", "/echo", 418, JSON, refusal(type="unexpected", message="As asked for")) == []
    assert violations("GET", "/echo", 418, JSON, body({"error": "As asked for"})) != []
