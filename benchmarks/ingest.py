"""How many events a second one core takes in, each on disk before its answer.

    python benchmarks/ingest.py [--json] [--rounds N] [--seconds N] [--connections N]

The Tracking API runs alone on one core, as `mainstem serve` runs it; the load comes from another core: from
wrk where it is installed, else from benchmarks/load.py, which is slower itself. In the same round nginx, on the
same core, answers a constant to the same requests: figures are shares of that. Every event differs. Latency is
measured at half of the highest rate, from the moment a request was due. Medians of the rounds, with their range.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

WRITE_KEY = "WriteKeyOfTheSourceOfTheBenchmark"
BATCHES = {1: "/v1/track", 10: "/v1/batch", 100: "/v1/batch"}
VARIANTS = {1: 2000, 10: 200, 100: 40}
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
AUTHORIZATION = "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
WRK_SCRIPT = """
local requests, number = {}, 0
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = os.getenv("AUTHORIZATION")
function init()
  for line in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format("POST", nil, nil, line)
  end
end
function request()
  number = number % #requests + 1
  return requests[number]
end
"""
NGINX_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 1m; client_body_temp_path {folder}/body;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 "ok"; }} }}
}}
"""


def serve(folder: str, port: str) -> None:
    """Be the process of the Tracking API, with one source, until SIGTERM."""
    import msgspec
    from sqlalchemy import text

    from mainstem import app
    from mainstem.engines.sqlite_control import SqliteControl
    from mainstem.model.snapshot import SourceConfig
    from mainstem.settings import Address, Settings
    from mainstem.vault import open_vault

    settings = Settings(data=Path(folder))
    vault = open_vault(settings.data, "")
    app.prepare(settings, vault)
    source = SourceConfig("source", "w", "s", "s", "m", "server", enabled=True, write_keys=(WRITE_KEY,), settings={})
    body = vault.seal(msgspec.msgpack.encode(source), "source")
    control = SqliteControl(settings.data)
    with control.transaction(writes=True) as db:
        db.execute(text("INSERT INTO published VALUES ('source', 1, :body)"), {"body": body})
    control.close()
    app.open_flow(settings).close()
    app.run_tracking_api(settings, Address("127.0.0.1", int(port)), vault, threading.Event())


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started meanwhile stay on this core."""
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


@contextlib.contextmanager
def running(command: Sequence[str], port: int) -> Iterator[int]:
    """A server on the server's core, from when it listens until it is stopped; gives its process id."""
    with on_core(SERVER_CORE):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended by itself")
            time.sleep(0.01)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextlib.contextmanager
def tracking_api(folder: Path) -> Iterator[tuple[str, int]]:
    """The server that is measured: its URL and process id."""
    port = free_port()
    with running([sys.executable, __file__, "--serve", str(folder), str(port)], port) as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """The server to compare with: its URL."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION.format(folder=folder, port=port), encoding="utf-8")
    with running(["nginx", "-c", str(configuration)], port):
        yield f"http://127.0.0.1:{port}"


def event(numbers: random.Random) -> dict[str, Any]:
    """A track call of about 800 bytes."""
    products = [
        {"sku": f"sku-{numbers.randrange(9999)}", "price": round(numbers.random() * 99, 2), "quantity": 1}
        for _ in range(2)
    ]
    path = f"/products/{numbers.randrange(5000)}"
    return {
        "type": "track",
        "event": numbers.choice(["Order Completed", "Product Viewed", "Cart Updated", "Signed Up"]),
        "userId": f"user-{numbers.randrange(10**6)}",
        "anonymousId": str(uuid.UUID(int=numbers.getrandbits(128))),
        "messageId": f"node-next-{numbers.randrange(10**13)}-{uuid.UUID(int=numbers.getrandbits(128))}",
        "timestamp": f"2026-05-04T{numbers.randrange(24):02}:{numbers.randrange(60):02}:00.000Z",
        "properties": {"orderId": f"o-{numbers.randrange(10**7)}", "currency": "USD", "products": products},
        "context": {
            "library": {"name": "@segment/analytics-node", "version": "2.1.0"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126 Safari/537.36",
            "timezone": "Europe/Berlin",
            "locale": numbers.choice(["en-US", "de-DE", "fr-FR"]),
            "page": {"path": path, "title": "Products", "url": f"https://shop.example{path}"},
        },
        "integrations": {"All": True},
    }


def write_bodies(folder: Path) -> dict[int, Path]:
    """A file of bodies for each size of batch."""
    numbers = random.Random(7)
    files = {}
    for batch in BATCHES:
        items = ([event(numbers) for _ in range(batch)] for _ in range(VARIANTS[batch]))
        bodies = (each[0] if batch == 1 else {"batch": each, "sentAt": "2026-05-04T12:00:00Z"} for each in items)
        files[batch] = folder / f"bodies-{batch}"
        files[batch].write_text("".join(json.dumps(each) + "\n" for each in bodies), encoding="utf-8")
    return files


def generate(command: Sequence[str], **environment: str) -> str:
    """Run a load generator on its core; returns what it printed."""
    with on_core(LOAD_CORE):
        return subprocess.run(
            command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout


def paced(url: str, bodies: Path, options: argparse.Namespace, rate: float) -> dict[str, float]:
    """Send at a rate, 0 for the highest; returns what benchmarks/load.py prints."""
    load = [sys.executable, str(Path(__file__).with_name("load.py")), url, str(bodies), str(options.seconds)]
    printed = generate([*load, str(options.connections), str(rate), AUTHORIZATION])
    result: dict[str, float] = json.loads(printed)
    if result["refused"]:
        raise RuntimeError(f"{result['refused']:.0f} requests were refused")
    return result


def highest_rate(url: str, bodies: Path, options: argparse.Namespace) -> float:
    """Requests a second, as many as go."""
    if options.generator == "load.py":
        return paced(url, bodies, options, 0)["requests_per_second"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT)
        script.flush()
        wrk = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "-s", script.name, url]
        printed = generate(wrk, BODIES=str(bodies), AUTHORIZATION=AUTHORIZATION)
    if "Non-2xx" in printed:
        raise RuntimeError(printed)
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found, printed
    return float(found[1])


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_round(folder: Path, files: dict[int, Path], options: argparse.Namespace) -> dict[str, float]:
    """One round: nginx, then each size of batch at its highest rate and at half of it."""
    figures: dict[str, float] = {}
    if shutil.which("nginx"):
        with nginx(folder / "nginx") as url:
            figures["nginx_requests_per_second"] = highest_rate(url + "/v1/track", files[1], options)
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    with tracking_api(data) as (url, pid):
        for batch, path in BATCHES.items():
            figures |= measure_batch(url + path, pid, batch, files[batch], options)
    figures["disk_bytes_per_payload_byte"] = disk_share(data)
    return figures


def measure_batch(url: str, pid: int, batch: int, bodies: Path, options: argparse.Namespace) -> dict[str, float]:
    """The figures of one size of batch."""
    before = cpu_seconds(pid)
    rate = highest_rate(url, bodies, options)
    spent = cpu_seconds(pid) - before
    half = paced(url, bodies, options, rate / 2)
    return {
        f"batch_{batch}_requests_per_second": rate,
        f"batch_{batch}_events_per_second": rate * batch,
        f"batch_{batch}_cpu_us_per_event": spent / (rate * batch * options.seconds) * 1e6,
        f"batch_{batch}_events_per_cpu_second": rate * batch * options.seconds / spent,
        f"batch_{batch}_p50_ms_at_half": half["p50_ms"],
        f"batch_{batch}_p99_ms_at_half": half["p99_ms"],
    }


def disk_share(data: Path) -> float:
    """Bytes of the event log, its write-ahead log included, by bytes of the requests in it."""
    import sqlite3

    stored = sum(each.stat().st_size for each in data.glob("events.db*"))
    with contextlib.closing(sqlite3.connect(data / "events.db")) as log:
        received = log.execute("SELECT sum(bytes) FROM blocks").fetchone()[0]
    return float(stored / received)


def summarise(rounds: list[dict[str, float]], options: argparse.Namespace) -> dict[str, Any]:
    """Medians, ranges, and the share of nginx's rate."""
    for figures in rounds:
        if "nginx_requests_per_second" in figures:
            share = figures["batch_1_requests_per_second"] / figures["nginx_requests_per_second"]
            figures["batch_1_share_of_nginx"] = share
    columns = {name: [figures[name] for figures in rounds] for name in rounds[0]}
    result: dict[str, Any] = {"generator": options.generator, "rounds": len(rounds), "seconds": options.seconds}
    result |= {name: float(f"{statistics.median(column):.4g}") for name, column in columns.items()}
    result["range"] = {
        name: [float(f"{edge(column):.4g}") for edge in (min, max)] for name, column in columns.items()
    }
    return result


def main() -> None:
    """Run and print."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    wrk = "wrk" if shutil.which("wrk") else "load.py"
    parser.add_argument("--generator", choices=["wrk", "load.py"], default=wrk)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_bodies(folder)
        result = summarise([measure_round(folder, files, options) for _ in range(options.rounds)], options)
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    for key, value in result.items():
        if key != "range":
            edges = result["range"].get(key)
            sys.stdout.write(f"{key:36} {value!s:>10}" + (f"   {edges[0]} to {edges[1]}\n" if edges else "\n"))


if __name__ == "__main__":
    main()
