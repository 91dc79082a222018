"""What holds for every connector."""

from __future__ import annotations

import pytest

from mainstem.destinations import CONNECTORS
from mainstem.destinations.base import Destination, Rejected
from mainstem.model.event import EVENT_TYPES
from mainstem.public_api import catalog

ODD_SETTINGS: list[dict[str, object]] = [
    {},
    {"hooks": None, "sharedSecret": None, "globalHook": None},
    {"hooks": 7, "sharedSecret": 7, "globalHook": 7},
    {"hooks": {}, "sharedSecret": [], "globalHook": {}},
    {"hooks": [None, 7, [], {}, {"hook": 7}, {"hook": []}, {"headers": 7}], "apiKey": ""},
    {"hooks": [{"hook": "https://a.example", "headers": [None, 7, [], {}, {"key": 7, "value": 7}]}]},
    {"hooks": [{"hook": "https://a.example", "headers": {"": "", "a": None, "b": 7}}]},
]


@pytest.fixture(params=CONNECTORS.values(), ids=lambda each: each.slug)
def connector(request: pytest.FixtureRequest) -> Destination:
    return request.param


def test_a_connector_stands_in_the_catalog_under_its_own_name(connector: Destination) -> None:
    entry = catalog.find_destination_metadata(connector.metadata_id)
    assert entry is not None
    assert (entry.name, entry.slug) == (connector.name, connector.slug)


def test_a_connector_takes_events_that_exist(connector: Destination) -> None:
    assert connector.methods
    assert connector.methods <= EVENT_TYPES


@pytest.mark.parametrize("settings", ODD_SETTINGS)
def test_odd_settings_are_used_or_refused_and_break_nothing(
    connector: Destination, settings: dict[str, object]
) -> None:
    assert all(field.startswith("settings.") for field, _ in connector.faults(settings))
    assert opened(connector, settings) in {"opened", "INVALID_SETTINGS"}


def opened(connector: Destination, settings: dict[str, object]) -> str:
    """ "opened", or the reason of the refusal."""
    try:
        connector.connect(settings)
    except Rejected as refusal:
        return refusal.reason
    return "opened"
