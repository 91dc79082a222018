"""`mainstem trace`: the whole life of an event, or samples of what was discarded for a reason."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from mainstem.commands import terminal
from mainstem.commands.lives import Branch, Fate, Life, Lives, Pass, Tried, attempts_of, fates
from mainstem.commands.terminal import Paint, compact, cut, moment, pretty
from mainstem.model.outcome import (
    DELIVERY_REASONS,
    DESTINATION_REASONS,
    INGEST_REASONS,
    SOURCE_REASONS,
    Stage,
)
from mainstem.model.ports import EntryKind, TraceStore
from mainstem.model.snapshot import INSERT_FUNCTION, SOURCE_FUNCTION, Snapshot
from mainstem.model.trace import ATTEMPTED_AGAIN, FROM_LOG, REDRIVEN, RETURNED, Attempts, Exchanged, mark

Write = Callable[[str], object]

SAMPLES: Final = 10
_MAX_VALUE: Final = 60
_MAX_BODY_LINES: Final = 40
_KINDS: Final = {
    FROM_LOG: "received",
    EntryKind.REQUEST: "emitted by the source's function",
    EntryKind.INSERTED: "came back from the source's insert function",
    EntryKind.REPLAY: "replayed",
    REDRIVEN: "re-driven",
}
_REASONS: Final = {
    Stage.FAILED_ON_INGEST: INGEST_REASONS,
    Stage.FILTERED_AT_SOURCE: SOURCE_REASONS,
    Stage.FILTERED_AT_DESTINATION: DESTINATION_REASONS,
    Stage.FAILED_DELIVERY: DELIVERY_REASONS,
}
_STAGES: Final = {"vanished": "vanished uncounted", "waiting": "waits"}


class Names:
    """What sources and destinations are called, as far as they are still there."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def source(self, id: str) -> str:
        """The slug of a source, else its id."""
        known = self._snapshot.sources.get(id)
        return known.slug if known is not None else id or "-"

    def destination(self, id: str) -> str:
        """NAME (ID) of a destination."""
        for prefix in (INSERT_FUNCTION, SOURCE_FUNCTION):
            if id.startswith(prefix):
                return f"{prefix.strip(': ')} ({id.removeprefix(prefix)})"
        known = self._snapshot.destinations.get(id)
        return f"{known.name} ({id})" if known is not None else f"{id} (deleted)"

    def mapping(self, destination_id: str, subscription_id: str) -> str:
        """The name of a mapping, in brackets behind its destination; "" for none."""
        known = self._snapshot.destinations.get(destination_id)
        for each in (known.subscriptions if known is not None else None) or ():
            if each.id == subscription_id:
                return f", mapping {each.name or each.id}"
        return f", mapping {subscription_id}" if subscription_id else ""


def find_source(snapshot: Snapshot, wanted: str) -> str | None:
    """The id of the source with this id or slug, "" when none is wanted, None when there is no such."""
    if not wanted or wanted in snapshot.sources:
        return wanted
    return next((source.id for source in snapshot.sources.values() if source.slug == wanted), None)


def tell(
    lives: Lives, traces: TraceStore, names: Names, message_id: str, source_id: str, write: Write, paint: Paint
) -> int:
    """Write the life of an event; 1 when nothing is known of it."""
    life = lives.find(message_id, source_id)
    if not life.passes and not life.stray:
        write("".join(f"{line}\n" for line in unknown(message_id, traces)))
        return 1
    for line in _Told(names, paint).life(life):
        write(f"{line}\n")
    return 0


def tell_json(lives: Lives, traces: TraceStore, message_id: str, source_id: str, write: Write) -> int:
    """Write the life of an event as one JSON object; 1 when nothing is known of it."""
    life = lives.find(message_id, source_id)
    told = msgspec.to_builtins(life, enc_hook=str)
    told["fates"] = [msgspec.to_builtins(fates(each)) for each in life.passes]
    told["oldestMs"] = traces.oldest_ms()
    told["gaps"] = msgspec.to_builtins(traces.gaps())
    write(json.dumps(told, default=str) + "\n")
    return 0 if life.passes or life.stray else 1


def unknown(message_id: str, traces: TraceStore) -> Iterator[str]:
    """Why nothing may be known of an event."""
    yield f"Nothing is known of {terminal.printable(message_id)}."
    oldest_ms = traces.oldest_ms()
    if oldest_ms is None:
        yield "There are no traces yet."
    else:
        yield f"Traces reach back to {moment(oldest_ms)} UTC; what is older was forgotten."
    for gap in traces.gaps():
        yield f"From {moment(gap.from_ms)} to {moment(gap.to_ms)} UTC, {gap.blocks} blocks could not be kept."


class _Told:
    """Lines of a life."""

    def __init__(self, names: Names, paint: Paint) -> None:
        self._names = names
        self._paint = paint

    def life(self, life: Life) -> Iterator[str]:
        for one in life.passes:
            yield from self._pass(life.message_id, one)
            yield ""
        for tried in life.stray:
            yield self._paint("odd", "An attempt whose event is beyond retention, or not told yet:")
            yield from _indented(self.tried(tried))
        yield self._paint("strong", "Outcome")
        for one in life.passes:
            for fate in fates(one):
                yield f"  {self.fate(fate)}"
            if not fates(one):
                yield "  received; its source had no destination that was enabled"

    def _pass(self, message_id: str, one: Pass) -> Iterator[str]:
        name = f" {compact(one.name)}" if one.name else ""
        head = f"{one.type or 'event'}{name} of {self._names.source(one.source_id)}, messageId {message_id}"
        yield self._paint("strong", terminal.printable(head))
        yield f"{moment(one.at_ms)} UTC  {_KINDS.get(one.kind, one.kind)}{_place(one)}"
        yield from _indented(self._raw(one))
        before = one.raw if isinstance(one.raw, dict) else None
        for became in one.changes:
            yield from _indented(self._change(became.step, before, became.payload))
            before = became.payload
        for end in one.ends:
            yield f"  {self.fate(Fate('', '', end.stage or 'vanished', end.reason))}, by {end.step}"
            if end.detail:
                yield f"    {cut(end.detail, terminal.WIDTH - 4)}"
        for branch in one.branches.values():
            yield self._paint("strong", f"→ {self._names.destination(branch.destination_id)}")
            yield from _indented(self._branch(branch, before))

    def _raw(self, one: Pass) -> Iterator[str]:
        if one.raw is None:
            if one.kind in (FROM_LOG, EntryKind.REQUEST, EntryKind.REPLAY):
                yield self._paint("dim", "as it came: beyond retention, the archive does not hold it any more")
            return
        yield "as it came"
        yield from _indented(_first_lines(pretty(one.raw)))

    def _change(self, step: str, before: Any, after: Any) -> Iterator[str]:
        if after is None:
            yield f"{step}: " + self._paint("dim", "cannot be told without the archive, or its source")
            return
        yield step
        if before is None:
            yield from _indented(_first_lines(pretty(after)))
            return
        changed = [self._difference(*each) for each in differences(before, after)]
        yield from _indented(changed or ["(the same)"])

    def _difference(self, path: str, before: Any, after: Any) -> str:
        if before is MISSING:
            return self._paint("good", f"+ {path}: {_short(after)}")
        if after is MISSING:
            return self._paint("bad", f"- {path}: {_short(before)}")
        return self._paint("odd", f"~ {path}: {_short(before)} → {_short(after)}")

    def _branch(self, branch: Branch, before: Any) -> Iterator[str]:
        for became in branch.changes:
            yield from self._change(became.step, before, became.payload)
            before = became.payload
        for end in branch.ends:
            yield f"{self.fate(Fate('', '', end.stage or 'vanished', end.reason))}, by {end.step}"
            if end.detail:
                yield f"  {cut(end.detail, terminal.WIDTH - 4)}"
        for subscription_id in branch.subscriptions:
            yield f"queued{self._names.mapping(branch.destination_id, subscription_id)}"
            own = [each for each in branch.tried if each.attempt.subscription_id == subscription_id]
            if not own:
                yield self._paint("dim", "no attempt is known yet")
            for tried in own:
                yield from self.tried(tried)

    def tried(self, tried: Tried) -> Iterator[str]:
        """An attempt, with what was asked and answered."""
        attempt = tried.attempt
        took = attempt.ended_at_ms - attempt.began_at_ms
        what = f"attempt {attempt.number}, {took} ms" if attempt.began_at_ms else "not tried again"
        yield f"{moment(attempt.ended_at_ms)} UTC  {what}: {self._ended(tried)}"
        yield from _indented(terminal.printable(line) for line in attempt.detail.splitlines())
        for exchange in tried.exchanges:
            yield from _indented(exchanged(exchange))

    def _ended(self, tried: Tried) -> str:
        attempt = tried.attempt
        if attempt.stage == ATTEMPTED_AGAIN:
            return self._paint("odd", f"failed ({attempt.reason}), again at {moment(attempt.due_at_ms)} UTC")
        if attempt.stage == RETURNED:
            return self._paint("good", "returned; the event enters the pipeline again")
        is_good = attempt.stage == Stage.SUCCESSFUL_DELIVERY
        text = "delivered" if is_good else f"{attempt.stage.replace('_', ' ')}, {attempt.reason}"
        return self._paint("good" if is_good else "bad", text)

    def fate(self, fate: Fate) -> str:
        """A line on how it stands."""
        where = ""
        if fate.destination_id:
            mapping = self._names.mapping(fate.destination_id, fate.subscription_id)
            where = f"{self._names.destination(fate.destination_id)}{mapping}: "
        if fate.stage == Stage.SUCCESSFUL_DELIVERY:
            return where + self._paint("good", f"delivered, attempt {fate.attempts}")
        if fate.stage == RETURNED:
            return where + self._paint("good", "returned")
        if fate.stage == "waiting":
            text = f"waits for attempt {fate.attempts + 1}"
            if fate.due_at_ms:
                text += f" at {moment(fate.due_at_ms)} UTC; the last failed: {fate.reason}"
            return where + self._paint("odd", text)
        known = _REASONS.get(fate.stage, {}) if fate.stage in list(Stage) else {}  # type: ignore[call-overload]
        sentence = f" ({known[fate.reason]})" if fate.reason in known else ""
        stage = _STAGES.get(fate.stage, fate.stage.replace("_", " "))
        return where + self._paint("bad", f"{stage}, {fate.reason}") + sentence


class _Missing:
    """Stands for a value that is not there."""


MISSING: Final = _Missing()


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, before, after) of each place where two values differ, MISSING where one has nothing. Objects are
    compared key by key, lists of the same length item by item."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(each for each in after if each not in before)]:
            here = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, MISSING), after.get(key, MISSING), here)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}.{index}" if path else str(index))
    elif type(before) is not type(after) or before != after:
        yield terminal.printable(path), before, after


def exchanged(exchange: Exchanged) -> Iterator[str]:
    """A request and its answer."""
    yield terminal.printable(f"{exchange.method} {exchange.url}")
    yield from _indented(_message(exchange.request_headers, exchange.request_body))
    yield str(exchange.status) if exchange.status else "no answer"
    yield from _indented(_message(exchange.response_headers, exchange.response_body))


def _message(headers: dict[str, str], body: str) -> Iterator[str]:
    for name, value in headers.items():
        yield cut(f"{name}: {value}", terminal.WIDTH)
    if body:
        yield from _first_lines(_body(body))


def _body(body: str) -> list[str]:
    try:
        return pretty(json.loads(body))
    except ValueError:
        return [terminal.printable(line) for line in body.splitlines()]


def samples(
    lives: Lives, traces: TraceStore, names: Names, reason: str, destination_id: str, write: Write, paint: Paint
) -> int:
    """Write up to 10 events that were discarded for this reason, the newest first; 1 when there are none."""
    told = _Told(names, paint)
    found = 0
    for message_id, tried, passes in itertools.islice(_discarded(lives, traces, reason, destination_id), SAMPLES):
        found += 1
        for one in passes:
            name = f" {compact(one.name)}" if one.name else ""
            write(
                paint("strong", f"{moment(one.at_ms)} UTC  {one.type}{name}  {terminal.printable(message_id)}") + "\n"
            )
            payload = _last_payload(one, destination_id)
            write("".join(f"  {line}\n" for line in _first_lines(pretty(payload) if payload is not None else [])))
        if tried is not None:
            heading = f"{tried.attempt.event_type} {compact(tried.attempt.event_name)}"
            write(paint("strong", f"{heading}  {terminal.printable(message_id)}") + "\n")
            write("".join(f"  {line}\n" for line in told.tried(tried)))
        write("\n")
    write(
        f"{found} of at most {SAMPLES} samples; `mainstem trace MESSAGE_ID` tells all of one.\n"
        if found
        else "None.\n"
    )
    return 0 if found else 1


def _discarded(
    lives: Lives, traces: TraceStore, reason: str, destination_id: str
) -> Iterator[tuple[str, Tried | None, list[Pass]]]:
    seen: set[str] = set()
    for kept in traces.marked(mark(destination_id, reason)):
        block = kept.block
        if isinstance(block, Attempts):
            for each in reversed(block.attempts):
                if each.destination_id == destination_id and each.reason == reason and each.message_id not in seen:
                    seen.add(each.message_id)
                    (*_, tried) = attempts_of(block, each.message_id)
                    yield each.message_id, tried, []
            continue
        for end in block.ends:
            if end.destination_id == destination_id and end.reason == reason:
                for place in reversed(end.events):
                    message_id = block.message_ids[place]
                    if message_id not in seen:
                        seen.add(message_id)
                        yield message_id, None, list(lives.passes_of(block, message_id))


def _last_payload(one: Pass, destination_id: str) -> Any:
    changes = [*one.changes, *(one.branches[destination_id].changes if destination_id in one.branches else [])]
    return next((each.payload for each in reversed(changes) if each.payload is not None), one.raw)


def _place(one: Pass) -> str:
    if one.kind == FROM_LOG:
        return f", {one.origin} on the log" + (f", event {one.number + 1} of its batch" if one.number else "")
    return f", {one.origin}" if one.origin else ""


def _short(value: Any) -> str:
    return cut(compact(value), _MAX_VALUE)


def _first_lines(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MAX_BODY_LINES:
        return [cut(line, 4 * terminal.WIDTH) for line in lines]
    left = len(lines) - _MAX_BODY_LINES
    return [
        *(cut(line, 4 * terminal.WIDTH) for line in lines[:_MAX_BODY_LINES]),
        f"… {left} lines more; --json has all",
    ]


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" for line in lines)
