"""What `mainstem replay --dry-run` can put in place, read from files in the shapes of the Public API.

An answer of the API is taken as it is, with or without `data` and the noun around it. What has the `id` of something
that is there takes its place. Every function raises Senseless, with what is wrong with the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from mainstem.commands.replaying import Senseless
from mainstem.errors import SandboxUnavailable
from mainstem.model import destination_filter, fql, rule_schema, transformation
from mainstem.model.fql_syntax import FqlError
from mainstem.model.snapshot import (
    PLAN_PREFIX,
    FilterConfig,
    FunctionConfig,
    PlanConfig,
    RuleConfig,
    TransformationConfig,
)
from mainstem.public_api.tracking_plans.rules import RuleInput
from mainstem.public_api.transformations import Parts, as_config
from mainstem.sandbox import check

TRIAL: Final = "trial"
"""The id of what has none of its own."""


class _FilterFile(msgspec.Struct):
    actions: list[dict[str, Any]]
    condition: str = msgspec.field(name="if")
    id: str = TRIAL
    enabled: bool = True


class _TransformationFile(Parts, frozen=True, kw_only=True):
    condition: str = msgspec.field(name="if")
    id: str = TRIAL
    enabled: bool = True
    destination_metadata_id: str | None = None


class _RulesFile(msgspec.Struct):
    rules: list[RuleInput]


class _FunctionFile(msgspec.Struct, rename="camel"):
    code: str
    resource_type: str = ""


def read_filter(path: Path) -> FilterConfig:
    """A destination filter as the Public API takes it. Raises Senseless."""
    found = _read(path, _FilterFile, "filter")
    try:
        fql.parse(found.condition)
    except (FqlError, RecursionError) as error:
        raise Senseless(f"{path}: if: {error}") from None
    _refuse(path, destination_filter.faults(found.actions))
    return FilterConfig(found.id, found.condition, tuple(found.actions), found.enabled)


def read_transformation(path: Path) -> TransformationConfig:
    """A transformation as the Public API takes it."""
    found = _read(path, _TransformationFile, "transformation")
    columns = msgspec.structs.replace(found, destination_metadata_id=found.destination_metadata_id or "")
    config = as_config(cast(Any, columns), found)
    _refuse(path, transformation.faults(config))
    return config


def read_plan(path: Path) -> PlanConfig:
    """The rules of a tracking plan, as the Public API takes and lists them."""
    found = _read(path, _RulesFile, "trackingPlan")
    for rule in found.rules:
        for fault in rule_schema.faults(rule.json_schema):
            raise Senseless(f"{path}: the rule {rule.type} {rule.key or ''}: {fault}")
    rules = tuple(RuleConfig(each.type, each.key or "", each.version, each.json_schema) for each in found.rules)
    return PlanConfig(PLAN_PREFIX + TRIAL, path.name, rules)


def read_function(path: Path, destination_id: str) -> FunctionConfig:
    """An insert function: JavaScript, or JSON as the Public API takes it. JavaScript is for the destination if one
    was named, else for the sources."""
    if path.suffix == ".json":
        found = _read(path, _FunctionFile, "function")
    else:
        found = _FunctionFile(_text(path).decode(errors="replace"))
    kind = found.resource_type or ("INSERT_DESTINATION" if destination_id else "INSERT_SOURCE")
    if kind not in ("INSERT_DESTINATION", "INSERT_SOURCE"):
        raise Senseless(f"{path}: only insert functions can be tried dry; `mainstem function test` runs the others")
    try:
        fault = check(found.code)
    except SandboxUnavailable as error:
        raise Senseless(str(error)) from None
    if fault is not None:
        raise Senseless(f"{path}: {fault.message} (line {fault.line}, column {fault.column})")
    return FunctionConfig(TRIAL, TRIAL, kind, found.code)


def _read(path: Path, shape: type[Any], noun: str) -> Any:
    try:
        found = msgspec.json.decode(_text(path))
        for wrapper in ("data", noun):
            if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
                found = found[wrapper]
        if isinstance(found, list):
            found = {"rules": found}
        return msgspec.convert(found, shape)
    except msgspec.MsgspecError as error:
        raise Senseless(f"{path}: {error}") from None


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Senseless(f"{path}: {error.strerror}") from None


def _refuse(path: Path, faults: Sequence[tuple[str, str]]) -> None:
    for field, message in faults:
        raise Senseless(f"{path}: {field}: {message}")
