"""API calls: events accepted past schema control, day by day through a month; a batch of 50 counts 50.

Figures are cumulative decimal strings. Source: Public API reference, tag "API Calls" (2 operations). Judgement:
what sources received that were deleted since stays counted, and is listed after the others.
"""

from __future__ import annotations

from itertools import accumulate

import msgspec

from mainstem.public_api import sources
from mainstem.public_api.usage_period import UsageQuery, period_of, timestamp_of
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("API Calls", is_slow=True)


class Snapshot(Wire, frozen=True):
    """API calls from the first of the month through a day."""

    api_calls: str
    timestamp: str


class SourceSnapshot(Wire, frozen=True):
    """The same for one source."""

    source_id: str
    api_calls: str
    timestamp: str


class WorkspaceUsageOutput(Wire, frozen=True):
    """Reply of getDailyWorkspaceAPICallsUsage."""

    usage: list[Snapshot] = msgspec.field(name="dailyWorkspaceAPICallsUsage")
    pagination: Pagination


class SourceUsageOutput(Wire, frozen=True):
    """Reply of getDailyPerSourceAPICallsUsage: by day, then in order of the sources' creation."""

    usage: list[SourceSnapshot] = msgspec.field(name="dailyPerSourceAPICallsUsage")
    pagination: Pagination


def _cumulative(call: Call, source_ids: list[str], days: range) -> dict[str, list[int]]:
    """For each source the sum from the first day through each of `days`."""
    counts = call.outcomes.api_calls(source_ids, days.start, days.stop - 1) if source_ids and days else {}
    return {each: list(accumulate(counts.get((each, day), 0) for day in days)) for each in source_ids}


@api.operation("GET /usage/api-calls/daily", needs=Needs.WORKSPACE_MEMBER, id="getDailyWorkspaceAPICallsUsage")
def get_daily_workspace_api_calls_usage(call: Call, query: UsageQuery) -> WorkspaceUsageOutput:
    """Get Daily Workspace API Calls Usage"""
    days = period_of(query).days(call.now)
    sums = _cumulative(call, sources.ids_of_workspace(call), days).values()
    totals = [sum(each) for each in zip(*sums, strict=True)] if sums else [0] * len(days)
    items = [
        Snapshot(api_calls=str(total), timestamp=timestamp_of(day)) for day, total in zip(days, totals, strict=True)
    ]
    shown, pagination = slice_of(items, query.pagination)
    return WorkspaceUsageOutput(usage=shown, pagination=pagination)


@api.operation(
    "GET /usage/api-calls/sources/daily", needs=Needs.WORKSPACE_MEMBER, id="getDailyPerSourceAPICallsUsage"
)
def get_daily_per_source_api_calls_usage(call: Call, query: UsageQuery) -> SourceUsageOutput:
    """Get Daily Per Source API Calls Usage"""
    days = period_of(query).days(call.now)
    sums = _cumulative(call, sources.ids_ever(call), days)
    items = [
        SourceSnapshot(source_id=source_id, api_calls=str(totals[index]), timestamp=timestamp_of(day))
        for index, day in enumerate(days)
        for source_id, totals in sums.items()
    ]
    shown, pagination = slice_of(items, query.pagination)
    return SourceUsageOutput(usage=shown, pagination=pagination)
