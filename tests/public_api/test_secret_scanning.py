"""Reports of leaked tokens: believed when they are signed, harmless when they come twice."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from sqlalchemy import select

from mainstem.errors import EngineUnavailable, SettingsError
from mainstem.mail import Letter
from mainstem.public_api import scanner_keys
from mainstem.public_api.scanner_keys import EitherKeys, Fetched, KeysUnavailable, PinnedKeys, PublishedKeys
from mainstem.public_api.secret_scanning import MAX_BYTES, PATH, PER_MINUTE, SecretScanning
from mainstem.rest import audit, tokens
from mainstem.rest.dispatch import Answer, Request
from mainstem.rest.tokens import Access
from public_api.client import Api

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def key_list(**keys: Any) -> bytes:
    return json.dumps(
        {"public_keys": [{"key_identifier": name, "key": pem(key), "is_current": True} for name, key in keys.items()]}
    ).encode()


def sign(body: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(body, ec.ECDSA(hashes.SHA256()))).decode()


def request(body: bytes | None, *, key_id: str = "k1", signature: str | None = None, method: str = "POST") -> Request:
    signature = sign(body or b"") if signature is None else signature
    headers = [("github-public-key-identifier", key_id), ("github-public-key-signature", signature)]
    return Request(method, PATH, "", [(name, value) for name, value in headers if value], body)


def report(*secrets: str, url: str = "https://git.example/blob/1") -> bytes:
    matches = [{"token": each, "type": "mainstem_access_token", "url": url, "source": "content"} for each in secrets]
    return json.dumps(matches).encode()


@pytest.fixture
def letters() -> list[Letter]:
    return []


@pytest.fixture
def scanning(api: Api, letters: list[Letter]) -> SecretScanning:
    keys = PinnedKeys(scanner_keys.read_keys(key_list(k1=KEY, k2=OTHER)))
    return SecretScanning(api.database, api.vault, keys, lambda: api.now, letters.append)


def made(api: Api, description: str = "leaked") -> str:
    secret = tokens.new_secret()
    with api.database.transaction(writes=True) as db:
        tokens.create(db, api.vault, api.workspace.id, description, Access.OWNER, api.now, secret)
    return secret


def answer(scanning: SecretScanning, request: Request) -> Answer:
    found = scanning.page(request)
    assert found is not None
    return found


def works(api: Api, secret: str) -> bool:
    return api.get("/", token=secret).status == 200


def exposures(api: Api) -> list[Any]:
    with api.database.transaction(writes=False) as db:
        is_exposed = audit.audit_events.c.type == "Access Token Exposed"
        assert audit.verify(db, api.vault)[1] is None
        return list(db.execute(select(audit.audit_events).where(is_exposed)))


def test_a_reported_token_is_revoked_audited_and_told_to_owners(
    api: Api, scanning: SecretScanning, letters: list[Letter], caplog: pytest.LogCaptureFixture
) -> None:
    secret = made(api)
    assert works(api, secret)
    reply = answer(scanning, request(report(secret)))
    assert reply.status == 200
    assert json.loads(reply.body) == [
        {
            "token_hash": base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode(),
            "token_type": "mainstem_access_token",
            "label": "true_positive",
        }
    ]
    assert not works(api, secret)
    (event,) = exposures(api)
    assert (event.resource_type, event.resource_name, event.actor) == ("TOKEN", "leaked", audit.SYSTEM)
    (letter,) = letters
    assert letter.to == "owner@localhost"
    assert "https://git.example/blob/1" in letter.text
    assert event.resource_id in caplog.text
    for text in (letter.text, letter.subject, caplog.text, reply.body.decode()):
        assert secret not in text


def test_of_three_tokens_only_the_active_one_is_revoked(
    api: Api, scanning: SecretScanning, letters: list[Letter]
) -> None:
    active, revoked, unknown = made(api), made(api), tokens.new_secret()
    answer(scanning, request(report(revoked)))
    letters.clear()
    reply = answer(scanning, request(report(active, revoked, unknown, "mst_no-token")))
    labels = [(each["token_hash"], each["label"]) for each in json.loads(reply.body)]
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (active, revoked)]
    assert [label for digest, label in labels if digest in digests] == ["true_positive"] * 2
    assert [label for digest, label in labels if digest not in digests] == ["false_positive"], (
        "and none on the unknown"
    )
    assert len(exposures(api)) == 2
    assert len(letters) == 1


def test_a_report_that_comes_twice_changes_nothing(api: Api, scanning: SecretScanning, letters: list[Letter]) -> None:
    body = report(*[made(api)] * 3)
    replies = [answer(scanning, request(body)) for _ in range(2)]
    assert [each.status for each in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert len(exposures(api)) == len(letters) == 1


def test_tokens_of_other_workspaces_are_told_to_their_own_owners(api: Api, scanning: SecretScanning) -> None:
    secret = made(api)
    with api.database.transaction(writes=True) as db:
        db.execute(tokens.tokens.update().where(tokens.tokens.c.description == "leaked").values(workspace_id="w2"))
        from mainstem.public_api.workspaces import workspaces

        row = db.execute(select(workspaces)).first()._asdict()  # type: ignore[union-attr]
        row.pop("seq", None)
        db.execute(workspaces.insert().values(**row | {"id": "w2", "slug": "second", "name": "Second"}))
    assert answer(scanning, request(report(secret))).status == 200
    (event,) = exposures(api)
    assert event.workspace_id == "w2"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: request(body, signature=sign(json.dumps(json.loads(body), indent=1).encode())),
        lambda body: request(body, key_id="k2"),
        lambda body: request(body, key_id="k3"),
        lambda body: request(body, key_id=""),
        lambda body: request(body, signature=""),
        lambda body: request(body, signature="no base64"),
        lambda body: request(body, signature=base64.b64encode(b"no signature").decode()),
        lambda body: request(body[:-1] + b" ", signature=sign(body)),
        lambda body: request(bytes([body[0] ^ 1]) + body[1:], signature=sign(body)),
        lambda body: request(b"{", signature=sign(body)),
    ],
)
def test_what_is_not_signed_as_it_came_is_refused(
    api: Api, scanning: SecretScanning, spoil: Callable[[bytes], Request]
) -> None:
    secret = made(api)
    assert answer(scanning, spoil(report(secret))).status == 403
    assert works(api, secret)
    assert not exposures(api)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'[{"url":"x"}]', b'[{"token":1}]', b"[\xff]"])
def test_what_is_signed_and_no_report_is_told_so(scanning: SecretScanning, body: bytes) -> None:
    assert answer(scanning, request(body)).status == 400


def test_a_report_may_be_empty_and_hold_what_nobody_knows_yet(api: Api, scanning: SecretScanning) -> None:
    assert answer(scanning, request(b"[]")).body == b"[]"
    secret = made(api)
    body = json.dumps([{"token": secret, "type": "t", "url": None, "new": {"a": 1}}]).encode()
    assert answer(scanning, request(body)).status == 200
    assert not works(api, secret)


def test_a_report_that_is_too_large_is_not_verified(scanning: SecretScanning) -> None:
    assert answer(scanning, request(b" " * (MAX_BYTES + 1))).status == 413
    assert answer(scanning, request(None, signature="x")).status == 413


def test_only_post_is_possible_and_other_paths_are_not_its_own(scanning: SecretScanning) -> None:
    refused = answer(scanning, request(b"", method="GET"))
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    assert scanning.page(Request("POST", "/sources", "", [], b"")) is None


def test_reports_are_limited_and_refused_ones_do_not_use_the_limit_up(api: Api, scanning: SecretScanning) -> None:
    refused = [answer(scanning, request(b"[]", key_id="k3")).status for _ in range(PER_MINUTE + 1)]
    assert set(refused[:-1]) == {403}
    assert refused[-1] == 429
    good = [answer(scanning, request(b"[]")).status for _ in range(PER_MINUTE + 1)]
    assert set(good[:-1]) == {200}
    assert good[-1] == 429
    api.pass_time(minutes=1)
    assert answer(scanning, request(b"[]")).status == 200


def test_where_it_was_found_cannot_smuggle_lines_or_the_token_into_the_letter(
    api: Api, scanning: SecretScanning, letters: list[Letter]
) -> None:
    secret = made(api)
    answer(scanning, request(report(secret, url=f"https://x.example/{secret}\r\nBcc: everybody")))
    assert secret not in letters[0].text
    assert "\nBcc" not in letters[0].text


def test_a_database_that_cannot_be_used_asks_for_the_report_again(api: Api, scanning: SecretScanning) -> None:
    class Broken:
        def transaction(self, *, writes: bool) -> Any:
            raise EngineUnavailable("gone")

    scanning._database = Broken()
    assert answer(scanning, request(report(made(api)))).status == 503


class Publisher:
    """A list of keys somewhere, and who asked for it."""

    def __init__(self, text: bytes) -> None:
        self.text, self.etag, self.asked, self.fails = text, '"1"', [], False  # type: ignore[var-annotated]

    def __call__(self, _url: str, etag: str) -> Fetched:
        self.asked.append(etag)
        if self.fails:
            raise OSError("no route")
        return Fetched(None, etag) if etag == self.etag else Fetched(self.text, self.etag)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_list_is_fetched_once_and_asked_for_again_by_its_etag(clock: Clock) -> None:
    publisher = Publisher(key_list(k1=KEY))
    keys = PublishedKeys("https://x.example", fetch=publisher, clock=clock)
    assert keys.find("k1")
    assert keys.find("k1")
    assert publisher.asked == [""]
    clock.now += scanner_keys.FRESH_SECONDS
    assert keys.find("k1")
    assert publisher.asked == ["", '"1"']


def test_an_unknown_id_fetches_once_and_is_then_refused(clock: Clock) -> None:
    publisher = Publisher(key_list(k1=KEY))
    keys = PublishedKeys("https://x.example", fetch=publisher, clock=clock)
    assert keys.find("k1")
    clock.now += scanner_keys.REFETCH_SECONDS
    assert keys.find("k2") is None
    assert keys.find("k2") is None, "and not again at once"
    assert len(publisher.asked) == 2
    publisher.text, publisher.etag = key_list(k2=OTHER), '"2"'
    clock.now += scanner_keys.REFETCH_SECONDS
    assert keys.find("k2"), "a new key is found"
    assert keys.find("k1") is None, "and one that was taken back is believed no more"


def test_without_the_list_nobody_is_believed_and_an_old_one_serves_for_a_day(clock: Clock) -> None:
    publisher = Publisher(key_list(k1=KEY))
    publisher.fails = True
    keys = PublishedKeys("https://x.example", fetch=publisher, clock=clock)
    with pytest.raises(KeysUnavailable):
        keys.find("k1")
    publisher.fails = False
    clock.now += scanner_keys.REFETCH_SECONDS
    assert keys.find("k1")
    publisher.fails = True
    clock.now += scanner_keys.FRESH_SECONDS
    assert keys.find("k1")
    clock.now += scanner_keys.STALE_SECONDS
    with pytest.raises(KeysUnavailable):
        keys.find("k1")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"public_keys": 1}', b"<html>"])
def test_an_answer_that_is_no_list_leaves_the_old_one(clock: Clock, text: bytes) -> None:
    publisher = Publisher(key_list(k1=KEY))
    keys = PublishedKeys("https://x.example", fetch=publisher, clock=clock)
    assert keys.find("k1")
    publisher.text, publisher.etag = text, '"2"'
    clock.now += scanner_keys.FRESH_SECONDS
    assert keys.find("k1")
    assert len(publisher.asked) == 2


def test_a_slow_list_holds_up_two_calls_at_most(clock: Clock) -> None:
    started, go = threading.Semaphore(0), threading.Event()

    def slow(_url: str, _etag: str) -> Fetched:
        started.release()
        assert go.wait(10)
        return Fetched(key_list(k1=KEY), "")

    keys = PublishedKeys("https://x.example", fetch=slow, clock=clock)
    found: list[Any] = []
    waiting = [threading.Thread(target=lambda: found.append(keys.find("k1"))) for _ in range(2)]
    waiting[0].start()
    assert started.acquire(timeout=60)
    assert keys._places.acquire(timeout=60)  # the second one that may wait
    with pytest.raises(KeysUnavailable):
        keys.find("k1")
    keys._places.release()
    waiting[1].start()
    go.set()
    for each in waiting:
        each.join(10)
    assert len(found) == 2
    assert all(found)


def test_keys_of_another_kind_are_left_out() -> None:
    elsewhere = ec.generate_private_key(ec.SECP384R1())
    text = json.loads(key_list(k1=KEY, k2=elsewhere, k3=ed25519.Ed25519PrivateKey.generate()))
    text["public_keys"].append({"key_identifier": "k4", "key": "nonsense"})
    assert list(scanner_keys.read_keys(json.dumps(text).encode())) == ["k1"]


def test_pinned_keys_come_from_a_file_and_go_before_the_list(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_list(own=KEY))
    pinned = scanner_keys.open_keys("", path)
    assert pinned is not None
    assert pinned.find("own")
    assert pinned.find("k1") is None
    publisher = Publisher(key_list(k1=OTHER))
    both = EitherKeys(pinned, PublishedKeys("https://x.example", fetch=publisher, clock=clock))
    assert both.find("own")
    assert not publisher.asked
    assert both.find("k1")
    assert scanner_keys.open_keys("", None) is None


@pytest.mark.parametrize("text", [None, b"", b"{}", b'{"public_keys": []}'])
def test_a_file_without_keys_is_an_error_that_names_the_setting(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SettingsError, match="--secret-scanning-keys"):
        scanner_keys.open_keys("github", path)


class Served(BaseHTTPRequestHandler):
    """A list behind HTTP, with an ETag; another path redirects to it."""

    def do_GET(self) -> None:
        if self.path != "/keys":
            self.send_response(302 if self.path == "/moved" else 500)
            self.send_header("Location", "/keys")
        elif self.headers.get("If-None-Match") == '"e"':
            self.send_response(304)
        else:
            self.send_response(200)
            self.send_header("ETag", '"e"')
            self.end_headers()
            self.wfile.write(key_list(k1=KEY))
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def published() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_list_is_fetched_over_http_and_no_redirect_is_followed(published: str) -> None:
    first = scanner_keys.fetch(f"{published}/keys", "")
    assert first == Fetched(key_list(k1=KEY), '"e"')
    assert scanner_keys.fetch(f"{published}/keys", '"e"') == Fetched(None, '"e"')
    for path in ("moved", "broken"):
        with pytest.raises(OSError, match="status"):
            scanner_keys.fetch(f"{published}/{path}", "")
