"""`mainstem tail`: events live, with their fate as it becomes known.

It looks at what the pipeline and the delivery workers write down, five times a second, and needs no server: one that
stops and starts again is followed on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from mainstem.commands.terminal import WIDTH, Paint, cut, iso
from mainstem.commands.tracing import Names
from mainstem.errors import EngineUnavailable
from mainstem.model.outcome import Stage
from mainstem.model.ports import TraceStore
from mainstem.model.snapshot import LiveSnapshot
from mainstem.model.trace import ATTEMPTED_AGAIN, FROM_LOG, RETURNED, Attempt, Attempts, Exchanged, Passage

POLL_SECONDS: Final = 0.2
_AT_ONCE: Final = 20
_MOST_BEHIND: Final = 400  # blocks; beyond it what is old is passed over, to stay live

Write = Callable[[str], object]


class Wanted(msgspec.Struct, frozen=True):
    """Which events to show: of this source, of this name; "" is any."""

    source_id: str = ""
    event: str = ""

    def has(self, source_id: str, name: str) -> bool:
        """True for an event to be shown."""
        return self.source_id in ("", source_id) and self.event in ("", name)


class Line(msgspec.Struct, frozen=True):
    """Something to show: an event that came in, or what became of one at a destination (`kind` fate or attempt).
    `status` is the partner's, 0 for none."""

    at_ms: int
    kind: str
    message_id: str
    source_id: str
    type: str
    event: str
    user: str = ""
    destination_id: str = ""
    subscription_id: str = ""
    stage: str = ""
    reason: str = ""
    attempt: int = 0
    status: int = 0
    milliseconds: int = 0
    due_at_ms: int = 0


def lines_of(block: Passage | Attempts, wanted: Wanted) -> Iterator[Line]:
    """What a block tells, event by event."""
    if isinstance(block, Attempts):
        for attempt in block.attempts:
            if wanted.has(attempt.source_id, attempt.event_name):
                yield _of_attempt(attempt, [block.exchanges[index] for index in attempt.exchanges])
        return
    fates: dict[int, list[tuple[str, str, str, str]]] = {}
    for end in block.ends:
        for place in end.events:
            fates.setdefault(place, []).append((end.destination_id, "", end.stage or "vanished", end.reason))
    for queued in block.queued:
        for place in queued.events:
            fates.setdefault(place, []).append((queued.destination_id, queued.subscription_id, "queued", ""))
    for place, message_id in enumerate(block.message_ids):
        source_id, type_, name = block.source_ids[place], block.types[place], block.names[place]
        if not wanted.has(source_id, name):
            continue
        kind = "event" if block.kind == FROM_LOG else block.kind
        yield Line(block.at_ms, kind, message_id, source_id, type_, name, block.users[place])
        for destination_id, subscription_id, stage, reason in fates.get(place, ()):
            yield Line(
                block.at_ms, "fate", message_id, source_id, type_, name, block.users[place],
                destination_id, subscription_id, stage, reason,
            )  # fmt: skip


def _of_attempt(attempt: Attempt, exchanges: list[Exchanged]) -> Line:
    stage = "retrying" if attempt.stage == ATTEMPTED_AGAIN else attempt.stage
    status, took_ms = (
        exchanges[-1].status if exchanges else 0,
        attempt.ended_at_ms - (attempt.began_at_ms or attempt.ended_at_ms),
    )
    return Line(
        attempt.ended_at_ms, "attempt", attempt.message_id, attempt.source_id, attempt.event_type, attempt.event_name,
        "", attempt.destination_id, attempt.subscription_id, stage, attempt.reason, attempt.number, status, took_ms,
        attempt.due_at_ms,
    )  # fmt: skip


def _never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def follow(
    traces: TraceStore,
    live: LiveSnapshot,
    wanted: Wanted,
    write: Write,
    show: Callable[[Line, Names], str],
    *,
    after: int | None = None,
    stopped: Callable[[float], bool] = _never,
) -> None:
    """Show what is written after the block `after` (by default, from now on) until `stopped`, which waits for so many
    seconds, says so. A store or a server that is away for a while is waited for."""
    last = after
    while True:
        try:
            last = _shown(traces, live, wanted, write, show, last)
        except EngineUnavailable:
            if stopped(POLL_SECONDS):
                return
            continue
        if traces.newest() <= last and stopped(POLL_SECONDS):
            return


def _shown(
    traces: TraceStore,
    live: LiveSnapshot,
    wanted: Wanted,
    write: Write,
    show: Callable[[Line, Names], str],
    last: int | None,
) -> int:
    newest = traces.newest()
    if last is None:
        return newest
    if newest < last:  # the file was deleted, and another one begun
        last = 0
    if newest - last > _MOST_BEHIND:
        write(f"… too fast to show: {newest - last - _AT_ONCE} blocks of events are passed over\n")
        last = newest - _AT_ONCE
    blocks = traces.after(last, _AT_ONCE)
    if blocks:
        names = Names(live.refresh())
        for kept in blocks:
            text = "".join(show(line, names) for line in lines_of(kept.block, wanted))
            if text:
                write(text)
            last = kept.id
    return last


def as_text(paint: Paint) -> Callable[[Line, Names], str]:
    """Lines of at most 100 columns."""

    def show(line: Line, names: Names) -> str:
        if line.kind in ("fate", "attempt"):
            return f"{_fate(line, names, paint)}\n"
        kind = "" if line.kind == "event" else f"{line.kind}: "
        source, what = cut(names.source(line.source_id), 16), cut(f"{kind}{line.type} {line.event}".rstrip(), 32)
        text = f"{_clock(line.at_ms)}  {source:<16}  {what:<32}  {cut(line.user or '-', 12):<12}"
        return paint("strong", text) + "  " + paint("dim", cut(line.message_id, WIDTH - len(text) - 2)) + "\n"

    return show


def _fate(line: Line, names: Names, paint: Paint) -> str:
    where = names.destination(line.destination_id) if line.destination_id else "at the source"
    where = cut(where + names.mapping(line.destination_id, line.subscription_id), 44)
    sign, kind, text = _said(line)
    if line.kind == "fate":
        return f"              {paint(kind, sign)} {where}  {paint(kind, cut(text, WIDTH - 18 - len(where)))}"
    head = f"{_clock(line.at_ms)}  "
    text = cut(text, WIDTH - len(head) - len(where) - 4)
    room = WIDTH - len(head) - len(where) - len(text) - 6
    what = f"{line.type} {line.event}".rstrip() + f" {line.message_id}"
    tail = f"  {paint('dim', cut(what, room))}" if room > 0 else ""
    return f"{head}{paint(kind, sign)} {where}  {paint(kind, text)}{tail}"


def _said(line: Line) -> tuple[str, str, str]:
    """A sign, its colour, and words."""
    if line.stage == "queued":
        return "→", "dim", "queued"
    answer = f"{line.status}, " if line.status else ""
    if line.stage == Stage.SUCCESSFUL_DELIVERY:
        return "✓", "good", f"{answer}{line.milliseconds} ms"
    if line.stage == RETURNED:
        return "↩", "good", "returned by its function"
    if line.stage == "retrying":
        return "↻", "odd", f"{line.reason}, again at {_clock(line.due_at_ms)}"
    return "✗", "bad", f"{line.stage.replace('_', ' ')}: {line.reason}"


def _clock(at_ms: int) -> str:
    return iso(at_ms)[11:23]


def as_json(line: Line, names: Names) -> str:
    """One JSON object a line, without what does not apply."""
    told: dict[str, Any] = {"at": iso(line.at_ms), **_without_nothing(msgspec.to_builtins(line))}
    told["source"] = names.source(line.source_id)
    del told["at_ms"]
    return json.dumps({_camel(key): value for key, value in told.items()}) + "\n"


def _without_nothing(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if value not in ("", 0)}


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(each.capitalize() for each in others)
