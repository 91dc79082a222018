"""Connectors to warehouses: a driver for each kind that is spoken here, by the slug of its catalogue entry.

What drivers need beyond the standard library comes as an extra of the distribution and is imported when a warehouse
is connected to, so that nobody installs or loads it unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mainstem.warehouses.base import Driver
from mainstem.warehouses.duckdb import DUCKDB
from mainstem.warehouses.postgres import POSTGRES

DRIVERS: Final[Mapping[str, Driver]] = {driver.slug: driver for driver in (POSTGRES, DUCKDB)}
