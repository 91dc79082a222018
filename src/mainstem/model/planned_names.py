"""Which names of properties or traits a rule of a tracking plan declares, at every level that declares any.

Source: product guide, "Schema configuration"; the shape of rules as the plan editor writes them. Judgements: what
`$ref`, allOf, anyOf, oneOf, then and else declare is declared; a name that matches a pattern of patternProperties is
planned; a rule that declares no properties plans none, while a nested object without `properties` may hold any.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from mainstem.model.rule_schema import compile_rule

_MAX_LEVELS: Final = 32  # below which nothing is looked at
_COMBINED: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("then", "else")

Matches = Callable[[str], bool]


class PlannedNames(msgspec.Struct):
    """The names of one level; `nested` are those below which names are declared too. A schema that refers to
    itself makes a level that is nested in itself."""

    names: frozenset[str] = frozenset()
    nested: tuple[tuple[str, PlannedNames], ...] = ()
    matches: Matches | None = None

    def covers(self, value: dict[str, Any], levels: int = _MAX_LEVELS) -> bool:
        """Whether all names are planned: what `trim` would find, at a glance."""
        if not self.names.issuperset(value) and not all(map(self._plans, value)):
            return False
        for name, inner in self.nested if levels else ():
            below = value.get(name)
            if type(below) is dict:
                if not inner.covers(below, levels - 1):
                    return False
            elif type(below) is list:
                for each in below:
                    if type(each) is dict and not inner.covers(each, levels - 1):
                        return False
        return True

    def trim(self, value: Any, omitted: list[str], at: str = "", levels: int = _MAX_LEVELS) -> Any:
        """The value without names that are not planned, which are added to `omitted`: a bare name at the first
        level, below it the way to it ("address.zip", "products.$.sku"). The same object when all are planned."""
        kept = value
        if not value.keys() <= self.names:
            kept = {name: each for name, each in value.items() if self._plans(name)}
            omitted += (at + name for name in value if name not in kept)
            if len(kept) == len(value):
                kept = value
        for name, inner in self.nested:
            before = kept.get(name)
            after = before
            if type(before) is dict and levels:
                after = inner.trim(before, omitted, f"{at}{name}.", levels - 1)
            elif type(before) is list and levels:
                after = inner.trim_each(before, omitted, f"{at}{name}.$.", levels - 1)
            if after is not before:
                kept = {**kept, name: after}
        return kept

    def trim_each(self, items: list[Any], omitted: list[str], at: str, levels: int) -> list[Any]:
        """The same for the objects in a list."""
        trimmed = [self.trim(each, omitted, at, levels) if type(each) is dict else each for each in items]
        return items if all(map(operator.is_, trimmed, items)) else trimmed

    def _plans(self, name: str) -> bool:
        return name in self.names or (self.matches is not None and self.matches(name))


def planned_names(schema: Any, container: str) -> PlannedNames:
    """The names that a rule declares in `container` ("properties" or "traits") of the event."""
    inside = [part["properties"][container] for part in _parts(schema, schema) if container in _properties(part)]
    return _Reader(schema).level(inside) or PlannedNames()


class _Reader:
    """Reads the levels of a schema, each once."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[frozenset[int], PlannedNames] = {}

    def level(self, schemas: Sequence[Any], depth: int = 0) -> PlannedNames | None:
        """The names that these schemas declare together, of an object or of the objects in an array; None if
        they declare none."""
        if depth > _MAX_LEVELS:
            return None
        parts = [part for schema in schemas for part in _parts(schema, self._root)]
        parts += [part for each in parts for part in _parts(each.get("items"), self._root)]
        same = frozenset(map(id, parts))
        if same in self._known:
            return self._known[same]
        declared: dict[str, list[Any]] = {}
        for part in parts:
            for name, schema in _properties(part).items():
                declared.setdefault(name, []).append(schema)
        patterns = [pattern for part in parts for pattern in part.get("patternProperties") or ()]
        if not declared and not patterns:
            return None
        found = self._known[same] = PlannedNames(frozenset(declared), (), _matches(patterns) if patterns else None)
        below = ((name, self.level(each, depth + 1)) for name, each in declared.items())
        found.nested = tuple((name, inner) for name, inner in below if inner is not None)
        return found


def _properties(part: dict[str, Any]) -> dict[str, Any]:
    found = part.get("properties")
    return found if isinstance(found, dict) else {}


def _parts(schema: Any, root: Any) -> list[dict[str, Any]]:
    """The schema and those that it is made of, each once."""
    found: dict[int, dict[str, Any]] = {}
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict) or id(part) in found:
            continue
        found[id(part)] = part
        waiting += [part.get(keyword) for keyword in _CONDITIONAL]
        waiting += [each for keyword in _COMBINED for each in part.get(keyword) or ()]
        waiting.append(_referred(part.get("$ref"), root))
    return list(found.values())


def _referred(reference: Any, root: Any) -> Any:
    """What a reference inside the document points to; None for any other."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    try:
        for part in reference.removeprefix("#").split("/")[1:]:
            found = found[int(part) if isinstance(found, list) else part.replace("~1", "/").replace("~0", "~")]
    except (LookupError, TypeError, ValueError):
        return None
    return found


def _matches(patterns: list[str]) -> Matches:
    return compile_rule({"anyOf": [{"pattern": pattern} for pattern in patterns]}).is_valid
