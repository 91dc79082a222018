"""The worked example of the README is executed as it is printed, against a server of its own.

In README.md the line `<!-- runs: tests/journeys/test_readme.py -->` stands before each block that is run. The
bash blocks run in order in one shell that stops at the first failing command, in an empty folder, with TOKEN
set to the owner token; only the two default ports become those of the server under test. A block marked
`<!-- prints -->` holds lines that the blocks before it must have printed, in this order; `…` stands for any text.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys.conftest import OWNER_TOKEN
from journeys.running import RunningServer, clean_environment, running_server

README = Path(__file__).parents[2] / "README.md"
RUN_SECONDS = 120
_RUN = re.compile(r"<!-- runs: tests/journeys/test_readme\.py -->\n+```bash\n(.*?)```", re.DOTALL)
_PRINTED = re.compile(r"<!-- prints -->\n+```\w*\n(.*?)```", re.DOTALL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that nobody has used yet."""
    with running_server(tmp_path, OWNER_TOKEN) as running:
        yield running


def run_example(script: str, folder: Path) -> str:
    """Run a script in bash as a reader would type it, and return all that it printed."""
    folder.mkdir()
    printed = folder.with_suffix(".out")
    with printed.open("wb") as out:
        bash = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=clean_environment({"TOKEN": OWNER_TOKEN}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = bash.wait(RUN_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)  # what the example left running in the background
    output = printed.read_text(encoding="utf-8", errors="replace")
    assert code == 0, output
    return output


def test_the_worked_example_runs_as_printed_and_prints_what_it_says(server: RunningServer, tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    blocks = _RUN.findall(text)
    assert blocks, "README.md has no block marked to run"
    script = "\n".join(blocks)
    script = script.replace("127.0.0.1:8080", server.api_url.removeprefix("http://"))
    script = script.replace("127.0.0.1:8090", server.tracking_host)
    output = run_example(script, tmp_path / "reader")
    printed = [line for block in _PRINTED.findall(text) for line in block.splitlines() if line.strip()]
    lines = [re.escape(line.strip()).replace("…", ".*") for line in printed]
    assert re.search(r"[\s\S]*?".join(lines), output), output
