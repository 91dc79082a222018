"""A real `mainstem serve` for the journeys: started as a user starts it, stopped as an operator stops it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import databases

MAINSTEM = Path(sys.executable).with_name("mainstem")
OWNER_TOKEN_VARIABLE = "MAINSTEM_OWNER_TOKEN"
START_SECONDS = 60
STOP_SECONDS = 60


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment without anybody's own MAINSTEM_ variables, and with `more`. Compiled modules are kept, as
    on a user's machine, whatever this machine is set to: a start takes half the time with them."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**own, **more}


class RunningServer:
    """One `mainstem serve` on free ports of loopback; its output goes to `log`.

    Without a token it starts as for a newcomer, who finds the token in what it prints. `variables` are settings
    beside those that every journey has.
    """

    def __init__(self, folder: Path, token: str = "", variables: Mapping[str, str] | None = None) -> None:
        api, tracking = free_ports(2)
        self.api_url = f"http://127.0.0.1:{api}"
        self.tracking_url = f"http://127.0.0.1:{tracking}"
        self.tracking_host = f"127.0.0.1:{tracking}"
        self.token = token
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self._command = [MAINSTEM, "serve", "--data", self.data, "--api", f"127.0.0.1:{api}"]
        self._command += ["--tracking", f"127.0.0.1:{tracking}", "--allow-private", "127.0.0.0/8,::1/128"]
        self.database = databases.variables_of_first_start(self.data)  # commands on the folder need them too
        self._variables = {
            **({OWNER_TOKEN_VARIABLE: token} if token else {}),
            "MAINSTEM_RATE_LIMITS": "off",
            "MAINSTEM_RETRY_BASE_SECONDS": "0.2",  # the default of 30 s is for partners that are down for longer
            **self.database,
            **(variables or {}),
        }
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                env=clean_environment(self._variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        """Return when both APIs answer a request and it has said where; fail with the log otherwise."""
        deadline = time.monotonic() + START_SECONDS
        for url in (self.api_url, self.tracking_url):
            while not self._answers(url) or url not in self.log_tail():
                assert self._process.poll() is None, f"mainstem serve ended by itself:\n{self.log_tail()}"
                assert time.monotonic() < deadline, f"no answer from {url}:\n{self.log_tail()}"
                time.sleep(0.05)

    def _answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url + "/", timeout=30):
                return True
        except urllib.error.HTTPError as answer:  # 401 of the one, 404 of the other
            answer.close()
            return answer.code < 500
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """False once the supervisor has ended."""
        return self._process.poll() is None

    def processes(self) -> dict[str, int]:
        """Process ids by name, of this start of the server; empty until it has told."""
        try:
            ids: dict[str, int] = json.loads((self.data / "processes.json").read_bytes())
        except FileNotFoundError:
            return {}
        return ids if ids["serve"] == self.pid else {}

    def kill(self) -> None:
        """Kill the supervisor with SIGKILL and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def start_again(self, **variables: str) -> None:
        """Start once more, on the same folder and ports, after `kill` or `stop`; with other settings if given."""
        assert self._process.poll() is not None
        self._variables.update(variables)
        self._process = self._started()

    def stop(self) -> int:
        """Send SIGTERM and return the exit code; a server that does not stop is killed and fails the run."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # the children share the session we made
            self._process.wait()
            raise AssertionError(f"still running {STOP_SECONDS} s after SIGTERM:\n{self.log_tail()}") from None

    def log_tail(self, lines: int = 60) -> str:
        """The last lines that the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running_server(
    folder: Path, token: str = "", variables: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """A server that answers, for as long as the block; SIGTERM then stops it with exit code 0."""
    running = RunningServer(folder, token, variables)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        code = running.stop()
    assert code == 0, f"exit code {code}:\n{running.log_tail()}"
