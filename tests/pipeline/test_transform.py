"""Where transformations stand among the other steps, and what an event that they changed is counted under."""

from __future__ import annotations

import msgspec
import pytest

from mainstem.model.outcome import Stage
from mainstem.model.snapshot import FilterConfig, TransformationConfig
from mainstem.pipeline.digest import Transformations, digest
from pipeline.making import around, destination, requests, snapshot, source

DROP_B = FilterConfig("f", "event = 'B'", ({"type": "DROP"},), enabled=True)
TO_ANOTHER = destination("dst2", "Another", metadata_id="another")


def rename(**fields):
    return TransformationConfig("t", "event = 'A'", enabled=True, new_event_name="B", **fields)


def processed(its_source, *events):
    """What comes of these events of the source."""
    return digest(0, 1, requests(*(({"userId": "u", **each}, "track") for each in events)), around(its_source))


def sent(result):
    """Destination and payload of each delivery."""
    return [(each.destination_id, msgspec.json.decode(each.body)) for each in result.deliveries]


def counts(result, stage):
    """How many ended so, by destination, reason and name."""
    keys = {key: tally.count for key, tally in result.tallies.items() if key.stage is stage}
    return {(key.destination_id, key.reason, key.event_name): count for key, count in keys.items()}


def test_a_source_transformation_renames_before_a_filter_drops():
    its_source = source("src", destination("dst", "W", DROP_B), transformations=(rename(),))
    result = processed(its_source, {"event": "A"})
    assert result.deliveries == []
    assert counts(result, Stage.FILTERED_AT_DESTINATION) == {("dst", "FILTERED_BY_RULES", "A"): 1}


def test_with_a_rename_for_the_destination_the_event_passes_its_filter():
    to = destination("dst", "W", DROP_B)
    its_source = source("src", to, transformations=(rename(destination_metadata_id=to.metadata_id),))
    ((_, payload),) = sent(processed(its_source, {"event": "A"}))
    assert payload["event"] == "B"


def test_it_stays_counted_under_the_name_that_it_came_with():
    for scope in ("", destination().metadata_id):
        its_source = source("src", destination(), transformations=(rename(destination_metadata_id=scope),))
        (delivery,) = processed(its_source, {"event": "A"}).deliveries
        assert delivery.event_name == "A"
        assert msgspec.json.decode(delivery.body)["event"] == "B"


def test_a_transformation_for_a_type_of_destination_is_for_its_instances_alone():
    to = (destination("dst1"), TO_ANOTHER, destination("dst3"))
    its_source = source("src", *to, transformations=(rename(destination_metadata_id=to[0].metadata_id),))
    names = {to_id: payload["event"] for to_id, payload in sent(processed(its_source, {"event": "A"}))}
    assert names == {"dst1": "B", "dst2": "A", "dst3": "B"}


def test_what_the_source_drops_reaches_nothing_and_counts_as_received_and_used():
    drop = TransformationConfig("t", "event = 'A'", enabled=True, drop=True)
    result = processed(source("src", destination(), TO_ANOTHER, transformations=(drop,)), {"event": "A"})
    assert result.deliveries == []
    assert counts(result, Stage.SUCCESSFULLY_RECEIVED) == {("", "", "A"): 1}
    assert counts(result, Stage.FILTERED_AT_SOURCE) == {("", "transformation_drop", "A"): 1}
    assert counts(result, Stage.FILTERED_AT_DESTINATION) == {}
    assert sum(result.calls.values()) == 1


def test_what_is_dropped_for_a_destination_reaches_the_others():
    drop = TransformationConfig("t", "all", enabled=True, drop=True, destination_metadata_id="another")
    result = processed(source("src", destination("dst1"), TO_ANOTHER, transformations=(drop,)), {"event": "A"})
    assert [to_id for to_id, _ in sent(result)] == ["dst1"]
    assert counts(result, Stage.FILTERED_AT_DESTINATION) == {("dst2", "FILTERED_BY_RULES", "A"): 1}


def test_destinations_see_what_the_source_made_and_no_destination_what_another_got():
    at_source = TransformationConfig(
        "t1", "all", enabled=True, property_value_transformations=((("properties.x",), "source"),)
    )
    for_another = TransformationConfig(
        "t2",
        "properties.x = 'source'",
        enabled=True,
        destination_metadata_id="another",
        property_value_transformations=((("properties.y",), "another"),),
    )
    its_source = source("src", TO_ANOTHER, destination("dst1"), transformations=(for_another, at_source))
    payloads = {to_id: payload["properties"] for to_id, payload in sent(processed(its_source, {"event": "A"}))}
    assert payloads == {"dst2": {"x": "source", "y": "another"}, "dst1": {"x": "source"}}


def test_transformations_are_compiled_once_per_published_source():
    compiled = Transformations()
    first = source("src", transformations=(rename(), rename(destination_metadata_id="m")))
    assert compiled.of(first) is compiled.of(first)
    assert compiled.of(first, "m") is compiled.of(first, "m") is not compiled.of(first)
    again = source("src", transformations=(rename(),))
    assert compiled.of(again) is not compiled.of(first)


def test_sources_that_are_gone_are_forgotten():
    compiled = Transformations()
    kept, gone = (source(name, transformations=(rename(),)) for name in ("kept", "gone"))
    before = [compiled.of(each) for each in (kept, gone)]
    compiled.forget_others(snapshot(kept))
    assert [compiled.of(each) is known for each, known in zip((kept, gone), before, strict=True)] == [True, False]


@pytest.mark.parametrize("scope", ["", "another"])
def test_a_condition_that_cannot_be_judged_lets_no_protected_event_through(scope):
    hashing = TransformationConfig(
        "t",
        "length(properties) > 0",
        enabled=True,
        destination_metadata_id=scope,
        hash_properties={"algorithm": "MD5", "paths": ["email"]},
    )
    its_source = source("src", TO_ANOTHER, transformations=(hashing,))
    assert processed(its_source, {"event": "A", "properties": {"email": "e"}}).deliveries == []
