"""From a body and its write key to a record on the event log."""

from __future__ import annotations

import time
from typing import Final

from mainstem.errors import EngineUnavailable
from mainstem.model.event import Received, to_record
from mainstem.model.ports import EventLog
from mainstem.model.snapshot import LiveSnapshot, Snapshot, SourceConfig
from mainstem.settings import Settings
from mainstem.tracking_api.answers import ACCEPTED, INVALID_WRITE_KEY, UNKNOWN_WRITE_KEY, Answer
from mainstem.tracking_api.authentication import is_well_formed
from mainstem.tracking_api.browser_library import BrowserLibrary
from mainstem.tracking_api.cdn_document import Documents
from mainstem.tracking_api.notices import Notice
from mainstem.tracking_api.peers import Peers
from mainstem.tracking_api.suppressed import without_suppressed

_REFRESH_SECONDS: Final = 0.1  # a change of the configuration is seen within a second, with room to spare


class Intake:
    """What the handlers share: the settings, the sources, the event log, and the files for browsers."""

    def __init__(self, settings: Settings, live_snapshot: LiveSnapshot, event_log: EventLog) -> None:
        self.settings = settings
        self.peers = Peers(settings.trusted_proxies)
        self.documents = Documents()
        self.library = BrowserLibrary(settings.packages_folder)
        self._live = live_snapshot
        self._log = event_log
        self._refresh_at = 0.0
        self._unknown_keys = Notice("unknown_source: events with an unknown write key were dropped")
        self._stale = Notice("the configuration could not be refreshed, the last one is used")

    async def accept(self, kind: str, channel: str, ip: str, write_key: str, body: bytes) -> Answer:
        """Put one request on the event log and return once it is on disk.

        An unknown write key is answered like a known one, for no client could do anything about it, unless
        `strict_write_keys` asks for 401. So are events of suppressed users, of which nothing is kept. A disabled
        source's events are accepted; the pipeline accounts for them. Raises EngineUnavailable: nothing was accepted.
        """
        source = self.find_source(write_key)
        if source is None:
            return self._without_source(write_key)
        kept = without_suppressed(self.snapshot.suppressed, source, kind, body)
        if kept is None:
            return ACCEPTED
        received_at_ms = time.time_ns() // 1_000_000
        await self._log.append(to_record(Received(received_at_ms, source.id, kind, ip, channel, kept)))
        return ACCEPTED

    @property
    def snapshot(self) -> Snapshot:
        """The configuration as last read; `find_source` reads it anew every tenth of a second."""
        return self._live.current

    def find_source(self, write_key: str) -> SourceConfig | None:
        """The source of a write key. A key is looked up in the newest configuration before it is taken for
        unknown, so one made a moment ago works. Raises EngineUnavailable when that cannot be read: an event
        must not be dropped for it."""
        if time.monotonic() >= self._refresh_at:
            self._refresh()
        source = self._live.current.by_write_key.get(write_key)
        if source is None and is_well_formed(write_key):
            source = self._live.refresh().by_write_key.get(write_key)
        return source

    def find_source_by_id(self, source_id: str) -> SourceConfig | None:
        """The source with this id, at most a tenth of a second old."""
        if time.monotonic() >= self._refresh_at:
            self._refresh()
        return self._live.current.sources.get(source_id)

    def _refresh(self) -> None:
        self._refresh_at = time.monotonic() + _REFRESH_SECONDS
        try:
            self._live.refresh()
        except EngineUnavailable as error:
            self._stale.happened(str(error))

    def _without_source(self, write_key: str) -> Answer:
        if not is_well_formed(write_key):
            return INVALID_WRITE_KEY
        self._unknown_keys.happened(f"{write_key[:4]}…")
        return UNKNOWN_WRITE_KEY if self.settings.strict_write_keys else ACCEPTED
