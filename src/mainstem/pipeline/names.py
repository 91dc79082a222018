"""How many names a source may be counted under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mainstem.model.event import Event

MAX_NAMES: Final = 5_000
_HOUR_MS: Final = 3_600_000


class Names:
    """Bounds the pairs of event name and app version that a source is counted under in an hour.

    Each pair is a row of every count for weeks, and whoever has a write key can invent pairs. Beyond MAX_NAMES
    an hour events are counted all the same, but without name and version. They go on unchanged.
    Judgement; 5,000 is also the most names that an answer on events volume holds.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._hour = 0
        self._known: dict[str, set[tuple[str, str]]] = {}

    def bound(self, events: Iterable[Event]) -> None:
        """Take the name and version that it is counted under from each event that has one too many."""
        for event in events:
            hour = event.received_at_ms // _HOUR_MS
            if hour > self._hour:
                self._hour, self._known = hour, {}
            known = self._known.get(event.source_id)
            if known is None:
                known = self._known[event.source_id] = set()
            pair = (event.name, event.app_version)
            if pair in known:
                continue
            if len(known) < self._max_names:
                known.add(pair)
            else:
                event.name = event.app_version = ""
