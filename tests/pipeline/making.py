"""Sources, requests and events to test the pipeline with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mainstem.model.destination_filter import FilterSet
from mainstem.model.event import Received, to_record
from mainstem.model.snapshot import (
    Change,
    DestinationConfig,
    FilterConfig,
    Snapshot,
    SourceConfig,
    TransformationConfig,
)
from mainstem.model.transformation import TransformationSet
from mainstem.pipeline import FROM_SOURCE, run
from mainstem.pipeline.digest import Filters, Surroundings
from mainstem.pipeline.match_trigger import triggers_of
from mainstem.pipeline.names import Names
from mainstem.pipeline.step import DestinationScope, Item, Request, SourceScope, Verdicts

RECEIVED_AT_MS = 1_764_000_000_000  # 2025-11-24T16:00:00.000Z
ORIGIN = "7.0"


def destination(id: str = "dst", name: str = "Webhooks", *filters: FilterConfig, **fields: Any) -> DestinationConfig:
    return DestinationConfig(
        id=id, metadata_id=fields.pop("metadata_id", "54521fdc25e721e32a72ef04"), name=name,
        enabled=fields.pop("enabled", True), settings={}, filters=filters, **fields,
    )  # fmt: skip


def source(id: str = "src", *destinations: DestinationConfig, **fields: Any) -> SourceConfig:
    return SourceConfig(
        id=id, workspace_id=fields.pop("workspace_id", "ws"), slug=id, name=id, metadata_id="m",
        platform=fields.pop("platform", "server"), enabled=fields.pop("enabled", True),
        write_keys=(f"key-{id}",), settings={}, destinations=destinations, **fields,
    )  # fmt: skip


def snapshot(*sources: SourceConfig) -> Snapshot:
    return Snapshot().with_changes(1, [Change(each.id, each) for each in sources])


def scope(*sources: SourceConfig, seen: Sequence[int] = ()) -> SourceScope:
    return SourceScope(snapshot(*(sources or (source(),))), lambda ids: set(seen) & set(ids))


def destination_scope(
    to: DestinationConfig | None = None, transformations: Sequence[TransformationConfig] = ()
) -> DestinationScope:
    to = to or destination()
    compiled = TransformationSet(transformations)
    return DestinationScope(to, FilterSet(to.filters), lambda: 0.5, {}, compiled, triggers_of(to))


def around(*sources: SourceConfig, seen: Sequence[int] = ()) -> Surroundings:
    known = scope(*sources, seen=seen)
    return Surroundings(known.snapshot, known.already_seen, Filters(), Names(), lambda: 0.5, RECEIVED_AT_MS + 5)


def received(body: Any, kind: str = "track", **fields: Any) -> Received:
    return Received(
        fields.pop("at_ms", RECEIVED_AT_MS), fields.pop("source_id", "src"), kind, fields.pop("ip", ""),
        fields.pop("channel", "server"), body if isinstance(body, bytes) else msgspec.json.encode(body),
    )  # fmt: skip


def request(body: Any, kind: str = "track", *, index: int = 0, origin: str = ORIGIN, **fields: Any) -> Request:
    return Request(index, origin, to_record(received(body, kind, **fields)))


def requests(*bodies: tuple[Any, str]) -> list[Request]:
    return [request(body, kind, index=index, origin=f"7.{index}") for index, (body, kind) in enumerate(bodies)]


def item(payload: Any, kind: str = "track", *, number: int = 0, **fields: Any) -> Item:
    return Item(0, number, ORIGIN, received(b"", kind, **fields), payload)


def from_source(body: Any, kind: str = "track", *, scope: SourceScope | None = None, **fields: Any) -> Verdicts:
    """One request through FROM_SOURCE."""
    return run(FROM_SOURCE, [request(body, kind, **fields)], scope or globals()["scope"]())


def reasons(verdicts: Verdicts) -> list[str]:
    return [each.reason for each in verdicts.dropped]
