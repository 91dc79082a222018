"""`mainstem destinations presets`: what a destination is offered, made when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import databases
from mainstem.__main__ import main
from mainstem.destinations.actions import catalogue
from mainstem.model.snapshot import LiveSnapshot, SubscriptionConfig
from mainstem.public_api.destinations import destinations
from mainstem.public_api.subscriptions.subscription import subscriptions
from mainstem.rest.audit import audit_events
from mainstem.vault import open_vault
from public_api.actions import MAILER, PRESET, definition, write_catalogue

BYE = {**PRESET, "name": "Bye", "trigger": 'event = "Left"', "mapping": {"subject": "Bye"}}
LACKING = {**PRESET, "name": "Bare", "trigger": 'type = "page"', "mapping": {}}
BROKEN = {**PRESET, "name": "Odd", "trigger": "type = 'page'"}


@pytest.fixture
def offer(folder: Path, tmp_path: Path):
    """The destination dst1 is of a type with these presets."""

    def offering(*presets: dict[str, Any]) -> None:
        write_catalogue(tmp_path / "packages", {**definition(MAILER, "Mailer"), "presets": list(presets)})
        execute(folder, update(destinations).values(metadata_id=MAILER))

    yield offering
    catalogue.use(None)


def execute(folder: Path, statement: Any) -> list[Any]:
    control = databases.control(folder)
    with control.transaction(writes=True) as db:
        result = db.execute(statement)
        rows = list(result.all()) if result.returns_rows else []
    control.close()
    return rows


def run(folder: Path, *command: str) -> int:
    where = ["--data", str(folder), "--packages", str(folder.parent / "packages")]
    return main(["destinations", "presets", *command, *where])


def published(folder: Path) -> tuple[SubscriptionConfig, ...]:
    store = databases.snapshot_store(folder, open_vault(folder, "").open)
    found = LiveSnapshot(store).refresh().sources["src1"].destinations[0].subscriptions
    store.close()
    assert found is not None
    return found


def test_presets_are_shown_and_nothing_is_made(folder, offer, capsys):
    offer(PRESET, BYE)
    assert run(folder, "dst1") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if "(send)" in line] == ["offered", "offered"]
    assert 'event = "Left"' in out
    assert execute(folder, select(subscriptions)) == []


def test_they_are_made_disabled_and_those_that_are_there_not_again(folder, offer, capsys):
    offer(PRESET)
    assert run(folder, "dst1", "--create") == 0
    (made,) = published(folder)
    assert (made.name, made.action, made.trigger, made.enabled) == ("Welcome", "send", PRESET["trigger"], False)
    assert made.mapping == {**made.mapping, **PRESET["mapping"], "enable_batching": True}
    assert [row.type for row in execute(folder, select(audit_events))][-1] == "Destination Subscription Created"
    offer_again = execute(folder, select(subscriptions.c.id))
    assert run(folder, "dst1", "--create") == 0
    assert "1 were there before" in capsys.readouterr().out
    assert execute(folder, select(subscriptions.c.id)) == offer_again


def test_they_are_enabled_when_asked_for_but_for_one_without_a_required_value(folder, offer, capsys):
    offer(PRESET, LACKING)
    assert run(folder, "dst1", "--create", "--enable") == 1
    assert {each.name: each.enabled for each in published(folder)} == {"Welcome": True, "Bare": False}
    assert "Bare was made and not enabled" in capsys.readouterr().err


def test_one_that_can_never_fire_is_not_made(folder, offer, capsys):
    offer(BROKEN, BYE)
    assert run(folder, "dst1", "--create") == 1
    assert [each.name for each in published(folder)] == ["Bye"]
    assert "Odd was not made" in capsys.readouterr().err


def test_beyond_fifty_none_is_made(folder, offer, capsys):
    offer(*({**BYE, "trigger": f'event = "E{number}"'} for number in range(51)))
    assert run(folder, "dst1", "--create") == 2
    assert "at most 50" in capsys.readouterr().err
    assert execute(folder, select(subscriptions)) == []


def test_what_makes_no_sense_is_said_in_a_line(folder, offer, capsys):
    assert run(folder, "dst1") == 2
    assert "nothing is known of presets" in capsys.readouterr().err
    offer(PRESET)
    assert run(folder, "dst9") == 2
    assert run(folder, "dst1", "--enable") == 2
    err = capsys.readouterr().err
    assert "there is no destination dst9" in err
    assert "--enable goes with --create" in err


def test_a_type_that_is_not_installed_says_what_to_do(folder, capsys):
    execute(folder, update(destinations).values(metadata_id=MAILER))
    assert run(folder, "dst1") == 2
    assert "mainstem destinations install" in capsys.readouterr().err
