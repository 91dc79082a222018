"""The ids of events that came before, in generations, so that forgetting is cheap.

Ids go into the current generation and are looked for in it and the one before. After 24 hours, or when the
current one holds `max_ids`, it becomes the one before: an id is remembered for 24 to 48 hours, and at most
twice `max_ids` are. What is older still is emptied in small steps, then used anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from mainstem.engines.sqlite_flow.file import get_state, set_state

WINDOW_MS: Final = 24 * 3_600_000
_GENERATIONS: Final = 3
_STEP_IDS: Final = 20_000


def find(db: sqlite3.Connection, ids: Sequence[int]) -> set[int]:
    """Those of `ids` that are remembered."""
    wanted = json.dumps(sorted(ids))
    generation = get_state(db, "seen_generation")
    found: set[int] = set()
    for table in (_table(generation), _table(generation - 1)):
        rows = db.execute(f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
        found.update(row[0] for row in rows)
    return found


def remember(db: sqlite3.Connection, ids: Collection[int], now_ms: int, max_ids: int) -> None:
    """Put ids into the current generation, after beginning a new one if it is time."""
    generation, count = get_state(db, "seen_generation"), get_state(db, "seen_count")
    since_ms = get_state(db, "seen_since_ms")
    if since_ms == 0:
        set_state(db, "seen_since_ms", now_ms)
    elif now_ms - since_ms >= WINDOW_MS or count >= max_ids:
        generation, count = generation + 1, 0
        db.execute(f"DELETE FROM {_table(generation)}")
        set_state(db, "seen_generation", generation)
        set_state(db, "seen_since_ms", now_ms)
    added = db.executemany(
        f"INSERT OR IGNORE INTO {_table(generation)} VALUES (?)",
        zip(sorted(ids)),  # in order: neighbours share pages
    )
    set_state(db, "seen_count", count + added.rowcount)


def forget(db: sqlite3.Connection) -> bool:
    """Empty a part of the oldest generation; False when nothing is left to forget."""
    table = _table(get_state(db, "seen_generation") - 2)
    last = db.execute(f"SELECT max(id) FROM (SELECT id FROM {table} ORDER BY id LIMIT ?)", (_STEP_IDS,)).fetchone()[0]
    if last is None:
        return False
    db.execute(f"DELETE FROM {table} WHERE id <= ?", (last,))
    return True


def _table(generation: int) -> str:
    return f"seen_{generation % _GENERATIONS}"
