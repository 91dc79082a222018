"""The consent categories of a destination, which stand among its settings."""

from typing import Any

import pytest

from public_api.client import Api
from public_api.connections import HOOK, new_source, post_webhook, published

FIELD = "settings.consentSettings"


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


def with_consent(api: Api, source_id: str, consent: Any) -> Any:
    return post_webhook(api, source_id, settings={"hooks": [HOOK], "consentSettings": consent})


def test_the_data_plane_gets_the_categories_and_the_connector_does_not(api: Api, source_id: str) -> None:
    consent = {"categories": ["ad", "analytics"]}
    made = with_consent(api, source_id, consent).data["destination"]
    assert made["settings"]["consentSettings"] == consent
    (config,) = published(api, source_id).destinations
    assert config.consent_categories == ("ad", "analytics")
    assert config.settings == {"hooks": [HOOK]}


def test_they_change_and_go_like_any_setting(api: Api, source_id: str) -> None:
    made = with_consent(api, source_id, {"categories": ["ad"]}).data["destination"]
    path = f"/destinations/{made['id']}"
    api.patch(path, {"settings": {"consentSettings": {"categories": []}}})
    assert published(api, source_id).destinations[0].consent_categories == ()
    changed = api.patch(path, {"settings": {"consentSettings": None}}).data["destination"]
    assert "consentSettings" not in changed["settings"]


@pytest.mark.parametrize(
    ("consent", "field"),
    [("ad", FIELD), (["ad"], FIELD), ({"categories": "ad"}, f"{FIELD}.categories")]
    + [({"categories": [each]}, f"{FIELD}.categories") for each in (1, None, {})],
)
def test_categories_that_cannot_be_read_are_refused(api: Api, source_id: str, consent: Any, field: str) -> None:
    reply = with_consent(api, source_id, consent)
    assert (reply.status, reply.fields) == (422, [field])


def test_a_consent_without_categories_is_none(api: Api, source_id: str) -> None:
    assert with_consent(api, source_id, {}).status == 200
    assert published(api, source_id).destinations[0].consent_categories == ()
