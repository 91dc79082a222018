"""Bringing a workspace to what a file says: what differs, in words, and the calls that change it.

An object of the file is one of the workspace when it has its id, else when it has the same name in the same place.
What is made keeps its id where nothing has it yet. Everything happens in one transaction of the caller, who rolls
back when there is a problem, or when only the words are wanted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from mainstem.model.learned import JsonType, LearnedEvent, LearnedField
from mainstem.model.ports import LearnedSchemas
from mainstem.rest import ids
from mainstem.workspace_files.asking import Refused
from mainstem.workspace_files.document import Document
from mainstem.workspace_files.kinds import KINDS, Kind, Object
from mainstem.workspace_files.secrets import Given, name_of
from mainstem.workspace_files.writing import WRITES, Make, Writer, Writes, without

_SHORTEST_ID: Final = 16  # characters; shorter texts are never taken for the id of an object
_SHOWN: Final = 60  # characters of a value in words
_PLACEHOLDER: Final = "a secret that was not given"
_IDS: Final = ("id", "catalogId")
_WRITE_KEYS: Final = "writeKeys"


class Outcome(msgspec.Struct):
    """What an import did or would do: sentences by kind. With `missing` secrets or `problems` it must not be kept."""

    changes: list[str] = []
    notes: list[str] = []
    problems: list[str] = []
    missing: list[str] = []

    @property
    def is_possible(self) -> bool:
        """Whether everything in the file can be brought about."""
        return not self.problems and not self.missing


class Pair(msgspec.Struct):
    """An object of the file and the one of the workspace that it is, if there is one."""

    wanted: Object
    now: Object | None


class Keys(msgspec.Struct):
    """The write keys that a source is to have, None where they stay as they are, and what changes, in words."""

    wanted: list[str | None] | None = None
    words: list[tuple[str, str]] = []


class Importer:
    """One import. `kept` are the secrets that the workspace has, by the names of references."""

    def __init__(
        self, api: Writer, db: Connection, wanted: Document, now: Document, kept: Mapping[str, Any], given: Given
    ) -> None:
        self._api, self._db, self._wanted, self._now = api, db, wanted, now
        self._kept, self._given = kept, given
        self._ids = {wanted.workspace["id"]: now.workspace["id"]}
        self._failed: set[str] = set()
        self._prune = False
        self._titles = Titles(wanted, now)
        self.outcome = Outcome()

    def run(self, *, prune: bool) -> Outcome:
        """Make and change, kind by kind, and with `prune` delete what the file does not have, in the other order."""
        self._prune = prune
        extra: list[tuple[Kind, Object]] = []
        for kind in KINDS:
            pairs, rest = self._matched(kind)
            extra += [(kind, each) for each in rest]
            for pair in pairs:
                self._bring_about(kind, WRITES[kind.section], pair)
        for kind, each in reversed(extra if prune else []):
            self._delete(kind, WRITES[kind.section], each)
        return self.outcome

    # ---- which is which

    def _matched(self, kind: Kind) -> tuple[list[Pair], list[Object]]:
        """The objects of the file with theirs, and those of the workspace that the file does not have."""
        if kind.section in self._wanted.absent:
            return [], []
        if kind.section in self._wanted.skipped:
            self.outcome.notes.append(f"{kind.section} are not in the file and stay as they are")
            return [], []
        rest = list(self._now.sections[kind.section])
        pairs = []
        for each in self._wanted.sections[kind.section]:
            same = next((one for one in rest if kind.has_id and one["id"] == each["id"]), None)
            if same is not None:
                rest.remove(same)
                self._learn(each, same)
            pairs.append(Pair(each, same))
        for pair in pairs:
            if pair.now is None:
                key = self._key(kind, self._mapped(pair.wanted))
                pair.now = next((one for one in rest if self._key(kind, one) == key), None)
                if pair.now is not None:
                    rest.remove(pair.now)
                    self._learn(pair.wanted, pair.now)
        return pairs, rest

    def _key(self, kind: Kind, each: Object) -> list[Any]:
        return [_at(each, path) for path in kind.same]

    def _learn(self, wanted: Mapping[str, Any], own: Mapping[str, Any] | None) -> None:
        """Ids of the file that are others here."""
        for name in _IDS:
            if own and name in wanted and name in own:
                self._ids[wanted[name]] = own[name]

    def _mapped(self, value: Any) -> Any:
        """A value with the ids of this workspace. References to secrets keep theirs."""
        if isinstance(value, dict):
            return value if name_of(value) else {key: self._mapped(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._mapped(each) for each in value]
        if isinstance(value, str) and len(value) >= _SHORTEST_ID:
            return self._ids.get(value, value)
        return value

    # ---- one object

    def _bring_about(self, kind: Kind, writes: Writes, pair: Pair) -> None:
        title = f"{kind.noun} {self._titles.of(kind, pair.wanted)}"
        cause = next((each for each in _texts(pair.wanted) if each in self._failed), None)
        if cause is not None:
            self._fail(pair.wanted, f"{title}: depends on what could not be made")
        elif pair.now is not None:
            self._change(writes, pair.now, pair.wanted, title)
        elif writes.make is None:
            self._fail(pair.wanted, f"{title}: is not there, and the API cannot make one")
        elif kind.section == "invites" and self._is_user(pair.wanted["email"]):
            self.outcome.notes.append(f"{title}: is a user already")
        else:
            self._make(kind, writes.make, pair.wanted, title)

    def _is_user(self, email: str) -> bool:
        documents = self._now.sections["users"], self._wanted.sections["users"]
        return any(each["email"] == email for found in documents for each in found)

    def _fail(self, wanted: Mapping[str, Any], words: str) -> None:
        self.outcome.problems.append(words)
        self._failed |= {wanted[name] for name in _IDS if name in wanted}

    def _make(self, kind: Kind, make: Make, wanted: Object, title: str) -> None:
        body = self._resolved(self._mapped(without(wanted, _WRITE_KEYS)), None)
        if _WRITE_KEYS in wanted:
            body[_WRITE_KEYS] = self._write_keys(wanted[_WRITE_KEYS], [], title)
        self.outcome.changes.append(f"create {title}")
        keeping = [wanted[name] for name in _IDS if name in wanted]
        refused = self._attempt(lambda: self._learn(wanted, make(self._api, body)), keeping)
        if refused is not None and keeping:  # another workspace may have an object with this id
            refused = self._attempt(lambda: self._learn(wanted, make(self._api, body)), [])
        if refused is not None:
            self._fail(wanted, f"{title}: {_words(refused)}")
        elif kind.section == "users":
            self._find_user(wanted)

    def _find_user(self, wanted: Object) -> None:
        found = self._api.ask("GET /users?pagination.count=1000")["users"]
        self._learn(wanted, next((each for each in found if each["email"] == wanted["email"]), None))

    def _change(self, writes: Writes, now: Object, wanted: Object, title: str) -> None:
        optional = {name: now[name] for name in writes.optional if name in now}
        mapped, keys = optional | without(self._mapped(wanted), _WRITE_KEYS), self._changed_keys(now, wanted, title)
        compared = without_ids(without(now, _WRITE_KEYS)), without_ids(mapped)
        differences = [*self._differences(*compared, ""), *keys.words]
        fields = {path.partition(".")[0].partition("[")[0]: words for path, words in differences}
        told = [f"{path} {words}" for path, words in differences if path.partition(".")[0] not in writes.kept]
        self.outcome.notes += [f"{title}: keeps its {name}" for name in sorted(fields.keys() & writes.kept)]
        for name in sorted(fields.keys() & writes.fixed):
            self.outcome.problems.append(f"{title}: {name} cannot be changed ({fields[name]})")
        if not told or fields.keys() & writes.fixed:
            return
        self.outcome.changes.append(f"change {title}: {', '.join(told)}")
        body = self._resolved(mapped, now) | {name: now[name] for name in (*_IDS, *writes.kept) if name in now}
        before = self._resolved(now, now, own=True)
        body |= {} if keys.wanted is None else {_WRITE_KEYS: keys.wanted}
        if writes.change is None:
            self.outcome.problems.append(f"{title}: cannot be changed")
            return
        change = writes.change
        refused = self._attempt(lambda: change(self._api, before, body), [])
        if refused is not None:
            self.outcome.problems.append(f"{title}: {_words(refused)}")

    def _delete(self, kind: Kind, writes: Writes, now: Object) -> None:
        title = f"{kind.noun} {self._titles.of(kind, now)}"
        delete = writes.delete
        if delete is None:
            self.outcome.notes.append(f"{title}: stays, the API cannot delete it")
            return
        self.outcome.changes.append(f"delete {title}")
        refused = self._attempt(lambda: delete(self._api, now), [])
        if refused is not None and refused.status != 404:  # what it belonged to may have taken it along
            self.outcome.problems.append(f"{title}: {_words(refused)}")

    def _attempt(self, act: Any, keeping: Sequence[str]) -> Refused | None:
        """Do it, or leave no trace of it."""
        try:
            with self._db.begin_nested(), ids.wanted(keeping):
                act()
        except Refused as error:
            return error
        except IntegrityError:  # of an id that something has: handlers make such ids up, and do not expect it
            return Refused("", 409, [("", "something has this id already")])
        return None

    # ---- write keys

    def _changed_keys(self, now: Object, wanted: Object, title: str) -> Keys:
        """Which write keys a source is to have; the file's first where they differ. One that the file does not have
        is deleted by pruning alone."""
        if _WRITE_KEYS not in wanted:
            return Keys()
        has = [str(self._kept[str(name_of(each))]) for each in now.get(_WRITE_KEYS, [])]
        keys = self._write_keys(wanted[_WRITE_KEYS], has, title)
        more, new = [each for each in has if each not in keys], [each for each in keys if each not in has]
        if more and not self._prune:
            self.outcome.notes.append(f"{title}: keeps {_of_keys(more)} that the file does not have")
        gone = [f"{_of_keys(more)} deleted"] if more and self._prune else []
        words = ", ".join([*([f"{_of_keys(new)} added"] if new else []), *gone])
        stay = [] if self._prune else more
        return Keys([*keys, *stay], [(_WRITE_KEYS, words)] if words else [])

    def _write_keys(self, wanted: Sequence[Any], has: Sequence[str], title: str) -> list[str | None]:
        """The write keys of these references: those that were given, else those that stand in their place, else None:
        one is made."""
        found: list[str | None] = []
        for index, each in enumerate(wanted):
            name = str(name_of(each))
            value = self._given.find(name) or (has[index] if index < len(has) else None)
            found.append(value)
            if value is None:
                self.outcome.notes.append(f"{title}: gets a new write key, for {name} is not given")
        return found

    # ---- secrets, and what differs

    def _resolved(self, wanted: Any, now: Any, *, own: bool = False) -> Any:
        """A value with secrets in the place of references: those that were given, else those that are there."""
        name = name_of(wanted)
        if name is not None:
            return self._secret(name, now, own=own)
        if isinstance(wanted, dict):
            return {key: self._resolved(each, _inner(now, key), own=own) for key, each in wanted.items()}
        if isinstance(wanted, list):
            return [self._resolved(each, _inner(now, index), own=own) for index, each in enumerate(wanted)]
        return wanted

    def _secret(self, name: str, now: Any, *, own: bool) -> Any:
        found = None if own else self._given.find(name)
        if found is not None:
            return found
        if name_of(now) in self._kept:
            return self._kept[str(name_of(now))]
        if name not in self.outcome.missing:
            self.outcome.missing.append(name)
        return _PLACEHOLDER

    def _differences(self, now: Any, wanted: Any, path: str) -> Iterator[tuple[str, str]]:
        """Where two values differ, and how in words. No secret is shown."""
        name = name_of(wanted)
        if name is not None:
            given, own = self._given.find(name), name_of(now)
            if own is None or (given is not None and given != self._kept.get(own)):
                yield path, "(a secret)"
        elif isinstance(wanted, dict) and isinstance(now, dict) and name_of(now) is None:
            for key in sorted(wanted.keys() | now.keys()):
                inner = f"{path}.{key}" if path else key
                yield from self._differences(now.get(key), wanted.get(key), inner)
        elif now != wanted and not (isinstance(now, list) and isinstance(wanted, list)):
            yield path, f"{_shown(now)} -> {_shown(wanted)}"
        elif now != wanted:
            yield from self._differing_lists(now, wanted, path)

    def _differing_lists(self, now: list[Any], wanted: list[Any], path: str) -> Iterator[tuple[str, str]]:
        if len(now) != len(wanted):
            yield path, f"{_shown(now)} -> {_shown(wanted)}"
            return
        for index, (one, other) in enumerate(zip(now, wanted, strict=True)):
            yield from self._differences(one, other, f"{path}[{index}]")


class Titles:
    """What objects are called in sentences: by name, and where several places have such objects, by place."""

    def __init__(self, *documents: Document) -> None:
        self._names: dict[str, str] = {}
        for document in documents:
            for kind in KINDS:
                for each in document.sections[kind.section]:
                    if kind.has_id:
                        self._names.setdefault(each["id"], self.of(kind, each))

    def of(self, kind: Kind, each: Mapping[str, Any]) -> str:
        """ "Hook of shop", "team:growth", "shop in Store"."""
        own = each.get("slug") or each.get("email") or each.get("displayName") or each.get("title")
        own = own or each.get("name") or _at(each, "settings.name")
        if kind.section == "labels":
            own = f"{each['key']}:{each['value']}"
        places = [name for name in ("sourceId", "destinationId", "integrationId", "spaceId") if name in each]
        place = self._names.get(str(each[places[-1]]), str(each[places[-1]])) if places else ""
        other = next((each[name] for name in ("trackingPlanId", "warehouseId") if name in each), None)
        if not kind.has_id and other is not None:
            own = self._names.get(str(other), str(other))
            return f"of {place} with {own}" if place else f"of {own}"
        if not own and kind.has_id:
            own = each["id"]
        return f"{own} of {place}" if own and place else str(own or f"of {place}")


class KnownByFile:
    """What sources were seen to send, and what a file excludes of them: the collections of an excluded one are known
    by that, also before anything is sent here."""

    def __init__(self, learned: LearnedSchemas | None, document: Document) -> None:
        self._learned = learned
        self._excluded: dict[str, set[str]] = {}
        for each in document.sections["selectiveSyncs"]:
            for one in each.get("excluded", ()):
                self._excluded.setdefault(one["collection"], set()).update(filter(None, [one.get("property")]))

    def events(self, source_id: str) -> Sequence[LearnedEvent]:
        """See LearnedSchemas."""
        named = [LearnedEvent("track", name, 0, 0, len(of)) for name, of in sorted(self._excluded.items())]
        return [*(self._learned.events(source_id) if self._learned else ()), *named]

    def fields(self, source_id: str, event_type: str, event_name: str) -> Sequence[LearnedField]:
        """See LearnedSchemas."""
        named = [LearnedField(name, JsonType(0), 0, 0) for name in sorted(self._excluded.get(event_name, ()))]
        seen = self._learned.fields(source_id, event_type, event_name) if self._learned else ()
        return [*seen, *named]


def without_ids(value: Mapping[str, Any]) -> Object:
    """An object without what identifies it."""
    return {name: each for name, each in value.items() if name not in _IDS}


def _of_keys(keys: Sequence[Any]) -> str:
    return "a write key" if len(keys) == 1 else f"{len(keys)} write keys"


def _at(value: Mapping[str, Any], path: str) -> Any:
    found: Any = value
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _inner(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _shown(value: Any) -> str:
    if name_of(value) is not None:
        return "(a secret)"
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _words(refused: Refused) -> str:
    """What an operation says is wrong, with the fields."""
    faults = [
        message if not field or field in message else f"{field}: {message}" for field, message in refused.faults
    ]
    return "; ".join(faults) or str(refused)
