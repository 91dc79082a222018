"""Destination filters: what a destination does not get of the events that reach it.

A filter is a condition in FQL and actions for the events that match. Across all filters of a destination the
actions run in the order SAMPLE, DROP, DROP_PROPERTIES, ALLOW_PROPERTIES, and each filter's condition sees the
event as the filters before left it. A filter decides once, at its first action: what it removes itself never
turns its later actions off. Whatever cannot be read or judged fails closed: the event is not sent.
Source: Public API reference, "Destination Filters"; product guide, "Destination Filters". Judgements: deciding
once, and how a sampling path is hashed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from mainstem.model import fql
from mainstem.model.snapshot import FilterConfig

JsonObject = dict[str, Any]
Random = Callable[[], float]  # a number in [0, 1)
Fields = Mapping[str, Sequence[str]]


class Drop(msgspec.Struct, frozen=True, tag_field="type", tag="DROP"):
    """The event is not sent."""


class Sample(msgspec.Struct, frozen=True, tag_field="type", tag="SAMPLE"):
    """Of the matching events the share `percent`, 0 to 1, is kept. With a `path` the value there decides, so
    that one user is always in or always out; without, or with an empty one, chance does."""

    percent: float
    path: str | msgspec.UnsetType = msgspec.UNSET


class DropProperties(msgspec.Struct, frozen=True, tag_field="type", tag="DROP_PROPERTIES"):
    """At each path of `fields` these keys are removed; the path "" is the event itself. Where the path leads
    to or through a list, it means every object in that list, and in lists within it."""

    fields: dict[str, list[str]]


class AllowProperties(msgspec.Struct, frozen=True, tag_field="type", tag="ALLOW_PROPERTIES"):
    """At each path of `fields` only these keys are kept; what no path names is left as it is."""

    fields: dict[str, list[str]]


Action = Drop | Sample | DropProperties | AllowProperties
ACTIONS_IN_ORDER: Final = (Sample, Drop, DropProperties, AllowProperties)
ACTION_TYPES: Final = ("ALLOW_PROPERTIES", "DROP", "DROP_PROPERTIES", "SAMPLE")


class FilteredOut(msgspec.Struct, frozen=True):
    """The event is not sent to this destination: counts as FILTERED_BY_RULES."""

    filter_id: str
    cause: Literal["dropped", "sampled_out", "filter_unreadable", "event_not_judged"]


def read_actions(actions: Sequence[Mapping[str, Any]]) -> tuple[Action, ...]:
    """Decode wire actions, whatever the case of their types; keys that a type does not have are left out.
    `wire_actions` writes them back. Raises msgspec.ValidationError; `faults` says what is wrong, all at once.
    """
    given = [{key: value for key, value in action.items() if value is not None} for action in actions]
    return msgspec.convert([{**each, "type": _action_type(each)} for each in given], tuple[Action, ...])


def wire_actions(actions: Sequence[Action]) -> list[JsonObject]:
    """The actions as the Public API shows them: type in upper case, no key that was not given."""
    return [msgspec.to_builtins(action) for action in actions]


def _action_type(action: Mapping[str, Any]) -> Any:
    kind = action.get("type")
    return kind.upper() if isinstance(kind, str) else kind


# ---- running


class FilterSet:
    """The enabled filters of one destination, ready to run; build it once per published configuration."""

    def __init__(self, filters: Iterable[FilterConfig]) -> None:
        self._unreadable: FilteredOut | None = None
        steps: list[_Step] = []
        for number, each in enumerate(each for each in filters if each.enabled):
            try:
                steps += _steps(number, each)
            except (fql.FqlError, msgspec.ValidationError):
                self._unreadable = self._unreadable or FilteredOut(each.id, "filter_unreadable")
        # Sorting is stable, so filters keep their order within one kind of action.
        self._steps = sorted(steps, key=lambda step: step.rank)

    def __bool__(self) -> bool:
        """Whether any event might change or be dropped."""
        return bool(self._steps) or self._unreadable is not None

    def apply(self, event: JsonObject, random: Random) -> JsonObject | FilteredOut:
        """Return the event as this destination may see it, or why it may not see it at all.
        `event` is never changed: what comes back is the same object, or one that shares what stayed the same.
        """
        if self._unreadable is not None:
            return self._unreadable
        decided: dict[int, bool] = {}
        for step in self._steps:
            try:
                matches = decided.get(step.filter_number)
                if matches is None:
                    matches = decided[step.filter_number] = step.query.matches(event)
                if not matches:
                    continue
                result = step.run(event, random)
            except (fql.FqlRuntimeError, RecursionError):
                return FilteredOut(step.filter_id, "event_not_judged")
            if isinstance(result, FilteredOut):
                return result
            event = result
        return event


def preview(
    condition: str, actions: Sequence[Mapping[str, Any]], payload: JsonObject, random: Random
) -> JsonObject | None:
    """What one filter would make of `payload`; None when it would not be sent.
    Raises FqlError for a condition and msgspec.ValidationError for actions that cannot be read.
    """
    fql.parse(condition)
    read_actions(actions)
    one = FilterConfig("", condition, tuple(dict(action) for action in actions), enabled=True)
    result = FilterSet([one]).apply(payload, random)
    return None if isinstance(result, FilteredOut) else result


_Run = Callable[[JsonObject, Random], JsonObject | FilteredOut]


class _Step(msgspec.Struct, frozen=True):
    """One action of one filter."""

    rank: int
    filter_number: int
    filter_id: str
    query: fql.Query
    run: _Run


def _steps(number: int, config: FilterConfig) -> list[_Step]:
    query, actions = fql.parse(config.condition), read_actions(config.actions)
    return [
        _Step(ACTIONS_IN_ORDER.index(type(action)), number, config.id, query, _runner(action, config.id))
        for action in actions
    ]


def _runner(action: Action, filter_id: str) -> _Run:
    match action:
        case Drop():
            dropped = FilteredOut(filter_id, "dropped")
            return lambda _event, _random: dropped
        case Sample():
            return _sampling(action, filter_id)
        case DropProperties(fields=fields):
            return _editing(fields, _without)
        case AllowProperties(fields=fields):
            return _editing(fields, _with_only)


# ---- sampling


def _sampling(action: Sample, filter_id: str) -> _Run:
    sampled_out = FilteredOut(filter_id, "sampled_out")
    percent = action.percent
    if not action.path:
        return lambda event, random: event if random() < percent else sampled_out
    segments = split_path(action.path)
    bound = percent * 2**64

    def sample(event: JsonObject, _random: Random) -> JsonObject | FilteredOut:
        return event if sampling_hash(_value_at(event, segments)) < bound else sampled_out

    return sample


def sampling_hash(value: Any) -> int:
    """A stable number in [0, 2**64) for a JSON value: the first 8 bytes, big-endian, of the MD5 of its text in
    UTF-8. Strings are their own text; the rest is compact JSON, so a missing value hashes as `null`.
    Raises FqlRuntimeError when the value has no text (see fql.canonical_text).
    """
    text = fql.canonical_text(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest()[:8], "big")


def _value_at(event: JsonObject, segments: Sequence[str]) -> Any:
    value: Any = event
    for segment in segments:
        if not isinstance(value, dict):
            return None
        value = value.get(segment)
    return value


# ---- removing keys

_Edit = Callable[[JsonObject, frozenset[str]], JsonObject]


def _editing(fields: Fields, edit: _Edit) -> _Run:
    edits = [(split_path(path), frozenset(keys)) for path, keys in fields.items()]
    if len(edits) == 1 and len(edits[0][0]) == 1:
        return _editing_one(*edits[0][0], edit, edits[0][1])

    def run(event: JsonObject, _random: Random) -> JsonObject:
        for path, keys in edits:
            event = _edited(event, path, edit, keys)
        return event

    return run


def _editing_one(name: str, edit: _Edit, keys: frozenset[str]) -> _Run:
    """The same for what filters mostly do, keys of one object of the event, in less time."""

    def run(event: JsonObject, _random: Random) -> JsonObject:
        old = event.get(name)
        new = edit(old, keys) if type(old) is dict else _edited(old, (), edit, keys)
        if new is old:
            return event
        changed = event.copy()
        changed[name] = new
        return changed

    return run


def _edited(value: Any, path: Sequence[str], edit: _Edit, keys: frozenset[str]) -> Any:
    """`value` with every object at `path` edited; the very same value where that changes nothing."""
    if type(value) is dict:
        if not path:
            return edit(value, keys)
        old = value.get(path[0])
        new = _edited(old, path[1:], edit, keys)
        if new is old:
            return value
        changed = value.copy()
        changed[path[0]] = new
        return changed
    if type(value) is list:
        items = [_edited(item, path, edit, keys) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def _without(value: JsonObject, keys: frozenset[str]) -> JsonObject:
    if keys.isdisjoint(value):
        return value
    kept = value.copy()
    for key in keys:
        kept.pop(key, None)
    return kept


def _with_only(value: JsonObject, keys: frozenset[str]) -> JsonObject:
    if keys.issuperset(value):
        return value
    return {key: inner for key, inner in value.items() if key in keys}


_PATH_PIECE: Final = re.compile(r"\\(.)|(\.)|([^\\.]+|\\$)", re.DOTALL)


def split_path(path: str) -> tuple[str, ...]:
    """The keys of a dotted path, outermost first; none for "". A backslash takes the next character as it is,
    so `products\\.new.price` is the key `products.new` and then `price`."""
    if not path:
        return ()
    segments = [""]
    for escaped, dot, plain in _PATH_PIECE.findall(path):
        if dot:
            segments.append("")
        else:
            segments[-1] += escaped or plain
    return tuple(segments)


# ---- what the Public API refuses


def faults(actions: Any) -> list[tuple[str, str]]:
    """What is wrong with a filter's actions as a client sent them: (field path, message) pairs, none when
    they are fine. A null counts as not given, and keys that the action does not have are not looked at.
    """
    if not isinstance(actions, list):
        return [("actions", '"actions" must be an array')]
    if not actions:
        return [("actions", '"actions" must contain at least 1 items')]
    found = [fault for index, action in enumerate(actions) for fault in _action_faults(index, action)]
    types = [_action_type(action) for action in actions if isinstance(action, dict)]
    if "DROP" in types and len(actions) > 1:
        found.append(("actions", '"actions" must contain DROP alone'))
    return found


def _action_faults(index: int, action: Any) -> list[tuple[str, str]]:
    place = ("actions", index)
    if not isinstance(action, dict):
        return [_fault(place, "must be of type object")]
    match _action_type(action):
        case None:
            return [_fault((*place, "type"), "is required")]
        case "DROP":
            return []
        case "SAMPLE":
            return _sample_faults(place, action)
        case "ALLOW_PROPERTIES" | "DROP_PROPERTIES":
            return _fields_faults((*place, "fields"), action.get("fields"))
        case _:
            return [_fault((*place, "type"), f"must be one of [{', '.join(ACTION_TYPES)}]")]


_Place = tuple[str | int, ...]


def _fault(place: _Place, rule: str) -> tuple[str, str]:
    label = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    return label, f'"{label}" {rule}'


def _sample_faults(place: _Place, action: JsonObject) -> list[tuple[str, str]]:
    found = []
    percent, path = action.get("percent"), action.get("path")
    if percent is None:
        found.append(_fault((*place, "percent"), "is required"))
    elif isinstance(percent, bool) or not isinstance(percent, int | float):
        found.append(_fault((*place, "percent"), "must be a number"))
    elif not percent >= 0:
        found.append(_fault((*place, "percent"), "must be greater than or equal to 0"))
    elif percent > 1:
        found.append(_fault((*place, "percent"), "must be less than or equal to 1"))
    if path is not None and not isinstance(path, str):
        found.append(_fault((*place, "path"), "must be a string"))
    return found


def _fields_faults(place: _Place, fields: Any) -> list[tuple[str, str]]:
    if fields is None:
        return [_fault(place, "is required")]
    if not isinstance(fields, dict):
        return [_fault(place, "must be of type object")]
    found = []
    for path, keys in fields.items():
        if not isinstance(keys, list):
            found.append(_fault((*place, path), "must be an array"))
            continue
        wrong = (index for index, key in enumerate(keys) if not isinstance(key, str))
        found += [_fault((*place, path, index), "must be a string") for index in wrong]
    return found
