"""Settings of functions: what a function asks for, and whether what an instance gives fits.

The values of sensitive settings go in and never come out: a reply shows ten bullets in their place, and bullets
that come back mean "as it was". Source: Functions documentation, "Settings and secrets". Judgements: at most 100
settings, 64 KB of values, and that a value without a definition is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mainstem.errors import InputInvalid
from mainstem.public_api import integration_settings
from mainstem.public_api.catalog import Option
from mainstem.rest.wire import Faults, Wire

MAX_SETTINGS: Final = 100
MAX_VALUES_BYTES: Final = 64 * 1024
_OPTION_TYPES: Final = {"ARRAY": "array", "BOOLEAN": "boolean", "STRING": "string", "TEXT_MAP": "map"}
_MUST: Final = {
    "ARRAY": "must be an array of strings",
    "BOOLEAN": "must be a boolean",
    "STRING": "must be a string",
    "TEXT_MAP": "must be an object with strings as values",
}

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=4096)]


class Setting(Wire, frozen=True):
    """The definition of one setting."""

    name: Name
    label: Text
    description: Text
    type: Literal["ARRAY", "BOOLEAN", "STRING", "TEXT_MAP"]
    required: bool
    sensitive: bool


def check_definitions(settings: Sequence[Setting]) -> None:
    """Raises InputInvalid for two definitions of one name."""
    names = [each.name for each in settings]
    faults = [
        (f"settings[{index}].name", f'"settings[{index}].name" is defined twice: {name}')
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    if faults:
        raise InputInvalid(faults)


def options(settings: Sequence[Setting]) -> tuple[Option, ...]:
    """The definitions as the catalogue describes settings; what is sensitive is a password."""
    return tuple(
        Option(
            name=each.name,
            type="password" if each.sensitive else _OPTION_TYPES[each.type],
            required=each.required,
            label=each.label,
            description=each.description,
        )
        for each in settings
    )


def merged(stored: Mapping[str, Any], sent: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """`stored` with `sent` laid over it; null deletes a key, bullets keep a secret. Raises InputInvalid with every
    value that does not fit its definition, or has none, and every required setting that is missing."""
    together = integration_settings.merged(stored, sent, options(settings))
    check(together, settings)
    return together


def check(values: Mapping[str, Any], settings: Sequence[Setting]) -> None:
    """Raises InputInvalid unless these values fit the definitions, all of them."""
    found = faults(values, settings)
    if found:
        raise InputInvalid(found)


def faults(values: Mapping[str, Any], settings: Sequence[Setting]) -> Faults:
    """What does not fit, or is missing."""
    defined = {each.name for each in settings}
    found: Faults = [(name, "is not a setting of this function") for name in values if name not in defined]
    found += [(each.name, fault) for each in settings if (fault := _fault(values, each))]
    if not found and len(msgspec.json.encode(values)) > MAX_VALUES_BYTES:
        return [("settings", f'"settings" must be at most {MAX_VALUES_BYTES} bytes of JSON')]
    return [(f"settings.{name}", f'"settings.{name}" {fault}') for name, fault in found]


def masked(values: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """`values` as they are sent out: of a sensitive one not even its type is left."""
    return integration_settings.masked(values, options(settings), shown=0)


def kept(values: Mapping[str, Any], before: Sequence[Setting], after: Sequence[Setting]) -> dict[str, Any]:
    """What remains of the values of an instance when the definitions change: those that still have one and fit it.
    A value that was sensitive is forgotten when it would come to light."""
    defined = {each.name: each for each in after}
    secret = {each.name for each in before if each.sensitive}
    return {
        name: value
        for name, value in values.items()
        if name in defined
        and _fits(value, defined[name].type)
        and not (name in secret and not defined[name].sensitive)
    }


def _fault(values: Mapping[str, Any], setting: Setting) -> str | None:
    value = values.get(setting.name)
    if value is None:
        return "is required" if setting.required else None
    if not _fits(value, setting.type):
        return _MUST[setting.type]
    return "is not allowed to be empty" if setting.required and value in ("", [], {}) else None


def _fits(value: Any, type: str) -> bool:
    if type == "BOOLEAN":
        return isinstance(value, bool)
    if type == "ARRAY":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if type == "TEXT_MAP":
        return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
    return isinstance(value, str)
