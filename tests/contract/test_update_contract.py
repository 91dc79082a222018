"""The script that rewrites our copy of the contract from an extracted OpenAPI document."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "update_contract.py"
SPEC = importlib.util.spec_from_file_location("update_contract", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
update_contract = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(update_contract)

V1, JSON = "application/vnd.segment.v1+json", "application/json"


def extracted() -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Reply"}}
    error = {"description": "", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}}}
    operation = {
        "operationId": "getThing",
        "tags": ["Things"],
        "security": [{"token": []}],
        "x-accept": [V1, JSON],
        "x-stability": "v1",
        "x-json-success": "declared",
        "x-audit-events": ["Thing Read"],
        "responses": {
            "200": {"description": "", "content": {JSON: schema, V1: schema}},
            **dict.fromkeys(("404", "422", "429"), error),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "servers": [],
        "security": [{"token": []}],
        "tags": [],
        "paths": {"/thing": {"get": operation}},
        "components": {
            "securitySchemes": {},
            "schemas": {
                "Reply": {"properties": {"inner": {"$ref": "#/components/schemas/Inner"}}},
                "Inner": {"type": "object"},
                "Fault": {"type": "object"},
                "Unused": {"type": "object"},
            },
        },
    }


def test_media_types_stand_in_the_order_of_accept() -> None:
    operation = update_contract.contract(extracted())["paths"]["/thing"]["get"]
    assert list(operation["responses"]["200"]["content"]) == [V1, JSON]


def test_media_types_that_disagree_with_accept_are_refused() -> None:
    document = extracted()
    document["paths"]["/thing"]["get"]["x-accept"] = [JSON]
    with pytest.raises(SystemExit, match="media types disagree"):
        update_contract.contract(document)


def test_errors_become_references_and_facts_stay() -> None:
    whole = update_contract.contract(extracted())
    operation = whole["paths"]["/thing"]["get"]
    assert operation["responses"]["404"] == {"$ref": "#/components/responses/NotFound"}
    assert whole["components"]["responses"]["NotFound"]["content"][JSON]["schema"]
    assert operation["x-audit-events"] == ["Thing Read"]
    assert "security" not in operation


def test_schemas_that_nothing_reaches_are_left_out() -> None:
    assert list(update_contract.contract(extracted())["components"]["schemas"]) == ["Fault", "Inner", "Reply"]


def test_the_file_is_the_same_json_with_one_line_an_operation() -> None:
    whole = update_contract.contract(extracted())
    text = update_contract.text(whole)
    assert json.loads(text) == whole
    assert sum('"operationId"' in line for line in text.splitlines()) == 1
    assert sum(line.startswith('"Inner":') for line in text.splitlines()) == 1
