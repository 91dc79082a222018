"""What the control plane publishes, sealed, turned back into configuration; the same for every engine."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mainstem.errors import EngineUnavailable
from mainstem.model.snapshot import Published, published_type


def opened(open_body: Callable[[bytes, str], bytes], source_id: str, body: bytes | None) -> Published | None:
    """What was published under an id; None when it is gone. Raises EngineUnavailable when it cannot be unsealed."""
    if body is None:
        return None
    try:
        return msgspec.msgpack.decode(open_body(body, source_id), type=published_type(source_id))
    except (ValueError, msgspec.DecodeError) as error:
        raise EngineUnavailable(f"the configuration of source {source_id} cannot be unsealed") from error
