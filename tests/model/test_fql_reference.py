"""docs/reference/fql.md says what FQL does; each of its examples is run here."""

import json
import re
from pathlib import Path

import pytest

from mainstem.model import fql

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "fql.md").read_text(encoding="utf-8")
EVENT = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
ROW = re.compile(r"^\| `(?P<statement>.+?)` \| (?P<cell>.+) \|$")


def rows(heading: str) -> list[tuple[str, str]]:
    """The rows of every table whose header starts with `heading`: a statement, and the cell beside it."""
    tables = re.findall(rf"^\| {heading} \|[^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
    found = [ROW.match(line) for table in tables for line in table.splitlines()]
    assert all(found), f"a row of a {heading} table has another form"
    return [(row["statement"], row["cell"]) for row in found if row]


def test_the_page_has_examples_of_every_kind() -> None:
    assert len(rows("Statement")) > 50
    assert len(rows("Refused")) >= 10
    assert len(rows("Undecided")) >= 7


@pytest.mark.parametrize(("statement", "result"), rows("Statement"))
def test_a_statement_has_the_result_beside_it(statement: str, result: str) -> None:
    value = fql.parse(statement).value(EVENT)
    assert json.dumps(value, ensure_ascii=False) == result.strip("`")


@pytest.mark.parametrize(("statement", "why"), rows("Refused"))
def test_a_refused_statement_is_refused_for_the_reason_beside_it(statement: str, why: str) -> None:
    with pytest.raises(fql.FqlError, match=re.escape(why)):
        fql.parse(statement)


@pytest.mark.parametrize(("statement", "why"), rows("Undecided"))
def test_an_undecided_statement_is_undecided_for_the_reason_beside_it(statement: str, why: str) -> None:
    with pytest.raises(fql.FqlRuntimeError, match=re.escape(why)):
        fql.parse(statement).matches(EVENT)
