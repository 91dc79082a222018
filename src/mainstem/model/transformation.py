"""Transformations: how events of a source are changed, for all destinations of the source or for one type of them.

A transformation is a condition in FQL and what is done to the events that match. The conditions of all of them are
asked of the event as it came, before any of them has changed it, so that A to B and B to A never make a chain; then
they run in order of creation. Inside one, the order is: drop, event name, renames, values, FQL, allowed, hashed.

Paths are keys joined by dots, `\\.` being a dot inside a key, up to four levels. One that begins with `properties.`,
`traits.` or `context.` starts at the event; any other starts inside the event's own object, which is `traits` for
identify and group calls, else `properties`. Only the paths of values always start at the event, since values may be
set beside those objects. No path leads into lists. What is not where a path points is left alone; where the way to a
new place is blocked by something that is no object, nothing is moved or set.

What cannot be read or judged fails closed where it protects somebody: a transformation that drops, allows or hashes
then drops the event. One that only renames or sets is left out.

Source: Public API reference, "Transformations"; product guide, "Use Transformations to fix bad data" (kinds, scopes,
conflicts, four levels). Judgements: both orders, what a path starts at, what fails closed, how values are hashed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from mainstem.model import fql
from mainstem.model.destination_filter import split_path
from mainstem.model.fql_syntax import And, Comparison, Node, Path, read
from mainstem.model.fql_syntax import Literal as Constant
from mainstem.model.snapshot import SourceConfig, TransformationConfig

JsonObject = dict[str, Any]
Keys = tuple[str, ...]
Faults = list[tuple[str, str]]

MAX_LEVELS: Final = 4
MAX_VALUE_TRANSFORMATIONS: Final = 10
MAX_PATHS_OF_A_VALUE: Final = 10
MAX_FQL_PROPERTIES: Final = 1
MAX_ENTRIES: Final = 500
"""Of renames, of allowed and of hashed properties, each; the reference has no limit (judgement)."""

IDS: Final = frozenset({"userId", "anonymousId", "groupId", "previousId", "messageId"})
_NOT_SET: Final = IDS | {"type", "event", "properties", "traits", "context", "integrations", "_metadata", "writeKey"}
_ROOTS: Final = frozenset({"properties", "traits", "context"})
_OWN: Final[Mapping[str, str]] = {"identify": "traits", "group": "traits"}
_PROPERTIES: Final = "properties"


class Withheld(msgspec.Struct, frozen=True):
    """The event goes no further: `transformation_id` drops it, or cannot be judged and would protect it."""

    transformation_id: str
    cause: Literal["dropped", "unreadable", "not_judged"]


# ---- running


class TransformationSet:
    """The enabled transformations of one scope, ready to run; build it once per published configuration."""

    def __init__(self, configs: Iterable[TransformationConfig]) -> None:
        self._unreadable: Withheld | None = None
        self._for_any_event: list[_Transformation] = []
        self._by_event: dict[str, list[_Transformation]] = {}
        for each in configs:
            if each.enabled:
                self._add(each)

    def _add(self, config: TransformationConfig) -> None:
        """Most pick one event by its name, and a source may have hundreds: only those of a name are asked for it."""
        try:
            compiled, (kind, name) = _compiled(config), subject(config.condition)
        except (fql.FqlError, ValueError):
            if _protects(config):
                self._unreadable = self._unreadable or Withheld(config.id, "unreadable")
            return
        if kind and name:
            self._by_event.setdefault(name, list(self._for_any_event)).append(compiled)
            return
        for those in (self._for_any_event, *self._by_event.values()):
            those.append(compiled)

    def __bool__(self) -> bool:
        """Whether any event might change or be dropped."""
        return bool(self._for_any_event or self._by_event) or self._unreadable is not None

    def _asked(self, event: JsonObject) -> list[_Transformation]:
        name = event.get("event")
        return self._by_event.get(name, self._for_any_event) if type(name) is str else self._for_any_event

    def apply(self, event: JsonObject) -> JsonObject | Withheld:
        """Return the event as they leave it, or why it goes no further. `event` is never changed: what comes back
        is the same object, or one that shares what stayed the same."""
        if self._unreadable is not None:
            return self._unreadable
        matching = []
        for each in self._asked(event):
            try:
                if each.query.matches(event):
                    matching.append(each)
            except (fql.FqlRuntimeError, RecursionError):
                if each.protects:
                    return Withheld(each.id, "not_judged")
        for each in matching:
            result = each.run(event)
            if isinstance(result, Withheld):
                return result
            event = result
        return event


NONE: Final = TransformationSet(())


def transformations_of(source: SourceConfig, metadata_id: str = "") -> TransformationSet:
    """Those of the source itself, which run before its destinations part; or those of it for destinations of the
    type `metadata_id`."""
    found = [each for each in source.transformations if each.enabled and each.destination_metadata_id == metadata_id]
    return TransformationSet(found) if found else NONE


_Edit = Callable[[JsonObject], JsonObject]


class _Transformation(msgspec.Struct, frozen=True):
    """One transformation. Its edits are made twice, for events whose own object is `traits` and for the others."""

    id: str
    query: fql.Query
    drops: bool
    protects: bool
    of_properties: tuple[_Edit, ...]
    of_traits: tuple[_Edit, ...]

    def run(self, event: JsonObject) -> JsonObject | Withheld:
        if self.drops:
            return Withheld(self.id, "dropped")
        edits = self.of_traits if event.get("type") in _OWN else self.of_properties
        try:
            for edit in edits:
                event = edit(event)
        except fql.FqlRuntimeError:  # of hashing alone: a property defined in FQL is left out by itself
            return Withheld(self.id, "not_judged")
        return event


def _protects(config: TransformationConfig) -> bool:
    """Whether it keeps something from somebody, so that events must not pass by it."""
    return config.drop or bool(config.allow_properties) or config.hash_properties is not None


def _compiled(config: TransformationConfig) -> _Transformation:
    """Raises FqlError, and ValueError for an algorithm or encoding that is not known."""
    return _Transformation(
        config.id,
        fql.parse(config.condition),
        config.drop,
        _protects(config),
        tuple(_edits(config, _PROPERTIES)),
        tuple(_edits(config, "traits")),
    )


def _edits(config: TransformationConfig, own: str) -> Iterable[_Edit]:
    """In the order in which they run, for events whose own object is `own`."""
    if config.new_event_name and own == _PROPERTIES:
        yield _naming(config.new_event_name)
    if config.property_renames:
        yield _renaming([(keys_of(old, own), keys_of(new, own)) for old, new in config.property_renames])
    for paths, value in config.property_value_transformations:
        yield _setting([split_path(path) for path in paths], value)
    for text, name in config.fql_defined_properties:
        yield _defining(fql.parse(text), keys_of(name, own))
    if config.allow_properties:
        yield _allowing([keys_of(path, own) for path in config.allow_properties], own)
    if config.hash_properties is not None:
        yield _hashing(config.hash_properties, own)


def keys_of(path: str, own: str) -> Keys:
    """The keys of a path from the event down; `own` is the name of the event's own object."""
    keys = split_path(path)
    return keys if len(keys) > 1 and keys[0] in _ROOTS else (own, *keys)


def _naming(name: str) -> _Edit:
    return lambda event: {**event, "event": name} if event.get("type") == "track" else event


def _renaming(pairs: Sequence[tuple[Keys, Keys]]) -> _Edit:
    """All at once, so that their order says nothing and two names can change places: what lies deepest is taken
    out first, what goes highest is put in first."""
    if len(pairs) == 1 and len(pairs[0][0]) == 2 and pairs[0][0][0] == pairs[0][1][0] and len(pairs[0][1]) == 2:
        return _renaming_one(*pairs[0][0], pairs[0][1][1])
    ordered = sorted(pairs, key=lambda pair: -len(pair[0]))

    def rename(event: JsonObject) -> JsonObject:
        taken = []
        for old, new in ordered:
            value = value_at(event, old)
            if value is not MISSING:
                event = _without(event, old)
                taken.append((new, old, value))
        for new, old, value in sorted(taken, key=lambda move: len(move[0])):
            moved = _with(event, new, value)
            event = _with(event, old, value) if moved is event else moved
        return event

    return rename


def _renaming_one(container: str, old: str, new: str) -> _Edit:
    """The same for what is renamed most often, one property inside its object: a third of the time."""

    def rename_one(event: JsonObject) -> JsonObject:
        inner = event.get(container)
        if type(inner) is not dict or old not in inner:
            return event
        renamed = inner.copy()
        renamed[new] = renamed.pop(old)
        changed = event.copy()
        changed[container] = renamed
        return changed

    return rename_one


def _setting(paths: Sequence[Keys], value: str) -> _Edit:
    def set_values(event: JsonObject) -> JsonObject:
        for path in paths:
            event = _with(event, path, value)
        return event

    return set_values


def _defining(query: fql.Query, path: Keys) -> _Edit:
    """Null, and a value that cannot be computed from this event, leave it as it is."""

    def define(event: JsonObject) -> JsonObject:
        try:
            value = query.value(event)
        except (fql.FqlRuntimeError, RecursionError):
            return event
        return event if value is None else _with(event, path, value)

    return define


# ---- allowed properties


def _allowing(paths: Sequence[Keys], own: str) -> _Edit:
    """A tree of the keys that stay; None stands for all that is there."""
    tree: dict[str, Any] = {}
    for keys in sorted(paths, key=len):
        _grow(tree, keys)
    kept = tree.get(own, {})

    def allow(event: JsonObject) -> JsonObject:
        value = event.get(own)
        return {**event, own: _only(value, kept)} if type(value) is dict else event

    return allow


def _grow(tree: dict[str, Any], keys: Keys) -> None:
    for key in keys[:-1]:
        inner = tree.setdefault(key, {})
        if inner is None:
            return  # what is above it is allowed whole
        tree = inner
    tree.setdefault(keys[-1], None)


def _only(value: JsonObject, tree: Mapping[str, Any]) -> JsonObject:
    kept = {}
    for key, inner in value.items():
        if key not in tree:
            continue
        if tree[key] is None:
            kept[key] = inner
        elif type(inner) is dict and (some := _only(inner, tree[key])):
            kept[key] = some
    return kept


# ---- hashing

ALGORITHMS: Final[Mapping[str, str]] = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
}
ENCODINGS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "HEX": bytes.hex,
    "BASE16": lambda digest: digest.hex().upper(),  # RFC 4648 writes it in capitals
    "BASE64": lambda digest: base64.b64encode(digest).decode(),
    "BASE64URL": lambda digest: base64.urlsafe_b64encode(digest).decode(),
}


def find_algorithm(name: str) -> str | None:
    """The algorithm that `name` means, whatever its case: SHA256, sha-256, Sha_256. None for an unknown one."""
    return ALGORITHMS.get(name.upper().replace("-", "").replace("_", ""))


def hashed(value: Any, algorithm: str, key: str, encoding: str) -> str:
    """The hash of a JSON value: strings are their own text in UTF-8, the rest is compact JSON with sorted keys.
    With a key it is an HMAC. Raises FqlRuntimeError when the value has no text (see fql.canonical_text)."""
    text = fql.canonical_text(value).encode("utf-8", "surrogatepass")
    if key:
        return ENCODINGS[encoding](hmac.digest(key.encode(), text, algorithm))
    return ENCODINGS[encoding](hashlib.new(algorithm, text, usedforsecurity=False).digest())


def _hashing(config: Mapping[str, Any], own: str) -> _Edit:
    algorithm, encoding = find_algorithm(config["algorithm"]), config.get("encoding") or "HEX"
    if algorithm is None or encoding not in ENCODINGS:
        raise ValueError("an algorithm or encoding that is not known")
    name, key = algorithm, config.get("key") or ""
    paths = [keys_of(path, own) for path in config["paths"]]

    def replace(event: JsonObject) -> JsonObject:
        for path in paths:
            value = value_at(event, path)
            if value is not MISSING and value is not None:
                event = _with(event, path, hashed(value, name, key, encoding))
        return event

    return replace


# ---- objects inside objects, never changed in place

MISSING: Final = object()


def value_at(event: JsonObject, path: Keys) -> Any:
    """The value at a path, MISSING when there is none."""
    value: Any = event
    for key in path:
        if type(value) is not dict:
            return MISSING
        value = value.get(key, MISSING)
    return value


def _without(event: JsonObject, path: Keys) -> JsonObject:
    """The event without what lies at `path`; something does."""
    changed = event.copy()
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = _without(event[path[0]], path[1:])
    return changed


def _with(event: JsonObject, path: Keys, value: Any) -> JsonObject:
    """The event with `value` at `path`, objects on the way made where there is nothing; the very same event where
    something else is in the way."""
    key = path[0]
    if len(path) == 1:
        return {**event, key: value}
    inner = event.get(key, MISSING)
    if inner is MISSING or inner is None:
        return {**event, key: _nested(path[1:], value)}
    if type(inner) is not dict:
        return event
    new = _with(inner, path[1:], value)
    return event if new is inner else {**event, key: new}


def _nested(path: Keys, value: Any) -> JsonObject:
    for key in reversed(path):
        value = {key: value}
    found: JsonObject = value
    return found


# ---- what the Public API refuses


def subject(condition: str) -> tuple[str, str]:
    """What a condition picks, for the rule that there is one transformation of it: the type and the event of a
    standard matcher (`event='X'`, `type='identify'`, or both); of any other, "" and a text that conditions with the
    same tree share. Raises FqlError."""
    tree = read(condition)
    equal = _equalities(tree)
    if equal is None or equal.keys() - {"type", "event"} or not equal:
        return "", repr(tree)
    name = equal.get("event", "")
    return equal.get("type", "track" if name else ""), name


def _equalities(node: Node) -> dict[str, str] | None:
    """Fields that a condition compares with texts, if it does nothing else."""
    match node:
        case Comparison(operator="=", left=Path(segments=(field,)), right=Constant(value=str(text))):
            return {field: text}
        case Comparison(operator="=", left=Constant(value=str(text)), right=Path(segments=(field,))):
            return {field: text}
        case And(operands=operands):
            found = [_equalities(each) for each in operands]
            fields = [each for each in found if each is not None]
            joined = {key: text for each in fields for key, text in each.items()}
            return joined if len(joined) == len(found) else None
    return None


def value_paths(config: TransformationConfig) -> set[Keys]:
    """What it sets, from the event down."""
    return {split_path(path) for paths, _ in config.property_value_transformations for path in paths}


def faults(config: TransformationConfig) -> Faults:
    """What is wrong with a transformation: (field path, message) pairs, none when it can be used."""
    found = _fql_faults("if", config.condition)
    kind = "" if found else subject(config.condition)[0]
    own = _OWN.get(kind, _PROPERTIES)
    if config.new_event_name and kind not in ("", "track"):
        found.append(_fault("newEventName", "is for track events alone"))
    found += _combination_faults(config)
    found += _rename_faults(config, own)
    found += _value_faults(config, own)
    found += _fql_property_faults(config)
    found += _list_faults("allowProperties", config.allow_properties or ())
    if config.hash_properties is not None:
        found += _hash_faults(config.hash_properties)
    return found


def _fault(field: str, rule: str) -> tuple[str, str]:
    return field, f'"{field}" {rule}'


def _fql_faults(field: str, text: str) -> Faults:
    try:
        fql.parse(text)
    except fql.FqlError as error:
        return [_fault(field, f"is not valid FQL: {error}")]  # the error names line and column
    return []


def _combination_faults(config: TransformationConfig) -> Faults:
    others = {
        "propertyRenames": config.property_renames,
        "propertyValueTransformations": config.property_value_transformations,
        "newEventName": config.new_event_name,
    }
    if not config.fql_defined_properties:
        return []
    rule = "must not be combined with"
    return [_fault("fqlDefinedProperties", f'{rule} "{name}"') for name, value in others.items() if value]


def _count_faults(field: str, count: int, most: int) -> Faults:
    return [_fault(field, f"must contain less than or equal to {most} items")] if count > most else []


def _rename_faults(config: TransformationConfig, own: str) -> Faults:
    field = "propertyRenames"
    found = _count_faults(field, len(config.property_renames), MAX_ENTRIES)
    olds: set[Keys] = set()
    news: set[Keys] = set()
    for index, (old, new) in enumerate(config.property_renames):
        for name, text, seen in (("oldName", old, olds), ("newName", new, news)):
            place = f"{field}[{index}].{name}"
            if rule := _path_rule(text) or _rename_rule(text):
                found.append(_fault(place, rule))
            elif keys_of(text, own) in seen:
                found.append(
                    _fault(place, "is renamed twice" if seen is olds else "is the new name of two properties")
                )
            seen.add(keys_of(text, own))
        if keys_of(old, own) == keys_of(new, own):
            found.append(_fault(f"{field}[{index}].newName", "must differ from the old name"))
    return found


def _rename_rule(text: str) -> str | None:
    if split_path(text)[0] in {"context", "integrations"} and len(split_path(text)) > 1:
        return "must stay inside properties or traits"
    return None


def _value_faults(config: TransformationConfig, own: str) -> Faults:
    field = "propertyValueTransformations"
    found = _count_faults(field, len(config.property_value_transformations), MAX_VALUE_TRANSFORMATIONS)
    renamed = {keys_of(text, own) for pair in config.property_renames for text in pair}
    seen: set[Keys] = set()
    for index, (paths, _) in enumerate(config.property_value_transformations):
        place = f"{field}[{index}].propertyPaths"
        found += _count_faults(place, len(paths), MAX_PATHS_OF_A_VALUE)
        for number, path in enumerate(paths):
            if rule := _path_rule(path) or _value_rule(path, seen, renamed):
                found.append(_fault(f"{place}[{number}]", rule))
            seen.add(split_path(path))
    return found


def _value_rule(path: str, seen: set[Keys], renamed: set[Keys]) -> str | None:
    keys = split_path(path)
    if keys[0] == "integrations" or (len(keys) == 1 and keys[0] in _NOT_SET):
        return "must not be set by a transformation"
    if keys in seen:
        return "is set twice"
    return 'is in "propertyRenames" too' if keys in renamed else None


def _fql_property_faults(config: TransformationConfig) -> Faults:
    field = "fqlDefinedProperties"
    found = _count_faults(field, len(config.fql_defined_properties), MAX_FQL_PROPERTIES)
    for index, (text, name) in enumerate(config.fql_defined_properties):
        found += _fql_faults(f"{field}[{index}].fql", text)
        if rule := _path_rule(name):
            found.append(_fault(f"{field}[{index}].propertyName", rule))
    return found


def _list_faults(field: str, paths: Sequence[str]) -> Faults:
    found = _count_faults(field, len(paths), MAX_ENTRIES)
    rules = ((index, _path_rule(path)) for index, path in enumerate(paths))
    return found + [_fault(f"{field}[{index}]", rule) for index, rule in rules if rule]


def _hash_faults(config: Mapping[str, Any]) -> Faults:
    field = "hashPropertiesConfiguration"
    found = _list_faults(f"{field}.paths", config["paths"])
    if find_algorithm(config["algorithm"]) is None:
        found.append(_fault(f"{field}.algorithm", f"must be one of [{', '.join(ALGORITHMS)}]"))
    return found


def _path_rule(path: str) -> str | None:
    """What is wrong with a path, wherever it stands."""
    keys = split_path(path)
    if not keys or not all(keys):
        return "is not allowed to have an empty part" if keys else "is not allowed to be empty"
    if "$" in keys:
        return "must not lead into an array: there is no `.$.`"
    inside = keys[1:] if len(keys) > 1 and keys[0] in _ROOTS else keys
    if len(inside) > MAX_LEVELS:
        return f"must be at most {MAX_LEVELS} levels deep"
    if len(keys) == 1 and keys[0] in IDS:
        return "must not be an id of the event; a property of this name is written properties." + keys[0]
    return None
