"""When subscriptions of models run: strategies and their configurations, kept and echoed to the letter.

A client of the contract tries the four shapes of a configuration with unknown keys forbidden, so a configuration is
stored with the keys of its strategy and no others, and MANUAL has none.
Source: Public API reference, "ReverseEtlScheduleDefinition" (an interval is a duration as Go writes it, of more than
ten minutes and less than 168 hours); judgements: 422 for what does not fit its strategy.
"""

from __future__ import annotations

import itertools
import re
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mainstem.errors import InputInvalid
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, decode

DAILY: Final = "1d"  # which Go has no name for
SHORTER_SECONDS, LONGER_SECONDS = 10 * 60, 168 * 3600  # an interval is longer than the one, shorter than the other
LEAST_MINUTES: Final = 15
Timezone = Annotated[str, Meta(min_length=1)]


class Periodic(Wire, frozen=True):
    """Every so often: 15m, 3h25m30s, 1d."""

    interval: str


class SpecificDays(Wire, frozen=True):
    """At full hours of days of the week, 0 being Sunday."""

    days: Annotated[list[Annotated[int, Meta(ge=0, le=6)]], Meta(min_length=1, max_length=7)]
    hours: Annotated[list[Annotated[int, Meta(ge=0, le=23)]], Meta(min_length=1, max_length=24)]
    timezone: Timezone


class Cron(Wire, frozen=True):
    """Five fields: minute, hour, day of the month, month, day of the week."""

    spec: str
    timezone: Timezone


class DbtCloud(Wire, frozen=True):
    """After a job of dbt Cloud."""

    job_id: str
    account_id: str


CONFIGS: Final[Mapping[str, type[Wire]]] = {
    "PERIODIC": Periodic,
    "SPECIFIC_DAYS": SpecificDays,
    "CRON": Cron,
    "DBT_CLOUD": DbtCloud,
}


class ScheduleInput(Wire, frozen=True):
    """A schedule as sent."""

    strategy: Literal["PERIODIC", "SPECIFIC_DAYS", "CRON", "DBT_CLOUD", "MANUAL"]
    config: dict[str, Any] | Unset | None = UNSET


class Schedule(Wire, frozen=True):
    """A schedule as kept; MANUAL has no `config`."""

    strategy: str
    config: dict[str, Any] | Unset = UNSET


def checked(sent: ScheduleInput, path: str) -> Schedule:
    """The schedule to be kept. Raises InputInvalid, the fields under `path`."""
    shape = CONFIGS.get(sent.strategy)
    if shape is None:
        if sent.config:
            raise InputInvalid([(f"{path}.config", f'"{path}.config" is not allowed for {sent.strategy}')])
        return Schedule(strategy=sent.strategy)
    if isinstance(sent.config, Unset) or sent.config is None:
        raise InputInvalid([(f"{path}.config", f'"{path}.config" is required for {sent.strategy}')])
    try:
        config = decode(sent.config, shape)
    except InputInvalid as error:
        raise InputInvalid(
            [(f"{path}.config.{each.field}", _prefixed(each.message, f"{path}.config.")) for each in error.faults]
        ) from None
    faults = _faults(config, f"{path}.config")
    if faults:
        raise InputInvalid(faults)
    return Schedule(strategy=sent.strategy, config=msgspec.to_builtins(config))


def _prefixed(message: str, path: str) -> str:
    return message.replace('"', f'"{path}', 1)


def _faults(config: Wire, path: str) -> Faults:
    found: Faults = []
    timezone = getattr(config, "timezone", None)
    if timezone is not None and not _is_timezone(timezone):
        found.append((f"{path}.timezone", f'"{path}.timezone" must be a time zone such as America/New_York'))
    if isinstance(config, Periodic) and (fault := _interval_fault(config.interval)):
        found.append((f"{path}.interval", f'"{path}.interval" {fault}'))
    if isinstance(config, Cron) and (fault := _cron_fault(config.spec)):
        found.append((f"{path}.spec", f'"{path}.spec" {fault}'))
    return found


def _is_timezone(name: str) -> bool:
    known = zoneinfo.available_timezones()
    return name in known if known else bool(re.fullmatch(r"[A-Za-z0-9_+/-]+", name))


# ---- intervals

_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
_LENGTH: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([hms])", re.ASCII)
_DURATION: Final = re.compile(rf"({_LENGTH.pattern})+", re.ASCII)


def _interval_fault(interval: str) -> str:
    """What is wrong with an interval; "" when it can be kept."""
    if interval == DAILY:
        return ""
    if not _DURATION.fullmatch(interval):
        return "must be a duration such as 15m, 4h or 3h25m30s, or 1d"
    seconds = sum(float(length) * _SECONDS[unit] for length, unit in _LENGTH.findall(interval))
    if not SHORTER_SECONDS < seconds < LONGER_SECONDS:
        return "must be more than 10m and less than 168h"
    return ""


# ---- cron

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES: Final = {
    3: "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    4: "SUN MON TUE WED THU FRI SAT",
}
_PART: Final = re.compile(r"(\*|\d{1,4}(?:-\d{1,4})?)(?:/(\d{1,4}))?", re.ASCII)


def _cron_fault(spec: str) -> str:
    """What is wrong with a cron expression; "" when it can be kept."""
    fields = spec.split()
    if len(fields) != len(_RANGES):
        return "must have five fields: minute, hour, day of the month, month, day of the week"
    values = [_cron_values(_numbered(field, index), *_RANGES[index]) for index, field in enumerate(fields)]
    if not all(values):
        wrong = next(field for field, found in zip(fields, values, strict=True) if not found)
        return f"has a field that cannot be read: {wrong}"
    minutes = sorted(values[0])
    around = [*minutes, minutes[0] + 60]
    if len(minutes) > 1 and min(after - before for before, after in itertools.pairwise(around)) < LEAST_MINUTES:
        return f"must let at least {LEAST_MINUTES} minutes pass between two runs"
    return ""


def _numbered(field: str, index: int) -> str:
    """A field with the names of months or days as numbers."""
    first = _RANGES[index][0]
    for number, name in enumerate(_NAMES.get(index, "").split(), first):
        field = re.sub(rf"\b{name}\b", str(number), field, flags=re.IGNORECASE)
    return field


def _cron_values(field: str, least: int, most: int) -> set[int]:
    """The values that a field stands for; empty when it cannot be read."""
    values: set[int] = set()
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            return set()
        low, _, high = found[1].partition("-")
        start = least if low == "*" else int(low)
        end = most if low == "*" else int(high or (most if found[2] else low))
        step = int(found[2] or 1)
        if not least <= start <= end <= most or step < 1:
            return set()
        values.update(range(start, end + 1, step))
    return values
