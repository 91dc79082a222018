"""Monthly tracked users: distinct users and visitors, day by day through a month.

Figures are cumulative decimal strings: `identified` users, `anonymous` ids, `anonymousIdentified` those of them
that met a user id, `neverIdentified` the rest; tracked users are identified + neverIdentified. An id that several
sources saw counts once for the workspace.
Source: Public API reference, tag "Monthly Tracked Users" (2 operations); what each figure counts is a judgement
from its name and the product guide, "MTUs, Throughput and Billing".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mainstem.model.ports import UserCount
from mainstem.public_api import sources
from mainstem.public_api.usage_period import Period, UsageQuery, period_of, seconds_of, timestamp_of
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Monthly Tracked Users", is_slow=True)
WORKSPACE = ""  # the source id of a count over all sources


class Snapshot(Wire, frozen=True):
    """Distinct ids from the first of the month through a day; periods are Unix seconds, the end exclusive.
    `source_id` is there in the counts by source alone."""

    period_start: int
    period_end: int
    anonymous: str
    anonymous_identified: str
    identified: str
    never_identified: str
    timestamp: str
    source_id: str | Unset = UNSET


class WorkspaceUsageOutput(Wire, frozen=True):
    """Reply of getDailyWorkspaceMTUUsage."""

    usage: list[Snapshot] = msgspec.field(name="dailyWorkspaceMTUUsage")
    pagination: Pagination


class SourceUsageOutput(Wire, frozen=True):
    """Reply of getDailyPerSourceMTUUsage: by day, then in order of the sources' creation."""

    usage: list[Snapshot] = msgspec.field(name="dailyPerSourceMTUUsage")
    pagination: Pagination


def _snapshots(call: Call, period: Period, wanted: Sequence[str]) -> list[Snapshot]:
    """A snapshot of each of `wanted` (source ids, or WORKSPACE) for each day that has begun."""
    days, source_ids = period.days(call.now), sources.ids_of_workspace(call)
    counts = call.outcomes.tracked_users(source_ids, days.start, days.stop - 1) if source_ids and days else []
    found = {(each.source_id, each.day): each for each in counts}
    return [
        _snapshot(period, found.get((each, day)) or UserCount(each, day, 0, 0, 0)) for day in days for each in wanted
    ]


def _snapshot(period: Period, count: UserCount) -> Snapshot:
    return Snapshot(
        period_start=seconds_of(period.first_day),
        period_end=seconds_of(period.end_day),
        anonymous=str(count.anonymous),
        anonymous_identified=str(count.anonymous_identified),
        identified=str(count.identified),
        never_identified=str(count.anonymous - count.anonymous_identified),
        timestamp=timestamp_of(count.day),
        source_id=count.source_id or UNSET,
    )


@api.operation("GET /usage/mtu/daily", needs=Needs.WORKSPACE_MEMBER, id="getDailyWorkspaceMTUUsage")
def get_daily_workspace_mtu_usage(call: Call, query: UsageQuery) -> WorkspaceUsageOutput:
    """Get Daily Workspace MTU Usage"""
    shown, pagination = slice_of(_snapshots(call, period_of(query), [WORKSPACE]), query.pagination)
    return WorkspaceUsageOutput(usage=shown, pagination=pagination)


@api.operation("GET /usage/mtu/sources/daily", needs=Needs.WORKSPACE_MEMBER, id="getDailyPerSourceMTUUsage")
def get_daily_per_source_mtu_usage(call: Call, query: UsageQuery) -> SourceUsageOutput:
    """Get Daily Per Source MTU Usage"""
    shown, pagination = slice_of(_snapshots(call, period_of(query), sources.ids_ever(call)), query.pagination)
    return SourceUsageOutput(usage=shown, pagination=pagination)
