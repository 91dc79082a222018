"""Holds one reply of the Public API against the published contract, stricter than its schemas.

Beyond the schema of (operation, status, media type):
- a success holds `data` and nothing else, an error `errors` and nothing else;
- no key that the schema does not declare, at any depth (free-form objects declare none and may hold any);
- `next` and `previous` of a pagination are absent, never null: the Go client loops for ever on a null;
- an error is `application/json`, names type and message, and its type is the one of its status.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs

from mainstem import contract

# Keys that the real service sends although the contract does not declare them: {schema: {key: why}}.
UNDECLARED: dict[str, dict[str, str]] = {}

# What mainstem serves beside the contract; other shapes, held by their own tests.
OWN_PATHS = re.compile(r"^/(openapi\.json$|docs($|/)|health$)")

# Each status that may refuse a request, and the `type` of its errors. Source: Public API reference, "Error
# Handling" (400, 404, 422, 429); the others are not published and are judgements.
ERROR_TYPES = {
    400: {"bad-request"},
    401: {"unauthorized"},
    403: {"forbidden"},
    404: {"not-found"},
    405: {"method-not-allowed"},
    406: {"not-acceptable"},
    409: {"conflict"},
    413: {"payload-too-large"},
    415: {"unsupported-media-type"},
    422: {"input-validation"},
    429: {"RequestError"},
    500: {"unexpected"},
    503: {"unavailable"},
}


def check_reply(method: str, path: str, status: int, content_type: str | None, body: bytes) -> None:
    """Raise AssertionError, listing every violation, unless the contract allows this reply."""
    found = violations(method, path, status, content_type, body)
    if found:
        listed = "\n".join(f"  - {one}" for one in found)
        shown = body[:2000].decode(errors="replace")
        raise AssertionError(f"{method} {path} -> {status} breaks the contract:\n{listed}\n  body: {shown}")


def violations(method: str, path: str, status: int, content_type: str | None, body: bytes) -> list[str]:
    """What is wrong with this reply, a sentence each. `path` may carry a query string."""
    path = path.partition("?")[0]
    if OWN_PATHS.match(path):
        return []
    operation = find_operation(method, path)
    if 200 <= status < 300:
        if operation is None:
            return ["a success of an operation that the contract does not have"]
        return success_violations(operation.id, status, content_type, body)
    if operation is None and status not in {401, 404, 405, 429, 500, 503}:
        return [f"status {status} for a path and method that the contract does not have"]
    if operation is not None and operation.id == "echo":  # answers with the status that the caller names
        return refusal_violations(content_type, body)
    return error_violations(status, content_type, body)


def success_violations(operation_id: str, status: int, content_type: str | None, body: bytes) -> list[str]:
    """What is wrong with a success of this operation."""
    operation = published()[operation_id]
    if status != operation.success_status:
        return [f"status {status}, published is {operation.success_status}"]
    media_type = bare(content_type)
    if media_type not in operation.media_types:
        return [f"content type {content_type}, published are {', '.join(operation.media_types)}"]
    return shape_violations(response_validator(operation_id, media_type), body)


def error_violations(status: int, content_type: str | None, body: bytes) -> list[str]:
    """What is wrong with a refusal."""
    if status not in ERROR_TYPES:
        return [f"status {status} is none that the API answers with"]
    found = refusal_violations(content_type, body)
    if not found:
        for index, error in enumerate(json.loads(body)["errors"]):
            found += fault_violations(index, error, status)
    return found


def refusal_violations(content_type: str | None, body: bytes) -> list[str]:
    """What is wrong with the media type and the shape of a refusal."""
    found = []
    if bare(content_type) != "application/json":
        found.append(f"content type {content_type}, errors are application/json")
    return found + shape_violations(error_validator(), body)


def fault_violations(index: int, error: dict[str, Any], status: int) -> list[str]:
    """What is wrong with one element of `errors` in an answer of this status."""
    found = []
    if error["type"] not in ERROR_TYPES[status]:
        found.append(f"errors[{index}].type is {error['type']!r} in an answer of status {status}")
    if error.get("status", status) != status:
        found.append(f"errors[{index}].status is {error['status']} in an answer of status {status}")
    if status == 422 and "field" not in error:
        found.append(f"errors[{index}] names no field")
    return found


def shape_violations(validator: jsonschema_rs.Validator, body: bytes) -> list[str]:
    """What is wrong with the JSON of a reply."""
    try:
        value = json.loads(body)
    except ValueError as error:
        return [f"not JSON: {error}"]
    return [
        f"{'.'.join(str(step) for step in error.instance_path) or 'body'}: {error.message}"
        for error in validator.iter_errors(value)
    ]


def bare(content_type: str | None) -> str:
    """The media type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()


@cache
def published() -> dict[str, contract.Operation]:
    return contract.operations()


@cache
def raw_contract() -> dict[str, Any]:
    return json.loads(contract.text())


@cache
def routes() -> list[tuple[str, re.Pattern[str], contract.Operation]]:
    """(method, pattern, operation), fixed segments before parameters: /audiences/x/y before /audiences/{id}/y."""
    ordered = sorted(published().values(), key=lambda one: (one.path.count("{"), one.path))
    return [
        (one.method, re.compile("^" + re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(one.path)) + "$"), one)
        for one in ordered
    ]


@lru_cache(maxsize=4096)
def find_operation(method: str, path: str) -> contract.Operation | None:
    """The operation that serves this request, if the contract has one."""
    return next((one for verb, pattern, one in routes() if verb == method.upper() and pattern.match(path)), None)


@cache
def response_validator(operation_id: str, media_type: str) -> jsonschema_rs.Validator:
    """For a success of this operation under this media type: `data` is required, nothing stands beside it."""
    operation = published()[operation_id]
    entry = raw_contract()["paths"][operation.path][operation.method.lower()]
    content = entry["responses"][str(operation.success_status)]["content"]
    name = content[media_type]["schema"]["$ref"].removeprefix("#/components/schemas/")
    return compiled(name, required=["data"])


@cache
def error_validator() -> jsonschema_rs.Validator:
    """For any refusal: at least one error, each with a type and a message that is not empty."""
    definitions = strict_schemas()
    envelope = {
        **definitions["RequestErrorEnvelope"],
        "properties": {"errors": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Fault"}}},
    }
    one = definitions["RequestError"]
    fault = {
        **one,
        "required": ["type", "message"],
        "properties": {**one["properties"], "message": {"type": "string", "minLength": 1}},
    }
    return jsonschema_rs.validator_for({**envelope, "$defs": {"Fault": fault}})


@cache
def schema_validator(name: str) -> jsonschema_rs.Validator:
    """For a value that shall have this published shape, and no key besides."""
    return compiled(name, required=[])


def compiled(name: str, required: list[str]) -> jsonschema_rs.Validator:
    root = strict_schemas()[name]
    root = {**root, "required": sorted({*root.get("required", []), *required})}
    return jsonschema_rs.validator_for({**root, "$defs": reached(root)})


def reached(root: dict[str, Any]) -> dict[str, Any]:
    """The strict schemas that `root` refers to, directly or through others."""
    found: dict[str, Any] = {}
    waiting = [root]
    while waiting:
        for name in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(waiting.pop())):
            if name not in found:
                found[name] = strict_schemas()[name]
                waiting.append(found[name])
    return found


@cache
def strict_schemas() -> dict[str, Any]:
    """The published schemas, closed to undeclared keys, their references pointing into `$defs`."""
    schemas = {name: closed(schema) for name, schema in raw_contract()["components"]["schemas"].items()}
    for name, keys in UNDECLARED.items():
        schemas[name]["properties"] |= {key: {} for key in keys}
    for schema in schemas.values():
        declared = schema.get("properties", {})
        if {"current", "next"} <= declared.keys():
            declared |= {name: without_null(declared[name]) for name in ("next", "previous") if name in declared}
    return schemas


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a nullable value, closed to null."""
    if not isinstance(schema.get("type"), list):
        return schema
    return {**schema, "type": [one for one in schema["type"] if one != "null"]}


def closed(node: Any) -> Any:
    """A schema in which every object that declares its keys holds no others."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    form = {key: closed(value) for key, value in node.items()}
    if isinstance(form.get("$ref"), str):
        form["$ref"] = form["$ref"].replace("#/components/schemas/", "#/$defs/")
    if "properties" in form and form.get("type") == "object":
        form.setdefault("additionalProperties", False)
    return form
