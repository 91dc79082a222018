"""The processes of all functions."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mainstem.sandbox.code import Code, Ended, Invocation, Limits


class Sandbox:
    """A process for each function and version in use. Belongs to one event loop."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        allow_private: Sequence[IPv4Network | IPv6Network] = (),
        libraries: Path | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._allow_private = tuple(allow_private)
        self._libraries = libraries

    async def invoke(self, code: Code, invocation: Invocation) -> Ended:
        """Run one invocation to its end. Never raises for what the code does; raises SandboxUnavailable when
        Deno cannot be started."""
        raise NotImplementedError

    async def close(self) -> None:
        """End every process; invocations in flight end as killed."""
        raise NotImplementedError
