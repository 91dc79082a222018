"""The published contract of the Public API: 201 operations with their shapes, as facts.

`openapi.json` beside this file holds one line for each operation and each schema. The running server has no
need of it, except to answer `GET /openapi.json`: nothing is read on import, and nothing is kept after a call.

Source: the official client libraries for Python, TypeScript and Go, version 73.2.0, which agree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

Stability = Literal["v1", "beta", "alpha"]

_SCHEMA_REFERENCE: Final = re.compile(rb'"#/components/schemas/([^"]+)"')


class RateLimit(msgspec.Struct, frozen=True):
    """At most `requests` in one `window`; counted per token unless `scope` names a path parameter."""

    requests: int
    window: str
    scope: str | None = None


class Parameter(msgspec.Struct, frozen=True):
    """A path or query parameter."""

    name: str
    place: str = msgspec.field(name="in")
    required: bool


class Operation(msgspec.Struct, frozen=True):
    """The facts of one operation that can be stated without its shapes.

    `media_types` are those of the success, in the order in which the official clients name them in Accept.
    `request_media_types` is empty where no body is declared. `rate_limits` is empty where the default applies.
    """

    id: str
    method: str
    path: str
    tags: tuple[str, ...]
    stability: Stability
    success_status: int
    media_types: tuple[str, ...]
    request_media_types: tuple[str, ...]
    query: tuple[Parameter, ...]
    rate_limits: tuple[RateLimit, ...]
    audit_events: tuple[str, ...]
    required_feature: tuple[str, ...]
    required_roles: tuple[str, ...]


class _Body(msgspec.Struct):
    content: dict[str, Raw]


class _Entry(msgspec.Struct, rename={"operation_id": "operationId", "request_body": "requestBody"}):
    """An operation as it stands in the file."""

    operation_id: str
    tags: tuple[str, ...]
    responses: dict[str, Raw]
    stability: Stability = msgspec.field(name="x-stability")
    parameters: tuple[Parameter, ...] = ()
    request_body: _Body | None = None
    rate_limits: tuple[RateLimit, ...] = msgspec.field(name="x-rate-limit", default=())
    audit_events: tuple[str, ...] = msgspec.field(name="x-audit-events", default=())
    required_feature: tuple[str, ...] = msgspec.field(name="x-required-feature", default=())
    required_roles: tuple[str, ...] = msgspec.field(name="x-required-role", default=())


class _Components(msgspec.Struct, rename="camel"):
    security_schemes: Raw
    responses: dict[str, Raw]
    schemas: dict[str, Raw]


class _Document(msgspec.Struct):
    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, str]]
    security: Raw
    tags: list[dict[str, str]]
    paths: dict[str, dict[str, Raw]]
    components: _Components


def operations() -> dict[str, Operation]:
    """Every published operation by its id; read from the file at each call (about 10 ms)."""
    return {entry.operation_id: _operation(method, path, entry) for method, path, _, entry in _entries(_read())}


def document(operation_ids: Collection[str] | None = None) -> bytes:
    """OpenAPI 3.1 of these operations (default: all), with the schemas that they reach, as JSON.

    Differs from the published contract in that errors of every status are declared, as `default`.
    Raises KeyError when an id is not published.
    """
    whole = _read()
    wanted = {entry.operation_id for *_, entry in _entries(whole)} if operation_ids is None else operation_ids
    paths: dict[str, dict[str, Raw]] = {}
    tags: set[str] = set()
    missing = set(wanted)
    for method, path, raw, entry in _entries(whole):
        if entry.operation_id in wanted:
            paths.setdefault(path, {})[method.lower()] = _with_default_error(raw)
            tags.update(entry.tags)
            missing.discard(entry.operation_id)
    if missing:
        raise KeyError(f"not in the published contract: {', '.join(sorted(missing))}")
    whole.paths = paths
    whole.tags = [tag for tag in whole.tags if tag["name"] in tags]
    whole.info = {"title": "mainstem Public API", "version": whole.info["version"]}
    whole.servers = [{"url": "/"}]
    whole.components.responses["Refused"] = whole.components.responses["NotFound"]
    whole.components.schemas = _reached(whole)
    return msgspec.json.encode(whole)


def text() -> bytes:
    """The file as it stands: JSON, UTF-8."""
    return files(__name__).joinpath("openapi.json").read_bytes()


def _read() -> _Document:
    return msgspec.json.decode(text(), type=_Document)


def _entries(whole: _Document) -> Iterator[tuple[str, str, Raw, _Entry]]:
    decoder = msgspec.json.Decoder(_Entry)
    for path, methods in whole.paths.items():
        for method, raw in methods.items():
            yield method.upper(), path, raw, decoder.decode(raw)


def _operation(method: str, path: str, entry: _Entry) -> Operation:
    status = next(status for status in entry.responses if status.startswith("2"))
    success = msgspec.json.decode(entry.responses[status], type=_Body)
    return Operation(
        id=entry.operation_id,
        method=method,
        path=path,
        tags=entry.tags,
        stability=entry.stability,
        success_status=int(status),
        media_types=tuple(success.content),
        request_media_types=tuple(entry.request_body.content) if entry.request_body else (),
        query=tuple(parameter for parameter in entry.parameters if parameter.place == "query"),
        rate_limits=entry.rate_limits,
        audit_events=entry.audit_events,
        required_feature=entry.required_feature,
        required_roles=entry.required_roles,
    )


def _with_default_error(raw: Raw) -> Raw:
    form = msgspec.json.decode(raw)
    form["responses"]["default"] = {"$ref": "#/components/responses/Refused"}
    return Raw(msgspec.json.encode(form))


def _reached(whole: _Document) -> dict[str, Raw]:
    """The schemas that paths and responses refer to, directly or through others, sorted by name."""
    roots = [*(raw for methods in whole.paths.values() for raw in methods.values())]
    roots += whole.components.responses.values()
    found: set[str] = set()
    while roots:
        names = {name.decode() for name in _SCHEMA_REFERENCE.findall(bytes(roots.pop()))} - found
        found |= names
        roots += [whole.components.schemas[name] for name in names]
    return {name: raw for name, raw in whole.components.schemas.items() if name in found}
