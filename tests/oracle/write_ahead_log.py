"""SQLite's write-ahead log, read and torn by bytes: what a file looks like after the machine died while writing.

Source: the SQLite documentation, "WAL-mode File Format". A log is a header of 32 bytes and frames, each a
header of 24 bytes and a page. A frame counts if its salts are the log's and its checksum continues the one
before; a transaction counts if its last frame says how large the database is then. Behind the last frame may
lie older ones, left from before the log was begun anew.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
BACKFILLED_AT, BACKFILL_BEGUN_AT = 96, 128  # in the -shm file: frames moved into the database, or about to be
_BIG_ENDIAN_BIT = 1


@dataclass(frozen=True)
class Log:
    """The frames of a log that count. `ends` are the offsets behind each; `sums` the checksums there."""

    path: Path
    page_bytes: int
    order: str
    salts: bytes
    ends: tuple[int, ...]
    sums: tuple[tuple[int, int], ...]

    @property
    def last_frame(self) -> bytes:
        """The last frame, with its header."""
        with self.path.open("rb") as file:
            file.seek(self.ends[-2])
            return file.read(self.ends[-1] - self.ends[-2])

    def overwrite_from_end(self, data: bytes) -> None:
        """Write behind the last frame that counts."""
        with self.path.open("r+b") as file:
            file.seek(self.ends[-1])
            file.write(data)

    def cut(self, size: int) -> None:
        """Let the file end there."""
        with self.path.open("r+b") as file:
            file.truncate(size)


def read_log(path: Path) -> Log:
    """Find the frames that count."""
    data = path.read_bytes()
    magic, _, page_bytes = struct.unpack(">III", data[:12])
    order = ">" if magic & _BIG_ENDIAN_BIT else "<"
    salts = data[16:24]
    sums = _checksum(order, data[:24], (0, 0))
    assert sums == struct.unpack(">II", data[24:32]), "the log's own header is damaged"
    ends, all_sums = [HEADER_BYTES], [sums]
    size = FRAME_HEADER_BYTES + page_bytes
    while len(frame := data[ends[-1] : ends[-1] + size]) == size and frame[8:16] == salts:
        sums = _checksum(order, frame[:8] + frame[FRAME_HEADER_BYTES:], sums)
        if sums != struct.unpack(">II", frame[16:24]):
            break
        ends.append(ends[-1] + size)
        all_sums.append(sums)
    return Log(path, page_bytes, order, salts, tuple(ends), tuple(all_sums))


def half_of_a_frame(log: Log, _chance: random.Random) -> bytes:
    """A commit whose writing ended halfway through its page."""
    return _next_frame(log, is_commit=True)[: FRAME_HEADER_BYTES + log.page_bytes // 2]


def frame_with_a_wrong_byte(log: Log, chance: random.Random) -> bytes:
    """A commit of which one byte did not get to the disk as it was."""
    frame = bytearray(_next_frame(log, is_commit=True))
    frame[chance.randrange(FRAME_HEADER_BYTES, len(frame))] ^= 0x40
    return bytes(frame)


def frame_without_a_commit(log: Log, _chance: random.Random) -> bytes:
    """A whole frame of a transaction whose commit was never written."""
    return _next_frame(log, is_commit=False)


def garbage(log: Log, chance: random.Random) -> bytes:
    """Sectors that were given to the file and never written."""
    return chance.randbytes(chance.randrange(1, 3 * log.page_bytes))


TEARS = (half_of_a_frame, frame_with_a_wrong_byte, frame_without_a_commit, garbage)


def lose_unsynced_end(path: Path, chance: random.Random) -> tuple[int, int]:
    """Cut the log, in the midst of a frame, somewhere in what need not have been synced to disk; returns how
    many frames are left and how many there were. What is moved into the database is synced before."""
    log = read_log(path)
    index = path.with_name(path.name.removesuffix("-wal") + "-shm").read_bytes()
    on_disk = max(struct.unpack_from("=I", index, at)[0] for at in (BACKFILLED_AT, BACKFILL_BEGUN_AT))
    frames = len(log.ends) - 1
    left = chance.randint(on_disk, frames - 1) if on_disk < frames else frames
    log.cut(log.ends[left] + chance.randrange(FRAME_HEADER_BYTES + log.page_bytes))
    return left, frames


def _next_frame(log: Log, *, is_commit: bool) -> bytes:
    """A frame that counts, with the contents of the last one."""
    last = log.last_frame
    page_number, pages = struct.unpack(">II", last[:8])
    head = struct.pack(">II", page_number, pages if is_commit else 0)
    page = last[FRAME_HEADER_BYTES:]
    sums = _checksum(log.order, head + page, log.sums[-1])
    return head + log.salts + struct.pack(">II", *sums) + page


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
