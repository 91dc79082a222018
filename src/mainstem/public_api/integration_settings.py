"""Settings of sources and destinations: free-form objects that are merged, and whose secrets are masked.

A secret is the text of an option of type password. It leaves as ten bullets and its last four characters; a
value that begins so and comes back means "as it was". Source: Public API reference, "Update Source" and
"Update Destination" (merging, null deletes); the mask is observed, what a returned mask does is a judgement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mainstem.errors import InputInvalid
from mainstem.public_api.catalog import Option

_BULLETS: Final = "\u2022" * 10
_SHOWN: Final = 4  # characters at the end of a secret
_MAX_DEPTH: Final = 64
_INTEGERS: Final = range(-(2**63), 2**64)  # what every reader of a publication can hold


def masked(settings: Mapping[str, Any], options: Sequence[Option], *, shown: int = _SHOWN) -> dict[str, Any]:
    """`settings` as they are sent out: of a secret the last `shown` characters. An empty one stays empty, one that
    is not longer shows none. With `shown` 0 a secret that is no text is masked too."""
    secrets = _secrets(options)
    return {key: _mask(value, shown) if key in secrets else value for key, value in settings.items()}


def merged(stored: Mapping[str, Any], sent: Mapping[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """`stored` with `sent` laid over it: null deletes a key, a mask keeps the stored secret, and keys that the
    options do not name are stored like others. Raises InputInvalid for a mask of a secret that is not stored,
    integers of more than 64 bits, and values nested deeper than 64."""
    secrets = _secrets(options)
    masks = {key for key, value in sent.items() if key in secrets and _is_mask(value)}
    faults = dict.fromkeys(masks - stored.keys(), "is masked: the secret itself is needed")
    faults |= {key: fault for key, value in sent.items() if (fault := _fault(value))}
    if faults:
        raise InputInvalid([(f"settings.{key}", f'"settings.{key}" {faults[key]}') for key in sorted(faults)])
    together = {**stored, **{key: value for key, value in sent.items() if key not in masks}}
    return {key: value for key, value in together.items() if value is not None}


def _secrets(options: Sequence[Option]) -> set[str]:
    return {option.name for option in options if option.type == "password"}


def _mask(value: Any, shown: int) -> Any:
    if not shown:
        return value if value in (None, "") else _BULLETS
    if not isinstance(value, str) or not value:
        return value
    return _BULLETS + (value[-shown:] if len(value) > shown else "")


def _is_mask(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_BULLETS)


def _fault(value: Any, depth: int = 1) -> str | None:
    """Why a value cannot be kept, if so."""
    if depth > _MAX_DEPTH:
        return f"must not nest deeper than {_MAX_DEPTH} levels"
    if isinstance(value, int) and value not in _INTEGERS:
        return "must be a safe number"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((fault for each in inner if (fault := _fault(each, depth + 1))), None)
