"""What the installed package of destinations offers, read from what `catalogue.cjs` wrote when it was installed.

    catalogue/index.json   {"format": 1, "destinations": {id: {"slug", "name", "dir"}}}
    catalogue/<id>.json    {"metadata": DestinationMetadataV1 as published, "definition": Definition}

Which folder that is belongs to the process, like what Python has installed: `use` names it once, at start. An
installation that comes or changes later is seen at the next look. Only what is asked for is read and little of
it kept, for all of it takes megabytes.
Source: the definitions of @segment/action-destinations; ids of destinations are those of its manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET

FORMAT: Final = 1
INSTALL: Final = "Run `mainstem destinations install` to make it available."
_KEPT: Final = 32
_TYPES: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "string": (str, "a string"),
    "text": (str, "a string"),
    "password": (str, "a string"),
    "datetime": ((str, int, float), "a date"),
    "boolean": (bool, "a boolean"),
    "number": ((int, float), "a number"),
    "integer": (int, "an integer"),
    "object": (dict, "an object"),
}


class _Read(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A shape of the files: camelCase there, snake_case here."""


class Known(_Read, frozen=True):
    """A destination of the package, whether it is installed or not; `dir` is its folder in the package, `secrets`
    are the settings that are passwords."""

    slug: str
    name: str
    dir: str
    secrets: tuple[str, ...] = ()


class Field(_Read, frozen=True):
    """A field of an action, or a setting of a destination.

    `type` is string, text, password, integer, number, boolean, datetime or object. `default` is UNSET when there
    is none; in an action it may hold mapping directives. `choices` are {"label", "value"}; empty: anything goes.
    `required_if` is the package's condition ({"match"?, "conditions": […]}) under which the field is required;
    `required` is true only when it always is. `properties` are the fields within an object.
    """

    key: str
    label: str
    description: str
    type: str
    required: bool
    required_if: dict[str, Any] | None = None
    default: Any = UNSET
    multiple: bool = False
    dynamic: bool = False
    allow_null: bool = False
    hidden: bool = False
    choices: tuple[dict[str, Any], ...] = ()
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    properties: dict[str, Field] = {}
    additional_properties: bool = False


class Action(_Read, frozen=True):
    """What a destination can do with an event.

    `default_trigger` is None when the package suggests none. `can_batch`: several events go in one call.
    `batch_keys` are the mapping keys whose values must be alike within a batch. `sync_modes` are what
    `__segment_internal_sync_mode` may be; empty: the action knows none. `hooks` are onMappingSave and such.
    """

    id: str
    slug: str
    name: str
    description: str
    platform: str
    hidden: bool
    default_trigger: str | None
    can_batch: bool
    batch_keys: tuple[str, ...]
    fields: dict[str, Field]
    sync_modes: tuple[str, ...] = ()
    default_sync_mode: str | None = None
    hooks: tuple[str, ...] = ()

    @property
    def defaults(self) -> dict[str, Any]:
        """The mapping of the fields that have a default: what the runner does not fill in by itself."""
        return {key: field.default for key, field in self.fields.items() if field.default is not UNSET}


class Preset(_Read, frozen=True):
    """A mapping that a new destination is offered; `trigger` is in the trigger language of Actions."""

    name: str
    action_slug: str
    action_id: str
    trigger: str
    mapping: dict[str, Any]


class Definition(_Read, frozen=True):
    """A destination. `auth_scheme` is custom, basic, oauth2, oauth-managed or none; `options` are its settings;
    `has_refresh`: an expired OAuth access token is refreshed."""

    id: str
    slug: str
    name: str
    dir: str
    auth_scheme: str
    has_refresh: bool
    options: tuple[Field, ...]
    actions: dict[str, Action]
    presets: tuple[Preset, ...]


class Entry(_Read, frozen=True):
    """A file of the catalogue; `metadata` is the JSON that the Public API answers with."""

    metadata: msgspec.Raw
    definition: Definition


class _Index(_Read, frozen=True):
    format: int
    destinations: dict[str, Known]


_entry_of: Final = msgspec.json.Decoder(Entry).decode
_folder: Path | None = None


def use(folder: Path | None) -> None:
    """Read from `folder`, where `mainstem destinations install` puts what it installs (Settings.packages_folder);
    None for nothing installed."""
    global _folder  # noqa: PLW0603  # what is installed is a fact of the process
    _folder = folder / "destinations" / "catalogue" if folder else None


@cache
def known() -> Mapping[str, Known]:
    """Every destination of the package by id, in order of their names, installed or not."""
    text = (resources.files(__package__) / "known.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Known])


def installed() -> Mapping[str, Known]:
    """The destinations that are installed, by id; empty without the package, and for an installation of a
    version of mainstem that wrote the catalogue in another form."""
    if _folder is None:
        return {}
    try:
        stamp = (_folder / "index.json").stat()
        return _index(_folder, (stamp.st_ino, stamp.st_mtime_ns))
    except OSError:
        return {}


def find_entry(metadata_id: str) -> Entry | None:
    """The entry of an installed destination."""
    if _folder is None or metadata_id not in installed():
        return None
    try:
        stamp = (_folder / "index.json").stat()
        return _entry(_folder, metadata_id, (stamp.st_ino, stamp.st_mtime_ns))
    except OSError:  # replaced at this moment
        return None


def find_definition(metadata_id: str) -> Definition | None:
    """The definition of an installed destination."""
    entry = find_entry(metadata_id)
    return entry.definition if entry else None


def find_actions(metadata_id: str) -> Mapping[str, Action]:
    """The actions of an installed destination by slug; none for any other destination."""
    definition = find_definition(metadata_id)
    return definition.actions if definition else {}


def faults(definition: Definition, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What must not be saved: (field path, message) for each setting of a wrong type or beyond its choices.
    What is missing may be saved, and is found by `missing` when an event is to be delivered."""
    found = []
    for option in definition.options:
        value = settings.get(option.key)
        fault = None if value is None or value == "" else _fault(option, value)
        if fault:
            found.append((f"settings.{option.key}", f'"settings.{option.key}" must be {fault}'))
    return found


def missing(definition: Definition, settings: Mapping[str, Any]) -> list[str]:
    """The required settings that are not there: with one of them, no event can be delivered."""
    return [each.key for each in definition.options if each.required and settings.get(each.key) in (None, "")]


def _fault(option: Field, value: Any) -> str | None:
    if option.multiple:
        values: Sequence[Any] = value if isinstance(value, list) else [value]
        return next((f"a list of which each is {fault}" for each in values if (fault := _one(option, each))), None)
    return _one(option, value)


def _one(option: Field, value: Any) -> str | None:
    wanted, noun = _TYPES.get(option.type, (object, ""))
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool and wanted is not object):
        return noun
    allowed = [each["value"] for each in option.choices]
    return f"one of {', '.join(map(str, allowed))}" if allowed and value not in allowed else None


@lru_cache(maxsize=1)
def _index(folder: Path, _stamp: tuple[int, int]) -> Mapping[str, Known]:
    found = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
    return found.destinations if found.format == FORMAT else {}


@lru_cache(maxsize=_KEPT)
def _entry(folder: Path, metadata_id: str, _stamp: tuple[int, int]) -> Entry:
    return _entry_of((folder / f"{metadata_id}.json").read_bytes())
