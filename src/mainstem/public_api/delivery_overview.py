"""Delivery overview: how many events of a source ended at each stage, over time.

An event is counted in the minute in which it was received, whatever became of it later. Dimensions of the
answer's items are there only when they were grouped by. `subscriptionId` has no key in the published answer: to
group by it makes an item for each mapping without naming it, to filter by it tells which. No destination that
exists here has an `activationId`, `audienceId` or `spaceId`: to group by one changes nothing, to filter by one finds
nothing.
Source: Public API reference, tag "Delivery Overview" (6 operations); judgements: 404 for an unknown source or
destination, and what the four dimensions without a key do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal, get_args

from msgspec import Meta

from mainstem.errors import InputInvalid
from mainstem.model.outcome import Stage
from mainstem.model.ports import OutcomeQuery
from mainstem.public_api import destinations, sources
from mainstem.public_api.outcome_series import (
    Granularity,
    Group,
    Limit,
    Point,
    Window,
    check_limit,
    grouped,
    series,
    window_of,
)
from mainstem.rest.operation import BETA, Call, Family
from mainstem.rest.pagination import Page, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Delivery Overview", is_slow=True)

LIMITS: Final = {
    "MINUTE": Limit(longest=dt.timedelta(hours=4), oldest=dt.timedelta(hours=48)),
    "HOUR": Limit(longest=dt.timedelta(days=14), oldest=dt.timedelta(days=30)),
    "DAY": Limit(longest=dt.timedelta(days=30), oldest=dt.timedelta(days=30)),
}
COUNTED: Final[Mapping[str, str]] = {
    "eventName": "event_name",
    "eventType": "event_type",
    "discardReason": "reason",
    "appVersion": "app_version",
    "subscriptionId": "subscription_id",
}
"""Dimensions that outcomes are counted by, and the field of OutcomeKey."""
_RETRIED: Final = frozenset({Stage.FAILED_DELIVERY, Stage.SUCCESSFUL_DELIVERY})

Id = Annotated[str, Meta(min_length=1)]
ReceivedDimension = Literal["eventName", "eventType", "appVersion"]
SourceDimension = Literal["eventName", "eventType", "discardReason", "appVersion"]
DestinationDimension = Literal[
    "eventName",
    "eventType",
    "discardReason",
    "appVersion",
    "subscriptionId",
    "activationId",
    "audienceId",
    "spaceId",
]


class Filter(Wire, frozen=True, forbid_unknown_fields=True):
    """Values that an event's dimension must be one of; which are allowed depends on the stage. A dimension that there
    is not (the reference prints some with a blank: "event Name") is refused: without it the answer would be another.
    """

    event_name: list[str] | str | Unset = UNSET
    event_type: list[str] | str | Unset = UNSET
    discard_reason: list[str] | str | Unset = UNSET
    app_version: list[str] | str | Unset = UNSET
    subscription_id: list[str] | str | Unset = UNSET
    activation_id: list[str] | str | Unset = UNSET
    audience_id: list[str] | str | Unset = UNSET
    space_id: list[str] | str | Unset = UNSET

    def values(self) -> dict[str, list[str]]:
        """What was sent, by the dimension's name; an empty list allows every value."""
        sent = {
            "eventName": self.event_name,
            "eventType": self.event_type,
            "discardReason": self.discard_reason,
            "appVersion": self.app_version,
            "subscriptionId": self.subscription_id,
            "activationId": self.activation_id,
            "audienceId": self.audience_id,
            "spaceId": self.space_id,
        }
        return {name: _listed(value) for name, value in sent.items() if not isinstance(value, Unset)}


def _listed(value: list[str] | str) -> list[str]:
    return value if isinstance(value, list) else [value]


class ReceivedQuery(Wire, frozen=True):
    """Parameters of successfully-received."""

    dimensions: ClassVar[tuple[str, ...]] = get_args(ReceivedDimension)
    source_id: Id
    start_time: dt.datetime
    end_time: dt.datetime
    granularity: Granularity
    group_by: tuple[ReceivedDimension, ...] = ()
    filter: Filter = Filter()
    pagination: Page = Page()


class SourceQuery(Wire, frozen=True):
    """Parameters of failed-on-ingest and filtered-at-source."""

    dimensions: ClassVar[tuple[str, ...]] = get_args(SourceDimension)
    source_id: Id
    start_time: dt.datetime
    end_time: dt.datetime
    granularity: Granularity
    group_by: tuple[SourceDimension, ...] = ()
    filter: Filter = Filter()
    pagination: Page = Page()


class DestinationQuery(Wire, frozen=True):
    """Parameters of the three stages of a destination; `destination_config_id` is the instance's id."""

    dimensions: ClassVar[tuple[str, ...]] = get_args(DestinationDimension)
    source_id: Id
    destination_config_id: Id
    start_time: dt.datetime
    end_time: dt.datetime
    granularity: Granularity
    group_by: tuple[DestinationDimension, ...] = ()
    filter: Filter = Filter()
    pagination: Page = Page()


class Dataset(Wire, frozen=True):
    """One group of events; a dimension is there only when it was grouped by."""

    total: int
    series: list[Point]
    event_name: str | Unset = UNSET
    event_type: str | Unset = UNSET
    discard_reason: str | Unset = UNSET
    app_version: str | Unset = UNSET
    total_retry_count: int | Unset = UNSET


class MetricsOutput(Wire, frozen=True):
    """Reply of all six; `total` is over every page."""

    total: int
    dataset: list[Dataset]
    pagination: Pagination


Query = ReceivedQuery | SourceQuery | DestinationQuery


def _metrics(call: Call, stage: Stage, query: Query) -> MetricsOutput:
    window = window_of(query.start_time, query.end_time, query.granularity)
    check_limit(window, LIMITS[query.granularity], call.now)
    filters = _allowed(query)
    sources.one(call, query.source_id)
    destination_id = query.destination_config_id if isinstance(query, DestinationQuery) else None
    if destination_id is not None:
        destinations.check_source(destinations.one(call, destination_id), query.source_id)
    keys = [name for name in COUNTED if name in query.group_by]
    wanted = OutcomeQuery(
        source_ids=[query.source_id],
        stages=[stage],
        start_minute=window.start_minute,
        end_minute=window.end_minute,
        bucket_minutes=window.bucket_minutes,
        destination_id=destination_id,
        group_by=[COUNTED[name] for name in keys],
        filters={COUNTED[name]: values for name, values in filters.items() if name in COUNTED},
    )
    finds_nothing = any(values for name, values in filters.items() if name not in COUNTED)
    groups = grouped([] if finds_nothing else call.outcomes.counts(wanted), is_grouped=bool(keys))
    shown, pagination = slice_of(groups, query.pagination)
    return MetricsOutput(
        total=sum(group.total for group in groups),
        dataset=_datasets(window, shown, keys, with_retries=stage in _RETRIED),
        pagination=pagination,
    )


def _allowed(query: Query) -> dict[str, list[str]]:
    """The filters of a query. Raises InputInvalid for dimensions that its stage does not have."""
    filters = query.filter.values()
    refused = [name for name in filters if name not in query.dimensions]
    if refused:
        raise InputInvalid([(f"filter.{name}", f'"filter.{name}" is not allowed') for name in refused])
    return filters


def _datasets(window: Window, groups: Sequence[Group], keys: Sequence[str], *, with_retries: bool) -> list[Dataset]:
    lines = series(window, groups, with_retries=with_retries)
    items = []
    for group, points in zip(groups, lines, strict=True):
        values = dict(zip(keys, group.key, strict=True))
        items.append(
            Dataset(
                total=group.total,
                series=points,
                event_name=values.get("eventName", UNSET),
                event_type=values.get("eventType", UNSET),
                discard_reason=values.get("discardReason", UNSET),
                app_version=values.get("appVersion", UNSET),
                total_retry_count=group.retries if with_retries else UNSET,
            )
        )
    return items


@api.operation("GET /delivery-overview/successfully-received", needs=Needs.SOURCE_READ, versions=BETA)
def get_ingress_success_metrics_from_delivery_overview(call: Call, query: ReceivedQuery) -> MetricsOutput:
    """Get Ingress Success Metrics from Delivery Overview"""
    return _metrics(call, Stage.SUCCESSFULLY_RECEIVED, query)


@api.operation("GET /delivery-overview/failed-on-ingest", needs=Needs.SOURCE_READ, versions=BETA)
def get_ingress_failed_metrics_from_delivery_overview(call: Call, query: SourceQuery) -> MetricsOutput:
    """Get Ingress Failed Metrics from Delivery Overview"""
    return _metrics(call, Stage.FAILED_ON_INGEST, query)


@api.operation("GET /delivery-overview/filtered-at-source", needs=Needs.SOURCE_READ, versions=BETA)
def get_filtered_at_source_metrics_from_delivery_overview(call: Call, query: SourceQuery) -> MetricsOutput:
    """Get Filtered At Source Metrics from Delivery Overview"""
    return _metrics(call, Stage.FILTERED_AT_SOURCE, query)


@api.operation("GET /delivery-overview/filtered-at-destination", needs=Needs.SOURCE_READ, versions=BETA)
def get_filtered_at_destination_metrics_from_delivery_overview(call: Call, query: DestinationQuery) -> MetricsOutput:
    """Get Filtered At Destination Metrics from Delivery Overview"""
    return _metrics(call, Stage.FILTERED_AT_DESTINATION, query)


@api.operation("GET /delivery-overview/failed-delivery", needs=Needs.SOURCE_READ, versions=BETA)
def get_egress_failed_metrics_from_delivery_overview(call: Call, query: DestinationQuery) -> MetricsOutput:
    """Get Egress Failed Metrics from Delivery Overview"""
    return _metrics(call, Stage.FAILED_DELIVERY, query)


@api.operation("GET /delivery-overview/successful-delivery", needs=Needs.SOURCE_READ, versions=BETA)
def get_egress_success_metrics_from_delivery_overview(call: Call, query: DestinationQuery) -> MetricsOutput:
    """Get Egress Success Metrics from Delivery Overview"""
    return _metrics(call, Stage.SUCCESSFUL_DELIVERY, query)
