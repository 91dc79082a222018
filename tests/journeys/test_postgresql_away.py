"""A server whose PostgreSQL goes away and comes back: what is answered meanwhile, and that nothing is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

import databases
from journeys.conftest import OWNER_TOKEN
from journeys.public_api import PublicApi, eventually
from journeys.running import RunningServer, running_server
from journeys.sink import Sink

pytestmark = pytest.mark.postgres
UNKNOWN = "a-key-that-nobody-knows-of"


class Line:
    """A line to a server on loopback, which can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and end those that are there."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        """Take connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with one, suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    info = conninfo_to_dict(databases.server().url(tmp_path, is_empty=True))
    made = Line(int(info["port"]))
    yield made
    made.cut()


@pytest.fixture
def server(tmp_path: Path, line: Line) -> Iterator[RunningServer]:
    url = databases.server().url(tmp_path)
    port = conninfo_to_dict(url)["port"]
    with running_server(
        tmp_path,
        OWNER_TOKEN,
        {"MAINSTEM_DATABASE": url.replace(f":{port}/", f":{line.port}/"), "MAINSTEM_STRICT_WRITE_KEYS": "on"},
    ) as running:
        yield running


def track(server: RunningServer, write_key: str, name: str) -> int:
    """The status that a track call is answered with."""
    event = {"userId": "u", "event": name}
    return httpx.post(f"{server.tracking_url}/v1/track", json=event, auth=(write_key, ""), timeout=30).status_code


def labels(server: RunningServer) -> int:
    """The status of a call of the Public API."""
    headers = {"Authorization": f"Bearer {OWNER_TOKEN}"}
    return httpx.get(f"{server.api_url}/labels", headers=headers, timeout=30).status_code


def test_events_of_known_keys_are_accepted_and_delivered_when_it_is_back(
    server: RunningServer, line: Line, sink: Sink
) -> None:
    with PublicApi(server.api_url, OWNER_TOKEN) as api:
        write_key = api.connect(sink.url).write_key
    assert track(server, write_key, "before") == 200
    sink.wait_for(1)
    line.cut()
    assert labels(server) == 503
    assert track(server, write_key, "meanwhile") == 200
    assert track(server, UNKNOWN, "lost") == 503
    line.mend()
    assert [each.event["event"] for each in sink.wait_for(2)] == ["before", "meanwhile"]
    assert eventually(lambda: labels(server), lambda status: status == 200)
    assert eventually(lambda: track(server, UNKNOWN, "lost"), lambda status: status == 401)
    assert server.processes()["serve"] == server.pid
