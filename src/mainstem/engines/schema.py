"""The steps by which the control database came to be what it is, the same for every engine.

A step is a file of plain SQL in migrations/. What databases spell differently is translated: see postgres_ddl.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import msgspec

from mainstem.errors import MainstemError


class NewerSchema(MainstemError):
    """The database was written by a newer mainstem; this one would not understand it."""


class Migration(msgspec.Struct, frozen=True):
    """One step forward; there is none back."""

    number: int
    name: str
    text: str

    @property
    def statements(self) -> list[str]:
        """The statements of the file, in order; each but the last ends a line with its semicolon."""
        return [each.strip().removesuffix(";") for each in re.split(r";\s*\n", self.text) if each.strip()]


def migrations() -> list[Migration]:
    """Every step that this version knows, in order. A released step is never edited."""
    folder = resources.files("mainstem.engines") / "migrations"
    files = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:-4], (folder / name).read_text()) for name in files]


def remaining(done: int, steps: Sequence[Migration], where: str) -> list[Migration]:
    """The steps that a database with schema `done` still lacks. Raises NewerSchema when it has one that this
    version does not know; `where` says of what."""
    newest = migrations()[-1].number
    if done > newest:
        raise NewerSchema(f"{where} has schema {done}; this mainstem knows {newest}")
    return [step for step in steps if step.number > done]
