"""Switches of the schema of a source."""

from __future__ import annotations

from typing import Any

import pytest

from mainstem.public_api.publish import source_config
from mainstem.public_api.sources.schema_controls import Kind, Switch, controls_off, switched_off, turn
from public_api.client import Api

EVENT = Switch(Kind.EVENT, "track", "Order")
SWITCHES = [
    EVENT,
    Switch(Kind.EVENT, "track", "Refund"),
    Switch(Kind.TRAIT, "identify", "email"),
    Switch(Kind.INTEGRATION, "track", "Order", "Webhooks"),
    Switch(Kind.INTEGRATION, "identify", "", "Webhooks"),
]
OFF = {
    "events_off": {"track": ("Order", "Refund")},
    "traits_off": {"identify": ("email",)},
    "integrations_off": {"track/Order": ("Webhooks",), "identify/": ("Webhooks",)},
}


def turn_all(api: Api, source_id: str, *, on: bool) -> list[bool]:
    with api.database.transaction(writes=True) as db:
        return [turn(db, source_id, switch, on=on) for switch in SWITCHES]


def test_what_is_off_is_part_of_what_is_published(api: Api, source: dict[str, Any]) -> None:
    turn_all(api, source["id"], on=False)
    with api.database.transaction(writes=False) as db:
        config = source_config(db, api.vault, source["id"])
        assert controls_off(db, source["id"]) == OFF
    assert config is not None
    assert {name: getattr(config.schema, name) for name in OFF} == OFF


@pytest.mark.parametrize("on", [True, False])
def test_turning_a_switch_says_whether_it_was_turned(api: Api, source: dict[str, Any], on: bool) -> None:
    assert turn_all(api, source["id"], on=on) == [not on] * len(SWITCHES)
    assert turn_all(api, source["id"], on=on) == [False] * len(SWITCHES)
    assert turn_all(api, source["id"], on=not on) == [True] * len(SWITCHES)


def test_a_source_that_is_deleted_takes_its_switches_with_it(api: Api, source: dict[str, Any], url: str) -> None:
    turn_all(api, source["id"], on=False)
    assert api.delete(url).status == 200
    with api.database.transaction(writes=False) as db:
        assert switched_off(db, source["id"]) == []


def test_switches_of_another_source_are_its_own(api: Api, source: dict[str, Any]) -> None:
    turn_all(api, source["id"], on=False)
    with api.database.transaction(writes=False) as db:
        assert switched_off(db, "another") == []
