"""Journeys: unmodified clients against a real `mainstem serve`, from outside.

One server for the whole run; each journey has its own source, destination and sink.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from journeys.public_api import PublicApi
from journeys.running import RunningServer, running_server
from journeys.sink import Sink

OWNER_TOKEN = "journeys-" + "0123456789abcdef" * 4


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server; at the end SIGTERM stops it with exit code 0."""
    with running_server(tmp_path_factory.mktemp("mainstem"), OWNER_TOKEN) as running:
        yield running


@pytest.fixture
def public_api(server: RunningServer) -> Iterator[PublicApi]:
    """The Public API, called with a plain HTTP client."""
    with PublicApi(server.api_url, server.token) as api:
        yield api


@pytest.fixture
def tracking(server: RunningServer) -> Iterator[httpx.Client]:
    """The Tracking API over plain HTTP."""
    with httpx.Client(base_url=server.tracking_url, timeout=30) as client:
        yield client


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A webhook of this journey's own."""
    with Sink() as each:
        yield each


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put the server's last words under a journey that failed."""
    report = yield
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(running, RunningServer):
        report.sections.append(("mainstem serve", running.log_tail()))
    return report
