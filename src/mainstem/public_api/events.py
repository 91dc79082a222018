"""Events: how many valid events the sources of the workspace received, over time.

Source: Public API reference, tag "Events" (1 operation). Judgements: a window has at most MAX_BUCKETS buckets, for
no limit is published; sources that were deleted stay counted, without a name; times in `query` come back in the
form of all times here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from mainstem.errors import InputInvalid
from mainstem.model.outcome import Stage
from mainstem.model.ports import OutcomeQuery
from mainstem.public_api import sources
from mainstem.public_api.outcome_series import Granularity, Group, Point, Window, grouped, series, window_of
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Page, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Events", is_slow=True)

MAX_BUCKETS: Final = 48 * 60
MAX_ENTRIES: Final = 5000
Dimension = Literal["eventName", "eventType", "source"]
_FIELDS: Final[Mapping[str, str]] = {"eventName": "event_name", "eventType": "event_type", "source": "source_id"}


class VolumeQuery(Wire, frozen=True):
    """Parameters of getEventsVolumeFromWorkspace; an empty list allows every value."""

    granularity: Granularity
    start_time: dt.datetime
    end_time: dt.datetime
    group_by: tuple[Dimension, ...] = ()
    source_id: tuple[str, ...] = ()
    event_name: tuple[str, ...] = ()
    event_type: tuple[str, ...] = ()
    app_version: tuple[str, ...] = ()
    pagination: Page = Page()


class EchoedQuery(Wire, frozen=True):
    """The query as it was understood."""

    workspace_id: str
    granularity: Granularity
    start_time: str
    end_time: str
    group_by: tuple[Dimension, ...] | Unset = UNSET
    source_id: tuple[str, ...] | Unset = UNSET
    event_name: tuple[str, ...] | Unset = UNSET
    event_type: tuple[str, ...] | Unset = UNSET
    app_version: tuple[str, ...] | Unset = UNSET


class EventSource(Wire, frozen=True):
    """The source that a volume belongs to; one that was deleted has neither name nor slug any more."""

    id: str
    name: str | Unset = UNSET
    slug: str | Unset = UNSET


class Volume(Wire, frozen=True):
    """One group of events; a dimension is there only when it was grouped by."""

    total: int
    series: list[Point]
    source: EventSource | Unset = UNSET
    event_name: str | Unset = UNSET
    event_type: str | Unset = UNSET


class VolumeOutput(Wire, frozen=True):
    """Reply of getEventsVolumeFromWorkspace: the largest total first, MAX_ENTRIES at most."""

    path: str
    query: EchoedQuery
    result: list[Volume]
    pagination: Pagination


@api.operation("GET /events/volume", needs=Needs.SOURCE_READ, rate=per_minute(60))
def get_events_volume_from_workspace(call: Call, query: VolumeQuery) -> VolumeOutput:
    """Get Events Volume from Workspace"""
    window = _window(query)
    known = _sources(call, query)
    keys = [name for name in _FIELDS if name in query.group_by]
    groups = _counted(call, query, window, list(known), keys)[:MAX_ENTRIES]
    shown, pagination = slice_of(groups, query.pagination)
    return VolumeOutput(
        path="/events/volume",
        query=_echoed(call, query, window),
        result=_volumes(window, shown, keys, known),
        pagination=pagination,
    )


def _window(query: VolumeQuery) -> Window:
    window = window_of(query.start_time, query.end_time, query.granularity)
    if len(window.buckets) > MAX_BUCKETS:
        rule = f"is more than {MAX_BUCKETS} times {query.granularity} after"
        raise InputInvalid([("endTime", f'"endTime" {rule} "ref:startTime"')])
    return window


def _sources(call: Call, query: VolumeQuery) -> dict[str, EventSource]:
    """Those that were chosen, by id."""
    named = {
        row.id: EventSource(id=row.id, name=row.name, slug=row.slug) for row in call.db.execute(sources.visible(call))
    }
    chosen = [each for each in sources.ids_ever(call) if not query.source_id or each in query.source_id]
    return {each: named.get(each) or EventSource(id=each) for each in chosen}


def _counted(
    call: Call, query: VolumeQuery, window: Window, source_ids: Sequence[str], keys: Sequence[str]
) -> list[Group]:
    wanted = OutcomeQuery(
        source_ids=source_ids,
        stages=[Stage.SUCCESSFULLY_RECEIVED],
        start_minute=window.start_minute,
        end_minute=window.end_minute,
        bucket_minutes=window.bucket_minutes,
        group_by=[_FIELDS[name] for name in keys],
        filters={
            "event_name": query.event_name,
            "event_type": query.event_type,
            "app_version": query.app_version,
        },
    )
    counts = call.outcomes.counts(wanted) if source_ids else []
    return grouped(counts, is_grouped=bool(keys))


def _volumes(
    window: Window, groups: Sequence[Group], keys: Sequence[str], known: Mapping[str, EventSource]
) -> list[Volume]:
    items = []
    for group, points in zip(groups, series(window, groups), strict=True):
        values = dict(zip(keys, group.key, strict=True))
        items.append(
            Volume(
                total=group.total,
                series=points,
                source=known[values["source"]] if "source" in values else UNSET,
                event_name=values.get("eventName", UNSET),
                event_type=values.get("eventType", UNSET),
            )
        )
    return items


def _echoed(call: Call, query: VolumeQuery, window: Window) -> EchoedQuery:
    return EchoedQuery(
        workspace_id=call.workspace_id,
        granularity=query.granularity,
        start_time=moment_text(window.start),
        end_time=moment_text(window.end),
        group_by=query.group_by or UNSET,
        source_id=query.source_id or UNSET,
        event_name=query.event_name or UNSET,
        event_type=query.event_type or UNSET,
        app_version=query.app_version or UNSET,
    )
