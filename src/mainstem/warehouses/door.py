"""The door of warehouses: whether one opens with the settings that somebody gave."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mainstem.errors import TooManyRequests
from mainstem.model.networks import Network
from mainstem.warehouses import DRIVERS
from mainstem.warehouses.base import ATTEMPT_SECONDS, Driver, Surroundings, Unreachable, is_installed

log: Final = logging.getLogger(__name__)
AT_ONCE: Final = 4  # half the threads that serve the Public API, so that slow hosts never take all of them
_WAIT_MS: Final = 1_000


class Door:
    """WarehouseDoor. Safe to use from several threads; why a warehouse did not open is in the log alone."""

    def __init__(
        self, folder: Path, allow_private: Sequence[Network], drivers: Mapping[str, Driver] = DRIVERS
    ) -> None:
        """`folder` holds the files of warehouses, those of each workspace in a folder of their own."""
        self._folder, self._allow_private, self._drivers = folder, allow_private, drivers
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def opens(self, workspace_id: str, slug: str, settings: Mapping[str, Any]) -> bool:
        """See WarehouseDoor."""
        if not self._places.acquire(blocking=False):
            raise TooManyRequests(AT_ONCE, _WAIT_MS)
        try:
            self._check(workspace_id, slug, settings)
        except Unreachable as error:
            log.warning("a warehouse of type %s was not connected to: %s", slug, error)
            return False
        finally:
            self._places.release()
        return True

    def _check(self, workspace_id: str, slug: str, settings: Mapping[str, Any]) -> None:
        driver = self._drivers.get(slug)
        if driver is None:
            raise Unreachable("there is no driver for this type of warehouse")
        if not is_installed(driver):
            raise Unreachable(f"its driver is not installed; install mainstem[{driver.extra}]")
        deadline = time.monotonic() + ATTEMPT_SECONDS
        driver.check(settings, Surroundings(self._folder / workspace_id, self._allow_private, deadline))
