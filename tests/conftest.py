"""What every test shares: a control database of its own, also when TEST_DATABASE names a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import databases


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
