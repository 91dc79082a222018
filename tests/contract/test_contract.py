"""The repository's copy of the contract, and its loader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import jsonschema_rs
import pytest

from mainstem import contract


@pytest.fixture(scope="module")
def published() -> dict[str, contract.Operation]:
    return contract.operations()


def test_the_contract_has_201_operations_on_126_paths(published: dict[str, contract.Operation]) -> None:
    assert len(published) == 201
    assert len({operation.path for operation in published.values()}) == 126


def test_stabilities_agree_with_the_published_census(published: dict[str, contract.Operation]) -> None:
    census = Counter(operation.stability for operation in published.values())
    assert census == {"v1": 126, "beta": 13, "alpha": 62}


def test_exactly_eight_operations_answer_201(published: dict[str, contract.Operation]) -> None:
    created = {f"{one.method} {one.path}" for one in published.values() if one.success_status == 201}
    assert created == {
        "POST /sources",
        "POST /warehouses",
        "POST /labels",
        "POST /invites",
        "POST /credentials",
        "POST /reverse-etl-models",
        "POST /spaces/{spaceId}/profiles-warehouses",
        "POST /warehouses/{warehouseId}/connected-sources/{sourceId}",
    }


def test_an_operation_carries_its_limits_events_and_media_types(
    published: dict[str, contract.Operation],
) -> None:
    label = published["createLabel"]
    assert (label.method, label.path, label.tags) == ("POST", "/labels", ("Labels",))
    assert label.rate_limits == (contract.RateLimit(requests=60, window="minute"),)
    assert label.audit_events == ("Label Created",)
    assert label.media_types == (
        "application/vnd.segment.v1+json",
        "application/json",
        "application/vnd.segment.v1beta+json",
        "application/vnd.segment.v1alpha+json",
    )


def test_the_most_stable_media_type_stands_first(published: dict[str, contract.Operation]) -> None:
    prefix = {"v1": "v1+json", "beta": "v1beta+json", "alpha": "v1alpha+json"}
    for operation in published.values():
        assert operation.media_types[0] == f"application/vnd.segment.{prefix[operation.stability]}"
        assert "application/json" in operation.media_types


def test_a_query_parameter_says_whether_it_is_required(published: dict[str, contract.Operation]) -> None:
    volume = {one.name: one.required for one in published["getEventsVolumeFromWorkspace"].query}
    assert volume["granularity"] is True
    assert volume["pagination"] is False


def test_sixty_operations_name_audit_events_and_67_a_limit(
    published: dict[str, contract.Operation],
) -> None:
    assert sum(bool(one.audit_events) for one in published.values()) == 60
    assert sum(bool(one.rate_limits) for one in published.values()) == 67


def test_a_document_of_two_operations_holds_them_and_the_schemas_they_reach() -> None:
    whole = json.loads(contract.document(["createLabel", "listLabels"]))
    assert whole["openapi"].startswith("3.1")
    assert set(whole["paths"]) == {"/labels"}
    assert whole["tags"] == [{"name": "Labels"}]
    schemas = whole["components"]["schemas"]
    assert {"CreateLabelV1Input", "LabelV1", "RequestError", "RequestErrorEnvelope"} <= set(schemas)
    assert len(schemas) < 20


def test_every_reference_of_the_whole_document_leads_somewhere() -> None:
    whole = json.loads(contract.document())
    for reference in references(whole):
        node = whole
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_operation_of_a_document_declares_the_errors_of_any_status() -> None:
    whole = json.loads(contract.document())
    for methods in whole["paths"].values():
        for operation in methods.values():
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Refused"}


def test_a_document_of_an_unknown_operation_is_refused() -> None:
    with pytest.raises(KeyError, match="makeCoffee"):
        contract.document(["createLabel", "makeCoffee"])


def test_importing_the_package_reads_nothing() -> None:
    probe = (
        "import builtins, io, pathlib\n"
        "def refuse(*a, **k): raise SystemExit('read')\n"
        "import msgspec, importlib.resources\n"
        "pathlib.Path.read_bytes = refuse\n"
        "from mainstem import contract\n"
        "print('imported')\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.stdout == "imported\n"


def test_each_operation_and_each_schema_stands_on_one_line(published: dict[str, contract.Operation]) -> None:
    lines = contract.text().decode().splitlines()
    for operation_id in published:
        assert sum(f'"operationId":"{operation_id}"' in line for line in lines) == 1
    assert sum(line.startswith('"LabelV1":{') for line in lines) == 1


def test_every_published_schema_is_a_valid_json_schema() -> None:
    for schema in json.loads(contract.text())["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in references(value)]
    if isinstance(node, list):
        return [one for value in node for one in references(value)]
    return []
