"""Consent, from the setting of a destination to what arrives there and how the rest is counted."""

from __future__ import annotations

from typing import Any

import httpx

from journeys.public_api import PublicApi
from journeys.running import RunningServer
from journeys.sink import Sink

HTTP_API = "iUM16Md8P2"


def send(server: RunningServer, write_key: str, event: str, consent: dict[str, Any] | None, **fields: Any) -> None:
    """One accepted track call, with this consent object if any."""
    context = {} if consent is None else {"consent": consent}
    body = {"event": event, "userId": "u-1", "context": context, "writeKey": write_key, **fields}
    assert httpx.post(f"{server.tracking_url}/v1/track", json=body).status_code == 200


def preferences(**given: bool) -> dict[str, Any]:
    return {"categoryPreferences": given}


def test_a_destination_gets_only_events_of_users_who_agreed_to_all_its_categories(
    server: RunningServer, public_api: PublicApi, sink: Sink
) -> None:
    mapped = public_api.connect(f"{sink.url}/mapped", metadata_id=HTTP_API)
    public_api.add_webhook(mapped.source_id, f"{sink.url}/unmapped")
    consent = {"consentSettings": {"categories": ["ad", "analytics"]}}
    public_api.patch(f"/destinations/{mapped.destination_id}", {"settings": consent})

    named = {"integrations": {"Webhooks": True}}
    send(server, mapped.write_key, "half", preferences(ad=True, analytics=False), **named)
    send(server, mapped.write_key, "empty", preferences())
    send(server, mapped.write_key, "all", preferences(ad=True, analytics=True))
    send(server, mapped.write_key, "absent", None)

    assert [each.event["event"] for each in sink.wait_for(6) if each.path == "/mapped"] == ["all", "absent"]
    unmapped = [each.event["event"] for each in sink.arrivals() if each.path == "/unmapped"]
    assert unmapped == ["half", "empty", "all", "absent"]
    blocked = public_api.wait_for_count("filtered-at-destination", mapped, 2, groupBy="discardReason")
    assert [each["discardReason"] for each in blocked["dataset"]] == ["FILTERED_BY_END_USER_CONSENT"]
