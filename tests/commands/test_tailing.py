"""What `mainstem tail` shows, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mainstem.commands import tailing
from mainstem.commands.tailing import Wanted, as_json, as_text, follow
from mainstem.errors import EngineUnavailable
from mainstem.model.snapshot import Change, LiveSnapshot
from mainstem.model.trace import Attempt, Attempts, Exchanged, KeptTrace, Passage, Queued
from mainstem.model.trace import End as Ended
from pipeline.making import destination, source


class Published:
    """One source, published once."""

    def changes(self, after: int) -> tuple[int, list[Change]]:
        return 1, [Change("src", source("src", destination("dst")))] if after < 1 else []


class Blocks:
    """A store that a test fills while it is looked at; `acts` are done one by one, when it is waited for."""

    def __init__(self, *acts: Callable[[], None]) -> None:
        self.kept: list[KeptTrace] = []
        self.is_away = False
        self._acts = list(acts)

    def add(self, *blocks: Passage | Attempts) -> None:
        for block in blocks:
            self.kept.append(KeptTrace(len(self.kept) + 1, block))

    def newest(self) -> int:
        if self.is_away:
            raise EngineUnavailable("it is being made anew")
        return self.kept[-1].id if self.kept else 0

    def after(self, id: int, limit: int) -> list[KeptTrace]:
        return [each for each in self.kept if each.id > id][:limit]

    def stopped(self, seconds: float) -> bool:
        assert seconds <= 0.25
        if not self._acts:
            return True
        self._acts.pop(0)()
        return False


def passage(message_id: str = "m1", name: str = "Ordered", kind: str = "log", source_id: str = "src") -> Passage:
    return Passage(
        1_764_000_000_000, kind, ["7.0"], [b""], [message_id], [source_id], ["track"], [name], ["u-1"], [0], [0], [],
        [], [Ended("apply_filters", "d2", "filtered_at_destination", "FILTERED_BY_RULES", "", [0])],
        [Queued("dst", "", [0])],
    )  # fmt: skip


def attempts(
    stage: str = "successful_delivery", reason: str = "successes.attempt.1", name: str = "Ordered"
) -> Attempts:
    exchange = Exchanged("POST", "http://a/", {}, "", 200, {}, "")
    due = 1_764_000_030_000 if not stage else 0
    one = Attempt(
        "dst", "", "src", "m1", "track", name, 1, 1_764_000_000_000, 1_764_000_000_012, stage, reason, due, [0]
    )
    return Attempts(1_764_000_000_012, [exchange], [one])


def shown(
    blocks: Blocks, *, wanted: Wanted | None = None, after: int | None = None, is_json: bool = False
) -> list[str]:
    written: list[str] = []
    show = as_json if is_json else as_text(lambda _, text: text)  # type: ignore[arg-type, return-value]
    live = LiveSnapshot(Published())
    follow(blocks, live, wanted or Wanted(), written.append, show, after=after, stopped=blocks.stopped)  # type: ignore[arg-type]
    return "".join(written).splitlines()


def test_what_was_there_before_is_not_shown_and_what_comes_is() -> None:
    blocks = Blocks(lambda: blocks.add(passage("new")), lambda: blocks.add(attempts()))
    blocks.add(passage("old"))
    lines = shown(blocks)
    assert not any("old" in line for line in lines)
    assert "track Ordered" in lines[0]
    assert lines[0].endswith("new")
    assert [line.split()[0] for line in lines[1:3]] == ["✗", "→"]
    assert "Webhooks (dst)" in lines[2]
    assert "✓ Webhooks (dst)  200, 12 ms" in lines[3]


def test_lines_fit_into_100_columns_however_long_everything_is() -> None:
    blocks = Blocks()
    blocks.add(
        passage("m" * 300, "E" * 300, "replay"), attempts("failed_delivery", "R" * 60, "E" * 300), attempts("", "503")
    )
    lines = shown(blocks, after=0)
    assert len(lines) == 5
    assert max(map(len, lines)) <= 100
    assert "replay: " in lines[0]
    assert "↻" in lines[4]
    assert "again at 16:00:30.000" in lines[4]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [(Wanted("src"), 4), (Wanted("other"), 0), (Wanted("", "Ordered"), 4), (Wanted("src", "Other"), 0)],
)
def test_only_what_is_wanted_is_shown(wanted: Wanted, count: int) -> None:
    blocks = Blocks()
    blocks.add(passage(), attempts())
    assert len(shown(blocks, wanted=wanted, after=0)) == count


def test_a_store_that_is_away_and_one_that_was_made_anew_are_followed_on() -> None:
    def away() -> None:
        blocks.is_away = True

    def anew() -> None:
        blocks.is_away = False
        blocks.kept.clear()
        blocks.add(passage("after"))

    blocks = Blocks(away, anew)
    blocks.add(passage("1"), passage("2"))
    assert [line for line in shown(blocks) if "after" in line]


def test_what_comes_too_fast_is_passed_over_with_a_word() -> None:
    blocks = Blocks()
    blocks.add(*(passage(f"m{number}") for number in range(1000)))
    lines = shown(blocks, after=0)
    assert "980 blocks of events are passed over" in lines[0]
    assert lines[-3].endswith("m999")


def test_as_json_each_line_is_an_object() -> None:
    blocks = Blocks()
    blocks.add(passage(), attempts())
    event, filtered, queued, attempt = map(json.loads, shown(blocks, after=0, is_json=True))
    assert (event["kind"], event["messageId"], event["source"], event["user"]) == ("event", "m1", "src", "u-1")
    assert (filtered["stage"], filtered["reason"]) == ("filtered_at_destination", "FILTERED_BY_RULES")
    assert (queued["stage"], queued["destinationId"]) == ("queued", "dst")
    assert (attempt["status"], attempt["milliseconds"], attempt["at"]) == (200, 12, "2025-11-24T16:00:00.012Z")


def test_the_store_is_looked_at_five_times_a_second() -> None:
    assert tailing.POLL_SECONDS <= 0.25
