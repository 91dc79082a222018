"""The Public API over a large workspace: 10,000 sources, 20,000 destinations, 500 tracking plans of 200 rules, 5,000
users; 100 to 500 requests a second of a mix: 70 % read an object, 15 % a page of a list somewhere, 15 % change
something.

The latency counts from the moment a request was due. Prints one JSON object with --json. The workspace is written to
the database directly, as the handlers write it, and published; what is measured goes through `mainstem serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from instance import TOKEN, WEBHOOKS, Instance
from sqlalchemy import Connection, insert, select

from mainstem import app
from mainstem.public_api import publish
from mainstem.public_api.destinations import destinations
from mainstem.public_api.sources.source import sources, write_keys
from mainstem.public_api.tracking_plans.plans import tracking_plan_rules, tracking_plans
from mainstem.public_api.workspaces import find_first
from mainstem.rest import ids
from mainstem.rest.grants import users
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault

SOURCES, DESTINATIONS, PLANS, RULES, USERS = 10_000, 20_000, 500, 200, 5_000
RATES, SECONDS, CONNECTIONS, PAGE = (100, 200, 300, 400, 500), 20, 32, 50
BOUND_MS = 20
JAVASCRIPT = "IqDTy1TpoU"
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
    "properties": {"properties": {"type": "object", "required": ["order_id"], "properties": {
        "order_id": {"type": "string"}, "total": {"type": "number"}, "currency": {"type": "string"},
    }}},
}  # fmt: skip


class Filled(msgspec.Struct):
    """What there is in the workspace."""

    workspace_id: str
    sources: list[str]
    destinations: list[str]
    plans: list[str]
    users: list[str]


def fill(folder: Path, scale: float = 1.0) -> Filled:
    """Make a data folder with a workspace of this size."""
    folder.mkdir(mode=0o700)
    settings = Settings(data=folder, owner_token=TOKEN)
    vault = open_vault(folder, "")
    app.prepare(settings, vault)
    control = app.open_control(settings)
    with control.transaction(writes=True) as db:
        workspace = find_first(db)
        assert workspace is not None
        filled = _fill(db, vault, workspace.id, scale)
    control.close()
    return filled


def _fill(db: Connection, vault: Vault, workspace_id: str, scale: float) -> Filled:
    now = app.utc_now()
    count = {name: int(scale * number) for name, number in
             (("sources", SOURCES), ("destinations", DESTINATIONS), ("plans", PLANS), ("users", USERS))}  # fmt: skip
    found = Filled(
        workspace_id,
        [ids.base58_id() for _ in range(count["sources"])],
        [ids.hex_id() for _ in range(count["destinations"])],
        ["tp_" + ids.base58_id() for _ in range(count["plans"])],
        [ids.base58_id() for _ in range(count["users"])],
    )
    mine = {"workspace_id": workspace_id}
    moments = {"created_at": now, "updated_at": now}
    planned = dict(zip(found.sources, found.plans, strict=False))
    db.execute(insert(sources), [
        mine | {"id": each, "slug": f"source-{number}", "name": f"Source {number}", "metadata_id": JAVASCRIPT,
                "enabled": True, "settings": vault.seal(b'{"region":"eu"}', each),
                "tracking_plan_id": planned.get(each)}
        for number, each in enumerate(found.sources)
    ])  # fmt: skip
    db.execute(insert(write_keys), [{"write_key": ids.write_key(), "source_id": each} for each in found.sources])
    db.execute(insert(destinations), [
        mine | {"id": each, "source_id": found.sources[number % len(found.sources)], "metadata_id": WEBHOOKS,
                "name": f"Webhook {number}", "enabled": True,
                "settings": vault.seal(b'{"hooks":[{"hook":"https://sink.example/a"}]}', each)}
        for number, each in enumerate(found.destinations)
    ])  # fmt: skip
    db.execute(insert(tracking_plans), [
        mine | moments | {"id": each, "name": f"Plan {number}", "slug": f"plan-{number}", "type": "LIVE"}
        for number, each in enumerate(found.plans)
    ])  # fmt: skip
    text = msgspec.json.encode(SCHEMA).decode()
    for each in found.plans:
        rule = moments | {"plan_id": each, "type": "TRACK", "version": 1.0, "json_schema": text}
        db.execute(insert(tracking_plan_rules), [rule | {"key": f"Event {number}"} for number in range(RULES)])
    db.execute(insert(users), [
        mine | {"id": each, "email": f"user{number}@shop.example", "name": f"User {number}", "is_owner": False,
                "created_at": now}
        for number, each in enumerate(found.users)
    ])  # fmt: skip
    _publish(db, vault, [*found.sources, *planned.values()])
    return found


def _publish(db: Connection, vault: Vault, keys: list[str]) -> None:
    first = 1 + max(db.scalars(select(publish.published.c.version)), default=0)
    rows = []
    for number, key in enumerate(keys):
        body = vault.seal(msgspec.msgpack.encode(publish.config_of(db, vault, key)), key)
        rows.append({"source_id": key, "version": first + number, "body": body})
    db.execute(insert(publish.published), rows)


class Mix:
    """The requests, drawn with a seed: what to send, and what was made and can be deleted."""

    def __init__(self, filled: Filled, host: str) -> None:
        self._filled, self._host = filled, host
        self._random = random.Random(20)
        self._deletable: list[str] = []
        self._made = 0

    def draw(self) -> tuple[str, bytes]:
        """The name and the bytes of a request."""
        share = self._random.random()
        if share < 0.70:
            return "read", self._request("GET", self._object())
        if share < 0.85:
            return "list", self._request("GET", self._page())
        return "write", self._request(*self._change())

    def _object(self) -> str:
        kind = self._random.choice(("sources", "destinations", "tracking-plans", "users"))
        return f"/{kind}/{self._random.choice(self._ids(kind))}"

    def _ids(self, kind: str) -> list[str]:
        filled = self._filled
        named = {"sources": filled.sources, "destinations": filled.destinations, "users": filled.users}
        return named.get(kind, filled.plans)

    def _page(self) -> str:
        kind = self._random.choice(("sources", "destinations", "tracking-plans", "users", "rules"))
        if kind == "rules":
            return page(f"/tracking-plans/{self._random.choice(self._filled.plans)}/rules", self._somewhere(RULES))
        return page(f"/{kind}", self._somewhere(len(self._ids(kind))))

    def _somewhere(self, total: int) -> int:
        return self._random.randrange(max(1, total - PAGE))

    def _change(self) -> tuple[str, str, Any]:
        chance = self._random.random()
        if chance < 0.25 and self._deletable:
            return "DELETE", self._deletable.pop(), None
        self._made += 1
        if chance < 0.4:
            body = {"slug": f"made-{self._made}", "enabled": True, "metadataId": JAVASCRIPT}
            return "POST", "/sources", body
        if chance < 0.5:
            settings = {"hooks": [{"hook": "https://sink.example/b"}]}
            source = self._random.choice(self._filled.sources)
            body = {"sourceId": source, "metadataId": WEBHOOKS, "settings": settings, "name": f"made {self._made}"}
            return "POST", "/destinations", body
        kind = self._random.choice(("sources", "destinations", "tracking-plans"))
        return "PATCH", f"/{kind}/{self._random.choice(self._ids(kind))}", {"name": f"renamed {self._made}"}

    def answered(self, body: bytes) -> None:
        """Note what was made, so that it can be deleted."""
        data = json.loads(body).get("data", {})
        for kind, key in (("sources", "source"), ("destinations", "destination")):
            if key in data and not str(data[key].get("name", "")).startswith("renamed"):
                self._deletable.append(f"/{kind}/{data[key]['id']}")

    def _request(self, method: str, path: str, body: Any = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


def page(path: str, start: int) -> str:
    """The path of a page of a list."""
    cursor = base64.b64encode(str(start).encode()).decode().replace("=", "%3D")
    return f"{path}?pagination.count={PAGE}&pagination.cursor={cursor}"


class Results:
    """What came back: latencies in seconds by kind, and answers by status."""

    def __init__(self) -> None:
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[int] = Counter()

    def figures(self) -> dict[str, Any]:
        """Milliseconds and shares."""
        every = [each for several in self.latencies.values() for each in several]
        total = sum(self.statuses.values())
        kinds = {f"{kind}_p99_ms": quantile(several, 0.99) for kind, several in sorted(self.latencies.items())}
        return {
            "answers": total,
            "p50_ms": quantile(every, 0.5),
            "p99_ms": quantile(every, 0.99),
            **kinds,
            "not_5xx": round(sum(n for status, n in self.statuses.items() if status < 500) / max(1, total), 6),
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
        }


def quantile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return round(sorted(values)[int(len(values) * share)] * 1000, 2) if values else 0.0


async def drive(mix: Mix, host: str, rate: float, seconds: float) -> Results:
    """Send at a rate over connections that stay open, each with one request at a time."""
    results, queue = Results(), asyncio.Queue[tuple[float, str, bytes] | None]()
    name, port = host.split(":")
    workers = [asyncio.create_task(_work(queue, results, mix, name, int(port))) for _ in range(CONNECTIONS)]
    began, due = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + seconds:
        while due < (now - began) * rate:
            queue.put_nowait((began + due / rate, *mix.draw()))
            due += 1
        await asyncio.sleep(0.001)
    for _ in workers:
        queue.put_nowait(None)
    await asyncio.gather(*workers)
    return results


async def _work(
    queue: asyncio.Queue[tuple[float, str, bytes] | None], results: Results, mix: Mix, host: str, port: int
) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**22)
    while (task := await queue.get()) is not None:
        due_at, kind, request = task
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        status = int(head[9:12])
        results.latencies[kind].append(time.perf_counter() - due_at)
        results.statuses[status] += 1
        if request.startswith(b"POST") and status < 300:
            mix.answered(body)
    writer.close()


def page_ratio(running: Instance, path: str, total: int, rounds: int = 60) -> float:
    """The time of the last page over that of the first, taken in turn: the medians' ratio."""
    times: dict[int, list[float]] = {0: [], total - PAGE: []}
    for _ in range(rounds):
        for start, taken in times.items():
            began = time.perf_counter()
            running.call("GET", page(path, start))
            taken.append(time.perf_counter() - began)
    first, last = (sorted(taken)[rounds // 2] for taken in times.values())
    return round(last / first, 2)


def cpu_seconds(pids: list[int]) -> float:
    """Processor time of these processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def main() -> None:
    """Fill, serve, drive, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rate", type=int, nargs="+", default=RATES, help="requests a second, one after the other")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each rate")
    parser.add_argument("--scale", type=float, default=1.0, help="of the workspace")
    parser.add_argument("--workers", type=int, default=1, help="processes of the Public API")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        filled = fill(Path(folder) / "data", options.scale)
        filling = time.monotonic() - began
        running = Instance(Path(folder), "--api-workers", str(options.workers))
        try:
            result = measured(running, filled, options.rate, options.seconds)
        finally:
            running.stop()
    result |= {"api_workers": options.workers, "filled_seconds": round(filling, 1)}
    sys.stdout.write(json.dumps(result) + "\n" if options.json else json.dumps(result, indent=1) + "\n")


def measured(running: Instance, filled: Filled, rates: Sequence[int], seconds: float) -> dict[str, Any]:
    """Everything that the page names. `carried` is the highest rate whose p99 kept to its bound, 0 when none did."""
    mix = Mix(filled, running.api)
    asyncio.run(drive(mix, running.api, min(100, *rates), min(seconds, 3)))  # until everything was called once
    at = {rate: at_rate(running, mix, rate, seconds) for rate in rates}
    return {
        "carried": max((rate for rate, each in at.items() if each["p99_ms"] <= BOUND_MS), default=0),
        "not_5xx": min(each["not_5xx"] for each in at.values()),
        "last_page_over_first_sources": page_ratio(running, "/sources", len(filled.sources)),
        "last_page_over_first_destinations": page_ratio(running, "/destinations", len(filled.destinations)),
        **{f"at_{rate}": each for rate, each in at.items()},
    }


def at_rate(running: Instance, mix: Mix, rate: int, seconds: float) -> dict[str, Any]:
    """What came back at one rate, how many a second were served, and the processor time of one over all processes."""
    pids = running.pids()
    before, began = cpu_seconds(pids), time.monotonic()
    figures = asyncio.run(drive(mix, running.api, rate, seconds)).figures()
    took, used = time.monotonic() - began, cpu_seconds(pids) - before
    return figures | {
        "requests_per_second": round(figures["answers"] / took, 1),
        "server_cpu_ms_per_request": round(1000 * used / max(1, figures["answers"]), 2),
    }


if __name__ == "__main__":
    main()
