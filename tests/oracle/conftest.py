"""The oracle: what was acknowledged arrives, whatever is killed, full or torn; see docs/reference/oracle.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Show a line about this test at the end of the run, also when it passes."""
    return lambda line: record_property("report", line)
