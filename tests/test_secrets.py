"""What was secret stays so: after a whole journey no secret lies on the disk or in the log in plain text."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.running import RunningServer
from journeys.sink import Sink
from mainstem.__main__ import main

OWNER = "planted-owner-token-5f1d6a"
SHARED_SECRET = "planted-shared-secret-90b3"
HEADER = "planted-hook-header-c27e41"
UNKNOWN_TOKEN = "planted-unknown-token-77aa"
WEBHOOKS, HTTP_API = "54521fdc25e721e32a72ef04", "iUM16Md8P2"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path, OWNER)
    try:
        running.wait_until_it_answers()
        yield running
    finally:
        running.stop()


def settings(url: str) -> dict[str, Any]:
    authorization = {"key": "Authorization", "value": f"Bearer {HEADER}"}
    return {"sharedSecret": SHARED_SECRET, "hooks": [{"hook": url, "headers": [authorization]}]}


def connected(api: httpx.Client, url: str) -> str:
    """The write key of a new source with a webhook."""
    source = api.post("/sources", json={"slug": "shop", "enabled": True, "metadataId": HTTP_API}).json()["data"][
        "source"
    ]
    body = {"sourceId": source["id"], "metadataId": WEBHOOKS, "enabled": True, "settings": settings(url)}
    destination = api.post("/destinations", json=body).json()["data"]["destination"]
    assert SHARED_SECRET not in str(destination)
    key: str = source["writeKeys"][0]
    return key


def make_everything_fail_once(api: httpx.Client) -> None:
    """Refusals of every kind, each with a secret in the request."""
    for status, route, body in (
        (401, "GET /sources", None),
        (422, "POST /destinations", {"settings": settings("x"), "sourceId": HEADER}),
        (404, f"DELETE /sources/x/writekey/{HEADER}", None),
        (422, f"GET /sources?pagination.count={HEADER}", None),
        (404, f"GET /nothing/{HEADER}", None),
    ):
        method, _, path = route.partition(" ")
        headers = {"Authorization": f"Bearer {UNKNOWN_TOKEN}"} if status == 401 else {}
        assert api.request(method, path, json=body, headers=headers).status_code == status, route


def plain_texts(secret: str) -> set[bytes]:
    """A secret as it is, and in base64 at each of the three offsets in which it may stand."""
    encoded = [base64.b64encode(b" " * offset + secret.encode())[4:-4] for offset in range(3)]
    return {secret.encode(), *encoded}


def test_no_secret_is_found_on_the_disk_or_in_the_log(
    server: RunningServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAINSTEM_OWNER_TOKEN", raising=False)
    assert main(["token", "create", "--description", "CI", "--access", "member", "--data", str(server.data)]) == 0
    made = capsys.readouterr().out.strip()
    with Sink() as sink, httpx.Client(base_url=server.api_url, headers={"Authorization": f"Bearer {OWNER}"}) as api:
        member = {"Authorization": f"Bearer {made}"}
        assert api.get("/", headers=member).status_code == 200
        sink.answer_next([500, 400])  # one that is tried again, and one that fails for good
        write_key = connected(api, f"{sink.url}/hook")
        make_everything_fail_once(api)
        for event in ("A", "B", "C"):
            sent = {"userId": "u", "event": event, "writeKey": write_key}
            assert httpx.post(f"{server.tracking_url}/v1/track", json=sent).status_code == 200
        (first, *_) = sink.wait_for(2)
        assert first.headers["authorization"] == f"Bearer {HEADER}"
        assert first.is_signed_with(SHARED_SECRET)
        assert main(["token", "list", "--data", str(server.data)]) == 0
        token_id = next(line.split()[0] for line in capsys.readouterr().out.splitlines() if line.endswith("CI"))
        assert main(["token", "revoke", token_id, "--data", str(server.data)]) == 0
        assert api.get("/", headers=member).status_code == 401, "a revocation is seen at once by the running server"
    log = server.log_tail(10_000)
    assert server.stop() == 0
    for secret in (OWNER, made, made[4:47], SHARED_SECRET, HEADER, UNKNOWN_TOKEN):
        assert secret not in log
        for file in server.data.rglob("*"):
            if file.is_file() and not file.is_fifo():
                content = file.read_bytes()
                assert not [text for text in plain_texts(secret) if text in content], f"{secret} in {file.name}"
