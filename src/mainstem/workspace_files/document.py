"""The file of a workspace: made, written and read.

{"format": "mainstem workspace 1", "workspace": {id, slug, name}, and a list for each kind of object}. Objects stand
in the order in which they were made, keys in that of the alphabet: the same state is the same text, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.errors import SettingsError
from mainstem.workspace_files.asking import Api, Refused
from mainstem.workspace_files.kinds import KINDS, Object, Reading, Watch
from mainstem.workspace_files.untold import Untold

FORMAT: Final = "mainstem workspace 1"
_UNTOLD: Final = "the API does not tell it"
_CLOSED: Final = frozenset({403, 404})  # what a family answers that is not open to the caller


class Document(msgspec.Struct):
    """A workspace as in a file. `skipped` says by section why the server did not give it; sections that a file does
    not have are `absent`."""

    workspace: dict[str, Any]
    sections: dict[str, list[Object]]
    skipped: dict[str, str] = {}
    absent: frozenset[str] = frozenset()


class Progress:
    """Told what is read; the base says nothing."""

    def section(self, name: str) -> Watch:  # noqa: ARG002  # for those who tell
        """A section begins; returns who is told of its entries."""
        return lambda _got, _all: None

    def ended(self, name: str, count: int, skipped: str) -> None:
        """A section was read, or skipped for this reason."""


def read_workspace(
    api: Api,
    progress: Progress | None = None,
    *,
    may_skip: bool = False,
    untold: Untold | None = None,
    seen: Callable[[Reading], None] | None = None,
) -> Document:
    """Read a whole workspace. `untold` knows what the API does not tell; without it, that is skipped. With
    `may_skip`, sections that the server closes to the caller (403, 404) are skipped and said to be. `seen` gets the
    reading with the secrets that were found. Raises Refused."""
    told = progress or Progress()
    reading, skipped = Reading(api, untold), {}
    for kind in KINDS:
        reading.watch = told.section(kind.section)
        reading.sections[kind.section] = []
        try:
            if kind.is_told or untold is not None:
                reading.sections[kind.section] = list(kind.read(reading))
            else:
                skipped[kind.section] = _UNTOLD
        except Refused as error:
            if not may_skip or error.status not in _CLOSED:
                raise
            skipped[kind.section] = f"status {error.status}, {error}"
        told.ended(kind.section, len(reading.sections[kind.section]), skipped.get(kind.section, ""))
    if seen is not None:
        seen(reading)
    return Document(reading.workspace, reading.sections, skipped)


def text_of(document: Document) -> str:
    """The text of a file."""
    content: dict[str, Any] = {"format": FORMAT, "workspace": document.workspace, **document.sections}
    if document.skipped:
        content["skipped"] = document.skipped
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def parse(file: Path) -> Document:
    """The document in a file. Raises SettingsError that names what is wrong with it."""
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise SettingsError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SettingsError(f'{file} is no workspace: "format" must be "{FORMAT}"')
    known = {kind.section for kind in KINDS}
    unknown = sorted(content.keys() - known - {"format", "workspace", "skipped"})
    if unknown:
        raise SettingsError(f"{file}: unknown sections {', '.join(unknown)}")
    sections = {}
    for kind in KINDS:
        sections[kind.section] = _objects(file, kind.section, content.get(kind.section, []))
    skipped = dict(content.get("skipped") or {})
    absent = frozenset(known - content.keys())
    return Document(_workspace(file, content.get("workspace")), sections, skipped, absent)


def _workspace(file: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("id", "slug", "name")):
        raise SettingsError(f'{file}: "workspace" must have id, slug and name')
    return value


def _objects(file: Path, section: str, value: Any) -> list[Object]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise SettingsError(f'{file}: "{section}" must be a list of objects')
    kind = next(each for each in KINDS if each.section == section)
    needed = ("id", *kind.same) if kind.has_id else kind.same
    for index, each in enumerate(value):
        absent = [name for name in needed if "." not in name and name not in each and name != "name"]
        if absent:
            raise SettingsError(f"{file}: {section}[{index}] has no {' and no '.join(absent)}")
        if kind.has_id and not isinstance(each["id"], str):
            raise SettingsError(f"{file}: {section}[{index}].id must be a text")
    return value
