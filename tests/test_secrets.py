"""What was secret stays so: after a whole journey no secret lies on the disk or in the log in plain text."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import databases
from journeys.running import RunningServer, running_server
from journeys.sink import Sink
from mainstem.__main__ import main
from smtp_sink import smtp_sink

OWNER = "planted-owner-token-5f1d6a"
SHARED_SECRET = "planted-shared-secret-90b3"
HEADER = "planted-hook-header-c27e41"
UNKNOWN_TOKEN = "planted-unknown-token-77aa"
WEBHOOKS, HTTP_API = "54521fdc25e721e32a72ef04", "iUM16Md8P2"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, OWNER) as running:
        yield running


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
    databases.set_variables(server.data, monkeypatch)
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


PLANTED = {
    name: f"planted-{name}-4be1c09d"
    for name in (
        "warehouse", "credential", "passphrase", "profiles", "function", "transformation", "oauth-client",
        "oauth-access", "oauth-refresh", "smtp", "late",
    )
}  # fmt: skip
SCANNER = ec.generate_private_key(ec.SECP256R1())
POSTGRES = "55d3d3aea3c"
SNOWFLAKE = {"username": "u", "account": "a.eu", "warehouse": "W", "database": "D"}


class Provider(BaseHTTPRequestHandler):
    """Gives the tokens that are planted."""

    got: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        body = {"access_token": PLANTED["oauth-access"], "refresh_token": PLANTED["oauth-refresh"]}
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def oauth_clients(folder: Path, url: str) -> Path:
    client = {
        "clientId": "mainstem", "clientSecret": PLANTED["oauth-client"], "authorizeUrl": f"{url}/authorize",
        "tokenUrl": f"{url}/token",
    }  # fmt: skip
    path = folder / "oauth.json"
    path.write_text(json.dumps({WEBHOOKS: client}))
    return path


def scanner_keys(folder: Path) -> Path:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = {"key_identifier": "own", "key": SCANNER.public_key().public_bytes(*form).decode()}
    path = folder / "keys.json"
    path.write_text(json.dumps({"public_keys": [key]}))
    return path


def made(api: httpx.Client, route: str, body: dict[str, Any], noun: str) -> dict[str, Any]:
    reply = api.post(route, json=body)
    assert reply.status_code in (200, 201), reply.text
    assert not [name for name, secret in PLANTED.items() if secret in reply.text], "secrets are not shown"
    found: dict[str, Any] = reply.json()["data"][noun]
    return found


def plant(api: httpx.Client, source_id: str, destination_id: str) -> dict[str, str]:
    """Put a secret in every place that takes one; returns routes of what can be changed."""
    place = {"hostname": "db.example", "port": "5432", "database": "d", "username": "u"}
    body = {"metadataId": POSTGRES, "settings": {**place, "password": PLANTED["warehouse"]}}
    warehouse = made(api, "/warehouses", body | {"disconnectAllSources": True}, "warehouse")
    keys = {"type": "keypair", "privateKey": PLANTED["credential"], "privateKeyPassphrase": PLANTED["passphrase"]}
    body = {"name": "Snow", "settings": {**SNOWFLAKE, "type": "Snowflake", "authentication": keys}}
    made(api, "/credentials", body, "credential")
    (space, *_) = api.get("/spaces").json()["data"]["spaces"]
    body = {"metadataId": POSTGRES, "settings": {**place, "password": PLANTED["profiles"]}}
    profiles = made(api, f"/spaces/{space['id']}/profiles-warehouses", body, "profilesWarehouse")
    setting = {
        "name": "apiKey", "label": "k", "description": "d", "type": "STRING", "required": False, "sensitive": True
    }  # fmt: skip
    code = "async function onTrack(event, settings) { return event }"
    body = {"code": code, "displayName": "F", "resourceType": "INSERT_DESTINATION", "settings": [setting]}
    function = made(api, "/functions", body, "function")
    body = {"functionId": function["id"].partition("_")[2], "integrationId": destination_id, "name": "i"}
    values = {"settings": {"apiKey": PLANTED["function"]}, "enabled": False}
    made(api, "/insert-function-instances", body | values, "insertFunctionInstance")
    hashed = {"algorithm": "SHA256", "encoding": "BASE64", "paths": ["a.b"], "key": PLANTED["transformation"]}
    body = {"name": "T", "sourceId": source_id, "enabled": True, "if": "type = 'track'"}
    made(api, "/transformations", body | {"hashPropertiesConfiguration": hashed}, "transformation")
    return {
        "warehouse": f"/warehouses/{warehouse['id']}",
        "profiles": f"/spaces/{space['id']}/profiles-warehouses/{profiles['id']}",
    }


def authorize(api: httpx.Client, destination_id: str) -> None:
    """Go through the pages of OAuth."""
    begun = api.get(f"/oauth/{destination_id}/start")
    assert begun.status_code == 302, begun.text
    (state,) = parse_qs(urlsplit(begun.headers["location"]).query)["state"]
    assert api.get("/oauth/callback", params={"state": state, "code": "c0de"}).status_code == 200


def fail_with_secrets(api: httpx.Client, routes: dict[str, str]) -> str:
    """What refusals say when something beside a secret is wrong with what was sent."""
    password = {"password": PLANTED["warehouse"]}
    wrong = {"settings": {**password, "hostname": 5, "port": "no port"}}
    refused = [
        api.post("/warehouses", json={"metadataId": POSTGRES, **wrong}),
        api.patch(routes["warehouse"], json=wrong),
        api.patch(routes["profiles"], json={"settings": {"password": [PLANTED["profiles"]]}}),
        api.post("/credentials", json={"name": 5, "settings": {"type": "Snowflake", "key": PLANTED["credential"]}}),
        api.post("/destinations", json={"settings": {"sharedSecret": SHARED_SECRET, "hooks": 5}}),
        api.post("/transformations", json={"hashPropertiesConfiguration": {"key": [PLANTED["transformation"]]}}),
        api.post("/warehouses", content=f'{{"settings": "{PLANTED["warehouse"]}'.encode()),
    ]
    assert [each.status_code for each in refused if not 400 <= each.status_code < 500] == [], [
        (each.status_code, each.request.url.path) for each in refused
    ]
    place = {"hostname": "127.0.0.1", "port": "1", "database": "d", "username": "u", **password}
    tried = api.post("/warehouses/validation", json={"metadataId": POSTGRES, "settings": place})
    return "\n".join(each.text for each in (*refused, tried))


def report(api: httpx.Client, token: str) -> httpx.Response:
    body = json.dumps([{"token": token, "type": "t", "url": "https://git.example/x"}]).encode()
    signature = base64.b64encode(SCANNER.sign(body, ec.ECDSA(hashes.SHA256()))).decode()
    signed = {"Github-Public-Key-Identifier": "own", "Github-Public-Key-Signature": signature}
    return api.post("/secret-scanning/report", content=body, headers=signed)


def files_with(folder: Path, secret: str) -> list[str]:
    """The files under a folder, and the control database, that hold a secret in plain text."""
    texts = plain_texts(secret)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_fifo()]
    found = [path.name for path in files if any(text in path.read_bytes() for text in texts)]
    return [*found, *(["the database"] if any(text in databases.stored(folder) for text in texts) else [])]


def test_after_a_day_with_every_kind_of_secret_none_is_in_plain_text_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider() as url, smtp_sink() as mail, Sink() as sink:
        variables = {
            "MAINSTEM_OAUTH_CLIENTS": str(oauth_clients(tmp_path, url)),
            "MAINSTEM_SECRET_SCANNING_KEYS": str(scanner_keys(tmp_path)),
            "MAINSTEM_SMTP_URL": f"smtp://u:{PLANTED['smtp']}@127.0.0.1:{mail.port}",
            "MAINSTEM_MAIL_FROM": "mainstem@x.example",
        }
        server = RunningServer(tmp_path, OWNER, variables)
        try:
            server.wait_until_it_answers()
            databases.set_variables(server.data, monkeypatch)
            day = a_day(server, sink, capsys)
            assert mail.arrived.acquire(timeout=20)
            assert mail.arrived.acquire(timeout=20)
        finally:
            assert server.stop() == 0
    letters = "\n".join(str(each) for each in mail.received)
    assert day.leaked not in letters
    assert any(PLANTED["oauth-client"].encode() in each for each in Provider.got)
    assert files_with(server.data, "ann@x.example"), "what is no secret is found like this"
    for secret in (OWNER, SHARED_SECRET, HEADER, day.leaked, day.leaked[4:47], *PLANTED.values()):
        assert secret not in day.said, "errors, audit trail and commands"
        assert secret not in server.log_tail(100_000)
        assert files_with(server.data, secret) == [], secret


class Day:
    """What a day left behind."""

    def __init__(self, leaked: str, said: str) -> None:
        self.leaked, self.said = leaked, said


def a_day(server: RunningServer, sink: Sink, capsys: pytest.CaptureFixture[str]) -> Day:
    """Plant, work, fail, rotate the key while all runs, work on, and have a token reported."""
    data = ["--data", str(server.data)]
    assert main(["token", "create", "--description", "leaked", "--access", "owner", *data]) == 0
    leaked = capsys.readouterr().out.strip()
    with httpx.Client(base_url=server.api_url, headers={"Authorization": f"Bearer {OWNER}"}) as api:
        write_key = connected(api, f"{sink.url}/hook")
        (source,) = api.get("/sources").json()["data"]["sources"]
        (destination,) = api.get("/destinations").json()["data"]["destinations"]
        body = {"sourceId": source["id"], "metadataId": WEBHOOKS, "settings": settings("http://127.0.0.1:1/")}
        other = made(api, "/destinations", body | {"enabled": False, "name": "other"}, "destination")
        routes = plant(api, source["id"], other["id"])
        said = fail_with_secrets(api, routes)
        authorize(api, other["id"])
        assert main(["secrets", "rotate", *data]) == 0
        changed = {"settings": {"sharedSecret": PLANTED["late"]}}
        assert api.patch(f"/destinations/{destination['id']}", json=changed).status_code == 200
        assert api.patch(routes["warehouse"], json={"settings": {"database": "e"}}).status_code == 200
        sent = {"userId": "u", "event": "After", "writeKey": write_key}
        assert httpx.post(f"{server.tracking_url}/v1/track", json=sent).status_code == 200
        (arrived, *_) = sink.wait_for(1)
        assert arrived.is_signed_with(PLANTED["late"]), "the pipeline opens what is sealed under the new key"
        body = {"invites": [{"email": "ann@x.example", "permissions": []}]}
        assert api.post("/invites", json=body).status_code == 201
        assert [report(api, leaked).status_code for _ in range(2)] == [200, 200]
        assert api.get("/", headers={"Authorization": f"Bearer {leaked}"}).status_code == 401
        events = api.get("/audit-events?pagination.count=200").text
        assert events.count("Access Token Exposed") == events.count("Secret Key Rotated") == 1
    assert main(["audit", "verify", *data]) == 0
    assert main(["token", "list", *data]) == 0
    printed = capsys.readouterr()
    return Day(leaked, "\n".join((said, events, printed.out, printed.err)))


def test_the_password_of_a_database_that_cannot_be_reached_is_not_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_DATABASE", "postgresql://u:planted-database-71aa@127.0.0.1:1/d")
    assert main(["migrate", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "planted-database-71aa" not in said.out + said.err
    assert "database" in said.err
