"""What joins pipeline, delivery workers and metrics, in one SQLite file: queue, counts, ids, dead letters.

    flow = SqliteFlow(folder)       # makes or migrates flow.db
    flow.pipeline                   # PipelineStore:   the pipeline's process
    flow.queue                      # DeliveryQueue:   each delivery worker
    flow.outcomes                   # OutcomeStore:    the Public API, which only reads
    flow.dead_letters               # DeadLetterStore: the operator's commands

Several processes write the file, so a transaction takes the write lock at once (BEGIN IMMEDIATE), is short,
and waits for others up to 10 seconds. WAL with synchronous=NORMAL: what was saved survives the death of any
process. After a power loss the file may fall back to an earlier state, whole and consistent; its position
falls back with it and the event log, which is synchronous, is replayed from there. Deliveries settled in
between go out a second time then: delivery is at least once.
"""

from mainstem.engines.sqlite_flow.flow import SqliteFlow

__all__ = ["SqliteFlow"]
