"""The five roles, on one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from mainstem.engines.sqlite_flow.bells import Bells
from mainstem.engines.sqlite_flow.dead_letters import SqliteDeadLetters
from mainstem.engines.sqlite_flow.deliveries import SqliteDeliveryQueue
from mainstem.engines.sqlite_flow.file import FlowFile, get_state
from mainstem.engines.sqlite_flow.learned import SqliteLearnedSchemas
from mainstem.engines.sqlite_flow.outcomes import SqliteOutcomes
from mainstem.engines.sqlite_flow.pipeline_store import SqlitePipelineStore

FILE: Final = "flow.db"
DEDUPE_MAX_IDS: Final = 50_000_000


class SqliteFlow:
    """flow.db in a data folder. Each process opens its own; all of them may be open at the same time."""

    def __init__(
        self,
        folder: Path,
        *,
        dedupe_max_ids: int = DEDUPE_MAX_IDS,
        wake_pipeline: Callable[[], None] = lambda: None,
    ) -> None:
        """Make or migrate the file. `wake_pipeline` is called when something waits to enter it beside the log.
        Raises EngineUnavailable, or NewerSchema when a newer mainstem made it."""
        self._file = FlowFile(folder / FILE)
        bells = Bells(folder / "bells")
        self._bells = bells
        self.pipeline: Final = SqlitePipelineStore(self._file, bells, dedupe_max_ids, wake_pipeline)
        self.queue: Final = SqliteDeliveryQueue(self._file, bells, wake_pipeline)
        self.outcomes: Final = SqliteOutcomes(self._file)
        self.learned: Final = SqliteLearnedSchemas(self._file)
        self.dead_letters: Final = SqliteDeadLetters(self._file, bells)
        with self._file.reading():
            pass

    def durable_position(self) -> int:
        """The position up to which results would survive a power loss: what the event log may forget."""
        with self._file.reading() as db:
            return get_state(db, "durable")

    def depths(self) -> tuple[int, int]:
        """How many deliveries wait, and how many dead letters are kept: what an operator looks at."""
        with self._file.reading() as db:
            waiting, dead = db.execute(
                "SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM dead_letters)"
            ).fetchone()
            return waiting, dead

    def waiting(self, most: int) -> tuple[int, int]:
        """How many entries wait for the pipeline, and how many deliveries for destinations, each counted up to
        `most`: what a replay goes by."""
        with self._file.reading() as db:
            counted = (
                f"(SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT :most))" for table in ("entries", "deliveries")
            )
            entries, deliveries = db.execute(f"SELECT {', '.join(counted)}", {"most": most}).fetchone()
            return entries, deliveries

    def close(self) -> None:
        """Let go of the file and of the doorbells."""
        self._file.close()
        self._bells.close()
