"""How often Python looks for cycles while events pass through. They make many objects and hardly a cycle, so that
looking as often as by default costs a tenth of the time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def rare_collections(after_objects: int) -> Iterator[None]:
    """Look once this many objects more were made than went. What a batch holds comes and goes; only cycles add up."""
    before = gc.get_threshold()
    gc.set_threshold(after_objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
