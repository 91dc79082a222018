"""What a newcomer meets: the first start, the token that is shown once, and starting again."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from journeys.running import MAINSTEM, RunningServer, clean_environment, free_ports

TOKEN = re.compile(r"\bmst_[0-9A-Za-z]{49}\b")

Start = Callable[[], RunningServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server on the same folder each time; what still runs at the end is stopped."""
    started: list[RunningServer] = []

    def start_one() -> RunningServer:
        running = RunningServer(tmp_path)
        started.append(running)
        running.wait_until_it_answers()
        return running

    yield start_one
    for each in started:
        each.stop()


def workspace(server: RunningServer, token: str) -> httpx.Response:
    """Ask for the workspace with a token."""
    return httpx.get(server.api_url + "/", headers={"Authorization": f"Bearer {token}"})


def test_the_first_start_prints_a_token_and_where_to_use_it(start: Start) -> None:
    server = start()
    (token,) = set(TOKEN.findall(server.log_tail()))
    assert workspace(server, token).json()["data"]["workspace"]["id"]
    assert server.api_url in server.log_tail()
    assert server.tracking_url in server.log_tail()
    assert server.stop() == 0


def test_a_second_start_keeps_everything_and_shows_no_token(start: Start) -> None:
    first = start()
    shown = TOKEN.findall(first.log_tail(1000))
    token = shown[0]
    before = workspace(first, token).json()
    assert first.stop() == 0
    again = start()
    assert TOKEN.findall(again.log_tail(1000)) == shown, "one log, and the second start added none"
    assert workspace(again, token).json() == before


def test_a_second_server_on_the_same_folder_says_so_and_ends(start: Start, tmp_path: Path) -> None:
    first = start()
    api, tracking = free_ports(2)
    command = [MAINSTEM, "serve", "--data", tmp_path / "data"]
    command += ["--api", f"127.0.0.1:{api}", "--tracking", f"127.0.0.1:{tracking}"]
    second = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True, timeout=120)
    assert second.returncode != 0
    assert "in use" in second.stdout + second.stderr
    assert httpx.get(first.api_url).status_code == 401, "the first goes on"


def test_a_misspelt_variable_is_an_error_that_names_it(tmp_path: Path) -> None:
    run = subprocess.run(
        [MAINSTEM, "serve", "--data", tmp_path],
        env=clean_environment({"MAINSTEM_WORKER": "2"}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode != 0
    assert "MAINSTEM_WORKER" in run.stderr
