"""A running Tracking API: one for all tests that change nothing about it, their own for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracking_api.serving import Served


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("tracking_api"))
    yield running
    running.close()


@pytest.fixture
def served(_shared: Served) -> Served:
    """A Tracking API with the default settings, which has received nothing."""
    _shared.forget()
    return _shared


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a Tracking API of the test's own, with these settings."""
    running: list[Served] = []

    def start(**settings: Any) -> Served:
        running.append(Served(tmp_path, **settings))
        return running[-1]

    yield start
    for each in running:
        each.close()
