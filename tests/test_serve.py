"""`mainstem serve` as a process: it supervises, stops in time, and never runs twice on one folder."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from journeys.running import RunningServer
from mainstem.__main__ import main
from serving import OWNER_TOKEN as TOKEN
from serving import make_certificate, served, start, trusting, words_of_start

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
ANY_PORTS = ("--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path, TOKEN)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        running.stop()  # tests kill it


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
    deadline = time.monotonic() + 60
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


def test_a_call_that_is_being_served_is_answered_before_the_end(server: RunningServer) -> None:
    def call() -> httpx.Response:
        return httpx.get(f"{server.api_url}/echo?message=hi&delay=1000", headers=AUTHORIZED)

    with ThreadPoolExecutor(1) as thread, httpx.Client(base_url=server.api_url, headers=AUTHORIZED) as watching:
        waiting, own = thread.submit(call), itertools.count(1)

        def is_counted() -> bool:
            return int(watching.get("/echo?message=x").headers["X-RateLimit-Consumed"]) > next(own)

        wait_for("the call to be counted", is_counted)
        assert server.stop() == 0
        assert waiting.result().json()["data"]["message"] == "hi"


def test_a_body_over_the_limit_is_413(server: RunningServer) -> None:
    headers = AUTHORIZED | {"Content-Type": "application/json"}
    body = b"x" * (50 * 1024 * 1024)
    for content in (body, (body[at : at + 65536] for at in range(0, len(body), 65536))):  # declared, and chunked
        reply = httpx.post(f"{server.api_url}/labels", headers=headers, content=content)
        assert (reply.status_code, reply.json()["errors"][0]["type"]) == (413, "payload-too-large")


@pytest.mark.parametrize("framing", ["Content-Length: 200", "Transfer-Encoding: chunked"])
def test_a_request_whose_connection_breaks_off_is_not_carried_out(server: RunningServer, framing: str) -> None:
    body = b'{"label": {"key": "team", "value": "web"}}'
    head = f"POST /labels HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{framing}\r\n\r\n"
    sent = body if "Length" in framing else b"%x\r\n%s\r\n" % (len(body), body)
    url = httpx.URL(server.api_url)
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(head.encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(1000):
            pass
    labels = httpx.get(f"{server.api_url}/labels", headers=AUTHORIZED).json()["data"]["labels"]
    assert [label["value"] for label in labels] == ["dev", "prod"]


def test_a_second_serve_on_the_same_folder_says_so_and_ends(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--data", str(server.data), *ANY_PORTS]) == 1
    assert f"in use by another mainstem serve (process {server.pid})" in capsys.readouterr().err
    assert httpx.get(server.api_url, headers=AUTHORIZED).status_code == 200


def track(post: Callable[..., httpx.Response], url: str) -> httpx.Response:
    """Send an event under a write key that nobody has."""
    return post(f"{url}/v1/track", auth=("k" * 32, ""), json={"userId": "u", "event": "A"})


def test_a_host_is_a_name_or_an_address_of_either_kind(tmp_path: Path) -> None:
    with served(tmp_path, "--api", "localhost:0", "--tracking", "[::1]:0") as server:
        assert httpx.get(server.api_url, headers=AUTHORIZED).status_code == 200
        assert server.tracking_url.startswith("http://[::1]:")
        assert track(httpx.post, server.tracking_url).status_code == 200


def test_with_a_certificate_both_apis_speak_tls_and_nothing_else_also_beyond_loopback(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    flags = ("--api", "0.0.0.0:0", "--tracking", "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(key))
    with served(tmp_path, *flags) as server:
        server.api_url = server.api_url.replace("https://0.0.0.0", "https://127.0.0.1")
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with httpx.Client(verify=trusting(certificate, newest), headers=AUTHORIZED) as client:
                assert client.get(server.api_url).json()["data"]["workspace"]["name"]
                assert track(client.post, server.tracking_url).status_code == 200
        for url in (server.api_url, server.tracking_url):
            with pytest.raises(httpx.TransportError):
                httpx.get(url.replace("https", "http"))
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                httpx.get(url)


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What `serve` says when it does not start."""
    assert main(["serve", "--data", str(tmp_path / "data"), *flags]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert not (tmp_path / "data" / "processes.json").exists()
    return said.err


def test_without_a_certificate_it_does_not_listen_beyond_loopback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        assert "--tls-cert" in refused(tmp_path, capsys, "--api", address, "--tracking", "127.0.0.1:0")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certificate, (_, key) = make_certificate(tmp_path)[0], make_certificate(other)
    said = refused(tmp_path, capsys, *ANY_PORTS, "--tls-cert", str(certificate), "--tls-key", str(key))
    assert "--tls-key: KEY_VALUES_MISMATCH" in said


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        said = refused(tmp_path, capsys, "--api", "127.0.0.1:0", "--tracking", address)
    assert f"--tracking {address}: Address already in use" in said


def test_one_port_for_both_apis_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
    assert f"--tracking {address}: Address" in refused(tmp_path, capsys, "--api", address, "--tracking", address)


def test_a_part_that_cannot_start_ends_the_start_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "events.bell").write_text("in the way")
    log = tmp_path / "serve.log"
    process = start(tmp_path / "data", *ANY_PORTS, log=log)
    assert "is up" not in words_of_start(process)
    assert process.wait(20) == 1
    assert process.stdout is not None
    process.stdout.close()
    said = log.read_text().splitlines()
    assert said[-1].startswith("mainstem: ")
    assert "cannot start" in said[-1]
    assert children(process.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_stops_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path, *ANY_PORTS) as server:
        os.killpg(server.process.pid, number)
        assert server.process.wait(15) == 0
        assert server.log.read_text() == ""


def test_sigterm_during_the_start_stops_what_was_started(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    process = start(tmp_path / "data", *ANY_PORTS, log=log)
    wait_for("the first child", (tmp_path / "data" / "processes.json").exists)
    process.terminate()
    words_of_start(process)
    assert process.wait(15) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert "killed" not in log.read_text()


def test_sigterm_just_after_every_child_died_is_not_lost_on_the_new_ones(tmp_path: Path) -> None:
    with served(tmp_path, *ANY_PORTS) as server:
        for child in children(server.process.pid):
            os.kill(child, signal.SIGKILL)
        wait_for("a new child", lambda: bool(children(server.process.pid)))
        assert server.stop() == 0
        assert "did not stop in time" not in server.log.read_text()


PRELUDE = """
    import os, signal, sys, threading, time
    from pathlib import Path
    from mainstem import serve
    from mainstem.serve import Part, Supervisor

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    def until_stopped(name):
        def run(stop):
            stop.wait()
            say(name, "stopped")
        return run

    def stop_now():
        os.kill(os.getpid(), signal.SIGTERM)

    def supervise(*parts, answers=lambda: True, announce=stop_now):
        Supervisor(parts, Path(sys.argv[1])).run(answers, announce)
        say("end")
"""


def supervised(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a program around a Supervisor; `tmp_path` is its data folder."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )


def test_parts_stop_wave_by_wave(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        supervise(*(Part(name, wave, until_stopped(name)) for name, wave in [("c", 2), ("a", 0), ("b", 1)]))
        """,
    )
    assert done.stdout.split("\n") == ["a stopped", "b stopped", "c stopped", "end", ""]


def test_no_stop_is_lost_however_soon_it_comes(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        for _ in range(30):
            supervise(*(Part(f"{wave}", wave, until_stopped(wave)) for wave in (0, 0, 1, 2)))
        """,
    )
    assert "killed" not in done.stderr
    assert done.stdout.count("stopped") == 120
    assert done.returncode == 0


def test_a_part_that_does_not_stop_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        serve.STOP_SECONDS = (0.1, 5, 5)
        started = time.monotonic()
        supervise(Part("deaf", 0, lambda stop: time.sleep(60)), Part("b", 1, until_stopped("b")))
        say(time.monotonic() - started < 5)
        """,
    )
    assert done.stdout.split() == ["b", "stopped", "end", "True"]
    assert "deaf did not stop in time and was killed" in done.stderr


def test_the_time_to_stop_is_less_than_10_seconds_in_all() -> None:
    from mainstem.serve import STOP_SECONDS

    assert sum(STOP_SECONDS) < 9.5


def test_a_part_that_ends_again_and_again_before_all_answers_stops_the_rest(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        supervise(Part("good", 0, until_stopped("good")), Part("bad", 1, lambda stop: 1 / 0), answers=lambda: False)
        """,
    )
    assert done.returncode == 1
    assert done.stderr.count("bad failed") == 3
    assert "StartFailed: bad cannot start" in done.stderr
    assert done.stdout.split("\n") == ["good stopped", ""]


def test_a_start_without_an_answer_ends(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        serve.START_SECONDS = 0.1
        supervise(Part("mute", 0, until_stopped("mute")), answers=lambda: False)
        """,
    )
    assert "StartFailed: no answer" in done.stderr
    assert done.stdout.split("\n") == ["mute stopped", ""]


def test_an_announcement_that_fails_leaves_no_child_behind(tmp_path: Path) -> None:
    done = supervised(tmp_path, 'supervise(Part("a", 0, until_stopped("a")), announce=lambda: 1 / 0)')
    assert (done.returncode, done.stdout) == (1, "a stopped\n")


def test_a_child_that_cannot_be_forked_is_tried_again(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        fork, failures = os.fork, [OSError(11, "no memory")]
        def scarce():
            if failures:
                raise failures.pop()
            return fork()
        os.fork = scarce
        supervise(Part("a", 0, until_stopped("a")))
        """,
    )
    assert done.stdout.split("\n") == ["a stopped", "end", ""]


def test_nohup_is_respected(tmp_path: Path) -> None:
    done = supervised(
        tmp_path,
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        def announce():
            os.kill(os.getpid(), signal.SIGHUP)
            say("still here")
            stop_now()
        supervise(Part("a", 0, until_stopped("a")), announce=announce)
        """,
    )
    assert done.stdout.split("\n") == ["still here", "a stopped", "end", ""]
