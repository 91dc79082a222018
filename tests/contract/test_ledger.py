"""The ledger says what records and tests say, and what is committed is what it says now."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contract.proves import proves
from mainstem.contract import ledger
from mainstem.public_api import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "public_api"
    folder.mkdir(parents=True)
    (folder / "test_labels.py").write_text(
        "@proves('createLabel', 'listLabels', level=3)\ndef test_labels() -> None: ...\n"
        "class TestClients:\n    @proves('createLabel', level=2)\n    async def test_it(self) -> None: ...\n"
    )
    return tmp_path / "tests"


def test_proofs_are_read_from_the_source_of_the_tests(tests: Path) -> None:
    assert sorted(ledger.proofs(tests), key=lambda proof: (proof.operation_id, proof.level)) == [
        ledger.Proof("createLabel", 2, "tests/public_api/test_labels.py::test_it"),
        ledger.Proof("createLabel", 3, "tests/public_api/test_labels.py::test_labels"),
        ledger.Proof("listLabels", 3, "tests/public_api/test_labels.py::test_labels"),
    ]


@pytest.mark.parametrize("arguments", ["NAME, level=3", "'createLabel', level=L", "'createLabel'"])
def test_a_proof_that_is_not_literal_is_refused(tests: Path, arguments: str) -> None:
    (tests / "test_more.py").write_text(f"@proves({arguments})\ndef test_it() -> None: ...\n")
    with pytest.raises(ValueError, match=r"tests/test_more\.py::test_it"):
        ledger.proofs(tests)


def test_a_level_that_does_not_exist_is_refused(tests: Path) -> None:
    (tests / "test_more.py").write_text("@proves('createLabel', level=6)\ndef test_it() -> None: ...\n")
    with pytest.raises(ValueError, match="level 6"):
        ledger.proofs(tests)
    with pytest.raises(ValueError, match="level is one of"):
        proves("createLabel", level=6)


@pytest.mark.parametrize(
    ("proved", "level"),
    [
        ([], 0),
        ([1], 1),
        ([3], 1),
        ([2], 2),
        ([2, 3], 3),
        ([2, 4], 4),
        ([2, 5], 3),
        ([3, 4, 5], 1),
        ([2, 3, 4, 5], 5),
    ],
)
def test_an_operation_stands_at_the_level_up_to_which_all_are_proved(proved: list[int], level: int) -> None:
    assert ledger.level_of(proved) == level


def test_an_operation_without_a_record_is_absent(tests: Path) -> None:
    lines = {line.id: line for line in ledger.lines(["createLabel", "listLabels"], ledger.proofs(tests))}
    assert len(lines) == 201
    assert (lines["createLabel"].level, lines["listLabels"].level, lines["deleteLabel"].level) == (3, 1, 0)


@pytest.mark.parametrize(
    ("recorded", "complaint"),
    [
        (["createLabel"], "proved by a test, but not recorded: listLabels"),
        (["createLabel", "listLabels", "deleteLabel"], "no test proves anything of it: deleteLabel"),
        (["createLabel", "listLabels", "makeCoffee"], "not published: makeCoffee"),
    ],
)
def test_records_and_proofs_that_disagree_are_refused(tests: Path, recorded: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ledger.lines(recorded, ledger.proofs(tests))


def test_the_readme_counts_families_that_have_something_working(tests: Path) -> None:
    table = ledger.as_table(ledger.lines(["createLabel", "listLabels"], ledger.proofs(tests)))
    assert table.splitlines()[2:] == ["| Labels | 1 | 3 |", "| **All 33 families** | **1** | **201** |"]


def test_the_table_replaces_what_stood_between_the_markers_alone() -> None:
    readme = f"before\n{ledger.BEGIN}\nold\n{ledger.END}\nafter\n"
    assert ledger.between_markers(readme, "new\n") == f"before\n{ledger.BEGIN}\nnew\n{ledger.END}\nafter\n"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="operations:begin"):
        ledger.between_markers("nothing here", "new\n")


def test_what_is_committed_is_what_the_ledger_says_now() -> None:
    for path, text in ledger.outputs(ROOT, FAMILIES).items():
        assert path.read_text() == text, (
            f"{path.relative_to(ROOT)} is stale: python -m mainstem.contract.ledger --write"
        )


def test_the_ledger_reads_back() -> None:
    text = (ROOT / "src" / "mainstem" / "contract" / "ledger.json").read_bytes()
    assert len(msgspec.json.decode(text, type=list[ledger.Line])) == 201
