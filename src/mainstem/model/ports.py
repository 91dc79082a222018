"""The roles that storage plays for the data plane. Engines implement them; only `app.py` picks an engine.

A method is here because two callers or two engines need it. All times are Unix milliseconds.
Every method may raise EngineUnavailable (full disk, lost connection): nothing was done, and the caller may
try again.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from mainstem.model.learned import LearnedEvent, LearnedField, Seen
from mainstem.model.outcome import OutcomeKey, Tally
from mainstem.model.trace import Gap, KeptTrace, NewTrace


class Block(msgspec.Struct, frozen=True):
    """Records that became durable together. `position` grows by at least one from block to block."""

    position: int
    records: Sequence[bytes]


class EventLog(Protocol):
    """Requests between HTTP and the pipeline. Durable, in order, read at least once."""

    async def append(self, record: bytes) -> None:
        """Return once the record is on disk. Calls that wait at the same time share one fsync."""

    def read(self, after: int, limit_bytes: int) -> Sequence[Block]:
        """Return blocks after position `after`, oldest first, at least one if there is any, until
        `limit_bytes` of records are gathered. Empty when all is read."""

    def newest(self) -> int:
        """The position of the newest block, 0 when there is none."""

    def wait(self, timeout_seconds: float) -> None:
        """Return when something was appended since the last wait, or after the timeout."""

    def prune(self, through: int) -> None:
        """Forget blocks up to and including position `through`."""


class NewDelivery(msgspec.Struct, frozen=True):
    """An event that a destination shall get. `lane` is a stable 32-bit hash of the event's user: deliveries
    of one destination and lane go out one after the other. `body` is the event as JSON (of a detour: the whole
    Event, or the request to a source function). `subscription_id` is the mapping it goes through, "" for none."""

    destination_id: str
    lane: int
    source_id: str
    message_id: str
    event_type: str
    event_name: str
    app_version: str
    received_at_ms: int
    body: bytes
    subscription_id: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """A queued delivery. `attempts` counts finished attempts; `due_at_ms` is 0 until the first failed;
    `progress` is what the connector finished already (a bit per webhook); `reason` is why the last failed."""

    id: int
    new: NewDelivery
    attempts: int
    due_at_ms: int
    first_attempt_at_ms: int
    progress: int
    reason: str


class TrackedUser(msgspec.Struct, frozen=True, array_like=True):
    """Ids seen together in an event that counts for MTU; "" for an id that is absent. `day` is the Unix day."""

    day: int
    source_id: str
    user_id: str
    anonymous_id: str


class NewDeadLetter(msgspec.Struct, frozen=True):
    """An event set aside because a step or connector failed on it. `destination_id` is "" when it failed
    before the fan-out; `where` names the step or connector; `error` is one line without secrets; `body` is
    the event as JSON (or the request as received when it could not be read)."""

    at_ms: int
    source_id: str
    destination_id: str
    message_id: str
    where: str
    error: str
    body: bytes


class EntryKind(enum.StrEnum):
    """Where something that did not come through the log enters the pipeline."""

    REQUEST = "request"
    """A record of the event log, the whole way: what source functions emit."""
    INSERTED = "inserted"
    """An Event as JSON that the insert function of its source returned: the way on from there."""
    REPLAY = "replay"
    """A record of the event log that was processed before: the whole way to `destination_id` (or to all), once
    more. It counts neither as received nor in usage, and deduplication does not apply."""


class NewEntry(msgspec.Struct, frozen=True):
    """Something to enter the pipeline beside the log; `destination_id` "" is all of them."""

    kind: EntryKind
    destination_id: str
    body: bytes


class Entry(msgspec.Struct, frozen=True):
    """An entry that waits for the pipeline."""

    id: int
    new: NewEntry


class SetAside(msgspec.Struct, frozen=True):
    """A dead letter of the pipeline, the outcome it was counted under, and what goes back in when it is
    re-driven: a record of the event log, or an Event as JSON when it failed on its way to a destination."""

    letter: NewDeadLetter
    key: OutcomeKey
    entry: bytes


class Redriven(msgspec.Struct, frozen=True):
    """A dead letter of the pipeline on its second way through it; `entry` as in SetAside. It goes to
    `destination_id` alone, or the whole way when that is "". Deduplication does not apply to it."""

    id: int
    destination_id: str
    entry: bytes


class Processed(msgspec.Struct):
    """What the pipeline made of the records after position `after` up to `position`; saved whole or not at
    all. `calls` are API calls by source and Unix day; `redriven` and `entered` are the ids of
    re-driven letters and of entries that are now dealt with. `traces` are kept apart, in a TraceStore.
    `learned` is what is new of the schemas of sources, each event before its fields."""

    after: int
    position: int
    deliveries: Sequence[NewDelivery] = ()
    tallies: Mapping[OutcomeKey, Tally] = {}
    calls: Mapping[tuple[str, int], int] = {}
    seen: Collection[int] = ()
    users: Collection[TrackedUser] = ()
    dead: Sequence[SetAside] = ()
    redriven: Sequence[int] = ()
    entered: Sequence[int] = ()
    traces: Sequence[NewTrace] = ()
    learned: Sequence[Seen] = ()


class PipelineStore(Protocol):
    """The pipeline's memory and its results: one transaction per batch, so a crash repeats a batch whole and
    nothing is counted or queued twice."""

    def position(self) -> int:
        """The last position saved, 0 at the start."""

    def already_seen(self, ids: Sequence[int]) -> set[int]:
        """Return those of `ids` (63-bit hashes of workspace and messageId) saved within the last 24 hours or
        more. Best effort above the configured number of ids: the oldest are forgotten first."""

    def redriven(self, limit: int) -> Sequence[Redriven]:
        """Dead letters that somebody sent back into the pipeline, oldest first, at most `limit`."""

    def entries(self, limit: int) -> Sequence[Entry]:
        """What waits to enter beside the log, oldest first, at most `limit`."""

    def enter(self, entries: Sequence[NewEntry]) -> None:
        """Let these enter, all or none."""

    def save(self, batch: Processed, now_ms: int) -> None:
        """Queue, count, remember and advance in one transaction; wakes the delivery workers. Raises
        EngineUnavailable also when the position is not `batch.after` any more, or one of `batch.redriven` or
        `batch.entered` is gone (another process advanced)."""

    def tidy(self, now_ms: int) -> None:
        """Do a small part of the housekeeping (old counts, old ids); call it every minute or so."""


class Settled(msgspec.Struct, frozen=True):
    """A delivery that reached its outcome, or, with `key` None, left its detour: then `entries` enter the
    pipeline in the transaction that removes it."""

    id: int
    key: OutcomeKey | None
    retries: int
    dead: NewDeadLetter | None = None
    entries: Sequence[NewEntry] = ()


class Retry(msgspec.Struct, frozen=True):
    """A delivery to be tried again at `due_at_ms`, after its `attempts`-th attempt failed for `reason`."""

    id: int
    attempts: int
    due_at_ms: int
    first_attempt_at_ms: int
    progress: int
    reason: str


class DeliveryQueue(Protocol):
    """Deliveries between the pipeline and the connectors; a delivery stays until it is settled."""

    def destinations(self) -> Sequence[str]:
        """Ids of the destinations that have deliveries waiting."""

    def take(self, destination_id: str, after: int, limit: int, share: tuple[int, int]) -> Sequence[Delivery]:
        """Return waiting deliveries with an id over `after`, in order of id, at most `limit`, whose
        lane % share[1] == share[0]. Taking does not remove or mark them."""

    def newest(self) -> int:
        """The highest id given out so far, 0 when none was; whatever is queued later has a higher one."""

    def get(self, ids: Sequence[int]) -> Sequence[Delivery]:
        """Return these deliveries, as far as they still wait, in order of id."""

    def settle(self, settled: Sequence[Settled], retries: Sequence[Retry]) -> None:
        """Remove and count the settled ones, let their entries enter, and note the retries, in one transaction.
        What no longer waits (settled before) is neither counted nor entered again, nor brought back."""

    def wait(self, timeout_seconds: float) -> None:
        """Return when deliveries were queued since the last wait of this worker, or after the timeout."""


class OutcomeQuery(msgspec.Struct, frozen=True):
    """Which outcomes to add up. `bucket_minutes` is 1, 60 or 1,440, aligned to UTC; the window is
    [start_minute, end_minute). `group_by` names fields of OutcomeKey; empty `filters` lists match all."""

    source_ids: Sequence[str]
    stages: Sequence[str]
    start_minute: int
    end_minute: int
    bucket_minutes: int
    destination_id: str | None = None
    group_by: Sequence[str] = ()
    filters: Mapping[str, Sequence[str]] = {}


class OutcomeCount(msgspec.Struct, frozen=True):
    """One bucket of one group: `group` holds the values of `group_by`, in its order."""

    group: tuple[str, ...]
    bucket_minute: int
    count: int
    retries: int


class UserCount(msgspec.Struct, frozen=True):
    """Distinct ids of a period up to and including `day` (Unix day), for a source or "" for the workspace."""

    source_id: str
    day: int
    identified: int
    anonymous: int
    anonymous_identified: int


class OutcomeStore(Protocol):
    """What the metrics operations read."""

    def counts(self, query: OutcomeQuery) -> Sequence[OutcomeCount]:
        """Counts of non-empty buckets, unordered. Minute buckets reach back 48 hours, hours and days 31 days.
        Buckets of 60 and 1,440 minutes are sums of whole hours: the hour of `start_minute` and that of the
        last minute before `end_minute` count whole."""

    def waiting(self, destination_id: str) -> Mapping[str, int]:
        """Deliveries that wait for a retry, by the reason of the last failure; "" for not yet tried."""

    def api_calls(self, source_ids: Sequence[str], first_day: int, last_day: int) -> Mapping[tuple[str, int], int]:
        """Events accepted past schema control, by source and Unix day; kept without limit of time."""

    def tracked_users(self, source_ids: Sequence[str], first_day: int, last_day: int) -> Sequence[UserCount]:
        """Distinct users since `first_day` (the first day of a month) for each day up to `last_day`, for each
        source and, as source "", over all of `source_ids` together."""


class LearnedSchemas(Protocol):
    """What sources were seen to send: at most MAX_EVENTS events of a source, MAX_FIELDS fields of an event."""

    def events(self, source_id: str) -> Sequence[LearnedEvent]:
        """Return the events of a source, by type and name."""

    def fields(self, source_id: str, event_type: str, event_name: str) -> Sequence[LearnedField]:
        """Return the properties or traits of an event, by path; empty when there are none."""


class WarehouseDoor(Protocol):
    """Where warehouses are knocked at."""

    def opens(self, workspace_id: str, slug: str, settings: Mapping[str, Any]) -> bool:
        """Whether a warehouse of this kind ("postgres") can be connected to with these settings, secrets included.
        Tries it now, for about ten seconds at most. Raises TooManyRequests while others are being tried."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A dead letter as kept."""

    id: int
    new: NewDeadLetter


class DeadLetterStore(Protocol):
    """Events set aside, until somebody re-drives or drops them."""

    def list(self, after: int, limit: int) -> Sequence[DeadLetter]:
        """Dead letters with an id over `after`, oldest first."""

    def get(self, id: int) -> DeadLetter | None:
        """One dead letter, None when there is no such."""

    def redrive(self, id: int) -> bool:
        """Queue it again where it failed: at its connector, before the steps of its destination, or at the
        pipeline's entrance, where it is exempt from deduplication. Its former outcome is taken back, so it
        ends in one outcome. False when there is no such letter."""

    def drop(self, id: int) -> bool:
        """Forget it; its outcome stays counted. False when there is no such letter."""


class FunctionLogEntry(msgspec.Struct, frozen=True):
    """What one invocation of a function said and how it ended: `how` is returned, thrown, timeout, killed,
    no_handler or bad_code; `error` the class name of what was thrown, `message` its text; `logs` the lines of
    console output. `message_id` is that of the event, of the first event of a batch, "" for a request."""

    at_ms: int
    function_id: str
    version: str
    instance_id: str
    message_id: str
    handler: str
    how: str
    error: str
    message: str
    logs: Sequence[str]
    milliseconds: float

    @property
    def is_error(self) -> bool:
        """Whether it failed. A function that dropped an event, or does not take its type, did what it was made for.
        Source: Functions documentation, "Errors and error handling"."""
        return self.how not in {"returned", "no_handler"} and self.error not in {"DropEvent", "EventNotSupported"}


class LoggedInvocation(msgspec.Struct, frozen=True):
    """An entry as kept; ids grow."""

    id: int
    entry: FunctionLogEntry


class FunctionLog(Protocol):
    """What functions wrote to the console and how they failed, for their authors. Bounded: of each function the last
    100 errors and the last 500 invocations that wrote something, none older than 30 days."""

    def append(self, entries: Sequence[FunctionLogEntry]) -> None:
        """Keep these; what neither failed nor wrote anything is passed over. Blocks for some milliseconds."""

    def read(self, function_id: str, after: int, limit: int) -> Sequence[LoggedInvocation]:
        """The entries of a function with an id over `after`, oldest first, at most `limit`."""

    def tidy(self, now_ms: int) -> None:
        """Forget what is older than 30 days; call it every hour or so."""


class Tokens(msgspec.Struct, frozen=True):
    """OAuth 2 tokens of a destination; `refresh_token` is "" when the provider gave none."""

    access_token: str
    refresh_token: str = ""


class OAuthTokens(Protocol):
    """The tokens by which destinations with OAuth 2 are reached: the control plane puts them there when somebody
    authorizes a destination, and the delivery workers when they refreshed them."""

    def get(self, destination_id: str) -> Tokens | None:
        """The newest tokens; None for a destination that nobody authorized."""

    def save(self, destination_id: str, tokens: Tokens) -> None:
        """Keep these in place of what there is. Without a refresh token, the one that is kept stays. On disk when
        it returns."""

    def forget(self, destination_id: str) -> None:
        """Nobody needs them any more: the destination is gone."""


class TraceStore(Protocol):
    """What became of each event, for as long as it is kept. Writing never fails and never waits for long: what cannot
    be kept is left out, logged once, and noted as a gap."""

    def keep(self, traces: Sequence[NewTrace], instead_of: Sequence[int] = ()) -> Sequence[int]:
        """Keep blocks and forget those of the ids `instead_of`; returns the new ids, none when it could not be done.
        What is kept may survive a crash that undoes what it tells of: then it is told again, and the later counts."""

    def tidy(self) -> None:
        """Forget what is older, or more, than shall be kept; call it every minute or so."""

    def newest(self) -> int:
        """The id of the newest block, 0 when there is none."""

    def after(self, id: int, limit: int) -> Sequence[KeptTrace]:
        """Blocks with an id over `id`, oldest first, at most `limit`. Raises EngineUnavailable, as all that read."""

    def find(self, keys: Sequence[int]) -> Sequence[KeptTrace]:
        """Blocks with an event that has one of these keys, oldest first."""

    def marked(self, mark: str) -> Iterator[KeptTrace]:
        """Blocks that have this among their marks, newest first."""

    def oldest_ms(self) -> int | None:
        """When the oldest block was kept, None when there is none."""

    def gaps(self) -> Sequence[Gap]:
        """Times in which blocks were left out."""
