"""Which mappings of an Actions destination an event goes through. Source: acceptance cases on mappings."""

from __future__ import annotations

from typing import Any

import msgspec

from mainstem.model.outcome import Stage
from mainstem.model.snapshot import SubscriptionConfig
from mainstem.pipeline import TO_DESTINATION, run
from mainstem.pipeline.digest import Filters, digest
from mainstem.pipeline.step import Verdicts
from pipeline.making import around, destination, destination_scope, from_source, request, source


def mapping(id: str, trigger: str, *, enabled: bool = True) -> SubscriptionConfig:
    return SubscriptionConfig(id, f"Mapping {id}", "send", trigger, enabled, {})


def send(*mappings: SubscriptionConfig, events: int = 1, **fields: Any) -> Verdicts:
    """Events on their way to a destination with these mappings."""
    sent = [
        from_source({"userId": "u", "event": "E", "messageId": f"m{number}", **fields}).kept[0]
        for number in range(events)
    ]
    return run(TO_DESTINATION, sent, destination_scope(destination("dst", "Actions", subscriptions=mappings)))


def test_an_event_goes_through_the_mapping_whose_trigger_it_fires() -> None:
    verdicts = send(mapping("s1", 'type = "page"'), mapping("s2", 'type = "track" and event = "E"'))
    (delivery,) = verdicts.kept
    assert (delivery.destination_id, delivery.subscription_id, delivery.event_name) == ("dst", "s2", "E")
    assert msgspec.json.decode(delivery.body)["event"] == "E"
    assert verdicts.dropped == []


def test_three_mappings_that_match_make_three_deliveries_of_the_same_bytes() -> None:
    kept = send(*(mapping(name, 'type = "track"') for name in ("s1", "s2", "s3"))).kept
    assert [each.subscription_id for each in kept] == ["s1", "s2", "s3"]
    assert len({id(each.body) for each in kept}) == 1


def test_a_disabled_mapping_sends_nothing() -> None:
    verdicts = send(mapping("s1", 'type = "track"', enabled=False))
    assert verdicts.kept == []
    (dropped,) = verdicts.dropped
    assert (dropped.stage, dropped.reason) == (Stage.FILTERED_AT_DESTINATION, "NO_MATCHING_MAPPING")


def test_a_destination_without_mappings_gets_nothing() -> None:
    assert [each.reason for each in send().dropped] == ["NO_MATCHING_MAPPING"]


def test_a_destination_without_actions_gets_every_event() -> None:
    sent = from_source({"userId": "u", "event": "E"}).kept
    (delivery,) = run(TO_DESTINATION, sent, destination_scope()).kept
    assert delivery.subscription_id == ""


def test_a_trigger_that_cannot_be_read_fires_for_nothing() -> None:
    verdicts = send(mapping("s1", "length(event) > 1"), mapping("s2", 'type = "track"'))
    assert [each.subscription_id for each in verdicts.kept] == ["s2"]


def test_what_comes_in_is_deliveries_or_dropped_for_every_event() -> None:
    verdicts = send(mapping("s1", 'contains(event, "E")'), mapping("s2", 'event = "E"'), events=3)
    assert [each.message_id for each in verdicts.kept] == ["m0", "m0", "m1", "m1", "m2", "m2"]
    assert not verdicts.dropped
    assert not verdicts.failed


def test_an_event_through_three_mappings_is_received_once() -> None:
    to = destination("dst", "Actions", subscriptions=tuple(mapping(name, 'type = "track"') for name in "abc"))
    processed = digest(0, 1, [request({"userId": "u", "event": "E"})], around(source("src", to)))
    assert len(processed.deliveries) == 3
    ((key, tally),) = processed.tallies.items()
    assert (key.stage, tally.count) == (Stage.SUCCESSFULLY_RECEIVED, 1)


def test_nothing_is_sent_or_counted_at_a_disabled_destination() -> None:
    to = destination("dst", "Actions", enabled=False, subscriptions=(mapping("s1", 'type = "track"'),))
    processed = digest(0, 1, [request({"userId": "u", "event": "E"})], around(source("src", to)))
    assert processed.deliveries == []
    assert {key.destination_id for key in processed.tallies} == {""}


def test_triggers_are_compiled_anew_when_the_destination_was_published_anew() -> None:
    filters = Filters()
    to = destination("dst", "Actions", subscriptions=(mapping("s1", 'type = "track"'),))
    first = filters.triggers_of(to)
    assert filters.triggers_of(to) is first
    changed = msgspec.structs.replace(to, subscriptions=(mapping("s2", 'type = "page"'),))
    assert [name for name, _ in filters.triggers_of(changed) or ()] == ["s2"]
