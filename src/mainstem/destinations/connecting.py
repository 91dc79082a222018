"""Which connector a destination has, and the insert function in front of it."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.destinations import CONNECTORS
from mainstem.destinations.actions import connector as actions
from mainstem.destinations.actions.connector import Authorized
from mainstem.destinations.actions.runner import Runner
from mainstem.destinations.base import Connection, Destination, Rejected
from mainstem.destinations.functions import Functions
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION, DestinationConfig


class Connectors:
    """Connects any destination. `built_in` are connectors of our own, by the id of their catalogue entry."""

    def __init__(
        self,
        functions: Functions | None = None,
        runner: Runner | None = None,
        authorized: Authorized | None = None,
        built_in: Mapping[str, Destination] = CONNECTORS,
    ) -> None:
        self._functions = functions
        self._runner = runner
        self._authorized = authorized
        self._built_in = built_in

    def connect(self, config: DestinationConfig) -> Connection:
        """Read the settings of a destination. Raises Rejected("INVALID_SETTINGS") when nothing can be sent
        with them, or there is no connector."""
        connection = self._connect(config)
        if config.insert is None:
            return connection
        return self._needed_functions().in_front_of(config.insert, connection)

    def name(self, config: DestinationConfig) -> str:
        """What the connector is called where somebody looks for a fault."""
        known = self._built_in.get(config.metadata_id)
        return known.slug if known is not None else "function" if config.function else "actions"

    def _connect(self, config: DestinationConfig) -> Connection:
        if config.function is not None:
            functions = self._needed_functions()
            if config.metadata_id == INSERT_FUNCTION:
                return functions.after_source(config.function)
            if config.metadata_id == SOURCE_FUNCTION:
                return functions.as_source(config.function)
            return functions.as_destination(config.function)
        known = self._built_in.get(config.metadata_id)
        if known is not None:
            return Connection(known.connect(config.settings))
        if config.subscriptions is not None and self._runner is not None and self._authorized is not None:
            return actions.connect(config, self._runner, self._authorized)
        raise Rejected("INVALID_SETTINGS", "there is no connector for this destination")

    def _needed_functions(self) -> Functions:
        if self._functions is None:
            raise Rejected("INVALID_SETTINGS", "functions are not run here")
        return self._functions
