"""Windows of time, and outcomes added up in them: what the metrics families share.

A window is start inclusive, end exclusive, and holds every bucket that it touches, the empty ones with a count
of 0; buckets begin at whole minutes, hours and days of UTC. Counts are exact to the minute for MINUTE and to the
hour for HOUR and DAY: what the window cuts off a minute or an hour is counted with it.
Source: Public API reference, "Delivery Overview" (ranges, start and end); zero filling and the cut are judgements.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mainstem.errors import InputInvalid
from mainstem.model.ports import OutcomeCount
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, AnyCase, Faults, Unset, Wire


class Granularity(AnyCase):
    """The size of a bucket: the types of the TypeScript SDK on npm (47.0.0) know `minute`, those of the reference
    `MINUTE`."""

    DAY = "DAY"
    HOUR = "HOUR"
    MINUTE = "MINUTE"


BUCKET_MINUTES: Final[Mapping[str, int]] = {"MINUTE": 1, "HOUR": 60, "DAY": 1440}
SLACK: Final = dt.timedelta(minutes=1)
"""A client that asks for exactly the oldest start spends a moment on the way; it is not refused for that."""
_YEARS: Final = (1970, 2100)


class Limit(msgspec.Struct, frozen=True):
    """How long a window may be, and how long ago it may start."""

    longest: dt.timedelta
    oldest: dt.timedelta


class Window(msgspec.Struct, frozen=True):
    """Aware times, start before end."""

    start: dt.datetime
    end: dt.datetime
    granularity: Granularity

    @property
    def bucket_minutes(self) -> int:
        """Minutes in a bucket."""
        return BUCKET_MINUTES[self.granularity]

    @property
    def start_minute(self) -> int:
        """The first minute (Unix time / 60) that the window touches."""
        return int(self.start.timestamp() // 60)

    @property
    def end_minute(self) -> int:
        """The minute after the last that the window touches."""
        return -int(-self.end.timestamp() // 60)

    @property
    def buckets(self) -> range:
        """The minute at which each bucket begins."""
        return range(
            self.start_minute - self.start_minute % self.bucket_minutes, self.end_minute, self.bucket_minutes
        )


class Point(Wire, frozen=True):
    """One bucket on the wire; `time` is its beginning. `retry_count` only where deliveries can be retried."""

    time: str
    count: int
    retry_count: int | Unset = UNSET


class Group(msgspec.Struct, frozen=True):
    """Outcomes that share the values they are grouped by: (count, retries) by the minute a bucket begins at."""

    key: tuple[str, ...]
    total: int
    retries: int
    buckets: Mapping[int, tuple[int, int]]


def aware(time: dt.datetime) -> dt.datetime:
    """A time without an offset is UTC."""
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def window_of(start: dt.datetime, end: dt.datetime, granularity: Granularity) -> Window:
    """The window between the parameters `startTime` and `endTime`. Raises InputInvalid naming the offender."""
    start, end = aware(start), aware(end)
    faults: Faults = [
        (name, f'"{name}" must be between {_YEARS[0]} and {_YEARS[1]}')
        for name, time in (("startTime", start), ("endTime", end))
        if not _YEARS[0] < time.year < _YEARS[1]
    ]
    if not faults and end <= start:
        faults.append(("endTime", '"endTime" must be greater than "ref:startTime"'))
    if faults:
        raise InputInvalid(faults)
    return Window(start, end, granularity)


def check_limit(window: Window, limit: Limit, now: dt.datetime) -> None:
    """Raises InputInvalid for a window that is too long or begins too long ago."""
    faults: Faults = []
    if window.start < now - limit.oldest - SLACK:
        faults.append(("startTime", f'"startTime" must be within {_span(limit.oldest)} for {window.granularity}'))
    if window.end - window.start > limit.longest:
        rule = f'at most {_span(limit.longest)} after "ref:startTime" for {window.granularity}'
        faults.append(("endTime", f'"endTime" must be {rule}'))
    if faults:
        raise InputInvalid(faults)


def _span(span: dt.timedelta) -> str:
    hours = round(span.total_seconds() / 3600)
    return f"{hours} hours" if hours <= 48 else f"{hours // 24} days"


def grouped(counts: Iterable[OutcomeCount], *, is_grouped: bool) -> list[Group]:
    """The largest total first, then by the values. Without grouping one group, also when nothing was counted."""
    gathered: dict[tuple[str, ...], dict[int, tuple[int, int]]] = {} if is_grouped else {(): {}}
    for each in counts:
        buckets = gathered.setdefault(each.group, {})
        count, retries = buckets.get(each.bucket_minute, (0, 0))
        buckets[each.bucket_minute] = (count + each.count, retries + each.retries)
    groups = [
        Group(key, sum(count for count, _ in buckets.values()), sum(tries for _, tries in buckets.values()), buckets)
        for key, buckets in gathered.items()
    ]
    return sorted(groups, key=lambda group: (-group.total, group.key))


def series(window: Window, groups: Sequence[Group], *, with_retries: bool = False) -> list[list[Point]]:
    """For each group a point for each bucket of the window. Empty points are shared: a page of a thousand groups
    can have millions of them."""
    nothing: int | Unset = 0 if with_retries else UNSET
    empty = [Point(time=_time(minute), count=0, retry_count=nothing) for minute in window.buckets]
    place = {minute: index for index, minute in enumerate(window.buckets)}
    lines = []
    for group in groups:
        line = empty.copy()
        for minute, (count, retries) in group.buckets.items():
            index = place[minute]
            line[index] = Point(time=empty[index].time, count=count, retry_count=retries if with_retries else UNSET)
        lines.append(line)
    return lines


def _time(minute: int) -> str:
    return moment_text(dt.datetime.fromtimestamp(minute * 60, dt.UTC))
