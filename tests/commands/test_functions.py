"""`mainstem function list|test|logs`: what they print, and their exit codes."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import databases
from mainstem.__main__ import main
from mainstem.commands import functions
from mainstem.engines.sqlite_function_log import SqliteFunctionLog
from mainstem.model.ports import FunctionLogEntry
from mainstem.settings import Settings
from public_api.client import Api
from public_api.functions.making import new_function, setting

KEY = base64.b64encode(b"k" * 32).decode()  # of the vault that Api has
TRACK = {"type": "track", "event": "Bought", "properties": {"price": 2}}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A data folder to which commands go, and the Public API on it."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"MAINSTEM_{name.upper()}", raising=False)
    monkeypatch.setenv("MAINSTEM_SECRET_KEY", KEY)
    monkeypatch.setenv("MAINSTEM_DATA", str(tmp_path))
    databases.set_variables(tmp_path, monkeypatch)
    instance = Api(tmp_path)
    yield instance
    instance.database.close()


@pytest.fixture
def log(api: Api, tmp_path: Path) -> Iterator[SqliteFunctionLog]:
    opened = SqliteFunctionLog(tmp_path, api.vault)
    yield opened
    opened.close()


def event_file(folder: Path, value: Any) -> str:
    """A file that holds this as JSON."""
    path = folder / "event.json"
    path.write_text(json.dumps(value))
    return str(path)


def fields(text: str) -> dict[str, str]:
    """What `test` printed, by name; console lines are gathered under one."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        name = line[:10].strip() or name
        found[name] = f"{found[name]}\n{line[10:]}" if name in found else line[10:]
    return found


class TestList:
    def test_functions_are_listed_with_what_runs(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        made = [new_function(api, kind) for kind in ("SOURCE", "DESTINATION")]
        assert main(["function", "list"]) == 0
        _, *lines = capsys.readouterr().out.splitlines()
        assert [line.split() for line in lines] == [
            [made[0]["id"], "SOURCE", "never", "no", "F"],
            [made[1]["id"], "DESTINATION", made[1]["deployedAt"], "yes", "F"],
        ]


class TestTest:
    def run(
        self, api: Api, capsys: pytest.CaptureFixture[str], code: str, event: Any, *more: str, **options: Any
    ) -> tuple[int, dict[str, str]]:
        """The exit code of `test` on a new function, and what it printed."""
        kind = options.pop("kind", "DESTINATION")
        function = new_function(api, kind, code=code, **options)
        file = event_file(api.folder, event)
        status = main(["function", "test", function["id"], "--event", file, *more])
        return status, fields(capsys.readouterr().out)

    def test_the_handler_of_the_events_type_runs(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        code = "async function onTrack(event) { console.log('got', event.event); return event.properties }"
        status, shown = self.run(api, capsys, code, TRACK)
        assert status == 0
        assert (shown["handler"], shown["ended"], shown["outcome"]) == ("onTrack", "returned", "done")
        assert json.loads(shown["returned"]) == {"price": 2}
        assert shown["console"] == "got Bought"
        assert shown["took"].endswith(" ms")

    def test_an_array_is_a_batch(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        code = "async function onBatch(events) { return events.map(each => ({status: 200})) }"
        status, shown = self.run(api, capsys, code, [TRACK, TRACK])
        assert (status, shown["handler"]) == (0, "onBatch")
        assert json.loads(shown["returned"]) == [{"status": 200}] * 2
        status, shown = self.run(api, capsys, "async function onTrack() {}", [TRACK])
        assert status == 1
        assert "each event goes to the handler of its type" in shown["outcome"]

    def test_a_source_function_gets_the_file_as_the_body_of_a_request(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = "async function onRequest(request) { Segment.track({event: request.json().name, userId: 'u'}) }"
        status, shown = self.run(api, capsys, code, {"name": "Paid"}, kind="SOURCE")
        assert (status, shown["outcome"], shown["returned"]) == (0, "done", "nothing")
        assert json.loads(shown["emitted"]) == {"type": "track", "event": "Paid", "userId": "u"}

    @pytest.mark.parametrize(
        ("code", "kind", "outcome"),
        [
            ("async function onTrack() { throw new Error('x') }", "DESTINATION", "discarded (bad_request)"),
            ("async function onTrack() { throw new RetryError('x') }", "DESTINATION", "tried again (retry)"),
            ("async function onTrack() { throw new DropEvent('x') }", "INSERT_SOURCE", "discarded (dropped)"),
            ("async function onPage() {}", "INSERT_SOURCE", "discarded (unsupported_event_type)"),
            ("throw new Error('x')", "DESTINATION", "discarded (invalid_settings)"),
        ],
    )
    def test_what_failed_says_what_becomes_of_the_event(
        self, api: Api, capsys: pytest.CaptureFixture[str], code: str, kind: str, outcome: str
    ) -> None:
        status, shown = self.run(api, capsys, code, TRACK, kind=kind)
        assert (status, shown["outcome"]) == (1, outcome)

    def test_an_insert_function_that_returns_nothing_drops_the_event(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, shown = self.run(api, capsys, "async function onTrack() {}", TRACK, kind="INSERT_DESTINATION")
        assert shown["outcome"] == "dropped"
        code = "async function onTrack(event) { return event }"
        _, shown = self.run(api, capsys, code, TRACK, kind="INSERT_DESTINATION")
        assert shown["outcome"] == "goes on as returned"

    def test_settings_are_given_by_name_in_their_types(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        definitions = [setting("key", required=True), setting("on", type="BOOLEAN"), setting("l", type="ARRAY")]
        code = "async function onTrack(event, settings) { return settings }"
        given = ("--setting", "key=a=b", "--setting", "on=true", "--setting", 'l=["x"]')
        status, shown = self.run(api, capsys, code, TRACK, *given, settings=definitions)
        assert status == 0
        assert json.loads(shown["returned"]) == {"key": "a=b", "on": True, "l": ["x"]}
        for bad in ((), ("--setting", "key=a", "--setting", "x=1"), ("--setting", "key=a", "--setting", "on=maybe")):
            status, _ = self.run(api, capsys, code, TRACK, *bad, settings=definitions)
            assert status == 2

    def test_the_newest_code_runs_deployed_or_not_and_its_cache_is_empty(
        self, api: Api, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        function = new_function(api, "SOURCE", code="async function onRequest() { return 'old' }")
        code = "let n = 0; async function onRequest() { return ++n + await cache.load('k', -1, async () => n) }"
        api.patch(f"/functions/{function['id']}", {"code": code})
        for _ in range(2):
            assert main(["function", "test", function["id"], "--event", event_file(tmp_path, {})]) == 0
            assert fields(capsys.readouterr().out)["returned"] == "2"

    def test_the_event_may_come_from_standard_input_to_a_handler_of_choice(
        self, api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        function = new_function(api, code="async function onDelete(event) { return event.userId }")
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"userId": "u"}')))
        assert main(["function", "test", function["id"], "--event", "-", "--handler", "onDelete"]) == 0
        assert fields(capsys.readouterr().out)["returned"] == '"u"'

    def test_what_makes_no_sense_is_said_in_a_line(
        self, api: Api, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        function = new_function(api)
        untyped, broken = event_file(tmp_path, {}), tmp_path / "broken"
        broken.write_text("{")
        for status, arguments, message in (
            (2, [function["id"], "--event", untyped], "the event has no type"),
            (2, [function["id"], "--event", untyped, "--handler", "onX"], "there is no handler onX"),
            (2, [function["id"], "--event", str(broken)], "the event is not JSON"),
            (1, ["none", "--event", untyped], "there is no function with id none"),
            (1, [function["id"], "--event", str(tmp_path / "nothing")], "No such file"),
        ):
            assert main(["function", "test", *arguments]) == status
            (line,) = capsys.readouterr().err.splitlines()
            assert message in line

    def test_what_a_function_prints_does_not_steer_the_terminal(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = "async function onTrack() { console.log('\\u001b[2Jx'); throw new Error('\\u001b[31m') }"
        _, shown = self.run(api, capsys, code, TRACK)
        assert "\x1b" not in str(shown)
        assert shown["console"] == "\\x1b[2Jx"


class TestLogs:
    def entry(self, function_id: str, **more: Any) -> FunctionLogEntry:
        values: dict[str, Any] = {
            "at_ms": 1_773_144_000_123, "function_id": function_id, "version": "v1", "instance_id": "i1",
            "message_id": "m1", "handler": "onTrack", "how": "thrown", "error": "Error", "message": "no\nway",
            "logs": ("a line",), "milliseconds": 3.25,
        }  # fmt: skip
        return FunctionLogEntry(**values | more)

    def test_what_is_kept_is_shown_oldest_first(
        self, api: Api, log: SqliteFunctionLog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        function = new_function(api)
        returned = {"how": "returned", "error": "", "message": "", "logs": ("\x1b[2J",), "message_id": ""}
        log.append([self.entry(function["id"])])
        log.append([self.entry(function["id"], **returned), self.entry("dfn_other")])
        assert main(["function", "logs", function["id"]]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "2026-03-10T12:00:00.123Z  onTrack  thrown  3.2 ms  message m1  instance i1  version v1",
            "    Error: no",
            "    way",
            "    a line",
            "2026-03-10T12:00:00.123Z  onTrack  returned  3.2 ms  instance i1  version v1",
            "    \\x1b[2J",
        ]

    def test_following_goes_on_with_what_comes(
        self, api: Api, log: SqliteFunctionLog, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        function = new_function(api)
        waits = 0

        def wait() -> None:
            nonlocal waits
            waits += 1
            if waits == 3:
                raise KeyboardInterrupt
            log.append([self.entry(function["id"], message=f"number {waits}")])

        settings = databases.settings(tmp_path, secret_key=KEY)
        with pytest.raises(KeyboardInterrupt):
            functions.logs(settings, function["id"], follow=True, wait=wait)
        shown = capsys.readouterr().out
        assert [line for line in shown.splitlines() if "number" in line] == [
            "    Error: number 1",
            "    Error: number 2",
        ]

    def test_a_function_without_entries_shows_none_and_an_unknown_one_is_said(
        self, api: Api, log: SqliteFunctionLog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["function", "logs", new_function(api)["id"]]) == 0
        assert capsys.readouterr().out == ""
        assert main(["function", "logs", "dfn_none"]) == 1
        assert "no function with id dfn_none" in capsys.readouterr().err

    def test_the_log_of_a_deleted_function_can_still_be_read(
        self, api: Api, log: SqliteFunctionLog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        function = new_function(api)
        log.append([self.entry(function["id"])])
        api.delete(f"/functions/{function['id']}")
        assert main(["function", "logs", function["id"]]) == 0
        assert "Error: no" in capsys.readouterr().out
