"""The tables of flow.db, as steps forward; there is none back, and a released step is never edited."""

from __future__ import annotations

import sqlite3
from typing import Final

from mainstem.errors import MainstemError

_OUTCOMES: Final = """
CREATE TABLE {name} (
    source_id TEXT NOT NULL, stage TEXT NOT NULL, minute INTEGER NOT NULL, destination_id TEXT NOT NULL,
    reason TEXT NOT NULL, event_type TEXT NOT NULL, event_name TEXT NOT NULL, app_version TEXT NOT NULL,
    count INTEGER NOT NULL, retries INTEGER NOT NULL,
    PRIMARY KEY (source_id, stage, minute, destination_id, reason, event_type, event_name, app_version)
) WITHOUT ROWID"""

_FIRST: Final = (
    # `position`, `durable`, `next_delivery`, and what seen.py keeps of its generations
    "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # Ids are given out by `next_delivery` and never twice: workers read on from the last id they know.
    """CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY, destination_id TEXT NOT NULL, lane INTEGER NOT NULL, source_id TEXT NOT NULL,
        message_id TEXT NOT NULL, event_type TEXT NOT NULL, event_name TEXT NOT NULL, app_version TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at_ms INTEGER NOT NULL DEFAULT 0,
        first_attempt_at_ms INTEGER NOT NULL DEFAULT 0, progress INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '', body BLOB NOT NULL
    )""",
    "CREATE INDEX deliveries_by_destination ON deliveries (destination_id)",
    "CREATE INDEX deliveries_that_failed ON deliveries (destination_id, reason) WHERE attempts > 0",
    *(f"CREATE TABLE seen_{number} (id INTEGER PRIMARY KEY)" for number in range(3)),
    _OUTCOMES.format(name="outcomes_by_minute"),
    _OUTCOMES.format(name="outcomes_by_hour"),
    """CREATE TABLE api_calls (
        source_id TEXT NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (source_id, day)
    ) WITHOUT ROWID""",
    """CREATE TABLE tracked_users (
        month INTEGER NOT NULL, id INTEGER NOT NULL, source_id TEXT NOT NULL, first_day INTEGER NOT NULL,
        PRIMARY KEY (month, id, source_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE tracked_anonymous (
        month INTEGER NOT NULL, id INTEGER NOT NULL, source_id TEXT NOT NULL, first_day INTEGER NOT NULL,
        identified_day INTEGER, PRIMARY KEY (month, id, source_id)
    ) WITHOUT ROWID""",
    # `outcome` is its OutcomeKey; `entry` is what goes back into the pipeline or, in MessagePack, the queue.
    """CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source_id TEXT NOT NULL,
        destination_id TEXT NOT NULL, message_id TEXT NOT NULL, place TEXT NOT NULL, error TEXT NOT NULL,
        body BLOB NOT NULL, outcome BLOB NOT NULL, retries INTEGER NOT NULL, queued INTEGER NOT NULL,
        entry BLOB NOT NULL
    )""",
    "CREATE TABLE redriven (id INTEGER PRIMARY KEY, destination_id TEXT NOT NULL, entry BLOB NOT NULL)",
)

# With the lane in the index, a worker passes over the lanes of others without reading their deliveries.
_SECOND: Final = (
    "DROP INDEX deliveries_by_destination",
    "CREATE INDEX deliveries_by_destination ON deliveries (destination_id, id, lane)",
)

_OUTCOMES_BY_SUBSCRIPTION: Final = """
CREATE TABLE {name} (
    source_id TEXT NOT NULL, stage TEXT NOT NULL, minute INTEGER NOT NULL, destination_id TEXT NOT NULL,
    reason TEXT NOT NULL, event_type TEXT NOT NULL, event_name TEXT NOT NULL, app_version TEXT NOT NULL,
    subscription_id TEXT NOT NULL, count INTEGER NOT NULL, retries INTEGER NOT NULL,
    PRIMARY KEY (
        source_id, stage, minute, destination_id, reason, event_type, event_name, app_version, subscription_id
    )
) WITHOUT ROWID"""


def _with_subscription(name: str) -> tuple[str, ...]:
    """A primary key cannot be changed: the counts move to a table that has the new one."""
    columns = "source_id, stage, minute, destination_id, reason, event_type, event_name, app_version"
    return (
        f"ALTER TABLE {name} RENAME TO former_{name}",
        _OUTCOMES_BY_SUBSCRIPTION.format(name=name),
        f"INSERT INTO {name} SELECT {columns}, '', count, retries FROM former_{name}",
        f"DROP TABLE former_{name}",
    )


# Mappings of Actions destinations, and what enters the pipeline beside the log.
_THIRD: Final = (
    "ALTER TABLE deliveries ADD COLUMN subscription_id TEXT NOT NULL DEFAULT ''",
    *_with_subscription("outcomes_by_minute"),
    *_with_subscription("outcomes_by_hour"),
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, destination_id TEXT NOT NULL, body BLOB NOT NULL
    )""",
)

# What sources were seen to send. `types` are bits of JsonType; days are Unix days.
_FOURTH: Final = (
    """CREATE TABLE learned_events (
        source_id TEXT NOT NULL, event_type TEXT NOT NULL, event_name TEXT NOT NULL, first_ms INTEGER NOT NULL,
        last_day INTEGER NOT NULL, PRIMARY KEY (source_id, event_type, event_name)
    ) WITHOUT ROWID""",
    """CREATE TABLE learned_fields (
        source_id TEXT NOT NULL, event_type TEXT NOT NULL, event_name TEXT NOT NULL, path TEXT NOT NULL,
        types INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_day INTEGER NOT NULL,
        PRIMARY KEY (source_id, event_type, event_name, path)
    ) WITHOUT ROWID""",
)

MIGRATIONS: Final = (_FIRST, _SECOND, _THIRD, _FOURTH)


class NewerSchema(MainstemError):
    """The file was written by a newer mainstem; this one would not understand it."""


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to this version, inside the caller's transaction. Raises NewerSchema."""
    done = db.execute("PRAGMA user_version").fetchone()[0]
    if done > len(MIGRATIONS):
        raise NewerSchema(f"flow.db has schema {done}; this mainstem knows {len(MIGRATIONS)}")
    for number in range(done, len(MIGRATIONS)):
        for statement in MIGRATIONS[number]:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number + 1}")
