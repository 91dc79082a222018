"""What the data plane knows of the configuration: immutable, versioned, one published value per source.

The Public API publishes a source's whole configuration in the same transaction that changes it; the
Tracking API, the pipeline and the delivery workers read only this, never the control tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from mainstem.model.event import EVENT_TYPES


class FilterConfig(msgspec.Struct, frozen=True):
    """A destination filter: `condition` is FQL, `actions` are the wire objects (type, fields, percent, path)."""

    id: str
    condition: str
    actions: tuple[dict[str, Any], ...]
    enabled: bool


class TransformationConfig(msgspec.Struct, frozen=True):
    """A transformation as the Public API stores it; `destination_metadata_id` is "" at source scope. They stand
    in order of creation. See model/transformation.py for what each part does."""

    id: str
    condition: str
    enabled: bool
    destination_metadata_id: str = ""
    drop: bool = False
    new_event_name: str = ""
    property_renames: tuple[tuple[str, str], ...] = ()
    property_value_transformations: tuple[tuple[tuple[str, ...], str], ...] = ()
    fql_defined_properties: tuple[tuple[str, str], ...] = ()  # (fql, property name)
    allow_properties: tuple[str, ...] | None = None
    hash_properties: dict[str, Any] | None = None  # algorithm, key, encoding, paths


class SubscriptionConfig(msgspec.Struct, frozen=True):
    """A mapping of an Actions destination: events that `trigger` (model/trigger.py, not FQL) matches are sent
    through `action` (its slug) with `mapping`. `batch_keys` are mapping keys whose values must agree in a batch."""

    id: str
    name: str
    action: str
    trigger: str
    enabled: bool
    mapping: dict[str, Any]
    can_batch: bool = False
    batch_keys: tuple[str, ...] = ()


class FunctionUse(msgspec.Struct, frozen=True):
    """A function at work: the instance `id`, and the settings that its handlers get; the names of those that are
    secret are `sensitive`."""

    id: str
    function_id: str
    settings: dict[str, Any]
    sensitive: tuple[str, ...] = ()


class DestinationConfig(msgspec.Struct, frozen=True):
    """A destination instance; `name` is the catalogue's display name, the key of the integrations object;
    `event_types` are the types that its connector takes. `subscriptions` are None for a destination without
    actions. `insert` is the insert function in front of it, `function` the one that it is itself.
    `consent_categories` are those that a user must have agreed to."""

    id: str
    metadata_id: str
    name: str
    enabled: bool
    settings: dict[str, Any]
    filters: tuple[FilterConfig, ...] = ()
    event_types: frozenset[str] = EVENT_TYPES
    subscriptions: tuple[SubscriptionConfig, ...] | None = None
    insert: FunctionUse | None = None
    function: FunctionUse | None = None
    consent_categories: tuple[str, ...] = ()


class RuleConfig(msgspec.Struct, frozen=True):
    """A rule of a tracking plan; `key` is "" when it has none. `json_schema` judges the whole event."""

    type: str
    key: str
    version: float
    json_schema: dict[str, Any]


class PlanConfig(msgspec.Struct, frozen=True):
    """A tracking plan, published once for all its sources."""

    id: str
    name: str
    rules: tuple[RuleConfig, ...]


class FunctionConfig(msgspec.Struct, frozen=True):
    """The deployed version of a function, published once for all its instances. `kind` is SOURCE, DESTINATION,
    INSERT_DESTINATION or INSERT_SOURCE; `batch_max` 0 means the default of 20 events."""

    id: str
    version: str
    kind: str
    code: str
    batch_max: int = 0


class SuppressedConfig(msgspec.Struct, frozen=True):
    """A part of a list of suppressed users; see model/suppression.py."""

    hashes: bytes


class SchemaControls(msgspec.Struct, frozen=True):
    """The schema settings of a source (the Public API's words), with what its schema has switched off while it
    has no tracking plan: names of events by type, traits by call ("identify", "group"); and, with or without a
    plan, `integrations_off`: "type/name" ("track/Order Completed", "identify/") to display names of
    destinations that do not get it."""

    allow_unplanned_events: bool = True
    allow_unplanned_event_properties: bool = True
    allow_event_on_violations: bool = True
    allow_properties_on_violations: bool = True
    track_common: str = "ALLOW"  # BLOCK, OMIT_PROPERTIES
    allow_unplanned_identify_traits: bool = True
    allow_identify_traits_on_violations: bool = True
    identify_common: str = "ALLOW"  # BLOCK, OMIT_TRAITS
    allow_unplanned_group_traits: bool = True
    allow_group_traits_on_violations: bool = True
    group_common: str = "ALLOW"
    forwarding_violations_to: str = ""
    forwarding_blocked_events_to: str = ""
    events_off: dict[str, tuple[str, ...]] = {}
    traits_off: dict[str, tuple[str, ...]] = {}
    integrations_off: dict[str, tuple[str, ...]] = {}


class LivePluginConfig(msgspec.Struct, frozen=True):
    """JavaScript that the mobile applications of a source fetch. `code` is "" when it was deleted; every write raises
    `version`, deleting too."""

    version: int
    code: str


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
    tracking_plan_id: str = ""
    schema: SchemaControls = SchemaControls()
    transformations: tuple[TransformationConfig, ...] = ()
    insert: FunctionUse | None = None
    function: FunctionUse | None = None
    live_plugin: LivePluginConfig | None = None

    @property
    def detours(self) -> tuple[DestinationConfig, ...]:
        """What functions at the source do is queued like deliveries, so that a slow one holds up nobody: the
        source's insert function (INSERT_FUNCTION), and the function that the source is (SOURCE_FUNCTION)."""
        return tuple(
            DestinationConfig(kind + use.id, kind, self.name, self.enabled, use.settings, function=use)
            for kind, use in ((INSERT_FUNCTION, self.insert), (SOURCE_FUNCTION, self.function))
            if use is not None
        )


INSERT_FUNCTION: Final = "insert:"
SOURCE_FUNCTION: Final = "call:"
"""What the ids of detours begin with, which is their metadata_id too."""

PLAN_PREFIX: Final = "tp_"
FUNCTION_PREFIX: Final = "function:"
SUPPRESSED_PREFIX: Final = "suppressed:"
"""What is published beside sources, under an id that tells its kind: a plan's own id, FUNCTION_PREFIX + id,
SUPPRESSED_PREFIX + the id of a part of a list."""

Published = SourceConfig | PlanConfig | FunctionConfig | SuppressedConfig


def published_type(id: str) -> type[Published]:
    """What is published under this id."""
    if id.startswith(FUNCTION_PREFIX):
        return FunctionConfig
    if id.startswith(SUPPRESSED_PREFIX):
        return SuppressedConfig
    return PlanConfig if id.startswith(PLAN_PREFIX) else SourceConfig


def live_plugin_path(source_id: str) -> str:
    """Where the Tracking API serves the code of a source's live plugin."""
    return f"/live-plugins/{source_id}.js"


class Change(msgspec.Struct, frozen=True):
    """A source, plan, function or part of a list as last published under `id`; `config` is None when it is gone."""

    id: str
    config: Published | None


class SnapshotStore(Protocol):
    """Where published configuration is read from."""

    def changes(self, after: int) -> tuple[int, list[Change]]:
        """Return the newest version and what changed after version `after` (0: everything).
        Cheap when nothing changed. Raises EngineUnavailable when the store cannot be read."""


class Snapshot(msgspec.Struct, frozen=True):
    """Everything published, by id; sources by write key too. `destinations` include the detours of sources,
    `suppressed` are the parts of the lists of suppressed users."""

    version: int = 0
    sources: Mapping[str, SourceConfig] = {}
    by_write_key: Mapping[str, SourceConfig] = {}
    destinations: Mapping[str, DestinationConfig] = {}
    plans: Mapping[str, PlanConfig] = {}
    functions: Mapping[str, FunctionConfig] = {}
    suppressed: Mapping[str, bytes] = {}

    def with_changes(self, version: int, changes: Iterable[Change]) -> Snapshot:
        """The snapshot after `changes`; this one stays as it is."""
        sources, keys = dict(self.sources), dict(self.by_write_key)
        destinations, plans, functions = dict(self.destinations), dict(self.plans), dict(self.functions)
        suppressed = dict(self.suppressed)
        for change in changes:
            kind, config = published_type(change.id), change.config
            if kind is PlanConfig:
                _put(plans, change.id, config)
                continue
            if kind is FunctionConfig:
                _put(functions, change.id.removeprefix(FUNCTION_PREFIX), config)
                continue
            if kind is SuppressedConfig:
                hashes = config.hashes if isinstance(config, SuppressedConfig) else None
                _put(suppressed, change.id.removeprefix(SUPPRESSED_PREFIX), hashes)
                continue
            old = sources.pop(change.id, None)
            if old is not None:
                for key in old.write_keys:
                    keys.pop(key, None)
                for destination in (*old.destinations, *old.detours):
                    destinations.pop(destination.id, None)
            if isinstance(config, SourceConfig):
                sources[change.id] = config
                keys.update(dict.fromkeys(config.write_keys, config))
                destinations.update((each.id, each) for each in (*config.destinations, *config.detours))
        return Snapshot(version, sources, keys, destinations, plans, functions, suppressed)


def _put(known: dict[str, Any], id: str, config: Published | bytes | None) -> None:
    known.pop(id, None)
    if config is not None:
        known[id] = config


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
