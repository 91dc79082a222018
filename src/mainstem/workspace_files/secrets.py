"""Secrets of a workspace in a file: references in their place, `{"$secret": "destination/ID/settings/apiKey"}`.

A secret is what the catalogue calls a password, what a server masks, the value of a header, and what stands under a
name that says so. The values come from a file or from variables when a workspace is imported. Source: Public API
reference (masks); that a telling name is enough is a judgement, on the safe side.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from mainstem.errors import SettingsError

REFERENCE: Final = "$secret"
VARIABLE_PREFIX: Final = "SECRET_"
MASK: Final = "\u2022" * 10
_BULLETS: Final = MASK[:4]
_TELLING: Final = re.compile(
    r"secret|passw|pass.?phrase|token$|api.?key|access.?key|private.?key|credentials?$|licen[cs]e.?key|signing"
    r"|authorization|cookie",
    re.IGNORECASE,
)


class Hiding:
    """Puts references in the place of secrets, and remembers what was there (masks, where that is all)."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def settings(self, at: str, values: Mapping[str, Any], passwords: Collection[str] = ()) -> dict[str, Any]:
        """Settings without secrets; `at` is where they are, "destination/ID/settings"; `passwords` are the names that
        the catalogue calls so."""
        return {
            key: self._one(f"{at}/{key}", key, value, is_secret=key in passwords) for key, value in values.items()
        }

    def known(self, at: str, value: str) -> dict[str, str]:
        """A reference to a secret that is shown."""
        return self._hidden(at, value)

    def unseen(self, at: str) -> dict[str, str]:
        """A reference to a secret that is there, of which nothing is shown."""
        return self._hidden(at, MASK)

    def _one(self, at: str, key: str, value: Any, *, is_secret: bool) -> Any:
        if key.lower() == "headers" and isinstance(value, (dict, list)):
            return self._headers(at, value)
        if isinstance(value, dict):
            return {name: self._one(f"{at}/{name}", name, each, is_secret=is_secret) for name, each in value.items()}
        if isinstance(value, list):
            return [self._one(f"{at}/{i}", key, each, is_secret=is_secret) for i, each in enumerate(value)]
        if isinstance(value, str) and value and (is_secret or value.startswith(_BULLETS) or _TELLING.search(key)):
            return self._hidden(at, value)
        return self._hidden(at, value) if is_secret and value not in (None, "", False) else value

    def _headers(self, at: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._hidden(f"{at}/{name}", each) if each else each for name, each in value.items()}
        return [
            {**each, "value": self._hidden(f"{at}/{index}/value", each["value"])}
            if isinstance(each, dict) and each.get("value")
            else each
            for index, each in enumerate(value)
        ]

    def _hidden(self, at: str, value: Any) -> dict[str, str]:
        self.found[at] = value
        return {REFERENCE: at}


def name_of(value: Any) -> str | None:
    """The name that a reference bears; None for what is none."""
    if isinstance(value, dict) and value.keys() == {REFERENCE} and isinstance(value[REFERENCE], str):
        return str(value[REFERENCE])
    return None


def variable(name: str) -> str:
    """The variable of the environment that may hold a secret."""
    return VARIABLE_PREFIX + re.sub(r"[^A-Za-z0-9]", "_", name)


class Given:
    """The values of secrets as they were given."""

    def __init__(self, values: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._values, self._environment = values, environment

    def find(self, name: str) -> Any:
        """The value of a secret; None when it was not given."""
        return self._values.get(name, self._environment.get(variable(name)))


def read_given(file: Path | None, environment: Mapping[str, str]) -> Given:
    """Values from a JSON object of names and values, and from variables. Raises SettingsError."""
    if file is None:
        return Given({}, environment)
    try:
        values = json.loads(file.read_bytes())
    except ValueError:
        raise SettingsError(f"--secrets {file}: is not JSON") from None  # and what is in it is not shown
    if not isinstance(values, dict):
        raise SettingsError(f"--secrets {file}: an object of names and values is expected")
    return Given(values, environment)
