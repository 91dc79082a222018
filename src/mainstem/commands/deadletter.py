"""`mainstem deadletter list|show|redrive|drop`: events that a step or connector failed on.

Each function takes the store, writes what it did, complains on stderr, and returns the exit code: 0 when all
was done, 1 when something asked for is not there, 2 when the request makes no sense.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from mainstem.model.ports import DeadLetter, DeadLetterStore

Write = Callable[[str], object]

_PAGE: Final = 200
_HEADINGS: Final = ("ID", "WHEN", "SOURCE", "DESTINATION", "MESSAGE ID", "WHERE", "ERROR")
_WIDEST: Final = 60


def run(store: DeadLetterStore, action: str, ids: Sequence[int], *, every: bool, write: Write) -> int:
    """Do one of the four actions; `every` stands for the ids of all letters there are."""
    if action == "list":
        return list_letters(store, write)
    if action == "show":
        return show(store, ids[0], write)
    return redrive(store, ids, write, every=every) if action == "redrive" else drop(store, ids, write, every=every)


def list_letters(store: DeadLetterStore, write: Write) -> int:
    """Write all letters as a table, oldest first."""
    page = store.list(0, _PAGE)
    if not page:
        write("There are no dead letters.\n")
    heading: list[tuple[str, ...]] = [_HEADINGS]
    while page:
        _write_table([*heading, *map(_row, page)], write)
        heading, page = [], store.list(page[-1].id, _PAGE)
    return 0


def show(store: DeadLetterStore, id: int, write: Write) -> int:
    """Write one letter with the event it holds."""
    letter = store.get(id)
    if letter is None:
        return _missing([id])
    new = letter.new
    facts = {
        "id": str(letter.id),
        "set aside": _moment(new.at_ms),
        "source": new.source_id or "-",
        "destination": new.destination_id or "- (before any destination)",
        "message id": new.message_id or "-",
        "where": new.where,
        "error": new.error,
    }
    for name, value in facts.items():
        write(f"{name + ':':<13}{_printable(value)}\n")
    write(f"\n{_pretty(new.body)}\n")
    return 0


def redrive(store: DeadLetterStore, ids: Sequence[int], write: Write, *, every: bool = False) -> int:
    """Send letters back to where they failed; with `every`, all that are there now."""
    if every is bool(ids):
        return _senseless()
    return _each(store.redrive, _chosen(store, ids, every), "re-driven", write)


def drop(store: DeadLetterStore, ids: Sequence[int], write: Write, *, every: bool = False) -> int:
    """Forget letters; their outcome stays counted as failed."""
    if every is bool(ids):
        return _senseless()
    return _each(store.drop, _chosen(store, ids, every), "dropped", write)


def _chosen(store: DeadLetterStore, ids: Sequence[int], every: bool) -> list[int]:
    return [letter.id for letter in _all(store)] if every else list(dict.fromkeys(ids))


def _senseless() -> int:
    sys.stderr.write("Give the ids of dead letters, or --all.\n")
    return 2


def _each(act: Callable[[int], bool], ids: Sequence[int], done: str, write: Write) -> int:
    missing = [each for each in ids if not act(each)]
    count = len(ids) - len(missing)
    write(f"{count} dead letter{'' if count == 1 else 's'} {done}.\n")
    return _missing(missing) if missing else 0


def _all(store: DeadLetterStore) -> Iterator[DeadLetter]:
    after = 0
    while page := store.list(after, _PAGE):
        yield from page
        after = page[-1].id


def _write_table(rows: Sequence[tuple[str, ...]], write: Write) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _row(letter: DeadLetter) -> tuple[str, ...]:
    new = letter.new
    cells = (
        str(letter.id),
        _moment(new.at_ms),
        new.source_id,
        new.destination_id,
        new.message_id,
        new.where,
        new.error,
    )
    return tuple(_short(_printable(cell) or "-") for cell in cells)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _printable(text: str) -> str:
    """The text without what a terminal would obey: events hold what clients sent."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2)  # ASCII, so nothing in it reaches the terminal raw
    except ValueError:
        return _printable(body.decode(errors="replace"))


def _missing(ids: Sequence[int]) -> int:
    for each in ids:
        sys.stderr.write(f"There is no dead letter {each}.\n")
    return 1
