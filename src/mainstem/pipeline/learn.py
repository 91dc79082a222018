"""Learn what sources send, at the pipeline's speed: what is known already costs a look, only news are saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mainstem.model.event import Event
from mainstem.model.learned import MAX_EVENTS, MAX_FIELDS, MAX_LEVELS, MAX_PATH_CHARACTERS, JsonType, Seen
from mainstem.pipeline.tally import MS_PER_DAY

MAX_REMEMBERED: Final = 200_000
_BITS: Final = {
    type(None): 1, bool: 2, int: 4, float: 8, str: 16, list: 32, dict: 64,
}  # fmt: skip
_ARRAY: Final = int(JsonType.ARRAY)
_OBJECT: Final = int(JsonType.OBJECT)
_CONTAINER: Final = {
    "track": "properties", "page": "properties", "screen": "properties", "identify": "traits", "group": "traits",
}  # fmt: skip


class _Field:
    """A property or trait that is known, and the Unix day on which it was last told of."""

    __slots__ = ("day", "inside", "items", "path", "types")

    def __init__(self, path: str) -> None:
        self.path = path
        self.types = 0
        self.day = 0
        self.inside: _Fields = {}
        self.items: _Fields = {}


_Fields = dict[str, _Field]


class _Known:
    """An event that is known."""

    __slots__ = ("day", "fields", "left")

    def __init__(self) -> None:
        self.day = 0
        self.fields: _Fields = {}
        self.left = MAX_FIELDS


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
            known = self._sources.get(event.source_id, _NONE).get((event.type, event.name))
            if known is None:
                known = self._new_event(event)
                if known is None:
                    continue
            day = event.received_at_ms // MS_PER_DAY
            if known.day < day:
                known.day = day
                self._tell(event, None, 0)
            values = event.payload.get(_CONTAINER.get(event.type, ""))
            if type(values) is dict:
                self._look(event, known, known.fields, values, day, "", MAX_LEVELS)

    def _new_event(self, event: Event) -> _Known | None:
        if event.type == "track" and not event.name:
            return None
        events = self._sources.setdefault(event.source_id, {})
        if len(events) >= MAX_EVENTS:
            return None
        if self._remembered > MAX_REMEMBERED:
            self._sources, self._remembered = {}, 0
            events = self._sources.setdefault(event.source_id, {})
        known = events[event.type, event.name] = _Known()
        self._remembered += 1
        return known

    def _look(
        self, event: Event, known: _Known, fields: _Fields, values: dict[str, Any], day: int, at: str, levels: int
    ) -> None:
        for name, value in values.items():
            bit = _BITS[type(value)]
            field = fields.get(name)
            if field is None:
                field = self._new_field(known, fields, name, at)
                if field is None:
                    continue
            if not field.types & bit or field.day < day:
                field.types |= bit
                field.day = max(field.day, day)
                self._tell(event, field.path, bit)
            if bit == _OBJECT:
                if levels and value:
                    self._look(event, known, field.inside, value, day, f"{field.path}.", levels - 1)
            elif bit == _ARRAY and levels:
                for item in value:
                    if type(item) is dict:
                        self._look(event, known, field.items, item, day, f"{field.path}.$.", levels - 1)

    def _new_field(self, known: _Known, fields: _Fields, name: str, at: str) -> _Field | None:
        path = at + name
        if not known.left or len(path) > MAX_PATH_CHARACTERS:
            return None
        known.left -= 1
        self._remembered += 1
        field = fields[name] = _Field(path)
        return field

    def _tell(self, event: Event, path: str | None, types: int) -> None:
        key = (event.source_id, event.type, event.name, path)
        before = self._news.get(key)
        at_ms = event.received_at_ms
        if before is not None:
            types, at_ms = types | before.types, max(at_ms, before.at_ms)
        self._news[key] = Seen(*key, types, at_ms)


_NONE: Final[dict[tuple[str, str], _Known]] = {}
