"""What is JSON, and what is not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.tracking_api.answers import Refused
from mainstem.tracking_api.envelopes import parse
from tracking_api.serving import SECOND_KEY, WRITE_KEY, Served

MALFORMED = {"success": False, "message": "malformed JSON", "code": "invalid_request", "error": "malformed JSON"}

NOT_JSON_OBJECTS = [
    b"",
    b" ",
    b'{"event": "x",',
    b'{"event": "x"',
    b'{"event": "x"}}',
    b'{"event": "x"} x',
    b'{"event": "x",}',
    b"{'event': 'x'}",
    b"{event: 1}",
    b'{"a": 01}',
    b'{"a": 1.}',
    b'{"a": .5}',
    b'{"a": +1}',
    b'{"a": 0x10}',
    b'{"a": NaN}',
    b'{"a": Infinity, "b": "\\u00e9"}',
    b'{"a": -Infinity}',
    b'{"a": tru}',
    b'{"a": "\\x41"}',
    b'{"a": "\\u12"}',
    b'{"a": "\x01"}',
    b'{"a": "\n"}',
    b'{"a": "\xff"}',
    b'{"\xff": 1}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\xc0\xaf", "b": "\\ud800"}',
    b"\xff\xfe{\x00}\x00",
    b"[]",
    b'[{"event": "x"}]',
    b"null",
    b"true",
    b"7",
    b'"{}"',
    b"event=x&userId=u",
    b"\x00",
]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/batch", "/v1/import", "/v1/b"])
def test_what_is_no_json_object_is_refused(served: Served, path: str) -> None:
    for body in NOT_JSON_OBJECTS:
        answer = served.post(path, body)
        assert (answer.status_code, answer.json()) == (400, MALFORMED), body
    assert served.received() == []


@pytest.mark.parametrize("inner", NOT_JSON_OBJECTS[2:24])
def test_a_fault_anywhere_in_a_batch_is_found(inner: bytes) -> None:
    with pytest.raises(Refused):
        parse(b'{"batch": [{"event": "E"}, %s]}' % inner, is_batch=True)


@pytest.mark.parametrize("nest", [b"[%s]", b'{"a":%s}', b'{"a":[%s]}'])
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
def test_nesting_that_no_reader_survives_is_refused(served: Served, path: str, nest: bytes) -> None:
    opening, closing = nest.split(b"%s")
    levels = 32_000 // len(nest)
    body = b'{"x":' + opening * levels + b"1" + closing * levels + b"}"
    answer = served.post(path, body)
    assert (answer.status_code, answer.json()) == (400, MALFORMED)
    truncated = served.post(path, b'{"x":' + opening * levels)
    assert (truncated.status_code, truncated.json()) == (400, MALFORMED)


def test_sensible_nesting_is_accepted(served: Served) -> None:
    body = b'{"x":' + b"[" * 200 + b"]" * 200 + b"}"
    assert served.post("/v1/track", body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b" \t\r\n{} \n",
        b'{"a":1,"a":2}',
        b'{"":null}',
        b'{"a":"\\u0000"}',
        b'{"a":-0.0e-0}',
        b'{"a":' + b"9" * 400 + b"}",
        b'{"a":1e400}',
        '{"a":"\U0001f600"}'.encode(),
        b'{"a":"\\ud83d\\ude00"}',
        b'{"__proto__":{"x":1},"constructor":1}',
    ],
)
def test_odd_but_valid_json_stays_as_it_is(body: bytes) -> None:
    assert parse(body, is_batch=False)[0] == body
    assert parse(b'{"batch":[%s]}' % body, is_batch=True)[0] == b'{"batch":[%s]}' % body


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDE00", "\\ud83d\\ud83d", "\\ud83dx"])
def test_half_a_surrogate_pair_becomes_a_replacement_character(served: Served, half: str) -> None:
    body = f'{{"event":"cut {half} off","n":12345678901234567890,"f":1.5,"writeKey":"{WRITE_KEY}"}}'
    assert served.post("/v1/track", body.encode(), headers={}).status_code == 200
    event = msgspec.json.decode(served.one_received().body)
    assert event["event"].startswith("cut �")
    assert event["event"].endswith(" off")
    assert (event["n"], event["f"]) == (12345678901234567890, 1.5)


def test_a_byte_order_mark_is_taken_off(served: Served) -> None:
    assert served.post("/v1/batch", b'\xef\xbb\xbf{"batch":[{}]}').status_code == 200
    assert served.one_received().body == b'{"batch":[{}]}'


def test_the_last_of_two_write_keys_counts() -> None:
    body = f'{{"writeKey":"{WRITE_KEY}","writeKey":"{SECOND_KEY}"}}'.encode()
    assert parse(body, is_batch=False)[1].find_write_key() == SECOND_KEY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(["event", "batch", "writeKey", "x"]) | st.text(), JSON),
    st.booleans(),
    st.booleans(),
)
def test_every_json_object_is_accepted_and_readable_later(
    value: dict[str, Any], escaped: bool, is_batch: bool
) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    kept, _ = parse(body, is_batch=is_batch)
    assert isinstance(msgspec.json.decode(kept), dict)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8e1.-+ \n', max_size=40).map(str.encode), st.booleans())
def test_whatever_is_accepted_can_be_read_as_an_object(body: bytes, is_batch: bool) -> None:
    try:
        kept, _ = parse(body, is_batch=is_batch)
    except Refused:
        return
    assert isinstance(json.loads(kept), dict)
