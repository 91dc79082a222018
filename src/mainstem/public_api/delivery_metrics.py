"""Delivery metrics: what became of the events that reached a destination, in three sums.

`successes` by attempt, `errors.discarded` for events that a fault kept from the destination, and
`errors.awaiting-retry` for those that wait now, whatever the window. What the customer's own rules filtered is no
error and is not counted here.
Source: Public API reference, "List Delivery Metrics Summary from Destination" (windows, names of breakdowns).
Judgements: `successes` as a name; the default start is clamped to what the limits allow; a destination's setting
or mainstem itself at fault before delivery (INVALID_SETTINGS, INTERNAL) is an error too.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta

from mainstem.model.outcome import Stage
from mainstem.model.ports import OutcomeQuery
from mainstem.public_api import destinations
from mainstem.public_api.outcome_series import Granularity, Limit, Window, aware, check_limit, window_of
from mainstem.rest.operation import BETA_ALPHA, Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Destinations")

LIMITS: Final = {
    "MINUTE": Limit(longest=dt.timedelta(hours=4), oldest=dt.timedelta(hours=48)),
    "HOUR": Limit(longest=dt.timedelta(days=7), oldest=dt.timedelta(days=7)),
    "DAY": Limit(longest=dt.timedelta(days=14), oldest=dt.timedelta(days=14)),
}
DEFAULT_SPAN: Final = {"MINUTE": dt.timedelta(hours=1), "HOUR": dt.timedelta(days=7), "DAY": dt.timedelta(days=30)}
FAULTS_BEFORE_DELIVERY: Final = frozenset({"INVALID_SETTINGS", "INTERNAL"})
_STAGES: Final = (Stage.SUCCESSFUL_DELIVERY, Stage.FAILED_DELIVERY, Stage.FILTERED_AT_DESTINATION)


class DeliveryMetricsQuery(Wire, frozen=True):
    """Parameters of listDeliveryMetricsSummaryFromDestination; times are ISO 8601."""

    source_id: Annotated[str, Meta(min_length=1)]
    start_time: dt.datetime | Unset = UNSET
    end_time: dt.datetime | Unset = UNSET
    granularity: Granularity = Granularity.MINUTE


class Breakdown(Wire, frozen=True):
    """A part of a metric."""

    metric_name: str
    value: int


class Metric(Wire, frozen=True):
    """A sum and its parts, the largest first."""

    metric_name: str
    total: int
    breakdown: list[Breakdown]


class Summary(Wire, frozen=True):
    """The three sums. `destination_metadata_id` is the type of the destination, not its own id."""

    source_id: str
    destination_metadata_id: str
    metrics: list[Metric]


class DeliveryMetricsOutput(Wire, frozen=True):
    """Reply of listDeliveryMetricsSummaryFromDestination."""

    delivery_metrics_summary: Summary


@api.operation(
    "GET /destinations/{destinationId}/delivery-metrics",
    needs=Needs.SOURCE_READ,
    versions=BETA_ALPHA,
    is_slow=True,
)
def list_delivery_metrics_summary_from_destination(
    call: Call, destination_id: str, query: DeliveryMetricsQuery
) -> DeliveryMetricsOutput:
    """List Delivery Metrics Summary from Destination"""
    window = _window(query, call.now)
    row = destinations.one(call, destination_id)
    destinations.check_source(row, query.source_id)
    successes, discarded = _settled(call, row.source_id, row.id, window)
    waiting = {reason: count for reason, count in call.outcomes.waiting(row.id).items() if reason}
    metrics = [
        _metric("successes", successes, prefix=""),
        _metric("errors.discarded", discarded, prefix="errors.discarded."),
        _metric("errors.awaiting-retry", waiting, prefix="errors.awaiting-retry."),
    ]
    return DeliveryMetricsOutput(
        delivery_metrics_summary=Summary(
            source_id=row.source_id, destination_metadata_id=row.metadata_id, metrics=metrics
        )
    )


def _window(query: DeliveryMetricsQuery, now: dt.datetime) -> Window:
    """The window that was asked for; a start that was not is clamped to the limits."""
    limit = LIMITS[query.granularity]
    end = now if isinstance(query.end_time, Unset) else aware(query.end_time)
    if isinstance(query.start_time, Unset):
        span = min(DEFAULT_SPAN[query.granularity], limit.longest)
        start = max(end - span, min(now - limit.oldest, end - dt.timedelta(minutes=1)))
    else:
        start = query.start_time
    window = window_of(start, end, query.granularity)
    check_limit(window, limit, now)
    return window


def _settled(call: Call, source_id: str, destination_id: str, window: Window) -> tuple[Counter[str], Counter[str]]:
    """Delivered and discarded events by reason."""
    successes: Counter[str] = Counter()
    discarded: Counter[str] = Counter()
    query = OutcomeQuery(
        source_ids=[source_id],
        stages=_STAGES,
        start_minute=window.start_minute,
        end_minute=window.end_minute,
        bucket_minutes=window.bucket_minutes,
        destination_id=destination_id,
        group_by=["stage", "reason"],
    )
    for each in call.outcomes.counts(query):
        stage, reason = each.group
        if stage == Stage.SUCCESSFUL_DELIVERY:
            successes[reason] += each.count
        elif stage == Stage.FAILED_DELIVERY or reason in FAULTS_BEFORE_DELIVERY:
            discarded[reason] += each.count
    return successes, discarded


def _metric(name: str, counts: Mapping[str, int], *, prefix: str) -> Metric:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Metric(
        metric_name=name,
        total=sum(counts.values()),
        breakdown=[Breakdown(metric_name=prefix + reason, value=count) for reason, count in ordered],
    )
