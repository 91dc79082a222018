"""The oracle: what was acknowledged arrives, whatever is killed, full or torn; see docs/reference/oracle.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_lines = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Show a line about this test at the end of the run, also when it passes."""
    lines = request.config.stash.setdefault(_lines, [])
    name: str = request.node.name
    return lambda line: lines.append(f"{name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_lines, []):
        terminalreporter.write_line(line)
