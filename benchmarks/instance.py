"""A real `mainstem serve` for the benchmarks: started in a fresh folder, configured through its API, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAINSTEM = Path(sys.executable).with_name("mainstem")
TOKEN = "owner-token-of-the-benchmarks"
WEBHOOKS = "54521fdc25e721e32a72ef04"
HTTP_API = "iUM16Md8P2"


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Instance:
    """A running server; `started_seconds` is the time from the command to the first answer."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.api, self.tracking = (f"127.0.0.1:{free_port()}" for _ in range(2))
        command = [str(MAINSTEM), "serve", "--data", str(folder / "data"), "--api", self.api]
        command += ["--tracking", self.tracking, "--allow-private", "127.0.0.0/8", *flags]
        environment = os.environ | {"MAINSTEM_OWNER_TOKEN": TOKEN, "MAINSTEM_RATE_LIMITS": "off"}
        began = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while not self._answers():
            time.sleep(0.005)
        self.started_seconds = time.perf_counter() - began

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("mainstem serve ended by itself")
        try:
            self.call("GET", "/")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def call(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        """One call of the Public API; returns `data`."""
        request = urllib.request.Request(
            f"http://{self.api}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Accept": accept},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)["data"]

    def source(self, slug: str, *hooks: str) -> tuple[str, str]:
        """A source with a webhook destination for each of `hooks`; returns its id and write key."""
        source = self.call("POST", "/sources", {"slug": slug, "enabled": True, "metadataId": HTTP_API})["source"]
        for number, hook in enumerate(hooks):
            settings = {"hooks": [{"hook": hook}]}
            body = {"sourceId": source["id"], "metadataId": WEBHOOKS, "settings": settings, "name": f"hook {number}"}
            self.call("POST", "/destinations", body)
        return source["id"], source["writeKeys"][0]

    def pids(self) -> list[int]:
        """The supervisor and its children."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        rows = [tuple(map(int, line.split())) for line in table.splitlines()]
        return [self.process.pid, *(pid for pid, parent in rows if parent == self.process.pid)]

    def stop(self) -> None:
        """Stop it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


@contextlib.contextmanager
def instance() -> Iterator[Instance]:
    """A server in a folder that goes with it."""
    with tempfile.TemporaryDirectory() as folder:
        running = Instance(Path(folder))
        try:
            yield running
        finally:
            running.stop()
