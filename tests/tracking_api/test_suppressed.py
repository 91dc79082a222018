"""Events of suppressed users never reach the disk."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mainstem.model.snapshot import SUPPRESSED_PREFIX, Change, SuppressedConfig
from mainstem.tracking_api.suppressed import without_suppressed
from model.test_suppression import lists
from tracking_api.serving import SOURCE_ID, TRACK, WRITE_KEY, Served, source

GONE = {**TRACK, "userId": "gone"}
ON_LIST = lists(("w", "gone"))


@pytest.fixture
def suppressing(served: Served) -> Served:
    """The Tracking API, once it knows that "gone" is suppressed."""
    for part, hashes in ON_LIST.items():
        served.snapshots.publish_change(Change(SUPPRESSED_PREFIX + part, SuppressedConfig(hashes)))
    return served


def test_a_call_of_a_suppressed_user_is_answered_like_any_other_and_nothing_of_it_is_kept(suppressing: Served):
    suppressing.refreshed()
    answer = suppressing.post("/v1/track", GONE)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    data = base64.b64encode(json.dumps({**GONE, "writeKey": WRITE_KEY}).encode()).decode()
    assert suppressing.client.get("/v1/pixel/track", params={"data": data}).headers["content-type"] == "image/gif"
    assert suppressing.post("/v1/alias", {"userId": "new", "previousId": "gone"}).status_code == 200
    assert suppressing.received() == []


def test_the_other_items_of_a_batch_are_kept_with_their_envelope(suppressing: Served):
    suppressing.refreshed()
    items = [
        {**GONE, "type": "track"},
        {**TRACK, "type": "track", "n": 10**30},
        7,
        {"type": "alias", "previousId": "gone"},
    ]
    envelope = {"context": {"a": 1}, "sentAt": "2026-11-23T00:00:00Z", "odd": None}
    assert suppressing.post("/v1/batch", {**envelope, "batch": items}).status_code == 200
    assert json.loads(suppressing.one_received().body) == {**envelope, "batch": items[1:3]}


def test_a_batch_of_suppressed_users_alone_is_not_kept(suppressing: Served):
    suppressing.refreshed()
    assert suppressing.post("/v1/batch", {"batch": [{**GONE, "type": "track"}] * 2}).json() == {"success": True}
    assert suppressing.received() == []


@pytest.mark.parametrize(
    "body", [{"batch": 7}, {"batch": []}, {"batch": [TRACK]}, {}, {"batch": [{"userId": 7}, "x"]}]
)
def test_a_batch_without_suppressed_users_stays_byte_for_byte(body: dict[str, Any]):
    written = json.dumps(body, indent=1).encode()
    assert without_suppressed(ON_LIST, source(SOURCE_ID), "batch", written) is written


def test_a_call_of_a_source_function_is_left_to_the_function():
    body = json.dumps({"body": "{}", "userId": "gone"}).encode()
    assert without_suppressed(ON_LIST, source(SOURCE_ID), "call", body) is body
