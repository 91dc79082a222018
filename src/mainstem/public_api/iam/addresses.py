"""E-mail addresses: how people are named before they have an id.

Kept in lower case, for `Ann@x.com` and `ann@x.com` are one person (judgement).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Address = Annotated[
    str, Meta(min_length=1, max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9][A-Za-z0-9.-]*\Z")
]
"""What browsers take for an address. Source: HTML standard, "valid e-mail address"; 254 characters: RFC 5321."""


def folded(address: str) -> str:
    """An address as it is kept and compared."""
    return address.strip().lower()
