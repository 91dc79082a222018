"""One fresh instance per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from public_api.client import Api
from public_api.outcomes import ListedOutcomes


@pytest.fixture
def outcomes() -> ListedOutcomes:
    """What the metrics of `api` are added up from; empty unless the test puts something in."""
    return ListedOutcomes()


@pytest.fixture
def api(tmp_path: Path, outcomes: ListedOutcomes) -> Iterator[Api]:
    instance = Api(tmp_path, outcomes)
    yield instance
    instance.database.close()
