"""Events sent with PyPI segment-analytics-python, unmodified, arrive at a webhook and are counted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from segment.analytics.client import Client

from journeys.public_api import PublicApi
from journeys.running import RunningServer
from journeys.sink import Sink
from journeys.six_calls import SIX_CALLS, assert_order_was_kept, assert_the_six_arrived_once_each

LIBRARY = "analytics-python"


@contextmanager
def sender(server: RunningServer, write_key: str, **options: Any) -> Iterator[Client]:
    """The library's client; everything is sent at the end, and nothing was given up."""
    given_up: list[Any] = []
    client = Client(
        write_key, host=server.tracking_url, on_error=lambda error, batch: given_up.append(error), **options
    )
    try:
        yield client
    finally:
        client.flush()
        client.join()
    assert given_up == []


def make_the_six_calls(client: Client) -> None:
    """Each call with the arguments that the library takes."""
    for kind, fields in SIX_CALLS.items():
        match kind:
            case "identify":
                client.identify(fields["userId"], fields["traits"])
            case "track":
                client.track(fields["userId"], fields["event"], fields["properties"])
            case "page" | "screen":
                call = getattr(client, kind)
                call(fields["userId"], fields["category"], fields["name"], fields["properties"])
            case "group":
                client.group(fields["userId"], fields["groupId"], fields["traits"])
            case _:
                client.alias(fields["previousId"], fields["userId"])


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_all_six_calls_reach_the_webhook_once_and_unchanged(
    server: RunningServer, public_api: PublicApi, sink: Sink, gzip: bool
) -> None:
    connection = public_api.connect(f"{sink.url}/six")
    with sender(server, connection.write_key, gzip=gzip) as client:
        make_the_six_calls(client)
    arrivals = sink.wait_for(6, path="/six")
    public_api.wait_for_count("successful-delivery", connection, 6)
    assert_the_six_arrived_once_each(sink.arrivals(), LIBRARY)
    assert all(each.headers["x-journey"].startswith("journey-") for each in arrivals)


def test_a_batch_keeps_the_order_of_each_user(server: RunningServer, public_api: PublicApi, sink: Sink) -> None:
    connection = public_api.connect(f"{sink.url}/order")
    with sender(server, connection.write_key, upload_size=50, max_queue_size=1000) as client:
        for step in range(40):
            for user in range(5):
                client.track(f"user-{user}", "Step", {"step": step})
    sink.wait_for(200)
    public_api.wait_for_count("successful-delivery", connection, 200)
    assert_order_was_kept(sink.arrivals(), users=5, each=40)


def test_a_webhook_that_fails_for_a_while_gets_each_event_in_the_end(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/ill")
    sink.answer_next([503])
    with sender(server, connection.write_key) as client:
        client.track("u1", "Tried again")
    (arrival,) = sink.wait_for(1)
    assert arrival.event["event"] == "Tried again"
    counted = public_api.wait_for_count("successful-delivery", connection, 1, groupBy="discardReason")
    assert counted["dataset"][0]["discardReason"] == "successes.attempt.2"
    assert [each.status for each in sink.arrivals()] == [503, 200]


def test_an_event_of_the_past_keeps_its_time(server: RunningServer, public_api: PublicApi, sink: Sink) -> None:
    connection = public_api.connect(f"{sink.url}/past")
    then = datetime(2015, 2, 23, 22, 28, 55, tzinfo=UTC)
    with sender(server, connection.write_key) as client:
        client.track("u1", "Long ago", timestamp=then)
    (arrival,) = sink.wait_for(1)
    moved = datetime.fromisoformat(arrival.event["timestamp"]) - then
    assert abs(moved) < timedelta(seconds=10), "moved by the clock difference of client and server alone"
    assert arrival.event["originalTimestamp"].startswith("2015-02-23T22:28:55")


def test_the_same_message_sent_twice_arrives_once(server: RunningServer, public_api: PublicApi, sink: Sink) -> None:
    connection = public_api.connect(f"{sink.url}/twice")
    for _ in range(2):
        with sender(server, connection.write_key) as client:
            client.track("u1", "Once", message_id=f"once-{connection.source_id}")
    with sender(server, connection.write_key) as client:
        client.track("u1", "After")
    arrivals = sink.wait_until(lambda taken: any(each.event["event"] == "After" for each in taken), "the last")
    assert sorted(each.event["event"] for each in arrivals) == ["After", "Once"]
    public_api.wait_for_count("successfully-received", connection, 2)


def test_the_integrations_object_keeps_an_event_from_the_webhook(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/integrations")
    with sender(server, connection.write_key) as client:
        client.track("u1", "Not for all", integrations={"All": False})
        client.track("u1", "Not for this", integrations={"Webhooks": False})
        client.track("u1", "For this alone", integrations={"All": False, "Webhooks": True})
    public_api.wait_for_count("filtered-at-destination", connection, 2)
    public_api.wait_for_count("successful-delivery", connection, 1)
    (arrival,) = sink.arrivals()
    assert arrival.event["event"] == "For this alone"
    filtered = public_api.delivery_overview("filtered-at-destination", connection, groupBy="discardReason")
    (row,) = filtered["dataset"]
    assert (row["discardReason"], row["total"]) == ("FILTERED_BY_INTEGRATIONS_OBJECT", 2)


def test_a_disabled_source_takes_events_and_delivers_none(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/disabled")
    with sender(server, connection.write_key) as client:
        client.track("u1", "While enabled")
    sink.wait_for(1)
    public_api.patch(f"/sources/{connection.source_id}", {"enabled": False})
    with sender(server, connection.write_key) as client:
        client.track("u1", "While disabled")
    failed = public_api.wait_for_count("failed-on-ingest", connection, 1, groupBy="discardReason")
    assert failed["dataset"][0]["discardReason"] == "source_disabled"
    assert [each.event["event"] for each in sink.arrivals()] == ["While enabled"]


def test_a_webhook_that_never_answers_does_not_hold_up_another(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    connection = public_api.connect(f"{sink.url}/quick")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and then says nothing
        public_api.add_webhook(connection.source_id, f"http://127.0.0.1:{silent.getsockname()[1]}/silent")
        with sender(server, connection.write_key) as client:
            for step in range(50):
                client.track("user-0", "Step", {"step": step})
        sink.wait_for(50)
        public_api.wait_for_count("successful-delivery", connection, 50)
        assert_order_was_kept(sink.arrivals(), users=1, each=50)
        public_api.delete(f"/sources/{connection.source_id}")
