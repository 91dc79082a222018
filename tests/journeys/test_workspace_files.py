"""Workspaces as files against running servers: reproducible by a seed, pulled over HTTP, kept with Terraform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.furnished import flags
from mainstem.__main__ import main
from serving import OWNER_TOKEN, Served, served

PORTS = ("--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0")
SEEDED = (*PORTS, "--seed", "a", "--clock", "2026-01-01T00:00:00Z", "--clock-fixed", "--rate-limits", "off")
JAVASCRIPT = "iUM16Md8P2"
WEBHOOKS = "54521fdc25e721e32a72ef04"


def send(server: Served, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {OWNER_TOKEN}"}
    reply = httpx.request(method, server.api_url + path, json=body, headers=headers)
    assert reply.status_code < 300, reply.text
    return reply.json()["data"]


def make_some(server: Served) -> dict[str, Any]:
    """A source with a destination; what the API says of the source."""
    made = {"slug": "shop", "enabled": True, "metadataId": JAVASCRIPT}
    source: dict[str, Any] = send(server, "POST", "/sources", made)["source"]
    settings = {"sharedSecret": "planted"}
    body = {"sourceId": source["id"], "metadataId": WEBHOOKS, "settings": settings}
    send(server, "POST", "/destinations", body)
    return source


def export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["workspace", "export", *flags(tmp_path / "data")]) == 0
    return capsys.readouterr().out


def test_two_instances_with_the_same_seed_and_calls_have_the_same_export_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports, sources, times = [], [], []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        with served(folder, *SEEDED) as server:
            sources.append(make_some(server))
            times.append({each["timestamp"] for each in send(server, "GET", "/audit-events")["events"]})
            assert "for tests only" in server.log.read_text()
        exports.append(export(folder, capsys))
    assert exports[0] == exports[1]
    assert sources[0] == sources[1]
    assert times == [{"2026-01-01T00:00:00.000Z"}] * 2
    assert "shop" in exports[0]


def test_what_is_made_after_a_new_start_with_the_same_seed_has_other_ids(tmp_path: Path) -> None:
    with served(tmp_path, *SEEDED) as server:
        first = make_some(server)
    with served(tmp_path, *SEEDED) as server:
        second = send(server, "POST", "/sources", {"slug": "other", "enabled": True, "metadataId": JAVASCRIPT})[
            "source"
        ]
    assert first["id"] != second["id"]
    assert not {*first["writeKeys"]} & {*second["writeKeys"]}


def test_a_workspace_is_pulled_from_another_server_as_it_is_exported_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pulled.json"
    with served(tmp_path, *PORTS) as server:
        make_some(server)
        monkeypatch.setenv("MAINSTEM_PULL_TOKEN", OWNER_TOKEN)
        assert main(["workspace", "pull", "--url", server.api_url, "--out", str(file)]) == 0
        told = capsys.readouterr().err
        monkeypatch.setenv("MAINSTEM_PULL_TOKEN", "wrong")
        assert main(["workspace", "pull", "--url", server.api_url]) == 1
    assert "sources                   1\n" in told
    assert OWNER_TOKEN not in told
    pulled = file.read_text()
    untold = json.loads(pulled)
    assert untold.pop("skipped") == {"schemaControls": "the API does not tell it"}
    assert untold == json.loads(export(tmp_path, capsys))
    assert "planted" not in pulled


def test_sections_that_the_other_server_closes_are_reported_and_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "pulled.json", tmp_path / "data"
    with served(tmp_path, *PORTS) as server:
        make_some(server)
        command = ["token", "create", "--description", "reads", "--access", "member", *flags(folder)]
        assert main(command) == 0
        monkeypatch.setenv("MAINSTEM_PULL_TOKEN", capsys.readouterr().out.strip())
        assert main(["workspace", "pull", "--url", server.api_url, "--out", str(file)]) == 0
    told = capsys.readouterr().err
    assert "users                     skipped\n" in told
    assert "users: skipped, status 403, GET /users: " in told
    assert "users" in json.loads(file.read_text())["skipped"]
    assert main(["workspace", "import", str(file), "--prune", "--plan", *flags(folder)]) == 0
    assert "note: users are not in the file and stay as they are\n" in capsys.readouterr().out
