"""What the settings of a source say, made of its published configuration."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mainstem.model.snapshot import (
    DestinationConfig,
    FilterConfig,
    PlanConfig,
    RuleConfig,
    SchemaControls,
    Snapshot,
    SourceConfig,
)
from mainstem.tracking_api.cdn_document import Documents, Reader, document

SECRET = "s3cret-of-acme"
READER = Reader("key", "https", "t.example/v1", has_library=True)
DROP = FilterConfig("f", "event = 'Secret plans'", ({"type": "DROP"},), enabled=True)


def source(platform: str = "web", **fields: Any) -> SourceConfig:
    settings = fields.pop("settings", {})
    return SourceConfig("src", "w", "site", "site", "m", platform, True, ("key",), settings, **fields)


def destination(name: str, *categories: str, enabled: bool = True) -> DestinationConfig:
    settings = {"apiKey": SECRET}
    return DestinationConfig(name, "m", name, enabled, settings, (DROP,), consent_categories=categories)


def plan(*events: str) -> PlanConfig:
    rules = [RuleConfig("TRACK", each, 1, {}) for each in events]
    others = (RuleConfig("COMMON", "", 1, {}), RuleConfig("IDENTIFY", "", 1, {}), RuleConfig("PAGE", "Home", 1, {}))
    return PlanConfig("tp_1", "Plan", (*rules, *others))


def said(its_source: SourceConfig, its_plan: PlanConfig | None = None) -> dict[str, Any]:
    return document(its_source, its_plan, READER)


def track(its_source: SourceConfig, its_plan: PlanConfig | None = None) -> dict[str, Any]:
    found: dict[str, Any] = said(its_source, its_plan)["plan"]["track"]
    return found


ON = {"enabled": True, "integrations": {}}
OFF = {"enabled": False, "integrations": {}}


class TestDestinations:
    def test_a_website_is_told_of_each_enabled_destination_by_name(self) -> None:
        its_source = source(destinations=(destination("Webhooks"), destination("Off", enabled=False)))
        integrations = said(its_source)["integrations"]
        assert integrations.keys() == {"Segment.io", "Webhooks"}
        assert integrations["Webhooks"] == {
            "bundlingStatus": "unbundled",
            "versionSettings": {"componentTypes": ["server"]},
        }
        assert integrations["Segment.io"]["unbundledIntegrations"] == ["Webhooks"]

    @pytest.mark.parametrize("platform", ["mobile", "server"])
    def test_a_device_is_told_only_that_the_server_sends_to_them(self, platform: str) -> None:
        integrations = said(source(platform, destinations=(destination("Webhooks"),)))["integrations"]
        assert integrations.keys() == {"Segment.io"}
        assert integrations["Segment.io"]["unbundledIntegrations"] == ["Webhooks"]

    def test_where_nobody_has_the_bundles_none_is_listed_that_would_need_one(self) -> None:
        reader = msgspec.structs.replace(READER, has_library=False)
        integrations = document(source(destinations=(destination("Webhooks"),)), None, reader)["integrations"]
        assert integrations.keys() == {"Segment.io"}
        assert integrations["Segment.io"]["unbundledIntegrations"] == ["Webhooks"]

    def test_two_instances_of_one_type_are_one_name(self) -> None:
        its_source = source(destinations=(destination("A", "ad"), destination("A", "analytics")))
        integrations = said(its_source)["integrations"]
        assert integrations["Segment.io"]["unbundledIntegrations"] == ["A"]
        assert integrations["A"]["consentSettings"] == {"categories": ["ad", "analytics"]}

    def test_neither_settings_nor_filters_of_destinations_are_told_to_the_world(self) -> None:
        text = msgspec.json.encode(said(source(destinations=(destination("Webhooks"),)))).decode()
        assert SECRET not in text
        assert "Secret plans" not in text

    def test_nothing_runs_in_the_browser(self) -> None:
        everything = said(source(destinations=(destination("Webhooks"),)))
        assert everything["remotePlugins"] == []
        assert everything["middlewareSettings"] == {"routingRules": []}


class TestConsent:
    def test_dialogs_are_told_all_categories(self) -> None:
        its_source = source(destinations=(destination("A", "b", "a"), destination("B", "c", enabled=False)))
        assert said(its_source)["consentSettings"] == {"allCategories": ["a", "b"], "hasUnmappedDestinations": False}
        unmapped = source(destinations=(destination("A", "a"), destination("B")))
        assert said(unmapped)["consentSettings"] == {"allCategories": ["a"], "hasUnmappedDestinations": True}

    def test_without_categories_there_is_none(self) -> None:
        everything = said(source(destinations=(destination("A"),)))
        assert "consentSettings" not in everything
        assert "consentSettings" not in everything["integrations"]["A"]


class TestWhatIsPassedOn:
    def test_how_to_send_is_for_the_source_to_say(self) -> None:
        batching = {"strategy": "batching", "config": {"size": 10, "timeout": 5000}}
        retries = {"backoffConfig": {"maxRetryCount": 3}}
        its_source = source(settings={"deliveryStrategy": batching, "httpConfig": retries, "apiSecret": SECRET})
        segment_io = said(its_source)["integrations"]["Segment.io"]
        assert (segment_io["deliveryStrategy"], segment_io["httpConfig"]) == (batching, retries)
        assert "apiSecret" not in segment_io

    @pytest.mark.parametrize("odd", ["batching", 5, [], None])
    def test_what_is_no_object_is_not(self, odd: Any) -> None:
        assert (
            "deliveryStrategy" not in said(source(settings={"deliveryStrategy": odd}))["integrations"]["Segment.io"]
        )


class TestThePlan:
    def test_without_a_plan_everything_is_on(self) -> None:
        assert said(source())["plan"] == {
            "track": {"__default": ON},
            "identify": {"__default": {"enabled": True}},
            "group": {"__default": {"enabled": True}},
        }

    def test_an_event_that_the_schema_switches_off_is_off(self) -> None:
        schema = SchemaControls(events_off={"track": ("X",), "page": ("Home",)})
        assert track(source(schema=schema)) == {"__default": ON, "X": OFF}

    def test_where_unplanned_events_are_blocked_only_the_planned_ones_are_on(self) -> None:
        blocking = source(tracking_plan_id="tp_1", schema=SchemaControls(allow_unplanned_events=False))
        assert track(blocking, plan("A", "B")) == {"__default": OFF, "A": ON, "B": ON}

    def test_where_they_are_allowed_a_plan_switches_nothing_off(self) -> None:
        allowing = source(tracking_plan_id="tp_1", schema=SchemaControls(events_off={"track": ("X",)}))
        assert track(allowing, plan("A")) == {"__default": ON}

    def test_on_a_device_unplanned_events_are_not_blocked(self) -> None:
        blocking = source("mobile", tracking_plan_id="tp_1", schema=SchemaControls(allow_unplanned_events=False))
        assert track(blocking, plan("A")) == {"__default": ON}

    def test_without_a_plan_the_setting_for_unplanned_events_says_nothing(self) -> None:
        assert track(source(schema=SchemaControls(allow_unplanned_events=False))) == {"__default": ON}

    def test_an_event_is_off_for_the_destinations_that_the_schema_names(self) -> None:
        off = {"track/A": ("Appsflyer",), "track/Unplanned": ("Appsflyer",), "identify/": ("Appsflyer",)}
        schema = SchemaControls(integrations_off=off, allow_unplanned_events=False)
        assert track(source(schema=schema)) == {
            "__default": ON,
            "A": {"enabled": True, "integrations": {"Appsflyer": False}},
            "Unplanned": {"enabled": True, "integrations": {"Appsflyer": False}},
        }
        events = track(source(schema=schema, tracking_plan_id="tp_1"), plan("A"))
        assert events["Unplanned"] == {"enabled": False, "integrations": {"Appsflyer": False}}
        assert events["A"]["enabled"]

    def test_traits_that_the_schema_switches_off_are_off(self) -> None:
        schema = SchemaControls(traits_off={"identify": ("email",), "group": ("plan",)})
        found = said(source(schema=schema))["plan"]
        assert found["identify"] == {"__default": {"enabled": True}, "email": {"enabled": False}}
        assert found["group"] == {"__default": {"enabled": True}, "plan": {"enabled": False}}
        planned = said(source(schema=schema, tracking_plan_id="tp_1"), plan())["plan"]
        assert planned["identify"] == {"__default": {"enabled": True}}


def test_a_document_is_written_once_and_anew_when_anything_is_published() -> None:
    documents, its_source = Documents(), source()
    before, after = Snapshot(version=1), Snapshot(version=2)
    first = documents.of(before, its_source, READER)
    assert documents.of(before, its_source, READER) is first
    assert documents.of(after, its_source, READER) is not first
