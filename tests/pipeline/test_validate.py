"""Input, and the published reason it fails for."""

from __future__ import annotations

import pytest

from mainstem.model.outcome import INGEST_REASONS, Stage
from pipeline.making import from_source, reasons

CONSENT = "Segment Consent Preference Updated"
TRACK = {"type": "track", "userId": "u", "event": "E"}
REFUSED = [
    ({"event": "E"}, "track", "no_user_anon_id"),
    ({"event": "E", "userId": None, "anonymousId": None}, "track", "no_user_anon_id"),
    ({"event": "E", "userId": 123}, "track", "id_not_string"),
    ({"event": "E", "userId": ""}, "track", "id_not_string"),
    ({"event": "E", "userId": "u", "anonymousId": ""}, "track", "id_not_string"),
    ({"event": "E", "userId": False, "anonymousId": "a"}, "track", "id_not_string"),
    ({"event": "E", "userId": ["u"]}, "track", "id_not_string"),
    ({"userId": "u"}, "group", "id_required"),
    ({"userId": "u", "groupId": None}, "group", "id_required"),
    ({"userId": "u", "groupId": 7}, "group", "id_not_string"),
    ({"userId": "u", "groupId": ""}, "group", "id_not_string"),
    ({"groupId": "g"}, "group", "no_user_anon_id"),
    ({"userId": "u"}, "alias", "id_required"),
    ({"userId": "u", "previousId": 7}, "alias", "id_not_string"),
    ({"previousId": "p"}, "alias", "no_user_anon_id"),
    ({"userId": "u"}, "track", "event_not_defined"),
    ({"userId": "u", "event": None}, "track", "event_not_defined"),
    ({"userId": "u", "event": ""}, "track", "event_not_defined"),
    ({"userId": "u", "event": 7}, "track", "event_not_string"),
    ({"userId": "u", "event": {"name": "E"}}, "track", "event_not_string"),
    ({"userId": "u", "event": "E", "properties": []}, "track", "properties_not_object"),
    ({"userId": "u", "event": "E", "properties": "x"}, "track", "properties_not_object"),
    ({"userId": "u", "properties": 0}, "page", "properties_not_object"),
    ({"userId": "u", "traits": []}, "identify", "traits_not_object"),
    ({"userId": "u", "groupId": "g", "traits": "x"}, "group", "traits_not_object"),
    ({"userId": "u", "name": ""}, "page", "name_not_string"),
    ({"userId": "u", "name": 7}, "screen", "name_not_string"),
    ({"userId": "u", "category": ""}, "page", "category_not_string"),
    ({"userId": "u", "category": []}, "screen", "category_not_string"),
    ({"userId": "u", "event": CONSENT}, "track", "consent_categorypreferences_should_exist"),
    (
        {"userId": "u", "event": CONSENT, "context": {"consent": []}},
        "track",
        "consent_categorypreferences_should_exist",
    ),
    (
        {"userId": "u", "event": CONSENT, "context": {"consent": {"categoryPreferences": ["ad"]}}},
        "track",
        "consent_categorypreferences_fields_should_be_object",
    ),
    (
        {"userId": "u", "event": CONSENT, "context": {"consent": {"categoryPreferences": {"ad": "yes"}}}},
        "track",
        "consent_categorypreferences_fields_should_be_bool",
    ),
    (
        {"userId": "u", "context": {"device": {"advertisingId": 7}}},
        "identify",
        "device_advertisingid_should_be_string",
    ),
    ({"userId": "u", "context": {"consent": {"version": "2"}}}, "identify", "consent_version_should_be_number"),
    ({"userId": "u", "context": {"consent": {"version": True}}}, "identify", "consent_version_should_be_number"),
    ({"userId": "u", "event": "E", "messageId": "m" * 101}, "track", "bad_request"),
    ({"userId": "u", "event": "E", "messageId": 7}, "track", "bad_request"),
    ({"userId": "u", "event": "E", "messageId": ["m"]}, "track", "bad_request"),
]
ACCEPTED = [
    (TRACK, "track"),
    ({"anonymousId": "a", "userId": None, "event": "E", "properties": None, "traits": None}, "track"),
    ({"userId": "u", "event": "E", "messageId": "m" * 100}, "track"),
    ({"userId": "u"}, "identify"),
    ({"userId": "u"}, "page"),
    ({"userId": "u", "name": None, "category": None}, "screen"),
    ({"userId": "u", "name": "N", "category": "C"}, "page"),
    ({"userId": "u", "name": 7, "event": 7}, "identify"),
    ({"userId": "u", "groupId": "g"}, "group"),
    ({"userId": "u", "previousId": "p"}, "alias"),
    ({"anonymousId": "a", "previousId": "p"}, "alias"),
    ({"userId": "u", "context": "text"}, "identify"),
    ({"userId": "u", "context": {"device": {"advertisingId": None}, "consent": {"version": None}}}, "identify"),
    ({"userId": "u", "context": {"device": "x", "consent": {"version": 1.5}}}, "identify"),
    ({"userId": "u", "event": CONSENT, "context": {"consent": {"categoryPreferences": {"ad": False}}}}, "track"),
    ({"userId": "u", "event": CONSENT, "context": {"consent": {"categoryPreferences": {}}}}, "track"),
]


@pytest.mark.parametrize(("payload", "kind", "reason"), REFUSED)
def test_a_broken_rule_has_its_published_reason(payload, kind, reason):
    verdicts = from_source(payload, kind)
    assert reasons(verdicts) == [reason]
    assert verdicts.dropped[0].stage is Stage.FAILED_ON_INGEST
    assert not verdicts.kept


@pytest.mark.parametrize(("payload", "kind"), ACCEPTED)
def test_what_breaks_no_rule_goes_on(payload, kind):
    assert len(from_source(payload, kind).kept) == 1


def test_bad_items_of_a_batch_go_alone():
    batch = [TRACK, {"type": "track", "event": "E"}, {**TRACK, "messageId": "m"}]
    verdicts = from_source({"batch": batch}, "batch")
    assert [event.number for event in verdicts.kept] == [0, 2]
    assert reasons(verdicts) == ["no_user_anon_id"]


def test_every_reason_given_is_documented():
    given = {reason for _, _, reason in REFUSED}
    assert given <= set(INGEST_REASONS)
