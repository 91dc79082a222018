"""Requests become items."""

from __future__ import annotations

import msgspec
import pytest

from mainstem.model.event import from_record
from mainstem.pipeline.unpack import EMPTY_BATCH, repack, unpack
from pipeline.making import request, scope


def payloads(body, kind="batch"):
    return [item.payload for item in unpack(request(body, kind), scope())]


def test_a_single_call_is_one_item_as_it_was_sent():
    assert payloads({"event": "E", "type": "page", "x": None}, "track") == [{"event": "E", "type": "page", "x": None}]


def test_the_items_of_a_batch_keep_their_order_and_number():
    items = list(unpack(request({"batch": [{"a": 1}, {"a": 2}, 3]}, "batch"), scope()))
    assert [(item.number, item.payload) for item in items] == [(0, {"a": 1}), (1, {"a": 2}), (2, 3)]


def test_context_of_the_envelope_is_merged_below_that_of_the_item_at_every_depth():
    batch = {
        "context": {"device": {"id": "d", "type": "ios"}, "locale": "de"},
        "batch": [{"context": {"ip": "1.2.3.4", "device": {"id": "own"}}}, {}, {"context": None}],
    }
    first, second, third = payloads(batch)
    assert first["context"] == {"device": {"id": "own", "type": "ios"}, "locale": "de", "ip": "1.2.3.4"}
    assert second["context"] == third["context"] == batch["context"]


def test_integrations_are_merged_likewise():
    batch = {"integrations": {"All": False, "A": {"x": 1, "y": 1}}, "batch": [{"integrations": {"A": {"x": 2}}}]}
    assert payloads(batch)[0]["integrations"] == {"All": False, "A": {"x": 2, "y": 1}}


@pytest.mark.parametrize("own", ["text", 7, [], True])
def test_an_item_that_sends_no_object_keeps_what_it_sent(own):
    assert payloads({"context": {"a": 1}, "batch": [{"context": own}]})[0]["context"] == own


def test_sent_at_of_the_batch_is_that_of_every_item():
    assert payloads({"sentAt": "S", "batch": [{"sentAt": "own"}, {}]}) == [{"sentAt": "S"}, {"sentAt": "S"}]


def test_an_item_keeps_its_own_sent_at_when_the_batch_has_none():
    assert payloads({"sentAt": None, "batch": [{"sentAt": "own"}]}) == [{"sentAt": "own"}]


def test_an_envelope_that_would_be_copied_into_megabytes_of_items_spoils_the_batch():
    for envelope in ({"context": {"blob": "x" * 100_000}}, {"sentAt": "x" * 100_000}):
        items = [{"event": "E"}] * 84
        assert payloads({**envelope, "batch": items}) == [None] * 84
        assert payloads({**envelope, "batch": items[:83]}) == [{"event": "E", **envelope}] * 83


def test_a_long_batch_with_a_small_envelope_is_merged():
    items = payloads({"context": {"blob": "x" * 3_000}, "batch": [{"event": "E" * 100}] * 2_500})
    assert all(len(each["context"]["blob"]) == 3_000 for each in items)


def test_nothing_else_of_the_envelope_reaches_the_items():
    assert payloads({"writeKey": "k", "userId": "u", "batch": [{}]}) == [{}]


@pytest.mark.parametrize("body", [{"batch": []}, {}, {"batch": None}])
def test_a_batch_without_items_is_one_item_that_stands_for_it(body):
    assert payloads(body) == [EMPTY_BATCH]


@pytest.mark.parametrize("batch", ["text", {"event": "E"}, 0, False, 1.5])
def test_a_batch_that_is_no_list_is_one_item_that_is_no_event(batch):
    assert payloads({"batch": batch}) == [None]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 5000])
def test_a_number_beyond_all_measure_is_null_and_spoils_nothing_else(number):
    body = b'{"batch":[{"a":%b,"b":1.5},{"c":12345678901234567890123}]}' % number.encode()
    assert payloads(body) == [{"a": None, "b": 1.5}, {"c": 12345678901234567890123}]


@pytest.mark.parametrize("number", ["1", "1e999", "1" * 5_000])
def test_half_a_surrogate_pair_is_replaced(number):
    (payload,) = payloads(b'{"event":"a\\ud800b","\\udc00":["\\ud83d\\ude00"],"n":%s}' % number.encode(), "track")
    assert payload == {"event": "a\ufffdb", "\ufffd": ["\N{GRINNING FACE}"], "n": 1 if number == "1" else None}


def test_an_item_alone_goes_the_same_way_again():
    whole = request({"context": {"a": 1}, "sentAt": "S", "batch": [{"n": 0}, {"n": 1}]}, "batch", ip="9.9.9.9")
    record = repack(whole, 1)
    alone = from_record(record)
    assert (alone.ip, alone.kind) == ("9.9.9.9", "batch")
    again = list(unpack(msgspec.structs.replace(whole, record=record), scope()))
    assert [item.payload for item in again] == [{"n": 1, "context": {"a": 1}, "sentAt": "S"}]


def test_a_single_call_and_an_empty_batch_go_again_as_they_came():
    for body, kind in (({"event": "E"}, "track"), ({"batch": []}, "batch")):
        whole = request(body, kind)
        assert repack(whole, 0) == whole.record
