"""Calls of source functions: what is accepted, and what lies on the event log then."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from mainstem.model.event import CALL
from mainstem.model.snapshot import FunctionUse
from mainstem.tracking_api.requests import MAX_CALL_BYTES
from tracking_api.serving import UNKNOWN_KEY, WRITE_KEY, Served, source

KEY = "WriteKeyOfTheSourceThatIsFunction"
PATH = f"/functions/v1/{KEY}"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def served(served: Served) -> Served:
    function = FunctionUse("function-source", "sfnc_1", {})
    served.snapshots.publish(msgspec.structs.replace(source("function-source", KEY), function=function))
    return served


def call(served: Served, body: bytes = b"{}", path: str = PATH, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.client.post(path, content=body, headers={"content-type": "application/json"} | sent)


def called(served: Served) -> Any:
    """The only call on the log, decoded."""
    return json.loads(served.one_received().body)


def test_a_call_is_on_the_log_with_body_headers_and_url(served: Served) -> None:
    answer = call(
        served, b'{"b": 1, "a": "\xc3\xa4"}', f"{PATH}?token=t%20t&x", x_signature="s", Authorization="Bearer t"
    )
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    received = served.one_received()
    assert (received.kind, received.source_id, received.channel) == (CALL, "function-source", "server")
    on_log = called(served)
    assert on_log["body"] == '{"b": 1, "a": "ä"}'
    assert on_log["url"] == f"http://{served.host}{PATH}?token=t%20t&x"
    expected = {"x-signature": "s", "authorization": "Bearer t", "content-type": "application/json"}
    assert expected.items() <= on_log["headers"].items()


def test_form_bodies_and_declared_charsets_are_taken(served: Served) -> None:
    assert call(served, b"a=1&b=%20", content_type=FORM).status_code == 200
    assert called(served)["body"] == "a=1&b=%20"
    for content_type in ("Application/JSON; charset=utf-8", f"{FORM};charset=UTF-8"):
        assert call(served, content_type=content_type).status_code == 200
    without = served.client.post(PATH, content=b"{}")
    assert "content-type" not in without.request.headers
    assert without.status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml"])
def test_other_content_types_are_refused(served: Served, content_type: str) -> None:
    assert call(served, content_type=content_type).status_code == 415
    assert not served.received()


@pytest.mark.parametrize("key", [UNKNOWN_KEY, WRITE_KEY, "x"], ids=["unknown", "of another source", "malformed"])
def test_a_key_of_no_source_function_is_not_found(served: Served, key: str) -> None:
    assert call(served, path=f"/functions/v1/{key}").status_code == 404
    assert not served.received()


def test_a_body_of_512_kib_is_taken_and_a_longer_one_is_not(served: Served) -> None:
    longest = b'"' + b"a" * (MAX_CALL_BYTES - 2) + b'"'
    assert call(served, longest).status_code == 200
    assert len(called(served)["body"]) == MAX_CALL_BYTES
    served.forget()
    for body in (longest + b" ", gzip.compress(longest + b" ")):
        assert call(served, body).status_code == 400
    assert not served.received()
    assert call(served, gzip.compress(longest), content_encoding="gzip").status_code == 200
    assert len(called(served)["body"]) == MAX_CALL_BYTES


def test_what_is_not_utf_8_is_refused(served: Served) -> None:
    answer = call(served, b'"\xff"')
    assert (answer.status_code, answer.json()["message"]) == (400, "The body is not UTF-8")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_reaches_a_source_function(served: Served, method: str) -> None:
    answer = served.client.request(method, PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_the_public_url_is_what_a_function_sees(serve: Callable[..., Served]) -> None:
    served = serve(public_tracking_url="https://events.example.com/in/")
    function = FunctionUse("function-source", "sfnc_1", {})
    served.snapshots.publish(msgspec.structs.replace(source("function-source", KEY), function=function))
    assert call(served).status_code == 200
    assert called(served)["url"] == f"https://events.example.com/in{PATH}"
