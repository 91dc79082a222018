"""The period of the usage operations: a calendar month of UTC, counted day by day up to today.

Every day's figure is cumulative from the first of the month; its timestamp is the day's beginning.
Source: Public API reference, "Usage" operations; the timestamp, and that the period ends where the next one
begins, are judgements.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from mainstem.rest.pagination import Page
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import Wire

_EPOCH: Final = dt.date(1970, 1, 1)
FirstOfMonth = Annotated[
    str, Meta(pattern=r"^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-01(T00:00(:00(\.0+)?)?(Z|[+]00:?00)?)?$")
]


class UsageQuery(Wire, frozen=True):
    """Parameters of every usage operation: `period` is the first day of a month."""

    period: FirstOfMonth
    pagination: Page = Page()


class Period(msgspec.Struct, frozen=True):
    """A month, as Unix days."""

    first_day: int
    end_day: int

    def days(self, now: dt.datetime) -> range:
        """The days of the period that have begun."""
        return range(self.first_day, min(self.end_day, unix_day(now.astimezone(dt.UTC).date()) + 1))


def unix_day(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return (date - _EPOCH).days


def period_of(query: UsageQuery) -> Period:
    """The month that a query asks for."""
    first = dt.date.fromisoformat(query.period[:10])
    end = (first + dt.timedelta(days=31)).replace(day=1)
    return Period(unix_day(first), unix_day(end))


def seconds_of(day: int) -> int:
    """The Unix time at which a day begins."""
    return day * 86_400


def timestamp_of(day: int) -> str:
    """The beginning of a day, as the API prints times."""
    return moment_text(dt.datetime.fromtimestamp(seconds_of(day), dt.UTC))
