"""Write docs/reference/*.md from the code: settings, pipeline steps, outcomes and reasons.

    python docs/generate.py            writes what differs
    tests/test_docs.py                 fails when something differs

The ledger of operations has a generator of its own, `python -m mainstem.contract.ledger`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mainstem import pipeline, settings
from mainstem.model import outcome
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import Step
from mainstem.settings import Settings

FOLDER = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the code; change it there. -->"


def pages() -> dict[str, str]:
    """File name to text."""
    return {"settings.md": settings_page(), "pipeline.md": pipeline_page(), "outcomes.md": outcomes_page()}


def settings_page() -> str:
    """Every setting."""
    rows = []
    for name in Settings.__struct_fields__:
        flag = "only as a variable" if name in settings.ENVIRONMENT_ONLY else f"`{settings.flag(name)}`"
        default = (
            "a folder in the user's data home" if name == "data" else f"`{settings.shown(getattr(Settings(), name))}`"
        )
        rows.append(f"| {flag} | `{settings.variable(name)}` | {default} | {settings.describe(name)} |")
    return page(
        "Settings",
        "Flags of `mainstem serve`; a variable sets the same, and the flag wins. An unknown variable is an error.",
        "| Flag | Variable | Default | |\n| --- | --- | --- | --- |\n" + "\n".join(rows),
    )


def pipeline_page() -> str:
    """The tuples."""
    return page(
        "Pipeline",
        "What happens to an event, step by step, in the order of the tuples in `pipeline/__init__.py`.",
        "## From the source, once an event\n\n" + steps(pipeline.FROM_SOURCE),
        "## After an insert function of the source\n\n" + steps(pipeline.AFTER_FUNCTION),
        "## Under the plan of the source\n\n" + steps(pipeline.UNDER_PLAN),
        "## At the source, for all destinations\n\n" + steps(pipeline.AT_SOURCE),
        "## To a destination, once for each that is enabled\n\n" + steps(pipeline.TO_DESTINATION),
    )


def steps(tuple_of_steps: tuple[Step, ...]) -> str:
    """A numbered list: name and promise."""
    return "\n".join(f"{number}. **{step.name}**: {step.does}" for number, step in enumerate(tuple_of_steps, 1))


def outcomes_page() -> str:
    """Stages and reasons."""
    return page(
        "Outcomes",
        "Every event that a source received ends in exactly one outcome per destination. These are the reasons that "
        "mainstem gives, in the delivery overview's own words (`discardReason`).",
        reasons(Stage.FAILED_ON_INGEST, outcome.INGEST_REASONS),
        reasons(Stage.FILTERED_AT_SOURCE, outcome.SOURCE_REASONS),
        reasons(Stage.FILTERED_AT_DESTINATION, outcome.DESTINATION_REASONS),
        reasons(Stage.FAILED_DELIVERY, outcome.DELIVERY_REASONS),
        f"## {Stage.SUCCESSFUL_DELIVERY}\n\n`successes.attempt.1` to `successes.attempt.10`: the attempt.",
        "## Notes on batches\n\nSaid in the log of the pipeline, not counted as events.\n\n"
        + table(outcome.ENVELOPE_REASONS),
    )


def reasons(stage: Stage, known: Mapping[str, str]) -> str:
    """A section of one stage."""
    return f"## {stage}\n\n{table(known)}"


def table(known: Mapping[str, str]) -> str:
    """Reason to sentence."""
    return "| Reason | When |\n| --- | --- |\n" + "\n".join(
        f"| `{reason}` | {text} |" for reason, text in known.items()
    )


def page(title: str, *parts: str) -> str:
    """A page of Markdown."""
    return "\n\n".join([f"# {title}", NOTICE, *parts]) + "\n"


def stale() -> list[str]:
    """Names of pages whose file differs from the code."""
    return [name for name, text in pages().items() if not same(FOLDER / name, text)]


def same(path: Path, text: str) -> bool:
    """Whether the file holds just this text."""
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    for name in stale():
        (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}\n")
