"""Events that came before."""

from __future__ import annotations

from mainstem.model.event import dedupe_key
from mainstem.pipeline import FROM_SOURCE, run
from pipeline.making import from_source, request, scope, source

EVENT = {"type": "track", "event": "E", "userId": "u", "messageId": "m"}


def test_an_event_seen_before_vanishes_uncounted():
    verdicts = from_source(EVENT, scope=scope(seen=[dedupe_key("ws", "m")]))
    assert not verdicts.kept
    assert [(each.stage, each.reason) for each in verdicts.dropped] == [(None, "duplicate")]


def test_of_duplicates_in_one_batch_the_first_stays():
    verdicts = from_source({"batch": [{**EVENT, "n": 1}, {**EVENT, "n": 2}]}, "batch")
    assert [event.payload["n"] for event in verdicts.kept] == [1]


def test_the_same_id_from_another_source_of_the_workspace_is_a_duplicate():
    both = scope(source("one"), source("two"))
    batch = [request(EVENT, source_id="one"), request(EVENT, index=1, source_id="two")]
    assert [event.source_id for event in run(FROM_SOURCE, batch, both).kept] == ["one"]


def test_another_workspace_may_use_the_same_id():
    both = scope(source("one"), source("two", workspace_id="other"))
    batch = [request(EVENT, source_id="one"), request(EVENT, index=1, source_id="two")]
    assert len(run(FROM_SOURCE, batch, both).kept) == 2


def test_an_event_that_fails_on_ingest_does_not_use_up_its_id():
    bad, good = {**EVENT, "userId": 7}, EVENT
    assert len(from_source({"batch": [bad, good]}, "batch").kept) == 1


def test_the_store_is_asked_once_a_batch():
    asked = []
    known = scope()

    def already_seen(ids):
        asked.append(len(ids))
        return set()

    run(FROM_SOURCE, [request({"batch": [EVENT] * 5}, "batch")], type(known)(known.snapshot, already_seen))
    assert asked == [5]
