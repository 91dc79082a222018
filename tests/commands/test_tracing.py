"""How a life is told at the terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.commands import tracing
from mainstem.commands.lives import Lives
from mainstem.commands.terminal import Paint
from mainstem.commands.tracing import MISSING, Names, differences
from mainstem.model.ports import Block
from mainstem.model.snapshot import DestinationConfig, SourceConfig, SubscriptionConfig
from mainstem.model.trace import (
    RETURNED,
    Attempt,
    Attempts,
    Change,
    End,
    Exchanged,
    Gap,
    KeptTrace,
    Passage,
    Queued,
    mark,
)
from pipeline.making import snapshot

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
MAPPING = SubscriptionConfig("sub", "My mapping", "action", "all", True, {})
DESTINATION = DestinationConfig("dst", "meta", "Webhooks", True, {}, subscriptions=(MAPPING,))
KNOWN = snapshot(SourceConfig("src", "ws", "shop", "Shop", "m", "server", True, ("k",), {}, (DESTINATION,)))


class Told:
    """Traces and an archive that hold what a test gives them."""

    def __init__(
        self, *blocks: Passage | Attempts, gaps: tuple[Gap, ...] = (), records: tuple[bytes, ...] = ()
    ) -> None:
        self.blocks = [KeptTrace(number, block) for number, block in enumerate(blocks, 1)]
        self._gaps = gaps
        self._records = records

    def find(self, keys: Any) -> list[KeptTrace]:
        return self.blocks

    def marked(self, wanted: str) -> Any:
        return reversed(self.blocks)

    def oldest_ms(self) -> int | None:
        return 1_764_000_000_000 if self.blocks or self._gaps else None

    def gaps(self) -> tuple[Gap, ...]:
        return self._gaps

    def read(self, after: int, limit_bytes: int) -> list[Block]:
        return [Block(7, self._records)] if self._records and after < 7 else []

    def text(self, message_id: str = "m1", source_id: str = "") -> str:
        lives, out = Lives(self, self, KNOWN), io.StringIO()  # type: ignore[arg-type]
        tracing.tell(lives, self, Names(KNOWN), message_id, source_id, out.write, Paint(out))  # type: ignore[arg-type]
        return out.getvalue()


def passage(kind: str = "log", origin: str = "7.0", at_ms: int = 1_764_000_000_000, **columns: Any) -> Passage:
    blank: dict[str, Any] = {
        "message_ids": ["m1"], "source_ids": ["src"], "types": ["track"], "names": ["Ordered"], "users": ["u"],
        "requests": [0], "numbers": [0], "bodies": [b'{"a":1,"secret\\u001b":"x"}', b'{"a":2}'],
        "changes": [Change("normalize", "", [0], [0]), Change("apply_filters", "dst", [0], [1])],
        "ends": [], "queued": [Queued("dst", "sub", [0])],
    }  # fmt: skip
    return Passage(at_ms, kind, [origin], [b""], **{**blank, **columns})


def attempt(number: int, stage: str, reason: str, due_at_ms: int = 0, at_ms: int = 1_764_000_000_500) -> Attempts:
    exchange = Exchanged(
        "POST", "http://partner.example/", {"A": "b"}, '{"q":1}', 503 if due_at_ms else 200, {}, "busy"
    )
    one = Attempt(
        "dst", "sub", "src", "m1", "track", "Ordered", number, at_ms - 9, at_ms, stage, reason, due_at_ms, [0]
    )
    return Attempts(at_ms, [exchange], [one])


def test_a_life_is_told_in_order_with_changes_attempts_and_outcome() -> None:
    text = Told(
        passage(), attempt(1, "", "503", 1_764_000_030_000), attempt(2, "successful_delivery", "successes.attempt.2")
    ).text()
    places = [
        text.index(each)
        for each in (
            "track \"Ordered\" of shop, messageId m1", "beyond retention", "normalize", "→ Webhooks (dst)",
            "~ a: 1 → 2",
            "queued, mapping My mapping", "attempt 1, 9 ms: failed (503), again at 2025-11-24 16:00:30", "busy",
            "attempt 2, 9 ms: delivered", "Outcome", "Webhooks (dst), mapping My mapping: delivered, attempt 2",
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_an_event_of_a_source_without_destinations_has_an_outcome_too() -> None:
    alone = {"bodies": [b"{}"], "changes": [Change("normalize", "", [0], [0])], "queued": []}
    outcome = Told(passage(**alone)).text().partition("Outcome\n")[2]
    assert outcome.strip() == "received; its source had no destination that was enabled"


def test_an_attempt_says_what_is_known_beyond_its_reason() -> None:
    block = attempt(1, "filtered_at_destination", "bad_request")
    (one,) = block.attempts
    told = msgspec.structs.replace(one, detail="TypeError: x is not a function (line 3, column 7)\nsecond \x1b[2J")
    text = Told(passage(), msgspec.structs.replace(block, attempts=[told])).text()
    lines = text[text.index("attempt 1, 9 ms: filtered at destination, bad_request") :].splitlines()
    assert [each.strip() for each in lines[1:3]] == [
        "TypeError: x is not a function (line 3, column 7)",
        "second \N{REPLACEMENT CHARACTER}[2J",
    ]


def test_a_delivery_that_waits_says_so() -> None:
    assert "no attempt is known yet" in Told(passage()).text()
    assert "waits for attempt 1" in Told(passage()).text()
    text = Told(passage(), attempt(1, "", "503", 1_764_000_030_000)).text()
    assert "waits for attempt 2 at 2025-11-24 16:00:30.000 UTC; the last failed: 503" in text


def test_an_end_is_told_with_its_sentence() -> None:
    ended = passage(
        queued=[], ends=[End("apply_filters", "dst", "filtered_at_destination", "FILTERED_BY_RULES", "", [0])]
    )
    text = Told(ended).text()
    assert "filtered at destination, FILTERED_BY_RULES (a destination filter" in text
    assert "by apply_filters" in text
    vanished = passage(queued=[], changes=[], ends=[End("deduplicate", "", "", "duplicate", "", [0])])
    assert "vanished uncounted, duplicate, by deduplicate" in Told(vanished).text()


def test_a_batch_that_was_repeated_after_a_crash_is_told_as_the_last_time() -> None:
    told = Told(passage(bodies=[b'{"a":1}', b'{"a":2}']), passage(bodies=[b'{"a":1}', b'{"a":3}'])).text()
    assert "~ a: 1 → 3" in told
    assert "~ a: 1 → 2" not in told
    assert told.count("→ Webhooks (dst)") == 1


def test_passes_of_their_own_are_told_one_after_the_other() -> None:
    told = Told(passage(), passage("replay", "entry.9", 1_764_000_009_000)).text()
    assert told.index("received") < told.index("replayed, entry.9")
    assert told.count("→ Webhooks (dst)") == 2


def test_an_attempt_belongs_to_the_pass_before_it() -> None:
    blocks = (passage(), attempt(1, "successful_delivery", "", at_ms=1_764_000_000_500))
    later = (passage("replay", "entry.9", 1_764_000_009_000),)
    life = Lives(Told(*blocks, *later), Told(), KNOWN).find("m1")  # type: ignore[arg-type]
    assert [len(each.branches["dst"].tried) for each in life.passes] == [1, 0]


def test_an_attempt_without_its_event_is_told_all_the_same() -> None:
    assert "beyond retention, or not told yet" in Told(attempt(1, "successful_delivery", "")).text()


def test_what_a_function_returned_is_told_as_such() -> None:
    assert "returned" in Told(passage(), attempt(1, RETURNED, "")).text()


def test_another_source_with_the_same_message_id_is_left_out_when_asked() -> None:
    other = passage(source_ids=["other"], origin="7.1")
    assert "of other" in Told(passage(), other).text()
    assert "of other" not in Told(passage(), other).text(source_id="src")


def test_nothing_that_a_terminal_would_obey_is_written() -> None:
    evil = passage(names=["\x1b[2J"], bodies=[b'{"\\u001b[2J":"\\u0007"}', b'{"a":"\\u009b"}'])
    text = Told(evil, attempt(1, "failed_delivery", "400")).text()
    assert not set(text) & {"\x1b", "\x07", "\x9b"}


def test_gaps_and_the_reach_of_traces_are_told_where_nothing_is_known() -> None:
    text = Told(gaps=(Gap(1_764_000_000_000, 1_764_000_060_000, 12),)).text("unknown")
    assert "Nothing is known of unknown." in text
    assert "reach back to 2025-11-24 16:00:00.000" in text
    assert "12 blocks could not be kept" in text
    assert "There are no traces yet." in Told().text("unknown")


def test_as_json_all_of_it_is_one_object() -> None:
    told, out = Told(passage(), attempt(1, "successful_delivery", "successes.attempt.1")), io.StringIO()
    lives = Lives(told, told, KNOWN)  # type: ignore[arg-type]
    assert tracing.tell_json(lives, told, "m1", "", out.write) == 0  # type: ignore[arg-type]
    found = json.loads(out.getvalue())
    assert found["fates"][0][0]["stage"] == "successful_delivery"
    assert tracing.tell_json(Lives(Told(), Told(), KNOWN), Told(), "m1", "", out.write) == 1  # type: ignore[arg-type]


def test_samples_are_ten_at_most_each_event_once() -> None:
    places = list(range(15))
    many = passage(
        message_ids=[f"m{each % 13}" for each in places], source_ids=["src"] * 15, types=["track"] * 15,
        names=["E"] * 15, users=["u"] * 15, requests=[0] * 15, numbers=places, changes=[], queued=[],
        ends=[End("apply_filters", "dst", "filtered_at_destination", "FILTERED_BY_RULES", "", places)],
    )  # fmt: skip
    told, out = Told(many, attempt(1, "failed_delivery", "400")), io.StringIO()
    lives = Lives(told, told, KNOWN)  # type: ignore[arg-type]
    code = tracing.samples(lives, told, Names(KNOWN), "FILTERED_BY_RULES", "dst", out.write, Paint(out))  # type: ignore[arg-type]
    assert code == 0
    assert "10 samples" in out.getvalue()
    failed = io.StringIO()
    tracing.samples(lives, told, Names(KNOWN), "400", "dst", failed.write, Paint(failed))  # type: ignore[arg-type]
    assert "POST http://partner.example/" in failed.getvalue()
    assert tracing.samples(lives, told, Names(KNOWN), "404", "dst", out.write, Paint(out)) == 1  # type: ignore[arg-type]
    assert mark("dst", "400") == "dst 400"


def applied(before: Any, changes: list[tuple[str, Any, Any]]) -> Any:
    """`before` with changes made to it, for values without dots in their keys."""
    for path, _, after in changes:
        if not path:
            return after
        *way, last = path.split(".")
        at = before
        for key in way:
            at = at[int(key) if isinstance(at, list) else key]
        if after is MISSING:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = after
    return before


@given(JSON, JSON)
def test_differences_lead_from_one_value_to_the_other(before: Any, after: Any) -> None:
    changes = list(differences(before, after))
    assert applied(json.loads(json.dumps(before)), changes) == after
    assert not list(differences(after, after))


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (None, MISSING)])
def test_what_is_equal_in_python_and_not_in_json_differs(before: Any, after: Any) -> None:
    assert list(differences(before, after)) == [("", before, after)]


def test_sources_are_found_by_id_and_by_slug() -> None:
    assert [tracing.find_source(KNOWN, each) for each in ("src", "shop", "", "none")] == ["src", "src", "", None]
    assert Names(KNOWN).destination("insert:f") == "insert (f)"
    assert Names(KNOWN).destination("gone") == "gone (deleted)"
