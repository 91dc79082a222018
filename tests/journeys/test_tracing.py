"""What `mainstem trace`, `tail` and `replay` promise, at the terminal beside a running server."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.public_api import SHARED_SECRET, Connection, PublicApi, eventually
from journeys.running import MAINSTEM, RunningServer, clean_environment, running_server
from journeys.sink import Sink

OWNER_TOKEN = "tracing-" + "0123456789abcdef" * 4
HTTP_API = "iUM16Md8P2"
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of this module's own."""
    with running_server(tmp_path_factory.mktemp("tracing"), OWNER_TOKEN) as running:
        yield running


@pytest.fixture
def connection(public_api: PublicApi, sink: Sink) -> Connection:
    """An HTTP API source, connected to this test's webhook."""
    return public_api.connect(sink.url, metadata_id=HTTP_API)


def mainstem(server: RunningServer, *arguments: str, code: int = 0) -> str:
    """Run a command on the server's folder and return what it printed."""
    command = [MAINSTEM, *arguments, "--data", str(server.data)]
    ran = subprocess.run(command, env=clean_environment(server.database), capture_output=True, text=True, timeout=120)
    assert ran.returncode == code, ran.stderr + ran.stdout
    return ran.stdout


def track(server: RunningServer, connection: Connection, name: str, **fields: Any) -> str:
    """Send one track call and return its messageId."""
    message_id = f"m-{uuid.uuid4()}"
    event = {"event": name, "userId": "u-1", "messageId": message_id, **fields, "writeKey": connection.write_key}
    assert httpx.post(server.tracking_url + "/v1/track", json=event, timeout=30).status_code == 200
    return message_id


def life(server: RunningServer, message_id: str) -> dict[str, Any]:
    """What `trace --json` tells."""
    found: dict[str, Any] = json.loads(mainstem(server, "trace", message_id, "--json"))
    return found


def settled(server: RunningServer, message_id: str, count: int = 1) -> dict[str, Any]:
    """The life, once so many of its fates are deliveries that arrived."""

    def ask() -> dict[str, Any]:
        command = [MAINSTEM, "trace", message_id, "--json", "--data", str(server.data)]
        ran = subprocess.run(
            command, env=clean_environment(server.database), capture_output=True, text=True, timeout=120
        )
        return dict(json.loads(ran.stdout))

    def arrived(told: dict[str, Any]) -> bool:
        stages = [fate["stage"] for one in told["fates"] for fate in one]
        return stages.count("successful_delivery") >= count

    return eventually(ask, arrived)


def add_filter(public_api: PublicApi, connection: Connection, condition: str, action: dict[str, Any]) -> None:
    """A destination filter on the connection's webhook."""
    body = {
        "sourceId": connection.source_id,
        "title": "A filter",
        "enabled": True,
        "if": condition,
        "actions": [action],
    }
    public_api.post(f"/destination/{connection.destination_id}/filters", body)


def test_a_trace_tells_everything_from_the_call_to_the_answer(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink
) -> None:
    drop = {"type": "DROP_PROPERTIES", "fields": {"properties": ["coupon"]}}
    add_filter(public_api, connection, "type = 'track'", drop)
    sink.answer_next([503])
    message_id = track(server, connection, "Ordered", properties={"coupon": "WELCOME", "total": 5})
    sink.wait_for(1)
    told = settled(server, message_id)
    (one,) = told["passes"]
    assert one["raw"]["properties"] == {"coupon": "WELCOME", "total": 5}
    (normalised,) = one["changes"]
    assert normalised["step"] == "normalize"
    assert normalised["payload"]["channel"] == "server"
    (branch,) = one["branches"].values()
    assert [(each["step"], each["payload"]["properties"]) for each in branch["changes"]] == [
        ("apply_filters", {"total": 5})
    ]
    first, second = branch["tried"]
    assert (first["attempt"][6], first["attempt"][9], first["attempt"][10]) == (1, "", "503")
    assert (second["attempt"][6], second["attempt"][9]) == (2, "successful_delivery")
    assert json.loads(second["exchanges"][0][3])["properties"] == {"total": 5}
    text = mainstem(server, "trace", message_id)
    for expected in (
        f"messageId {message_id}", "- properties.coupon: \"WELCOME\"", "failed (503), again at",
        "delivered, attempt 2", "POST http://127.0.0.1", "apply_filters",
    ):  # fmt: skip
        assert expected in text
    assert "\x1b[" not in text, "no colours where nobody looks"


def test_a_trace_names_the_step_and_the_reason_that_ended_an_event(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink
) -> None:
    add_filter(public_api, connection, "event = 'Unwanted'", {"type": "DROP"})
    dropped = track(server, connection, "Unwanted")
    invalid = track(server, connection, "Ordered", properties=[])
    wanted = track(server, connection, "Wanted")
    settled(server, wanted)
    text = mainstem(server, "trace", dropped)
    assert "filtered at destination, FILTERED_BY_RULES" in text
    assert "by apply_filters" in text
    assert "failed on ingest, properties_not_object" in mainstem(server, "trace", invalid)
    shown = mainstem(server, "trace", "--reason", "FILTERED_BY_RULES", "--destination", connection.destination_id)
    assert dropped in shown
    assert wanted not in shown


def test_what_is_not_known_is_said_to_be_unknown(server: RunningServer, connection: Connection) -> None:
    settled(server, track(server, connection, "Ordered"))
    text = mainstem(server, "trace", "never-sent", code=1)
    assert "Nothing is known of never-sent" in text
    assert "reach back to" in text


def test_planted_secrets_are_neither_in_the_file_nor_in_what_is_told(
    server: RunningServer, connection: Connection
) -> None:
    message_id = track(
        server, connection, "Ordered", properties={"leak": SHARED_SECRET, "name": "Ottokar Przybylski"}
    )
    told = settled(server, message_id)
    exchanges = [each for branch in told["passes"][0]["branches"].values() for tried in branch["tried"]
                 for each in tried["exchanges"]]  # fmt: skip
    assert exchanges
    assert SHARED_SECRET not in json.dumps(exchanges)
    headers = exchanges[0][2]
    assert headers["X-Journey"] == "[hidden]"
    kept = b"".join(each.read_bytes() for each in server.data.glob("traces.db*"))
    for planted in (SHARED_SECRET, "Ottokar", message_id):
        assert planted.encode() not in kept


class Tail:
    """A running `mainstem tail`."""

    def __init__(self, server: RunningServer, *arguments: str) -> None:
        command = [MAINSTEM, "tail", *arguments, "--data", str(server.data)]
        environment = clean_environment({"PYTHONUNBUFFERED": "1", **server.database})
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._told:
                self.lines.append(line.rstrip("\n"))
                self._told.notify_all()

    def wait_for(self, *texts: str) -> str:
        """Return the first line with all these texts."""

        def found() -> str | None:
            return next((line for line in self.lines if all(text in line for text in texts)), None)

        with self._told:
            assert self._told.wait_for(lambda: found() is not None, PATIENCE_SECONDS), self.lines
            line = found()
        assert line is not None
        return line

    def stop(self) -> int:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def follows(tail: Tail, server: RunningServer, connection: Connection) -> None:
    """Return when the tail shows what is sent: what was sent before it looked is not shown."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("Warming up" in line for line in tail.lines):
        assert time.monotonic() < deadline, tail.lines
        track(server, connection, "Warming up")
        time.sleep(0.3)


def test_a_tail_shows_events_live_with_their_fate_over_a_restart_and_ends_at_once(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink
) -> None:
    add_filter(public_api, connection, "event = 'Unwanted'", {"type": "DROP"})
    other = public_api.connect(sink.url, metadata_id=HTTP_API)
    slug = public_api.get(f"/sources/{connection.source_id}")["source"]["slug"]
    tail, objects = Tail(server, "--source", slug), Tail(server, "--json", "--event", "Ordered")
    try:
        follows(tail, server, connection)
        elsewhere = track(server, other, "Ordered")
        message_id = track(server, connection, "Ordered")
        unwanted = track(server, connection, "Unwanted")
        tail.wait_for("Ordered", message_id[:12])
        tail.wait_for("✓", connection.destination_id, "200")
        tail.wait_for("✗", "FILTERED_BY_RULES")
        assert server.stop() == 0
        server.start_again()
        server.wait_until_it_answers()
        again = track(server, connection, "Ordered")
        tail.wait_for(again[:12])
        assert max(map(len, tail.lines)) <= 100
        assert not any(elsewhere[:12] in line for line in tail.lines)
        told = json.loads(objects.wait_for(again, "attempt"))
        assert (told["stage"], told["status"], told["event"]) == ("successful_delivery", 200, "Ordered")
        assert not any(unwanted in line for line in objects.lines)
    finally:
        codes = (tail.stop(), objects.stop())
    assert codes == (0, 0)


def test_a_replay_sends_events_once_more_to_one_destination_and_counts_nothing_as_received(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink
) -> None:
    sent = [track(server, connection, "Ordered", userId=f"u-{number}") for number in range(5)]
    unnamed = {"event": "Ordered", "userId": "u-9", "writeKey": connection.write_key}
    assert httpx.post(server.tracking_url + "/v1/track", json=unnamed, timeout=30).status_code == 200
    first = sink.wait_for(6)
    server_made = ({each.event["messageId"] for each in first} - set(sent)).pop()
    with Sink() as newcomer:
        destination_id = public_api.add_webhook(connection.source_id, newcomer.url)
        printed = mainstem(
            server, "replay", "--from", "1h", "--source", connection.source_id, "--destination", destination_id
        )
        assert "6 events entered" in printed
        again = newcomer.wait_for(6)
    assert sorted(each.event["messageId"] for each in again) == sorted([*sent, server_made])
    assert {json.dumps(each.event["integrations"]) for each in again} == {'{"All": false, "Webhooks": true}'}
    by_id = {each.event["messageId"]: each.event for each in first}
    for each in again:
        before, after = dict(by_id[each.event["messageId"]]), dict(each.event)
        for event in (before, after):
            event.pop("integrations", None)
        assert after == before
    assert len(sink.arrivals()) == 6, "the other destination got nothing"
    public_api.wait_for_count("successfully-received", connection, 6)
    told = settled(server, sent[0], 2)
    assert [each["kind"] for each in told["passes"]] == ["log", "replay"]


def test_a_replay_takes_what_was_asked_for_and_says_what_it_passes_over(
    server: RunningServer, connection: Connection, sink: Sink
) -> None:
    mine = track(server, connection, "Ordered", userId="me")
    track(server, connection, "Ordered", userId="you")
    track(server, connection, "Other", userId="me")
    sink.wait_for(3)
    arguments = ["--from", "1h", "--source", connection.source_id, "--event", "Ordered", "--user", "me"]
    assert "1 event entered" in mainstem(server, "replay", *arguments)
    arrivals = sink.wait_for(4)
    assert [each.event["messageId"] for each in arrivals].count(mine) == 2
    future = ["--from", "2h", "--to", "1h", "--source", connection.source_id]
    assert "0 events entered" in mainstem(server, "replay", *future)
    mainstem(server, "replay", "--from", "yesterday", code=2)
    mainstem(server, "replay", "--from", "1h", "--destination", "no-such", code=2)


def test_a_dry_run_compares_and_changes_nothing(
    server: RunningServer, public_api: PublicApi, connection: Connection, sink: Sink, tmp_path: Path
) -> None:
    ids = [track(server, connection, "Ordered", properties={"total": number, "coupon": "X"}) for number in range(4)]
    sink.wait_for(4)
    files = {
        "filter": {"if": "properties.total >= 2", "actions": [{"type": "DROP"}], "title": "t", "enabled": True},
        "transformation": {"data": {"transformation": {
            "name": "t", "if": "event = 'Ordered'", "enabled": True, "propertyRenames": [],
            "newEventName": "Bought"}}},
        "plan": {"rules": [{"type": "TRACK", "key": "Ordered", "version": 1, "jsonSchema": {
            "type": "object", "properties": {"properties": {"type": "object", "properties": {
                "total": {"type": "integer", "maximum": 0}}}}}}]},
    }  # fmt: skip
    common = ["replay", "--from", "1h", "--source", connection.source_id, "--dry-run", "--json"]
    reports = {}
    for noun, content in files.items():
        path = tmp_path / f"{noun}.json"
        path.write_text(json.dumps(content))
        reports[noun] = json.loads(mainstem(server, *common, f"--{noun}", str(path)))
        assert reports[noun]["events"] == 4
    as_it_is = json.loads(mainstem(server, *common))
    assert (as_it_is["events"], as_it_is["different"]) == (4, 0)
    counts = {each["outcome"]: (each["before"], each["after"]) for each in reports["filter"]["outcomes"]}
    assert counts == {"would be sent": (4, 2), "filtered at destination, FILTERED_BY_RULES": (0, 2)}
    assert {each["messageId"] for each in reports["filter"]["samples"]} == set(ids[2:])
    assert (reports["transformation"]["different"], reports["transformation"]["reformed"]) == (4, 4)
    (change,) = reports["transformation"]["samples"][0]["changes"]
    assert change == {"path": "event", "before": "Ordered", "after": "Bought"}
    assert reports["plan"]["different"] == 3, "what breaks the rule is sent with its violations"
    text = mainstem(server, *common[:-1], "--filter", str(tmp_path / "filter.json"))
    assert "AFTERWARDS" in text
    assert len(sink.arrivals()) == 4, "nothing was sent"
    broken = tmp_path / "broken.json"
    broken.write_text('{"if": "oops(", "actions": []}')
    mainstem(server, *common, "--filter", str(broken), code=2)


def test_an_insert_function_is_tried_dry_in_the_sandbox(
    server: RunningServer, connection: Connection, sink: Sink, tmp_path: Path
) -> None:
    keep = track(server, connection, "Kept")
    track(server, connection, "Thrown")
    sink.wait_for(2)
    path = tmp_path / "function.js"
    path.write_text(
        "async function onTrack(event) { if (event.event === 'Thrown') throw new DropEvent('no');"
        " event.properties = { seen: true }; return event }"
    )
    common = [
        "replay",
        "--from",
        "1h",
        "--source",
        connection.source_id,
        "--dry-run",
        "--json",
        "--function",
        str(path),
    ]
    for more in ([], ["--destination", connection.destination_id]):
        report = json.loads(mainstem(server, *common, *more))
        assert (report["events"], report["different"]) == (2, 2)
        (kept,) = [each for each in report["samples"] if each["messageId"] == keep]
        assert kept["after"] == "would be sent"
        assert any(each["path"].startswith("properties") for each in kept["changes"])
        assert any("dropped" in each["outcome"] and each["after"] == 1 for each in report["outcomes"])
    assert len(sink.arrivals()) == 2
