"""What every driver of a warehouse is: a name, the extra that it needs, and how it connects."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from mainstem.errors import MainstemError
from mainstem.model.networks import Network

ATTEMPT_SECONDS: Final = 8.0  # for one attempt to connect, looking up the name included (judgement)


class Unreachable(MainstemError):
    """A warehouse could not be connected to. The message is for the operator's log: it names no setting's value, and
    nothing that the other side said but its SQLSTATE."""


class Surroundings(msgspec.Struct, frozen=True):
    """Where drivers may reach: `folder` is for the files of this workspace, and need not exist yet; private networks
    only as far as `allow_private` lists them. `deadline` is by `time.monotonic`."""

    folder: Path
    allow_private: Sequence[Network]
    deadline: float

    @property
    def seconds_left(self) -> float:
        """What is left for this attempt. Raises Unreachable when nothing is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(f"no answer within {ATTEMPT_SECONDS:g} seconds")
        return left


class Driver(Protocol):
    """How one kind of warehouse is spoken to."""

    @property
    def slug(self) -> str:
        """That of its catalogue entry: "postgres"."""

    @property
    def module(self) -> str:
        """The module that it cannot do without: "psycopg"."""

    @property
    def extra(self) -> str:
        """The extra of the distribution that brings it: "postgres" of `mainstem[postgres]`."""

    def check(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        """Connect with these settings, secrets included, and leave again without a trace. Raises Unreachable."""


def is_installed(driver: Driver) -> bool:
    """Whether what the driver needs is there."""
    return find_spec(driver.module) is not None


def text_of(settings: Mapping[str, Any], name: str) -> str:
    """A setting that must be there, as text. Raises Unreachable naming it."""
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise Unreachable(f"the setting {name} is missing")
    return str(value)
