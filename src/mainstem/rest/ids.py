"""New ids in the forms that clients have seen. Source: observed ids of real workspaces; only uniqueness,
URL safety and the prefixes matter to clients."""

from __future__ import annotations

import secrets
from typing import Final

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def base58_id() -> str:
    """22 characters of base58: workspaces, sources, warehouses, users, subscriptions."""
    return _random(_BASE58, 22)


def hex_id() -> str:
    """24 lower-case hex digits: destination instances."""
    return secrets.token_hex(12)


def ksuid() -> str:
    """27 characters of base62: filters, transformations, groups, audit events."""
    return _random(_BASE62, 27)


def write_key() -> str:
    """32 alphanumerics."""
    return _random(_BASE62, 32)
