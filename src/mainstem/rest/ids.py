"""New ids in the forms that clients have seen. Source: observed ids of real workspaces; only uniqueness,
URL safety and the prefixes matter to clients.

All come from one source of randomness, which tests seed so that two instances make the same ids. Who copies an object
asks with `wanted` that it keeps its id.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX: Final = "0123456789abcdef"

_source: random.Random = random.SystemRandom()
_wanted: contextvars.ContextVar[list[str]] = contextvars.ContextVar("wanted", default=[])  # noqa: B039  # never changed


def seed(text: str) -> None:
    """From now on the ids and write keys that this process makes follow from `text`, and can be foretold: for tests
    alone. Tokens and secrets are made elsewhere and stay random."""
    global _source  # noqa: PLW0603  # the one source, set once at the start of a process
    _source = random.Random(text)  # noqa: S311  # that it can be foretold is what it is for


@contextmanager
def wanted(ids: Sequence[str]) -> Iterator[None]:
    """Within the block the next id of the form of one of these is that one, each once; a prefix before an id does not
    matter. What exists already is refused where ids are unique, as any other double."""
    token = _wanted.set(list(ids))
    try:
        yield
    finally:
        _wanted.reset(token)


def _random(alphabet: str, length: int) -> str:
    pending = _wanted.get()
    for text in pending:
        bare = text.rpartition("_")[2]
        if len(bare) == length and set(bare) <= set(alphabet):
            pending.remove(text)
            return bare
    number, digits = _source.randrange(len(alphabet) ** length), ""  # at once: one call of the kernel, not `length`
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits += alphabet[digit]
    return digits


def base58_id() -> str:
    """22 characters of base58: workspaces, sources, warehouses, users, subscriptions."""
    return _random(_BASE58, 22)


def hex_id() -> str:
    """24 lower-case hex digits: destination instances."""
    return _random(_HEX, 24)


def ksuid() -> str:
    """27 characters of base62: filters, transformations, groups, audit events."""
    return _random(_BASE62, 27)


def write_key() -> str:
    """32 alphanumerics."""
    return _random(_BASE62, 32)
