"""Which write key a request carries.

Source: Tracking API reference, "Authentication". How a well-formed key looks is a judgement: the reference
shows keys of 32 letters and digits, and only says that malformed ones are refused.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable
from typing import Any, Final

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9_-]{20,64}")
_MAX_HEADER_CHARACTERS: Final = 256  # far above any key; bounds what is remembered


def is_well_formed(write_key: str) -> bool:
    """True when this could be a write key of some source: 20 to 64 letters, digits, `_` and `-`."""
    return _WELL_FORMED.fullmatch(write_key) is not None


def choose_write_key(authorization: str | None, find_in_body: Callable[[], Any]) -> str:
    """The write key of a request, "" when there is none. When header and body name one, the header's counts.

    A Bearer token is not checked, for no source can enforce OAuth yet: the body's key counts alone, as it does
    with any other scheme and with a header that cannot be read.
    """
    header_key = basic_write_key(authorization) if authorization else ""
    if header_key:
        return header_key
    body_key = find_in_body()
    return body_key if isinstance(body_key, str) else ""


def basic_write_key(authorization: str) -> str:
    """The user name of Basic authentication, "" for another scheme or an unreadable value. Old clients encode
    the key without the colon that should follow it."""
    return _user_name(authorization) if len(authorization) <= _MAX_HEADER_CHARACTERS else ""


@functools.lru_cache(maxsize=4096)
def _user_name(authorization: str) -> str:
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return ""
    encoded = encoded.strip().rstrip("=")
    try:
        text = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[0]
