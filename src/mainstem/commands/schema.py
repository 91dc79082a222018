"""`mainstem schema SOURCE`: what a source was seen to send, and what of it is switched off.

Each function writes what it found or did, complains on stderr, and returns the exit code: 0 when all went well, 1
when something is not there, 2 when the request makes no sense.
Source: product guide, "Source schema". Judgement: a switch is recorded as a change of the source's settings, for the
audit trail has no event of its own for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Row, select

from mainstem import app
from mainstem.commands import administration
from mainstem.commands.administration import OPERATOR, Open
from mainstem.errors import MainstemError
from mainstem.model.learned import MAX_EVENTS, MAX_FIELDS, JsonType, LearnedEvent
from mainstem.model.outcome import Stage
from mainstem.model.ports import OutcomeQuery, OutcomeStore
from mainstem.public_api import destinations, publish
from mainstem.public_api.sources import schema_controls
from mainstem.public_api.sources.schema_controls import TYPES, Kind, Switch
from mainstem.public_api.sources.source import sources
from mainstem.rest import audit
from mainstem.settings import Settings

COUNTED_DAYS: Final = 7
_SECONDS_PER_DAY: Final = 86_400
_WIDEST: Final = 60
_EVENT_HEADINGS: Final = ("TYPE", "NAME", "ALLOWED", "BLOCKED", "FIRST SEEN", "LAST SEEN", "FIELDS", "STATE")
_FIELD_HEADINGS: Final = ("PATH", "TYPES", "FIRST SEEN", "LAST SEEN", "STATE")


class Asked(msgspec.Struct, frozen=True):
    """What was asked for; None for what was not given. `on` None: to look only."""

    source: str
    type: str | None = None
    event: str | None = None
    trait: str | None = None
    integration: str | None = None
    on: bool | None = None


class Senseless(MainstemError):
    """What was asked for makes no sense; the message says why."""


class Missing(MainstemError):
    """What was asked for is not there; the message says what."""


def run(settings: Settings, asked: Asked) -> int:
    """Show the schema of a source, or one event of it; or turn a switch."""
    try:
        if asked.on is not None:
            return _turn(settings, asked, on=asked.on)
        with administration.opened(settings, writes=False) as folder:
            row = _source(folder, asked.source)
            off = schema_controls.switched_off(folder.db, row.id)
        if asked.trait is not None or asked.integration is not None:
            raise Senseless("give --on or --off with --trait or --integration")
        return (
            _show_event(settings, row.id, asked, off) if asked.event or asked.type else _show(settings, row.id, off)
        )
    except Senseless as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 2
    except Missing as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 1


# ---- look


def _show(settings: Settings, source_id: str, off: Sequence[Switch]) -> int:
    flow = app.open_flow(settings)
    events = flow.learned.events(source_id)
    counts = _counts(flow.outcomes, source_id, int(time.time()))
    flow.close()
    _write_table(_EVENT_HEADINGS, [_event_row(each, counts, off) for each in events])
    sys.stdout.write(f"Allowed and blocked are counts of the last {COUNTED_DAYS} days.\n")
    if len(events) >= MAX_EVENTS:
        sys.stdout.write(f"The schema is full: it holds {MAX_EVENTS} events. Others flow, but are not shown.\n")
    for switch in off:
        if switch.kind is not Kind.EVENT:
            sys.stdout.write(f"Off: {_described(switch)}\n")
    return 0


def _event_row(
    event: LearnedEvent, counts: dict[tuple[str, str, str], int], off: Sequence[Switch]
) -> tuple[str, ...]:
    name = (event.event_type, event.event_name)
    received, blocked = (counts.get((*name, stage), 0) for stage in (_RECEIVED, _BLOCKED))
    state = "off" if Switch(Kind.EVENT, *name) in off else "on"
    return (
        event.event_type,
        event.event_name,
        str(received - blocked),
        str(blocked),
        _moment(event.first_ms),
        _day(event.last_day),
        str(event.fields),
        state,
    )


_RECEIVED: Final = Stage.SUCCESSFULLY_RECEIVED.value
_BLOCKED: Final = Stage.FILTERED_AT_SOURCE.value


def _counts(outcomes: OutcomeStore, source_id: str, now: int) -> dict[tuple[str, str, str], int]:
    """Events by type, name and stage since midnight, COUNTED_DAYS - 1 days ago."""
    end = now // 60 + 1
    start = (now // _SECONDS_PER_DAY - COUNTED_DAYS + 1) * 1440
    found: dict[tuple[str, str, str], int] = {}
    query = OutcomeQuery(
        [source_id], [_RECEIVED, _BLOCKED], start, end, 1440, None, ("event_type", "event_name", "stage")
    )
    for each in outcomes.counts(query):
        kind, name, stage = each.group
        found[kind, name, stage] = found.get((kind, name, stage), 0) + each.count
    return found


def _show_event(settings: Settings, source_id: str, asked: Asked, off: Sequence[Switch]) -> int:
    kind, name = asked.type or "track", asked.event or ""
    flow = app.open_flow(settings)
    events, fields = flow.learned.events(source_id), flow.learned.fields(source_id, kind, name)
    flow.close()
    if not any((each.event_type, each.event_name) == (kind, name) for each in events):
        raise Missing(f"the source was never seen to send {_called(kind, name)}")
    rows = []
    for field in fields:
        state = "off" if Switch(Kind.TRAIT, kind, field.path) in off else "on"
        rows.append((field.path, _types(field.types), _moment(field.first_ms), _day(field.last_day), state))
    _write_table(_FIELD_HEADINGS, rows)
    if len(fields) >= MAX_FIELDS:
        sys.stdout.write(
            f"The event is full: it holds {MAX_FIELDS} properties or traits. Others flow, but are not shown.\n"
        )
    return 0


# ---- switch


def _turn(settings: Settings, asked: Asked, *, on: bool) -> int:
    switch = _switch(asked)
    with administration.opened(settings, writes=True) as folder:
        row = _source(folder, asked.source)
        if switch.kind is Kind.INTEGRATION and not on:
            _check_destination(folder, row.id, switch.destination)
        changed = schema_controls.turn(folder.db, row.id, switch, on=on)
        if changed:
            _record(folder, row)
            publish.put(folder.db, folder.vault, row.id, publish.source_config(folder.db, folder.vault, row.id))
    sys.stdout.write(f"{_described(switch)}: {'' if changed else 'already '}{'on' if on else 'off'}.\n")
    if row.tracking_plan_id and switch.kind is not Kind.INTEGRATION and not on:
        sys.stdout.write("It has no effect while a tracking plan is connected.\n")
    return 0


def _switch(asked: Asked) -> Switch:
    if asked.integration is not None and asked.trait is None:
        kind, usual = Kind.INTEGRATION, "track" if asked.event is not None else None
        found = Switch(kind, asked.type or usual or "", asked.event or "", asked.integration)
    elif asked.trait is not None and asked.integration is None and asked.event is None:
        kind, found = Kind.TRAIT, Switch(Kind.TRAIT, asked.type or "identify", asked.trait)
    elif asked.event is not None and asked.trait is None:
        kind, found = Kind.EVENT, Switch(Kind.EVENT, asked.type or "track", asked.event)
    else:
        raise Senseless("give one of --event NAME, --trait NAME, or --integration NAME with --event or --type")
    if found.type not in TYPES[kind]:
        raise Senseless(f"--type must be one of {', '.join(TYPES[kind])}")
    if kind is Kind.INTEGRATION and found.type == "track" and not found.name:
        raise Senseless("give the --event that the destination shall not get")
    return found


def _check_destination(folder: Open, source_id: str, name: str) -> None:
    names = {each.name for each in destinations.of_source(folder.db, folder.vault, source_id, {})}
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise Missing(f'the source has no destination "{_printable(name)}"; it has {_printable(known)}')


def _record(folder: Open, row: Row[tuple[object, ...]]) -> None:
    audit.record(
        folder.db, folder.vault, workspace_id=folder.workspace_id, at=app.utc_now(), type="Source Settings Modified",
        actor=OPERATOR, resource_type="SOURCE", resource_id=row.id, resource_name=row.name,
    )  # fmt: skip


def _source(folder: Open, source: str) -> Row[tuple[object, ...]]:
    """The source of this id or slug. Raises Missing."""
    mine = select(sources).where(sources.c.workspace_id == folder.workspace_id)
    for column in (sources.c.id, sources.c.slug):
        row = folder.db.execute(mine.where(column == source)).one_or_none()
        if row is not None:
            return row
    raise Missing(f"there is no source {_printable(source)}")


# ---- in words


def _described(switch: Switch) -> str:
    if switch.kind is Kind.TRAIT:
        return f"trait {_printable(switch.name)} of {switch.type} calls"
    called = _called(switch.type, switch.name)
    return f"{_printable(switch.destination)} for {called}" if switch.kind is Kind.INTEGRATION else called


def _called(type: str, name: str) -> str:
    return f'{type} "{_printable(name)}"' if name else f"{type} calls"


def _types(types: JsonType) -> str:
    return ", ".join((each.name or "").lower() for each in types)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(day: int) -> str:
    return datetime.fromtimestamp(day * _SECONDS_PER_DAY, UTC).strftime("%Y-%m-%d")


def _write_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    cells = [headings, *(tuple(_short(_printable(cell) or "-") for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        sys.stdout.write(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        )


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _printable(text: str) -> str:
    """The text without what a terminal would obey: names are what clients sent."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
