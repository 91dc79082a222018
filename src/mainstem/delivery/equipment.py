"""What a delivery worker needs beside HTTP: the sandbox of functions, the runner of Actions destinations, OAuth
tokens and the logs of functions. Processes are started when they are first needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from mainstem.delivery.logbook import Logbook
from mainstem.destinations.actions import catalogue
from mainstem.destinations.actions.runner import Runner
from mainstem.destinations.connecting import Connectors
from mainstem.destinations.functions import Functions
from mainstem.model.ports import FunctionLog, OAuthTokens, Tokens
from mainstem.model.snapshot import DestinationConfig, FunctionConfig, LiveSnapshot
from mainstem.sandbox import Sandbox
from mainstem.settings import Settings

Client = Callable[[str], Mapping[str, Any] | None]
"""The OAuth client of a destination's type, as the runner wants it: clientId, clientSecret, refresh_token_url."""


class Authorization:
    """OAuth 2 of Actions destinations. Tokens are read anew for each call, as another worker may have refreshed
    them; only destinations with that scheme have any."""

    def __init__(self, tokens: OAuthTokens, client: Client) -> None:
        self._tokens = tokens
        self._client = client

    def auth(self, config: DestinationConfig) -> dict[str, Any] | None:
        """See Authorized."""
        definition = catalogue.find_definition(config.metadata_id)
        if definition is None or not definition.auth_scheme.startswith("oauth"):
            return None
        kept = self._tokens.get(config.id)
        if kept is None:
            return None
        tokens = {"access_token": kept.access_token, "refresh_token": kept.refresh_token}
        return {**(self._client(config.metadata_id) or {}), **tokens}

    def refreshed(self, config: DestinationConfig, tokens: dict[str, Any]) -> None:
        """See Authorized."""
        self._tokens.save(config.id, Tokens(tokens["accessToken"], tokens.get("refreshToken") or ""))


def runner_processes(workers: int) -> int:
    """How many processes each of `workers` delivery workers may run destinations in: the cores between them, at most
    four, for a worker cannot keep more of them busy."""
    return max(1, min(4, (os.cpu_count() or 1) // workers))


@contextlib.asynccontextmanager
async def equipped(
    settings: Settings, snapshot: LiveSnapshot, function_log: FunctionLog, tokens: OAuthTokens, client: Client
) -> AsyncIterator[Connectors]:
    """Everything that a worker connects destinations with; ends its processes on the way out."""
    catalogue.use(settings.packages_folder)
    logbook = Logbook(function_log)
    writing = asyncio.create_task(logbook.run())
    sandbox = Sandbox(allow_private=settings.allow_private, libraries=settings.packages_folder / "functions")
    runner = Runner(
        settings.packages_folder,
        processes=runner_processes(settings.workers),
        allow_private=settings.allow_private,
        divert_to=settings.divert_to,
    )

    def find(function_id: str) -> FunctionConfig | None:
        return snapshot.current.functions.get(function_id)

    functions = Functions(sandbox, find, logbook.keep)
    try:
        yield Connectors(functions, runner, Authorization(tokens, client))
    finally:
        await sandbox.close()
        await runner.close()
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
