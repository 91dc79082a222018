"""What every test shares: a control database of its own, also when TEST_DATABASE names a PostgreSQL server.

And what a run says at its end, also when several processes run the tests (`pytest -n 2`): this process may then have
collected none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import databases

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # else as it was
settings.load_profile("unhurried")

REPORT = "report"  # the property of a test that is a line for the end of the run
LEFT_OUT = "left_out"  # what a worker tells: how many journeys it left out
_left_out = pytest.StashKey[int]()


@pytest.fixture(autouse=True, scope="session")
def databases_of_the_run() -> Iterator[None]:
    """Databases of longer-lived folders go with the run."""
    yield
    databases.clean(None)


@pytest.fixture(autouse=True)
def databases_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Databases of a test's own folder go with the test."""
    folder = request.getfixturevalue("tmp_path") if databases.SERVER and "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        databases.clean(folder)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for each in items:
        if each.get_closest_marker("clients"):
            each.config.stash[_left_out] = each.config.stash.get(_left_out, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[LEFT_OUT] = session.config.stash.get(_left_out, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every worker collects, and leaves out, the same."""
    node.config.stash[_left_out] = getattr(node, "workeroutput", {}).get(LEFT_OUT, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was not run, and how to run it; and what tests reported."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, line in report.user_properties:
                if name == REPORT and report.when == "call":
                    terminalreporter.write_line(f"{report.location[2]}: {line}")
    left_out = config.stash.get(_left_out, 0)
    if left_out and "not clients" in config.getoption("markexpr"):
        terminalreporter.write_line(
            f"{left_out} journeys with the TypeScript, Go, Node and browser clients were left out: "
            "`make test-clients` installs the clients and runs them"
        )
