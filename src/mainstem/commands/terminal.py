"""How commands write what clients sent: nothing that a terminal would obey, colours only where somebody looks."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any, Final, TextIO

WIDTH: Final = 100
_CODES: Final = {"good": "32", "bad": "31", "odd": "33", "dim": "2", "strong": "1"}


class Paint:
    """Writes text in colours on a terminal, and as it is elsewhere (or with NO_COLOR)."""

    def __init__(self, stream: TextIO) -> None:
        self._is_on = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, kind: str, text: str) -> str:
        """`kind` is good, bad, odd, dim or strong."""
        return f"\x1b[{_CODES[kind]}m{text}\x1b[0m" if self._is_on else text


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def cut(text: str, width: int) -> str:
    """The text, printable, in at most so many columns."""
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def compact(value: Any) -> str:
    """A value as JSON in one line."""
    return printable(json.dumps(value, ensure_ascii=False, default=str))


def pretty(value: Any) -> list[str]:
    """A value as JSON, line by line."""
    return [printable(line) for line in json.dumps(value, ensure_ascii=False, indent=2, default=str).splitlines()]


def moment(at_ms: float) -> str:
    """2026-11-23 09:12:44.123 (UTC)."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def iso(at_ms: float) -> str:
    """2026-11-23T09:12:44.123Z."""
    return moment(at_ms).replace(" ", "T") + "Z"
