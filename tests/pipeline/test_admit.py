"""What is refused before anything is read."""

from __future__ import annotations

import pytest

from mainstem.model.outcome import Stage
from mainstem.pipeline.admit import admit
from mainstem.pipeline.step import Dropped
from pipeline.making import from_source, item, reasons, scope, source


@pytest.mark.parametrize("payload", [None, 7, "text", [], [{}], True, 1.5])
@pytest.mark.parametrize("kind", ["track", "batch"])
def test_what_is_no_object_is_a_bad_request(payload, kind):
    assert admit(item(payload, kind), scope()).reason == "bad_request"


@pytest.mark.parametrize("type_", [None, "", "Track", "delete", "batch", 7, ["track"], {}])
def test_an_item_of_a_batch_needs_a_known_type(type_):
    assert admit(item({"type": type_}, "batch"), scope()).reason == "bad_request"


def test_a_type_in_the_body_does_not_matter_where_the_path_says_it():
    page = item({"type": "nonsense"}, "page")
    assert admit(page, scope()) is page


def test_every_event_of_a_disabled_source_fails_whatever_it_holds():
    verdicts = from_source({"batch": [{}, {"type": "track"}, 3]}, "batch", scope=scope(source(enabled=False)))
    assert reasons(verdicts) == ["source_disabled"] * 3


def test_events_of_a_source_that_is_gone_fail():
    assert reasons(from_source({"event": "E", "userId": "u"}, source_id="gone")) == ["unknown_source"]


def test_an_empty_batch_counts_once():
    assert reasons(from_source({"batch": []}, "batch")) == ["empty_batch"]


def test_the_first_2500_items_of_a_batch_stay():
    batch = [{"type": "track", "event": "E", "userId": "u", "n": number} for number in range(2_502)]
    verdicts = from_source({"batch": batch}, "batch")
    assert [event.payload["n"] for event in verdicts.kept] == list(range(2_500))
    assert reasons(verdicts) == ["too_many_requests"] * 2
    assert {each.stage for each in verdicts.dropped} == {Stage.FAILED_ON_INGEST}


def test_what_is_refused_is_counted_under_its_type_name_and_version():
    payload = {"type": "track", "event": "E", "messageId": "m", "context": {"app": {"version": "1.2"}}}
    dropped = admit(item(payload, "batch"), scope(source(enabled=False)))
    assert isinstance(dropped, Dropped)
    event = dropped.event
    assert (event.type, event.name, event.app_version, event.message_id) == ("track", "E", "1.2", "m")
    assert event.source_id == "src"
