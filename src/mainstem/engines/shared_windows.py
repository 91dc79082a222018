"""Windows of rate limits that several processes count in together: a table in memory that they share.

It is made before the processes are forked. What it holds is gone with the last of them, as with one process.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SLOT: Final = struct.Struct("<16sdI4x")  # whose it is, when the window began (Unix seconds), requests since
_SLOTS: Final = 65_536  # 2 MiB; a slot for each token and operation in use
_LOOKED_AT: Final = 16  # slots that a key may lie in; the stalest is given away when all are taken
_OVERTAKEN_SECONDS: Final = 10.0  # as in rest.limits
_MOST: Final = 2**32 - 1


class SharedWindows:
    """Windows of rest.limits for several processes. A process that dies holds up nobody: its lock goes with it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(_SLOTS * _SLOT.size)
            self._table = mmap.mmap(file.fileno(), _SLOTS * _SLOT.size)
            self._file = os.dup(file.fileno())  # open as long as the process
        self._threads = threading.Lock()  # the file's lock knows processes only

    def count(self, token_id: str, operation_id: str, now: float, window_seconds: int) -> tuple[float, int]:
        """See Windows in rest.limits."""
        key = hashlib.blake2b(f"{token_id}\0{operation_id}".encode(), digest_size=16).digest()
        with self._alone():
            place, start, consumed = self._find(key)
            is_set_back = now < start - _OVERTAKEN_SECONDS
            if not consumed or now - start >= window_seconds or is_set_back:
                start, consumed = now, 0
            consumed = min(consumed + 1, _MOST)
            _SLOT.pack_into(self._table, place, key, start, consumed)
        return start, consumed

    def _find(self, key: bytes) -> tuple[int, float, int]:
        """Where the key lies, or may lie, with its window; 0 requests when it has none."""
        first = int.from_bytes(key[:4])
        stalest, oldest = 0, float("inf")
        for number in range(first, first + _LOOKED_AT):
            place = number % _SLOTS * _SLOT.size
            owner, start, consumed = _SLOT.unpack_from(self._table, place)
            if owner == key:
                return place, start, consumed
            if start < oldest:  # a slot that was never used began at 0
                stalest, oldest = place, start
        return stalest, 0.0, 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
