"""What tests of the installed destinations share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from destinations.actions.partner import Partner
from mainstem.commands import destinations
from mainstem.destinations.actions import catalogue
from mainstem.destinations.actions.runner import Runner
from mainstem.packages import install

PACKAGES = Path(__file__).parents[3] / ".packages"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder that `make test-destinations` installs into; it must be what this version of mainstem installs."""
    step = destinations.steps()["destinations"]
    assert install.is_current("destinations", PACKAGES, step), "`make test-destinations` installs the destinations"
    return PACKAGES


@pytest.fixture
def catalog(packages: Path) -> Iterator[None]:
    """The catalogue of this process is that of the installed package."""
    catalogue.use(packages)
    yield
    catalogue.use(None)


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with Partner() as each:
        yield each


@pytest.fixture
async def runner(packages: Path, partner: Partner) -> AsyncIterator[Runner]:
    """Runs destinations whose requests go to `partner`."""
    each = Runner(packages, divert_to=partner.url, environment={})
    yield each
    await each.close()
