"""Times as clients send them and as the pipeline writes them.

Source: Tracking API reference, "Timestamps"; the degrees of leniency are judgements.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a time without offset is taken as UTC
_FIRST_MS: Final = -62_135_596_800_000  # 0001-01-01T00:00:00.000Z
_LAST_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_LENIENT: Final = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt ]\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?)?"
    r"\s*(?:([Zz])|(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?|UTC|GMT)?\s*",
    re.ASCII,
)
_MAX_CHARACTERS: Final = 64
_MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))


def read_time(text: Any) -> int | None:
    """Unix milliseconds of an ISO 8601 text; None when it is none. Single-digit months, days and hours are
    taken, a time without an offset is UTC, digits beyond milliseconds are cut. A number is no time."""
    if type(text) is not str or text[4:5] != "-":
        return _read_leniently(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _read_leniently(text)
    since = moment - (_EPOCH_NAIVE if moment.tzinfo is None else _EPOCH)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _read_leniently(text: Any) -> int | None:
    parts = _LENIENT.fullmatch(text) if type(text) is str and len(text) <= _MAX_CHARACTERS else None
    if parts is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = parts.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    offset = int(f"{sign or ''}1") * (int(offset_hours or 0) * 60 + int(offset_minutes or 0))
    since = moment - _EPOCH
    milliseconds = int((fraction or "0").ljust(3, "0")[:3])
    return since.days * 86_400_000 + since.seconds * 1000 + milliseconds - offset * 60_000


def write_time(unix_ms: int) -> str | None:
    """ISO 8601 in UTC with milliseconds and Z; None beyond the years 1 to 9999."""
    if not _FIRST_MS <= unix_ms <= _LAST_MS:
        return None
    seconds = unix_ms // 1000
    return _second(seconds) + _MILLISECONDS[unix_ms - seconds * 1000]


@lru_cache(maxsize=4096)
def _second(unix_seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=unix_seconds)).isoformat()[:19]
