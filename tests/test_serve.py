"""`mainstem serve` as a process: it supervises, stops in time, and never runs twice on one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from journeys.running import RunningServer

TOKEN = "owner-token-for-the-tests-of-serve"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path, TOKEN)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        running.stop()


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`, dead ones left out."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in table.stdout.splitlines()]
    return sorted(int(child) for child, parent, state in rows if int(parent) == pid and state[0] != "Z")


def runs(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(what: str, truth: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_every_child_that_is_killed_is_started_again(server: RunningServer) -> None:
    before = children(server.pid)
    assert len(before) == 4
    for child in before:
        os.kill(child, signal.SIGKILL)
    wait_for("four new children", lambda: len(set(children(server.pid)) - set(before)) == 4)
    server.wait_until_it_answers()
    reply = httpx.get(server.api_url, headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 200


def test_children_end_with_a_supervisor_that_is_killed(server: RunningServer) -> None:
    orphans = children(server.pid)
    os.kill(server.pid, signal.SIGKILL)
    wait_for("no orphan left", lambda: not any(map(runs, orphans)))


def test_sigterm_stops_everything_with_exit_code_0(server: RunningServer) -> None:
    assert server.stop() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.api_url)


def test_an_instance_that_was_killed_starts_again_with_everything(server: RunningServer, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    label = {"label": {"key": "team", "value": "web"}}
    assert httpx.post(f"{server.api_url}/labels", headers=headers, json=label).status_code == 201
    os.kill(server.pid, signal.SIGKILL)
    again = RunningServer(tmp_path, TOKEN)
    try:
        again.wait_until_it_answers()
        labels = httpx.get(f"{again.api_url}/labels", headers=headers).json()["data"]["labels"]
        assert labels[-1] == label["label"]
    finally:
        again.stop()


def test_the_reference_page_and_the_contract_are_served_without_a_token(server: RunningServer) -> None:
    page = httpx.get(f"{server.api_url}/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for asset in ("/docs/reference.css", "/docs/reference.js"):
        assert asset in page.text
        assert httpx.get(server.api_url + asset).status_code == 200
    assert "://" not in page.text.replace("http://www.w3.org", ""), "nothing is loaded from elsewhere"
    contract = httpx.get(f"{server.api_url}/openapi.json").json()
    assert contract["openapi"].startswith("3.1")
    assert "/labels" in contract["paths"]
    assert "/audiences" not in " ".join(contract["paths"])


def test_a_body_over_the_limit_is_413(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    reply = httpx.post(f"{server.api_url}/labels", headers=headers, content=b"x" * (11 * 1024 * 1024))
    assert (reply.status_code, reply.json()["errors"][0]["type"]) == (413, "payload-too-large")
