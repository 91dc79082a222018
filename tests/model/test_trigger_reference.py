"""The reference of triggers says what triggers do: each of its examples is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mainstem.model import trigger

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "triggers.md").read_text(encoding="utf-8")
EXAMPLES, ODDITIES, REFUSED = (
    [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    for part in PAGE.split("\n## ")
)
EVENT = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]


def written(cell: str) -> str:
    return cell.strip("`")


def test_the_examples_fire_as_the_page_says() -> None:
    assert len(EXAMPLES) > 15
    for text, fires in EXAMPLES:
        assert trigger.parse(written(text)).matches(EVENT) is (fires == "yes"), text
        assert trigger.faults(written(text)) == trigger.warnings(written(text)) == [], text


def test_what_is_read_otherwise_than_one_would_think_fires_as_the_page_says() -> None:
    assert len(ODDITIES) > 5
    for text, fires, _why in ODDITIES:
        assert trigger.parse(written(text)).matches(EVENT) is (fires == "yes"), text
        assert trigger.faults(written(text)) == [], text
        assert trigger.warnings(written(text)), text


def test_what_is_refused_is_so_for_the_reason_on_the_page() -> None:
    assert len(REFUSED) > 5
    for text, reason in REFUSED:
        assert any(reason in each for each in trigger.faults(written(text))), text
