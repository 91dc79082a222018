"""A mapping held against the fields of its action.

What the runner would turn into the field's kind may be written ("5" for a number); what it never can is refused, and
so is an enabled mapping without a value for a required field, since no event would get through it. Fields that the
action does not have stay in the settings: the runner leaves them out. Source: judgements, after the behaviour of the
runner's validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mainstem.model import mapping_kit
from mainstem.model.mapping_kit import SYNC_MODE, directive_of
from mainstem.rest.wire import Faults

if TYPE_CHECKING:
    from mainstem.destinations.actions.catalogue import Action, Field

_NUMERAL: Final = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*", re.ASCII)


def faults(settings: Mapping[str, Any], action: Action | None, path: str) -> Faults:
    """What must not be saved as a mapping, each with its place under `path`; `action` is None while its package is
    not installed."""
    found = [(f"{path}.{inner}" if inner else path, message) for inner, message in mapping_kit.faults(settings)]
    if action is not None and not found:
        found = [(f"{path}.{inner}", message) for inner, message in _field_faults(settings, action)]
    return [(field, f'"{field}" {message}') for field, message in found]


def missing(mapping: Mapping[str, Any], action: Action | None, path: str) -> Faults:
    """The required fields for which a mapping, the defaults in it, has nothing."""
    if action is None or directive_of(mapping) or mapping_kit.ROOT in mapping:
        return []
    keys = [key for key, field in action.fields.items() if field.required and mapping.get(key) in (None, "")]
    return [(f"{path}.{key}", f'"{path}.{key}" is required by the action {action.name}') for key in keys]


def _field_faults(settings: Mapping[str, Any], action: Action) -> Faults:
    found = [
        (key, fault)
        for key, value in settings.items()
        if (field := action.fields.get(key)) is not None and (fault := _fault(value, field))
    ]
    mode = settings.get(SYNC_MODE)
    if mode is not None and action.sync_modes and mode not in action.sync_modes:
        found.append((SYNC_MODE, f"must be one of [{', '.join(action.sync_modes)}]"))
    return found


def _fault(value: Any, field: Field) -> str:
    """Why a value can never become what the field takes; what a directive makes of an event is not known yet."""
    if value is None or value == "" or directive_of(value):
        return ""
    if isinstance(value, list):
        return "" if field.multiple or field.type == "object" else "must not be an array"
    if field.multiple:
        return ""  # one value in place of several
    if isinstance(value, dict):
        return "" if field.type == "object" else f"must be a {field.type}, not an object"
    return _scalar_fault(value, field)


def _scalar_fault(value: Any, field: Field) -> str:
    allowed = [str(each["value"]) for each in field.choices]
    if allowed and not field.dynamic and str(value) not in allowed:
        return f"must be one of [{', '.join(allowed)}]"
    if field.type == "object":
        return "must be an object"
    if field.type in ("number", "integer") and not _is_numeric(value):
        return f"must be a{'n' if field.type == 'integer' else ''} {field.type}"
    if field.type == "boolean" and value not in (True, False, "true", "false"):
        return "must be a boolean"
    return ""


def _is_numeric(value: Any) -> bool:
    return not isinstance(value, str) or bool(_NUMERAL.fullmatch(value))
