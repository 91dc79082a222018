"""What becomes of each table: none is forgotten, and the guide says what is left out."""

from __future__ import annotations

import re
from pathlib import Path

from mainstem.engines.schema import migrations
from mainstem.rest.rows import metadata
from mainstem.workspace_files.kinds import KINDS
from mainstem.workspace_files.tables import DERIVED, LEFT_OUT, WRITTEN

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "workspace-as-code.md"


def test_every_table_is_written_derived_or_left_out_and_only_one_of_them() -> None:
    listed = [*WRITTEN, *DERIVED, *LEFT_OUT]
    assert len(listed) == len({*listed})
    statements = " ".join(statement for step in migrations() for statement in step.statements)
    made = {*re.findall(r"CREATE TABLE (\w+)", statements)} - {*re.findall(r"DROP TABLE (\w+)", statements)}
    assert {*listed} == made == {*metadata.tables}


def test_every_section_is_of_some_table_and_every_table_in_a_section_that_there_is() -> None:
    assert {section for sections in WRITTEN.values() for section in sections} == {kind.section for kind in KINDS}


def test_the_guide_names_what_is_left_out_and_what_is_derived() -> None:
    guide = GUIDE.read_text()
    for table, reason in (DERIVED | LEFT_OUT).items():
        assert f"| `{table}` | {reason} |" in guide
    for table, sections in WRITTEN.items():
        assert f"| `{table}` | {', '.join(f'`{each}`' for each in sections)} |" in guide
