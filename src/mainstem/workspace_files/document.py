"""The file of a workspace: made, written and read.

{"format": "mainstem workspace 1", "workspace": {id, slug, name}, and a list for each kind of object}. Objects stand
in the order in which they were made, keys in that of the alphabet: the same state is the same text, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from mainstem.errors import MainstemError, SettingsError
from mainstem.workspace_files.asking import Api, Refused
from mainstem.workspace_files.kinds import KINDS, Kind, Object, Reading, Watch
from mainstem.workspace_files.untold import Untold

FORMAT: Final = "mainstem workspace 1"
_UNTOLD: Final = "the API does not tell it"
_MOST_GONE: Final = 100  # objects that may vanish while a section is read
_GONE: Final = 404
_NAMES_OF_OBJECTS: Final = (
    "id", "sourceId", "destinationId", "warehouseId", "trackingPlanId", "spaceId", "integrationId", "functionId",
)  # fmt: skip
_CLOSED: Final = frozenset({403, 404})  # what a family answers that is not open to the caller


class Document(msgspec.Struct):
    """A workspace as in a file. `skipped` says by section why the server did not give it; sections that a file does
    not have are `absent`."""

    workspace: dict[str, Any]
    sections: dict[str, list[Object]]
    skipped: dict[str, str] = {}
    absent: frozenset[str] = frozenset()


class Lost(MainstemError):
    """What the server gave at first it refuses now: the token lost rights while the workspace was read."""


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
    reading with the secrets that were found. Raises Refused, and Lost."""
    told = progress or Progress()
    heard = _Heard(api)
    reading, skipped = Reading(heard, untold), {}
    for kind in KINDS:
        reading.watch = told.section(kind.section)
        reading.sections[kind.section] = []
        heard.begin()
        try:
            if kind.is_told or untold is not None:
                reading.sections[kind.section] = _read(kind, reading, heard)
            else:
                skipped[kind.section] = _UNTOLD
        except Refused as error:
            if not may_skip or error.status not in _CLOSED or heard.answered:
                raise
            skipped[kind.section] = f"status {error.status}, {error}"
        told.ended(kind.section, len(reading.sections[kind.section]), skipped.get(kind.section, ""))
    if may_skip and skipped:
        heard.ask_again()
    if seen is not None:
        seen(reading)
    return Document(reading.workspace, reading.sections, skipped)


class _Heard:
    """Who answers, and what was answered: how much in this section, and the first page of each list."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lists: list[str] = []
        self.answered = 0

    def begin(self) -> None:
        """A section begins."""
        self.answered = 0

    def ask(self, route: str, body: Any = None) -> Any:
        """See Api."""
        data = self._api.ask(route, body)
        self.answered += 1
        if self.answered == 1 and route.count("/") == 1:
            self._lists.append(route)
        return data

    def ask_again(self) -> None:
        """What was skipped may have been closed to the token from the start, or be closed to it since: raises Lost
        when it is refused what it got before."""
        for route in self._lists:
            try:
                self._api.ask(route)
            except Refused as error:
                raise Lost(f"the token lost rights while the workspace was read: {error}") from None


def _read(kind: Kind, reading: Reading, heard: _Heard) -> list[Object]:
    """The objects of a section. What was deleted on the server after it was listed is left out, with what names it.
    Raises Refused, and Lost for what is closed after it was open."""
    for _ in range(_MOST_GONE):
        try:
            return list(kind.read(reading))
        except Refused as error:
            if not heard.answered or error.status not in _CLOSED:
                raise
            if error.status != _GONE:
                raise Lost(f"the token lost rights while the workspace was read: {error}") from None
            _leave_out(reading, error.route)
    raise Lost(f"{kind.section}: the workspace changes faster than it can be read; try again")


def _leave_out(reading: Reading, route: str) -> None:
    """Forget the objects that a route names."""
    named = {unquote(each) for each in re.split(r"[/?=&]", route)}
    for section, objects in reading.sections.items():
        reading.sections[section] = [
            each for each in objects if not any(each.get(name) in named for name in _NAMES_OF_OBJECTS)
        ]


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
