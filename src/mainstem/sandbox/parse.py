"""Reads JavaScript without running it, for whoever saves a function."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.sandbox.code import Fault


def check(source: str) -> Fault | None:
    """The first syntax error of this code, or None. Runs none of it; blocks for at most 2 seconds."""
    raise NotImplementedError


def handlers(source: str) -> Sequence[str]:
    """The names of HANDLERS that this code declares at its top level, in their order; none when it does not
    parse. Runs none of it."""
    raise NotImplementedError
