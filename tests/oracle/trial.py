"""One trial: a real server with a source and four webhooks, load on it, trouble made by a test, and the verdict.

    generator ── /v1/track, /v1/batch ──▶ mainstem serve ──▶ healthy, flaky, hanging, dead

The verdict compares what was acknowledged with what arrived, and both with what the Public API counts.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from journeys.public_api import Connection, PublicApi
from journeys.running import RunningServer
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow
from oracle.comparison import Findings, compare
from oracle.generator import Generator
from oracle.numbered import LEFT_OUT, POISON, Id
from oracle.sink import DEAD, FLAKY, HANGING, HEALTHY, Sink

OWNER_TOKEN = "oracle-" + "0123456789abcdef" * 4
SUPERVISOR = "serve"
SETTINGS = {
    "MAINSTEM_WORKERS": "2",
    "MAINSTEM_DELIVERY_CONCURRENCY": "16",
    "MAINSTEM_RETRY_CAP_SECONDS": "2",
    "MAINSTEM_ARCHIVE_BYTES": "65536",  # forget what is processed as soon as may be
}
DRAIN_SECONDS = 90.0
BACK_SECONDS = 60.0
IN_BUFFER_SECONDS = 1.0  # how long after a kill the sink may still read what was sent before


@dataclass(frozen=True)
class Kill:
    """A SIGKILL to the process `name` at the monotonic time `at`."""

    name: str
    at: float

    @property
    def repeats_deliveries(self) -> bool:
        """True when it ended a delivery worker, whose deliveries in flight go out again."""
        return self.name == SUPERVISOR or self.name.startswith("delivery")


@dataclass
class Trial:
    """What a test needs to make trouble, and to judge. `notes` are shown when it fails."""

    seed: int
    server: RunningServer
    sink: Sink
    generator: Generator
    api: PublicApi
    webhooks: dict[str, Connection]
    kills: list[Kill] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _killed: set[int] = field(default_factory=set)

    def kill(self, name: str) -> None:
        """SIGKILL one process at once; the supervisor, and with it everything, is started again."""
        pid = self.find_process(name)
        self.kills.append(Kill(name, time.monotonic()))
        if name == SUPERVISOR:
            self.server.kill()
            self.server.start_again()
            return
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL the supervisor and wait until its children, which end by themselves, are gone; nothing is
        started again."""
        self.kills.append(Kill(SUPERVISOR, time.monotonic()))
        self.server.kill()
        until("the children end with their supervisor", self._is_folder_free, BACK_SECONDS)

    def find_process(self, name: str) -> int:
        """The process id of a part, once it runs (again)."""
        found: list[int] = []

        def runs() -> bool:
            assert self.server.is_running, f"mainstem serve ended by itself:\n{self.server.log_tail()}"
            pid = self.server.processes().get(name, 0)
            found[:] = [pid]
            return pid > 0 and pid not in self._killed and _is_alive(pid)

        until(f"{name} runs", runs, BACK_SECONDS)
        return found[0]

    def _is_folder_free(self) -> bool:
        """True when no process of the server holds its lock on the folder any more."""
        with (self.server.data / "serve.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def judge(self) -> str:
        """End the load, let the queue drain, compare, and say in one line what came of it."""
        try:
            return self._judge()
        except AssertionError as fault:
            kills = " ".join(f"{each.name}@{each.at - self.kills[0].at:.2f}" for each in self.kills)
            story = [
                str(fault),
                self._closer_look(),
                f"seed {self.seed}; kills: {kills}",
                *self.notes,
                self.server.log_tail(100),
            ]
            raise AssertionError("\n".join(story)) from fault

    def _closer_look(self) -> str:
        healthy = compare(self.generator.acknowledged(), self.sink.arrivals(HEALTHY))
        return f"at the {HEALTHY} webhook\n{healthy}"

    def _ended_load(self) -> list[Id]:
        """End the load; what was acknowledged."""
        self.generator.stop()
        acknowledged = self.generator.acknowledged()
        assert len(acknowledged) == len(set(acknowledged)), "the generator acknowledged an event twice"
        self.server.wait_until_it_answers()
        return acknowledged

    def _judge(self) -> str:
        acknowledged = self._ended_load()
        self._drain()
        kept = [each for each in acknowledged if each.name != LEFT_OUT]
        healthy, flaky = self._compare(HEALTHY, acknowledged), self._compare(FLAKY, kept)
        self._compare_attempts(HANGING, acknowledged)
        self._check_counts(acknowledged)
        worst = max([0, *self._duplicates_by_kill(healthy).values()])
        return (
            f"{len(self.kills)} kills, {len(acknowledged)} events acknowledged, 0 lost, 0 out of order, "
            f"{len(healthy.duplicates)} and {len(flaky.duplicates)} duplicates at two webhooks "
            f"(at most {worst} a kill at one); "
            f"answers {dict(self.generator.statuses.most_common())}"
        )

    def _drain(self) -> None:
        """Wait until the pipeline has read the whole event log, and nothing waits for those who answer."""
        log, flow = SqliteEventLog(self.server.data / "events.db"), SqliteFlow(self.server.data)
        try:
            until("the pipeline is through", lambda: flow.pipeline.position() >= log.newest())
        finally:
            flow.close()
            log.close()
        for webhook in (HEALTHY, FLAKY):
            until(f"nothing waits for {webhook}", lambda each=webhook: not self._waiting(each))

    def _compare(self, webhook: str, expected: Collection[Id]) -> Findings:
        findings = compare(expected, self.sink.arrivals(webhook))
        assert findings.is_flawless, f"at the {webhook} webhook\n{findings}"
        self._duplicates_by_kill(findings)
        return findings

    def _compare_attempts(self, webhook: str, expected: Collection[Id]) -> None:
        """At a webhook that takes nothing: only a user's first event is ever tried."""
        tried = self.sink.arrivals(webhook)
        assert tried, f"nothing was tried at the {webhook} webhook"
        assert {each.id for each in tried} <= {each for each in expected if each.number == 0}

    def _duplicates_by_kill(self, findings: Findings) -> Counter[Kill]:
        """Each duplicate goes to the last kill that can have caused it; one without a cause is a fault."""
        causes: Counter[Kill] = Counter()
        repeating = [each for each in self.kills if each.repeats_deliveries]
        for again in findings.duplicates:
            possible = [each for each in repeating if again.first_at - IN_BUFFER_SECONDS < each.at < again.again_at]
            assert possible, f"{again} arrived twice although no delivery worker was killed in between\n{findings}"
            causes[possible[-1]] += 1
        return causes

    def _check_counts(self, acknowledged: Collection[Id]) -> None:
        """The Public API counts each event once, whatever was sent twice, and its sums agree exactly."""
        names = Counter(each.name for each in acknowledged)
        received = self._total("successfully-received", HEALTHY)
        assert received == len(acknowledged)
        for webhook in self.webhooks:
            filtered, delivered, failed = (
                self._total(stage, webhook)
                for stage in ("filtered-at-destination", "successful-delivery", "failed-delivery")
            )
            in_flight = sum(self._waiting(webhook).values())
            shown = f"{webhook}: {filtered} filtered, {delivered} delivered, {failed} failed, {in_flight} in flight"
            assert received == filtered + delivered + failed + in_flight, f"{received} received, but {shown}"
            takes = webhook in {HEALTHY, FLAKY}
            assert filtered == (names[LEFT_OUT] if webhook == FLAKY else 0), shown
            assert failed == (names[POISON] if takes else 0), shown
            assert takes or delivered == 0, shown
        for webhook in (HEALTHY, FLAKY):
            failed_for = self._overview("failed-delivery", self.webhooks[webhook], groupBy="discardReason")["dataset"]
            assert [(each["discardReason"], each["total"]) for each in failed_for] == [("400", names[POISON])]

    def _waiting(self, webhook: str) -> dict[str, int]:
        flow = SqliteFlow(self.server.data)
        try:
            return dict(flow.outcomes.waiting(self.webhooks[webhook].destination_id))
        finally:
            flow.close()

    def _total(self, stage: str, webhook: str) -> int:
        total: int = self._overview(stage, self.webhooks[webhook])["total"]
        return total

    def _overview(self, stage: str, connection: Connection, **parameters: str) -> dict[str, Any]:
        return self.api.delivery_overview(stage, connection, **parameters)


@contextmanager
def trial(folder: Path, seed: int, *, clients: int = 5, pause_seconds: float = 0.12) -> Iterator[Trial]:
    """Start everything in `folder`, with load until the trial is judged; at the end SIGTERM must stop it."""
    server = RunningServer(folder, OWNER_TOKEN, SETTINGS)
    try:
        server.wait_until_it_answers()
        with Sink(seed) as sink, PublicApi(server.api_url, server.token) as api:
            webhooks = _connect(api, sink)
            write_key = webhooks[HEALTHY].write_key
            load = Generator(server.tracking_url, write_key, clients=clients, pause_seconds=pause_seconds, seed=seed)
            with load:
                yield Trial(seed, server, sink, load, api, webhooks)
    finally:
        code = server.stop()
    assert code == 0, f"exit code {code}:\n{server.log_tail()}"


def _connect(api: PublicApi, sink: Sink) -> dict[str, Connection]:
    """One source and its four webhooks; a filter keeps what is to be left out from the flaky one."""
    webhooks = {HEALTHY: api.connect(sink.url(HEALTHY))}
    source_id, write_key = webhooks[HEALTHY].source_id, webhooks[HEALTHY].write_key
    for name in (FLAKY, HANGING, DEAD):
        webhooks[name] = Connection(source_id, write_key, api.add_webhook(source_id, sink.url(name)))
    api.post(
        f"/destination/{webhooks[FLAKY].destination_id}/filters",
        {
            "sourceId": source_id,
            "if": f'event = "{LEFT_OUT}"',
            "actions": [{"type": "DROP"}],
            "title": "Leave some out",
            "enabled": True,
        },
    )
    return webhooks


def until(what: str, met: Callable[[], bool], seconds: float = DRAIN_SECONDS) -> None:
    """Ask again and again until it is so; fail when it is not within `seconds`, which is far more than enough."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"not so after {seconds} s: {what}"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
