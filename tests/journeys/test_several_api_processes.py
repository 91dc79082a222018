"""`--api-workers`: several processes of the Public API on one address, which act as one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from journeys.conftest import OWNER_TOKEN
from journeys.running import RunningServer, running_server

PROCESSES = 3
CALLS = 60
AUTHORIZED = {"Authorization": f"Bearer {OWNER_TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {
        "MAINSTEM_API_WORKERS": str(PROCESSES),
        "MAINSTEM_RATE_LIMITS": "on",
        "MAINSTEM_STRICT_WRITE_KEYS": "on",
        "MAINSTEM_DEFAULT_RATE_LIMIT": "100000",
    }
    with running_server(tmp_path_factory.mktemp("several"), OWNER_TOKEN, settings) as running:
        yield running


def call(server: RunningServer, method: str, path: str, body: object = None) -> httpx.Response:
    """A call on a connection of its own, so that any of the processes may get it."""
    return httpx.request(method, server.api_url + path, headers=AUTHORIZED, json=body, timeout=30)


def test_every_process_is_named(server: RunningServer) -> None:
    named = [name for name in server.processes() if name.startswith("public-api")]
    assert named == [f"public-api-{number}" for number in range(PROCESSES)]


def test_calls_count_towards_one_limit_whoever_answers_them(server: RunningServer) -> None:
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: call(server, "GET", "/labels"), range(CALLS)))
    consumed = sorted(int(reply.headers["X-RateLimit-Consumed"]) for reply in replies)
    assert consumed == list(range(1, CALLS + 1))


def test_what_must_be_unique_is_made_once(server: RunningServer) -> None:
    body = {"label": {"key": "several", "value": "one"}}
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: call(server, "POST", "/labels", body).status_code, range(8)))
    assert sorted(statuses) == [201] + [409] * 7


def test_a_write_key_works_from_the_moment_it_was_answered(server: RunningServer) -> None:
    for number in range(10):
        body = {"slug": f"several-{number}", "enabled": True, "metadataId": "iUM16Md8P2"}
        key = call(server, "POST", "/sources", body).json()["data"]["source"]["writeKeys"][0]
        event = {"userId": "u", "event": "E"}
        answer = httpx.post(f"{server.tracking_url}/v1/track", json=event, auth=(key, ""), timeout=30)
        assert answer.status_code == 200
