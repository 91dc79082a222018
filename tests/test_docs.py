"""Documents say what the code does: generated pages are fresh, links lead somewhere, decisions are whole."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])


def generator() -> Any:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_reference_is_what_the_code_says() -> None:
    stale = generator().stale()
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("decision", sorted(ROOT.glob("docs/decisions/*.md")), ids=lambda path: path.stem)
def test_a_decision_has_context_decision_consequences_and_alternatives(decision: Path) -> None:
    text = decision.read_text(encoding="utf-8")
    assert text.startswith(f"# {decision.stem[:4]} ")
    for part in ("Context", "Decision", "Consequences", "Alternatives"):
        assert f"**{part}.**" in text, part


def test_every_dependency_earns_its_place_in_a_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    depended_on = [re.split(r"[<>=\[]", each)[0] for each in project["dependencies"]]
    table = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([a-z][a-z-]*) \|", table, re.MULTILINE) == sorted(depended_on)
