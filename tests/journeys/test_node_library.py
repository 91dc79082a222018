"""Events sent with npm @segment/analytics-node, unmodified, arrive at a webhook and are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from journeys.clients import node_program, run_lines
from journeys.public_api import PublicApi
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.six_calls import SIX_CALLS, assert_order_was_kept, assert_the_six_arrived_once_each

pytestmark = pytest.mark.clients

LIBRARY = "@segment/analytics-node"


def send(server: RunningServer, write_key: str, calls: Sequence[tuple[str, Any]], **settings: Any) -> list[str]:
    """Make the calls, close the library and return the URLs it sent to; it must not have given anything up."""
    question = {"settings": {"writeKey": write_key, "host": server.tracking_url, **settings}, "calls": calls}
    *lines, last = run_lines(node_program("analytics_node.js"), question)
    assert last == {"closed": True, "unsent": 0}, lines
    assert [line for line in lines if "error" in line] == []
    return [line["request"] for line in lines if "request" in line]


def test_all_six_calls_reach_the_webhook_once_and_unchanged(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/six")
    urls = send(server, connection.write_key, list(SIX_CALLS.items()), flushAt=4)
    assert urls == [f"{server.tracking_url}/v1/batch"] * 2
    sink.wait_for(6)
    public_api.wait_for_count("successful-delivery", connection, 6)
    assert_the_six_arrived_once_each(sink.arrivals(), LIBRARY)


def test_batches_keep_the_order_of_each_user(server: RunningServer, public_api: PublicApi, sink: Sink) -> None:
    connection = public_api.connect(f"{sink.url}/order")
    calls = [
        ("track", {"userId": f"user-{user}", "event": "Step", "properties": {"step": step}})
        for step in range(20)
        for user in range(5)
    ]
    send(server, connection.write_key, calls, flushAt=100)
    sink.wait_for(100)
    public_api.wait_for_count("successful-delivery", connection, 100)
    assert_order_was_kept(sink.arrivals(), users=5, each=20)


def test_an_event_for_nobody_is_filtered_and_counted(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/nobody")
    calls = [
        ("track", {"userId": "u1", "event": "Kept here", "integrations": {"All": False}}),
        ("track", {"anonymousId": "a1", "event": "Sent on", "integrations": {"Webhooks": {"option": 1}}}),
    ]
    send(server, connection.write_key, calls)
    public_api.wait_for_count("filtered-at-destination", connection, 1)
    public_api.wait_for_count("successful-delivery", connection, 1)
    (arrival,) = sink.arrivals()
    assert arrival.event["event"] == "Sent on"
    assert arrival.event["anonymousId"] == "a1"
