"""The log of functions: what is kept, for how long, and that nobody reads it without the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstem.engines.sqlite_function_log import FILE, KEPT_ERRORS, KEPT_OTHERS, SqliteFunctionLog
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import FunctionLogEntry
from mainstem.vault import Vault

DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteFunctionLog]:
    opened = SqliteFunctionLog(tmp_path, Vault(b"k" * 32))
    yield opened
    opened.close()


def entry(**more: Any) -> FunctionLogEntry:
    """An invocation that returned and wrote a line."""
    fields: dict[str, Any] = {
        "at_ms": 1_000, "function_id": "dfn_1", "version": "v1", "instance_id": "i", "message_id": "m",
        "handler": "onTrack", "how": "returned", "error": "", "message": "", "logs": ("hello",), "milliseconds": 1.5,
    }  # fmt: skip
    return FunctionLogEntry(**fields | more)


def error(**more: Any) -> FunctionLogEntry:
    """An invocation that threw."""
    return entry(**{"how": "thrown", "error": "Error", "message": "x", "logs": ()} | more)


def messages(log: SqliteFunctionLog, function_id: str = "dfn_1") -> list[str]:
    return [each.entry.message for each in log.read(function_id, 0, 10_000)]


def test_entries_come_back_in_order_and_of_their_function_alone(log: SqliteFunctionLog) -> None:
    log.append([entry(), error(), entry(function_id="dfn_2")])
    read = log.read("dfn_1", 0, 10)
    assert [(each.entry.how, list(each.entry.logs)) for each in read] == [("returned", ["hello"]), ("thrown", [])]
    assert log.read("dfn_1", read[0].id, 10) == read[1:]
    assert log.read("dfn_1", 0, 1) == read[:1]


def test_what_said_nothing_and_did_not_fail_is_not_kept(log: SqliteFunctionLog) -> None:
    silent: tuple[str, ...] = ()
    log.append([entry(logs=silent), entry(how="no_handler", logs=silent), error(error="DropEvent")])
    log.append([error(error="EventNotSupported")])
    assert not log.read("dfn_1", 0, 10)
    log.append([error(error="DropEvent", logs=("why",))])
    assert len(log.read("dfn_1", 0, 10)) == 1


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["one by one", "some at once", "all at once"])
def test_of_each_function_the_last_errors_and_the_last_lines_are_kept(log: SqliteFunctionLog, size: int) -> None:
    errors = [error(message=f"e{number}") for number in range(KEPT_ERRORS + 5)]
    others = [entry(message=f"o{number}") for number in range(KEPT_OTHERS + 5)]
    made = [*errors, *others]
    log.append([error(function_id="dfn_2")])
    for start in range(0, len(made), size):
        log.append(made[start : start + size])
    assert messages(log) == [each.message for each in [*errors[5:], *others[5:]]]
    assert messages(log, "dfn_2") == ["x"]


def test_what_is_older_than_thirty_days_is_forgotten(log: SqliteFunctionLog) -> None:
    log.append([error(message="old", at_ms=0), error(message="new", at_ms=DAY_MS)])
    log.tidy(30 * DAY_MS)
    assert messages(log) == ["old", "new"]
    log.tidy(30 * DAY_MS + 1)
    assert messages(log) == ["new"]


def test_long_texts_are_cut(log: SqliteFunctionLog) -> None:
    log.append([error(error="E" * 9_999, message="m" * 9_999, logs=("a" * 4_000, "b" * 4_000, "c"))])
    (kept,) = log.read("dfn_1", 0, 10)
    assert (len(kept.entry.error), len(kept.entry.message)) == (255, 1_000)
    assert list(kept.entry.logs) == ["a" * 4_000, "b" * 95]


def test_nothing_of_an_entry_is_on_the_disk_in_plain_text(log: SqliteFunctionLog, tmp_path: Path) -> None:
    log.append([error(message="planted-message", error="PlantedError", logs=("planted-line",))])
    log.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"planted" not in content.lower()


def test_several_processes_share_the_file(log: SqliteFunctionLog, tmp_path: Path) -> None:
    other = SqliteFunctionLog(tmp_path, Vault(b"k" * 32))
    log.append([error(message="a")])
    other.append([error(message="b")])
    assert messages(log) == messages(other) == ["a", "b"]
    other.close()


def test_a_broken_file_is_unavailable_and_works_again_once_mended(log: SqliteFunctionLog, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 500)
    with pytest.raises(EngineUnavailable, match=r"functions\.db"):
        log.append([error()])
    (tmp_path / FILE).unlink()
    log.append([error()])
    assert messages(log) == ["x"]
