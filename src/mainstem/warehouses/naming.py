"""How names of events, properties and traits become names of tables and columns.

Source: product guide, "Warehouse schemas"; the finer points of the rule are those of Segment's open-source snake-case
library, some of whose published examples the tests hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_GOOD_START: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*|", re.ASCII)
_GLUED: Final = re.compile(r"[A-Z][A-Z0-9]*[a-z0-9]*", re.ASCII)
_WORD: Final = re.compile(r"[A-Z0-9]+[a-z0-9]*|[a-z0-9]+", re.ASCII)


def snake_case(name: str) -> str:
    """`Order Completed` is order_completed and `userID` user_id; letters beyond ASCII separate like blanks, so that
    a name may have nothing left."""
    return "_".join(_words(name))


def _words(name: str) -> Iterator[str]:
    found = _GOOD_START.match(name)
    start = found[0] if found else ""
    end = len(start)
    if not any(letter.islower() for letter in start.rpartition("_")[2]):
        glued = _GLUED.match(name, end)
        end = glued.end() if glued else end
    if end:
        yield name[:end].lower()
    yield from (word.lower() for word in _WORD.findall(name, end))
