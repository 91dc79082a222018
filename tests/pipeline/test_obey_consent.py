"""What a destination gets of users who agreed to some categories. The table of the product guide, row by row."""

from __future__ import annotations

import pytest

from mainstem.model.outcome import Stage
from mainstem.pipeline import TO_DESTINATION, run
from pipeline.making import destination, destination_scope, from_source

MAPPED = destination("dst", "facebook", consent_categories=("ad",))
BOTH = destination("dst", "facebook", consent_categories=("ad", "analytics"))
UNMAPPED = destination("dst", "facebook")
ABSENT = object()


def reason(to, consent, integrations=None, **fields):
    """Why the event is not sent; None when it is."""
    context = {} if consent is ABSENT else {"consent": consent}
    call = {"userId": "u", "event": "E", "context": context, **fields}
    if integrations is not None:
        call["integrations"] = integrations
    (event,) = from_source(call).kept
    verdicts = run(TO_DESTINATION, [event], destination_scope(to))
    assert not verdicts.failed
    if not verdicts.dropped:
        return None
    (dropped,) = verdicts.dropped
    assert dropped.stage is Stage.FILTERED_AT_DESTINATION
    return dropped.reason


def said(**preferences):
    return {"categoryPreferences": preferences}


NO_CONSENT = "FILTERED_BY_END_USER_CONSENT"
NO_INTEGRATION = "FILTERED_BY_INTEGRATIONS_OBJECT"
OTHERS = {"facebook": True, "amplitude": False}


def test_a_destination_mapped_to_two_categories_is_blocked_by_one_even_when_the_integrations_object_says_true():
    assert reason(BOTH, said(ad=True, analytics=False), {"facebook": True}) == NO_CONSENT


@pytest.mark.parametrize("to", [MAPPED, BOTH, UNMAPPED])
def test_without_a_consent_object_every_destination_gets_the_event(to):
    assert reason(to, ABSENT) is None


@pytest.mark.parametrize(("to", "expected"), [(MAPPED, NO_CONSENT), (BOTH, NO_CONSENT), (UNMAPPED, None)])
def test_with_empty_preferences_only_unmapped_destinations_get_the_event(to, expected):
    assert reason(to, said()) == expected
    assert reason(to, said(), OTHERS) == expected


@pytest.mark.parametrize(
    ("consent", "integrations", "mapped", "unmapped"),
    [
        (ABSENT, OTHERS, None, None),
        (ABSENT, {"facebook": False}, NO_INTEGRATION, NO_INTEGRATION),
        ({}, None, None, None),
        ({}, {}, None, None),
        ({}, OTHERS, NO_CONSENT, None),
        ({}, {"facebook": False}, NO_CONSENT, NO_INTEGRATION),
        (said(ad=True, analytics=False), None, None, None),
        (said(ad=True, analytics=False), {"facebook": False}, NO_INTEGRATION, NO_INTEGRATION),
        (said(ad=False, analytics=True), OTHERS, NO_CONSENT, None),
        (said(analytics=True), None, NO_CONSENT, None),
        (said(unknown=False, ad=True), None, None, None),
    ],
)
def test_consent_comes_first_and_the_integrations_object_only_takes_away(consent, integrations, mapped, unmapped):
    assert reason(MAPPED, consent, integrations) == mapped
    assert reason(UNMAPPED, consent, integrations) == unmapped


@pytest.mark.parametrize(
    ("ad", "analytics", "expected"),
    [(True, True, None), (True, False, NO_CONSENT), (False, True, NO_CONSENT), (False, False, NO_CONSENT)],
)
def test_every_category_of_a_destination_must_be_agreed_to(ad, analytics, expected):
    assert reason(BOTH, said(ad=ad, analytics=analytics)) == expected


@pytest.mark.parametrize("odd", ["yes", 1, None, [True], {}])
def test_only_true_is_consent(odd):
    assert reason(MAPPED, said(ad=odd)) == NO_CONSENT


@pytest.mark.parametrize("odd", ["x", 5, [], ["ad"], True])
def test_preferences_that_cannot_be_read_are_all_false(odd):
    assert reason(MAPPED, {"categoryPreferences": odd}) == NO_CONSENT


@pytest.mark.parametrize("odd", ["x", 5, [], None])
def test_a_consent_that_is_no_object_is_none(odd):
    assert reason(MAPPED, odd) is None


def test_the_change_of_a_preference_goes_to_every_destination_that_takes_it():
    changed = {"event": "Segment Consent Preference Updated"}
    assert reason(BOTH, said(ad=False, analytics=False), **changed) is None
    unsupported = destination("dst", "W", consent_categories=("ad",), event_types=frozenset({"page"}))
    assert reason(unsupported, said(ad=False), **changed) == "UNSUPPORTED_EVENT_TYPE"
