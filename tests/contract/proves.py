"""`@proves("createLabel", level=3)`: the operations of which a test proves something, and how much.

The ledger reads these from the source of the tests, without running them, so both arguments are literals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mainstem.contract import ledger

Proof = TypeVar("Proof", bound=Callable[..., object])


def proves(*operation_ids: str, level: int) -> Callable[[Proof], Proof]:
    """Say that the test (or class of tests) below proves `level` for these operations; it returns unchanged."""
    if level not in ledger.LEVELS or level == 0 or not operation_ids:
        raise ValueError(f"level is one of {sorted(ledger.LEVELS)[1:]}, with at least one operation")

    def unchanged(test: Proof) -> Proof:
        return test

    return unchanged
