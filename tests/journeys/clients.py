"""The official clients as programs: where they are, and how a journey talks with them, a JSON line each way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
NODE_MODULES = CLIENTS / "node_modules"
PACKAGES = ROOT / ".packages"  # what `mainstem destinations install` fetches
GO_PROGRAM = ROOT / ".clients" / "public-api-go"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ANSWER_SECONDS = 60


def installed(path: Path) -> Path:
    """The path, which `make test-clients` has put there."""
    assert path.exists(), f"{path.relative_to(ROOT)} is missing: `make test-clients` installs the clients"
    return path


def node_program(name: str) -> list[str]:
    """The command of a script in tests/clients."""
    node = shutil.which("node")
    assert node, "node is missing: `make test-clients` says what to install"
    installed(NODE_MODULES)
    return [node, str(CLIENTS / name)]


def chromium() -> str:
    """The browser's path."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    assert found, "Chromium is missing: `make test-clients` installs it"
    return found


class LineProgram:
    """A program that answers each JSON line on its input with a JSON line on its output."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        self._program = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **(variables or {})},
        )

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a line and return the answer; fail when the program says that it could not do it."""
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(json.dumps(question) + "\n")
        self._program.stdin.flush()
        watchdog = threading.Timer(ANSWER_SECONDS, self._program.kill)
        watchdog.start()
        try:
            line = self._program.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, f"the client ended or did not answer in {ANSWER_SECONDS} s: {question}"
        answer: dict[str, Any] = json.loads(line)
        assert "failure" not in answer, f"{question}: {answer}"
        return answer

    def close(self) -> None:
        """End its input and wait for it."""
        self._program.communicate(timeout=ANSWER_SECONDS)


def run_lines(command: Sequence[str], question: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a program one JSON object and return the JSON lines that it prints until it ends."""
    program = subprocess.run(
        command, input=json.dumps(question), capture_output=True, text=True, timeout=ANSWER_SECONDS
    )
    assert program.returncode == 0, program.stderr
    return [json.loads(line) for line in program.stdout.splitlines()]
