"""The forms in which clients bring their write key."""

from __future__ import annotations

import base64
import json

import pytest

from mainstem.tracking_api.authentication import choose_write_key, is_well_formed
from tracking_api.serving import SECOND_KEY, TRACK, UNKNOWN_KEY, WRITE_KEY, Served, basic

INVALID = {
    "success": False,
    "message": "An invalid write key was provided",
    "code": "invalid_request",
    "error": "An invalid write key was provided",
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic " + encoded(f"{WRITE_KEY}:"),
        "Basic " + encoded(WRITE_KEY),
        "Basic " + encoded(f"{WRITE_KEY}:password"),
        "basic   " + encoded(f"{WRITE_KEY}:"),
        "Basic " + encoded(f"{WRITE_KEY}:").rstrip("="),
        "Basic " + encoded(f"{SECOND_KEY}:"),
    ],
)
def test_basic_authentication_names_the_write_key(served: Served, authorization: str) -> None:
    assert served.post("/v1/track", headers={"Authorization": authorization}).status_code == 200
    assert len(served.received()) == 1


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t"])
def test_the_body_may_name_the_write_key(served: Served, path: str) -> None:
    assert served.post(path, {**TRACK, "writeKey": WRITE_KEY}, headers={}).json() == {"success": True}
    assert len(served.received()) == 1


def test_the_envelope_of_a_batch_may_name_the_write_key(served: Served) -> None:
    assert served.post("/v1/batch", {"batch": [TRACK], "writeKey": WRITE_KEY}, headers={}).status_code == 200
    assert len(served.received()) == 1


def test_an_item_may_name_the_write_key_only_when_the_envelope_does_not(served: Served) -> None:
    batch = [7, TRACK, {**TRACK, "writeKey": WRITE_KEY}]
    assert served.post("/v1/batch", {"batch": batch}, headers={}).status_code == 200
    assert len(served.received()) == 1
    assert served.post("/v1/batch", {"batch": batch, "writeKey": UNKNOWN_KEY}, headers={}).status_code == 200
    assert len(served.received()) == 1


def test_the_header_wins_when_the_body_names_another(served: Served) -> None:
    served.post("/v1/track", {**TRACK, "writeKey": UNKNOWN_KEY}, headers=basic(WRITE_KEY))
    assert len(served.received()) == 1
    served.post("/v1/track", {**TRACK, "writeKey": WRITE_KEY}, headers=basic(UNKNOWN_KEY))
    assert len(served.received()) == 1


@pytest.mark.parametrize("authorization", ["Bearer token", "Basic %%%", "Basic", "Basic Og==", "", "Digest a=b"])
def test_a_header_without_a_readable_key_leaves_it_to_the_body(served: Served, authorization: str) -> None:
    headers = {"Authorization": authorization}
    assert served.post("/v1/track", {**TRACK, "writeKey": WRITE_KEY}, headers=headers).status_code == 200
    assert len(served.received()) == 1
    assert served.post("/v1/track", TRACK, headers=headers).json() == INVALID


def test_a_header_that_is_no_text_leaves_it_to_the_body(served: Served) -> None:
    body = json.dumps({**TRACK, "writeKey": WRITE_KEY}).encode()
    request = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\nContent-Length: %d\r\n\r\n%s"
    with served.raw(request % (len(body), body)) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/b", "/v1/t"])
@pytest.mark.parametrize(
    "write_key", [None, "", "sixsix", 12345, {"key": WRITE_KEY}, "x" * 65, WRITE_KEY + "\0", "é" * 32]
)
def test_a_missing_or_malformed_write_key_is_refused(served: Served, path: str, write_key: object) -> None:
    answer = served.post(path, {"writeKey": write_key, "batch": [TRACK]}, headers={})
    assert (answer.status_code, answer.json()) == (400, INVALID)
    assert served.received() == []


def test_a_malformed_key_in_the_header_is_refused(served: Served) -> None:
    answer = served.post("/v1/track", headers=basic("sixsix"))
    assert (answer.status_code, answer.json()) == (400, INVALID)


def test_what_a_write_key_looks_like() -> None:
    assert is_well_formed(WRITE_KEY)
    assert is_well_formed("Az09_-" * 4)
    for text in ("", "short", "x" * 19, "x" * 65, "x" * 31 + " ", "x" * 31 + "\n"):
        assert not is_well_formed(text), text


def test_a_huge_header_is_not_remembered_nor_read() -> None:
    assert choose_write_key("Basic " + encoded("k" * 100_000), lambda: None) == ""
