"""One fresh instance per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from public_api.client import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    instance = Api(tmp_path)
    yield instance
    instance.database.close()
