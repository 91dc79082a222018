"""References within a rule's schema: where each leads, and whether judging an event by it comes to an end.

A reference is local ("#", "#/definitions/Address") and leads to a schema. One that leads back to where it came
from must go deeper into the event each time, on one way alone, and in few steps: so that the work is in
proportion to the event, and fits the stack. Source: JSON Schema draft-07, "Schema references with $ref"; the
bounds are judgements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec

Path = tuple[str, ...]
Fault = tuple[str, str]

MAX_SCHEMAS: Final = 20_000
MAX_DEPTH: Final = 100
MAX_CYCLE: Final = 4
"""Schemas from a definition to where it refers back to itself."""

_BELOW: Final = frozenset(
    {"additionalItems", "additionalProperties", "contains", "items", "properties", "patternProperties"}
)
_NEVER: Final = frozenset({"definitions", "$defs"})
_NAMED: Final = "properties"


class Position(msgspec.Struct, frozen=True):
    """A schema within a schema, and the paths of the schemas right within it."""

    schema: dict[str, Any] | bool
    parts: Sequence[Path]

    @property
    def reference(self) -> str | None:
        """Where it refers to; what else stands in such a schema counts for nothing."""
        return self.schema.get("$ref") if isinstance(self.schema, dict) else None


class _Refused(Exception):
    """What is wrong at a path."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path, self.message = path, message


class _Return(msgspec.Struct, frozen=True):
    """A reference back to `target`, which is being followed; `way` is how deep in the event, and by what names."""

    target: Path
    way: Path
    path: Path


def faults(positions: Mapping[Path, Position]) -> list[Fault]:
    """What is wrong with the references between these positions."""
    found = []
    for path, position in positions.items():
        reference = position.reference
        if reference is not None and target_of(reference) not in positions:
            found.append((".".join((*path, "$ref")), f"{reference} does not lead to a schema within this one"))
    if found:
        return found
    try:
        _Unfolding(positions).all()
    except _Refused as refused:
        return [(".".join(refused.path), refused.message)]
    return []


def target_of(reference: str) -> Path | None:
    """The path that a local reference names; None for every other reference."""
    if reference == "#":
        return ()
    if not reference.startswith("#/"):
        return None
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in unquote(reference[2:]).split("/"))


class _Unfolding:
    """Follows every reference from the root, as judging an event would."""

    def __init__(self, positions: Mapping[Path, Position]) -> None:
        self._positions, self._count = positions, 0
        self._open: dict[Path, tuple[int, int]] = {(): (0, 0)}  # followed now: how deep in the event, and in schemas

    def all(self) -> None:
        """Raises _Refused."""
        _check_returns((), self._follow((), (), 0))

    def _follow(self, path: Path, way: Path, depth: int) -> list[_Return]:
        self._count += 1
        if self._count > MAX_SCHEMAS:
            raise _Refused((), f"unfolds to more than {MAX_SCHEMAS} schemas")
        if depth > MAX_DEPTH:
            raise _Refused(path, f"lies more than {MAX_DEPTH} schemas deep when references are followed")
        position = self._positions[path]
        if position.reference is not None:
            return self._follow_reference(path, position.reference, way, depth)
        found: list[_Return] = []
        for part in position.parts:
            word, name = part[len(path)], part[-1]
            if word not in _NEVER:
                step = (f"{word}/{name}" if word == _NAMED else word,) if word in _BELOW else ()
                found += self._follow(part, way + step, depth + 1)
        return found

    def _follow_reference(self, path: Path, reference: str, way: Path, depth: int) -> list[_Return]:
        target = target_of(reference)
        assert target is not None
        if target not in self._open:
            self._open[target] = (len(way), depth)
            found = self._follow(target, way, depth + 1)
            del self._open[target]
            _check_returns(target, found)
            return found
        level, start = self._open[target]
        if len(way) == level:
            raise _Refused((*path, "$ref"), f"{reference} refers to itself without end")
        if depth - start > MAX_CYCLE:
            raise _Refused((*path, "$ref"), f"{reference} refers back over more than {MAX_CYCLE} schemas")
        return [_Return(target, way, path)]


def _check_returns(target: Path, found: Sequence[_Return]) -> None:
    """Two ways back that one part of an event can take would double the work at every level."""
    if not any(each.target == target for each in found):
        return
    for index, one in enumerate(found):
        for other in found[:index]:
            if not _apart(one.way, other.way):
                raise _Refused((*one.path, "$ref"), "refers back in two ways at once")


def _apart(one: Path, other: Path) -> bool:
    """Whether no part of an event lies on both ways: somewhere they take properties of different names."""
    named = f"{_NAMED}/"
    return any(
        mine != theirs and mine.startswith(named) and theirs.startswith(named)
        for mine, theirs in zip(one, other, strict=False)
    )
