"""Rewrite src/mainstem/contract/openapi.json from an OpenAPI document extracted from the official clients.

    python scripts/update_contract.py EXTRACTED.json [OUTPUT.json]

The output is OpenAPI 3.1 with one line for each operation and each schema, so that a new version of the
published interface reads as a diff. What is written differently from the input:
- media types stand in the order in which the clients name them in Accept and Content-Type;
- the three declared error answers are references, the security requirement is stated once;
- schemas that no operation reaches are left out.
"""

import json
import sys
from pathlib import Path
from typing import Any

ERRORS = {"404": "NotFound", "422": "InputInvalid", "429": "TooManyRequests"}
SUCCESS = {"200": "OK", "201": "Created"}
HERE = Path(__file__).resolve().parent.parent / "src" / "mainstem" / "contract" / "openapi.json"

Json = dict[str, Any]


def operation(extracted: Json) -> Json:
    """One operation in our form: id, tags and extensions first, then parameters, body and responses."""
    kept = ("operationId", "tags", "x-stability", "x-json-success")
    dropped = (*kept, "x-accept", "x-content-types", "security", "parameters", "requestBody", "responses")
    form = {name: extracted[name] for name in kept}
    form |= {name: value for name, value in sorted(extracted.items()) if name not in dropped}
    if "parameters" in extracted:
        form["parameters"] = extracted["parameters"]
    if "requestBody" in extracted:
        body = extracted["requestBody"]
        form["requestBody"] = {
            "required": body["required"],
            "content": in_order(body["content"], extracted["x-content-types"]),
        }
    form["responses"] = {
        status: answer(status, response, extracted["x-accept"]) for status, response in extracted["responses"].items()
    }
    return form


def answer(status: str, response: Json, accept: list[str]) -> Json:
    """A success with its media types in order, or a reference to the error of that status."""
    if status in ERRORS:
        return {"$ref": f"#/components/responses/{ERRORS[status]}"}
    return {"description": SUCCESS[status], "content": in_order(response["content"], accept)}


def in_order(content: Json, order: list[str]) -> Json:
    """The same content, keys in the given order; a disagreement about the keys is an error."""
    if set(content) != set(order):
        raise SystemExit(f"media types disagree: {sorted(content)} and {sorted(order)}")
    return {media_type: content[media_type] for media_type in order}


def reached(root: Any, schemas: Json) -> set[str]:
    """Names of the schemas that `root` refers to, directly or through others."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return found


def error_responses(extracted: Json) -> Json:
    """The declared error answers, taken from the first operation (all operations declare the same)."""
    declared = [
        {status: one["responses"][status] for status in ERRORS}
        for methods in extracted["paths"].values()
        for one in methods.values()
    ]
    if any(one != declared[0] for one in declared):
        raise SystemExit("operations declare different errors")
    return {name: {**declared[0][status], "description": f"Refused with {status}"} for status, name in ERRORS.items()}


def contract(extracted: Json) -> Json:
    """The whole document in our form."""
    schemas = extracted["components"]["schemas"]
    kept = reached(extracted["paths"], schemas)
    return {
        "openapi": extracted["openapi"],
        "info": extracted["info"],
        "servers": extracted["servers"],
        "security": extracted["security"],
        "tags": extracted["tags"],
        "paths": {
            path: {method: operation(one) for method, one in methods.items()}
            for path, methods in sorted(extracted["paths"].items())
        },
        "components": {
            "securitySchemes": extracted["components"]["securitySchemes"],
            "responses": error_responses(extracted),
            "schemas": {name: schemas[name] for name in sorted(kept)},
        },
    }


def compact(node: Any) -> str:
    """JSON on one line."""
    return json.dumps(node, ensure_ascii=False, separators=(",", ":"))


def lines(node: Json, depth: int) -> str:
    """JSON with `depth` levels of objects spread over lines, the rest compact."""
    if depth == 0 or not isinstance(node, dict):
        return compact(node)
    rows = ",\n".join(f"{json.dumps(name)}:{lines(value, depth - 1)}" for name, value in node.items())
    return f"{{\n{rows}\n}}"


def text(document: Json) -> str:
    """The file: paths spread down to the operation, components down to the schema."""
    spread = {"paths": 2, "components": 2}
    rows = ",\n".join(f"{json.dumps(name)}:{lines(value, spread.get(name, 0))}" for name, value in document.items())
    return f"{{\n{rows}\n}}\n"


if __name__ == "__main__":
    source, *target = (Path(argument) for argument in sys.argv[1:])
    (target[0] if target else HERE).write_text(text(contract(json.loads(source.read_text()))))
