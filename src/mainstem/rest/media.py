"""Which version of an operation a client gets, chosen by `Accept`. Source: Public API reference, "Versioning"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mainstem.errors import NotAcceptable, UnsupportedMediaType

JSON: Final = "application/json"
_ALIASES: Final = {"stable": "v1", "beta": "v1beta", "alpha": "v1alpha"}


def vendor(version: str) -> str:
    """The media type of a version: "v1beta" is application/vnd.segment.v1beta+json."""
    return f"application/vnd.segment.{version}+json"


def _version(media_type: str) -> str | None:
    if not media_type.startswith("application/vnd.segment.") or not media_type.endswith("+json"):
        return None
    name = media_type[len("application/vnd.segment.") : -len("+json")]
    return _ALIASES.get(name, name)


def negotiate(accept: str, versions: Sequence[str]) -> tuple[str, str]:
    """Return (version, response media type) for an `Accept` header and the versions an operation has, the
    most stable first. Raises NotAcceptable when the client takes none of them."""
    for media_type in _by_preference(accept or "*/*"):
        if media_type in {"*/*", "application/*", JSON}:
            return versions[0], JSON
        version = _version(media_type)
        if version is not None and version in versions:
            return version, vendor(version)
    offered = ", ".join([JSON, *map(vendor, versions)])
    raise NotAcceptable(f"Accept names no version that this operation has; it answers {offered}")


def _by_preference(accept: str) -> list[str]:
    weighted = []
    for position, part in enumerate(accept.split(",")):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        if media_type and quality > 0:
            weighted.append((-quality, position, media_type))
    return [media_type for _, _, media_type in sorted(weighted)]


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def check_content_type(content_type: str) -> None:
    """Raises UnsupportedMediaType unless a body of this type is JSON; a missing header is taken for JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type and media_type != JSON and _version(media_type) is None:
        raise UnsupportedMediaType(f"a body of type {media_type} cannot be read; send {JSON}")
