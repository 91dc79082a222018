"""What an operator does at the terminal while a server runs."""

from __future__ import annotations

import subprocess

from journeys.running import MAINSTEM, RunningServer, clean_environment


def mainstem(server: RunningServer, *arguments: str) -> str:
    """Run a command of `mainstem` on the server's folder and return what it prints."""
    command = [MAINSTEM, *arguments, "--data", server.data]
    done = subprocess.run(
        command, env=clean_environment(server.database), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
