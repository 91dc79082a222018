"""Learn what sources send, at the pipeline's speed: what is known already costs a look, only news are saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mainstem.model.event import Event
from mainstem.model.learned import MAX_EVENTS, MAX_FIELDS, MAX_LEVELS, MAX_PATH_CHARACTERS, Seen
from mainstem.pipeline.tally import MS_PER_DAY

MAX_REMEMBERED: Final = 200_000
_BITS: Final = {
    type(None): 1, bool: 2, int: 4, float: 8, str: 16, list: 32, dict: 64,
}  # fmt: skip
_CONTAINER: Final = {
    "track": "properties", "page": "properties", "screen": "properties", "identify": "traits", "group": "traits",
}  # fmt: skip

# What is known of a level: of each name the types it was seen with; of an object or list, where to look inside.
_Level = dict[str, dict[type, "_Inside | None"]]


class _Inside:
    """The level inside an object, or inside the objects of a list; `at` is what its paths begin with."""

    __slots__ = ("at", "depth", "level")

    def __init__(self, at: str, depth: int) -> None:
        self.at = at
        self.depth = depth
        self.level: _Level = {}


class _Known:
    """An event that was seen on `day`; `left` is how many fields more it may have."""

    __slots__ = ("day", "left", "top")

    def __init__(self, day: int) -> None:
        self.day = day
        self.left = MAX_FIELDS
        self.top = _Inside("", 0)


_NONE: Final[dict[tuple[str, str], _Known]] = {}
_NO_TYPES: Final[dict[type, _Inside | None]] = {}
_NEW: Final = _Inside("", 0)


class Learner:
    """Remembers what was told of each source, and gathers what is new or seen for the first time on a day.

    News stay until `saved` is called, so that a batch that could not be saved takes nothing with it. When more is
    remembered than MAX_REMEMBERED, all is forgotten, and told again; the store holds to the limits of the schema.
    """

    def __init__(self) -> None:
        self._sources: dict[str, dict[tuple[str, str], _Known]] = {}
        self._remembered = 0
        self._news: dict[tuple[str, str, str, str | None], Seen] = {}

    def news(self) -> Sequence[Seen]:
        """What is to be saved: each event before its fields."""
        return list(self._news.values())

    def saved(self) -> None:
        """The news were saved."""
        self._news.clear()

    def note(self, events: Iterable[Event]) -> None:
        """Look at events as their source sent them. What has no name to be counted under is left out."""
        for event in events:
            day = event.received_at_ms // MS_PER_DAY
            known = self._sources.get(event.source_id, _NONE).get((event.type, event.name))
            if known is None or known.day < day:
                known = self._begin(event, known, day)
                if known is None:
                    continue
            values = event.payload.get(_CONTAINER.get(event.type, ""))
            if type(values) is dict:
                self._look(event, known, known.top, values)

    def _begin(self, event: Event, before: _Known | None, day: int) -> _Known | None:
        """Know an event from now on, or afresh on another day; None when there is no place for it."""
        if event.type == "track" and not event.name:
            return None
        events = self._sources.setdefault(event.source_id, {})
        if before is not None:
            self._remembered -= 1 + MAX_FIELDS - before.left
        elif len(events) >= MAX_EVENTS:
            return None
        if self._remembered > MAX_REMEMBERED:
            self._sources, self._remembered = {}, 0
            events = self._sources.setdefault(event.source_id, {})
        known = events[event.type, event.name] = _Known(day)
        self._remembered += 1
        self._tell(event, None, 0)
        return known

    def _look(self, event: Event, known: _Known, inside: _Inside, values: dict[str, Any]) -> None:
        level = inside.level
        for name, value in values.items():
            kind = type(value)
            deeper = level.get(name, _NO_TYPES).get(kind, _NEW)
            if deeper is _NEW:
                deeper = self._learn(event, known, inside, name, kind)
            if deeper is None:
                continue
            if kind is dict:
                self._look(event, known, deeper, value)
            else:
                for item in value:
                    if type(item) is dict:
                        self._look(event, known, deeper, item)

    def _learn(self, event: Event, known: _Known, inside: _Inside, name: str, kind: type) -> _Inside | None:
        """Tell of a name, or of another type of it; returns where to look inside such values."""
        path = inside.at + name
        if name not in inside.level:
            if not known.left or len(path) > MAX_PATH_CHARACTERS:
                return None
            known.left -= 1
            self._remembered += 1
            inside.level[name] = {}
        self._tell(event, path, _BITS[kind])
        deeper = None
        if kind in (dict, list) and inside.depth < MAX_LEVELS:
            deeper = _Inside(f"{path}." if kind is dict else f"{path}.$.", inside.depth + 1)
        inside.level[name][kind] = deeper
        return deeper

    def _tell(self, event: Event, path: str | None, types: int) -> None:
        key = (event.source_id, event.type, event.name, path)
        before = self._news.get(key)
        at_ms = event.received_at_ms
        if before is not None:
            types, at_ms = types | before.types, max(at_ms, before.at_ms)
        self._news[key] = Seen(*key, types, at_ms)
