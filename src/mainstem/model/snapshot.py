"""What the data plane knows of the configuration: immutable, versioned, one published value per source.

The Public API publishes a source's whole configuration in the same transaction that changes it; the
Tracking API, the pipeline and the delivery workers read only this, never the control tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from mainstem.model.event import EVENT_TYPES


class FilterConfig(msgspec.Struct, frozen=True):
    """A destination filter: `condition` is FQL, `actions` are the wire objects (type, fields, percent, path)."""

    id: str
    condition: str
    actions: tuple[dict[str, Any], ...]
    enabled: bool


class DestinationConfig(msgspec.Struct, frozen=True):
    """A destination instance; `name` is the catalogue's display name, the key of the integrations object;
    `event_types` are the types that its connector takes."""

    id: str
    metadata_id: str
    name: str
    enabled: bool
    settings: dict[str, Any]
    filters: tuple[FilterConfig, ...] = ()
    event_types: frozenset[str] = EVENT_TYPES


class SourceConfig(msgspec.Struct, frozen=True):
    """A source; `platform` is "web", "mobile" or "server", from its catalogue entry."""

    id: str
    workspace_id: str
    slug: str
    name: str
    metadata_id: str
    platform: str
    enabled: bool
    write_keys: tuple[str, ...]
    settings: dict[str, Any]
    destinations: tuple[DestinationConfig, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """A source as last published; `config` is None when the source is gone."""

    source_id: str
    config: SourceConfig | None


class SnapshotStore(Protocol):
    """Where published configuration is read from."""

    def changes(self, after: int) -> tuple[int, list[Change]]:
        """Return the newest version and what changed after version `after` (0: everything).
        Cheap when nothing changed. Raises EngineUnavailable when the store cannot be read."""


class Snapshot(msgspec.Struct, frozen=True):
    """Every published source, by id and by write key."""

    version: int = 0
    sources: Mapping[str, SourceConfig] = {}
    by_write_key: Mapping[str, SourceConfig] = {}
    destinations: Mapping[str, DestinationConfig] = {}

    def with_changes(self, version: int, changes: Iterable[Change]) -> Snapshot:
        """The snapshot after `changes`; this one stays as it is."""
        sources, keys = dict(self.sources), dict(self.by_write_key)
        destinations = dict(self.destinations)
        for change in changes:
            old = sources.pop(change.source_id, None)
            if old is not None:
                for key in old.write_keys:
                    keys.pop(key, None)
                for destination in old.destinations:
                    destinations.pop(destination.id, None)
            if change.config is not None:
                sources[change.source_id] = change.config
                keys.update(dict.fromkeys(change.config.write_keys, change.config))
                destinations.update((each.id, each) for each in change.config.destinations)
        return Snapshot(version, sources, keys, destinations)


class LiveSnapshot:
    """The newest snapshot of this process. `refresh` is cheap enough to call before every batch, and before
    an unknown write key is believed to be unknown."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self.current = Snapshot()

    def refresh(self) -> Snapshot:
        """Read what changed since the last call and return the snapshot.
        Raises EngineUnavailable; the snapshot read before stays in `current`."""
        version, changes = self._store.changes(self.current.version)
        if version != self.current.version:
            self.current = self.current.with_changes(version, changes)
        return self.current
