"""`mainstem schema`: what a source was seen to send, and its switches."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import select

import databases
from mainstem import app
from mainstem.__main__ import main
from mainstem.model.learned import MAX_EVENTS, MAX_FIELDS, JsonType, Seen
from mainstem.model.outcome import OutcomeKey, Stage, Tally
from mainstem.model.ports import Processed
from mainstem.model.snapshot import LiveSnapshot, SchemaControls
from mainstem.public_api.sources.source import sources
from mainstem.rest.audit import audit_events
from mainstem.settings import Settings
from mainstem.vault import open_vault

NOW = int(time.time())


def run(folder: Path, *command: str) -> int:
    return main(["schema", *command, "--data", str(folder)])


def controls(folder: Path) -> SchemaControls:
    """What was published of the source."""
    store = databases.snapshot_store(folder, open_vault(folder, "").open)
    return LiveSnapshot(store).refresh().sources["src1"].schema


def learn(folder: Path, *news: Seen, tallies: dict[OutcomeKey, Tally] | None = None) -> None:
    flow = app.open_flow(Settings(data=folder))
    after = flow.pipeline.position()
    flow.pipeline.save(Processed(after, after + 1, learned=news, tallies=tallies or {}), NOW * 1000)
    flow.close()


def seen(name: str, path: str | None = None, types: JsonType = JsonType.STRING, type: str = "track") -> Seen:
    return Seen("src1", type, name, path, types, NOW * 1000)


def count(stage: Stage, number: int) -> dict[OutcomeKey, Tally]:
    return {OutcomeKey(NOW // 60, "src1", "", stage, "", "track", "Order", "1"): Tally(number)}


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_events_are_listed_with_what_became_of_them(folder, capsys):
    tallies = count(Stage.SUCCESSFULLY_RECEIVED, 7) | count(Stage.FILTERED_AT_SOURCE, 2)
    learn(folder, seen("Order"), seen("Order", "total"), seen("", type="identify"), tallies=tallies)
    assert run(folder, "shop") == 0
    headings, identify, order, *_ = rows(capsys)
    assert headings[0] == "TYPE"
    assert identify[:2] == ["identify", "-"]
    assert order[:4] == ["track", "Order", "5", "2"]
    assert order[-2:] == ["1", "on"]


def test_an_event_is_shown_with_its_properties_and_their_types(folder, capsys):
    learn(folder, seen("Order"), seen("Order", "products.$.sku", JsonType.STRING | JsonType.INTEGER))
    assert run(folder, "src1", "--event", "Order") == 0
    assert rows(capsys)[1][:3] == ["products.$.sku", "integer,", "string"]


def test_traits_are_shown_by_type_of_call(folder, capsys):
    learn(folder, seen("", type="identify"), seen("", "email", type="identify"))
    assert run(folder, "shop", "--trait", "email", "--off") == 0
    assert run(folder, "shop", "--type", "identify") == 0
    assert rows(capsys)[-1][-1] == "off"


def test_a_name_that_would_steer_the_terminal_does_not(folder, capsys):
    learn(folder, seen("\x1b[2J"), seen("\x1b[2J", "\x07"))
    assert run(folder, "shop") == run(folder, "shop", "--event", "\x1b[2J") == 0
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().out)


def test_a_schema_that_is_full_says_so(folder, capsys):
    learn(folder, *(seen(f"E{number}") for number in range(MAX_EVENTS)))
    learn(folder, *(seen("E0", f"p{number}") for number in range(MAX_FIELDS)))
    assert run(folder, "shop") == run(folder, "shop", "--event", "E0") == 0
    out = capsys.readouterr().out
    assert "it holds 4000 events" in out
    assert "it holds 300 properties" in out


def test_an_event_is_switched_off_and_on_again(folder, capsys):
    learn(folder, seen("Order"))
    assert run(folder, "shop", "--event", "Order", "--off") == 0
    assert controls(folder).events_off == {"track": ("Order",)}
    assert run(folder, "shop") == 0
    assert [row[-1] for row in rows(capsys) if row[:2] == ["track", "Order"]] == ["off"]
    assert run(folder, "shop", "--event", "Order", "--on") == 0
    assert controls(folder).events_off == {}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--event", "Home", "--type", "page"], SchemaControls(events_off={"page": ("Home",)})),
        (["--trait", "email"], SchemaControls(traits_off={"identify": ("email",)})),
        (["--trait", "seats", "--type", "group"], SchemaControls(traits_off={"group": ("seats",)})),
        (
            ["--integration", "Webhooks", "--event", "Order"],
            SchemaControls(integrations_off={"track/Order": ("Webhooks",)}),
        ),
        (
            ["--integration", "Webhooks", "--type", "identify"],
            SchemaControls(integrations_off={"identify/": ("Webhooks",)}),
        ),
    ],
)
def test_each_kind_of_switch_is_published(folder, options, expected):
    assert run(folder, "shop", *options, "--off") == 0
    assert controls(folder) == expected
    assert run(folder, "shop", *options, "--on") == 0
    assert controls(folder) == SchemaControls()


def test_switching_is_written_to_the_audit_trail_once(folder):
    for _ in range(2):
        assert run(folder, "shop", "--event", "Order", "--off") == 0
    control = databases.control(folder)
    with control.transaction(writes=False) as db:
        found = db.execute(select(audit_events).where(audit_events.c.resource_id == "src1")).all()
    control.close()
    assert [(each.type, each.actor) for each in found] == [("Source Settings Modified", "operator")]


def test_a_switch_that_a_tracking_plan_makes_idle_says_so(folder, capsys):
    control = databases.control(folder)
    with control.transaction(writes=True) as db:
        db.execute(sources.update().values(tracking_plan_id="tp_1"))
    control.close()
    assert run(folder, "shop", "--event", "Order", "--off") == 0
    assert "no effect while a tracking plan is connected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["nowhere"], 1, "no source nowhere"),
        (["shop", "--event", "Never"], 1, "never seen to send"),
        (["shop", "--integration", "Nobody", "--event", "E", "--off"], 1, "it has Webhooks"),
        (["shop", "--off"], 2, "give one of"),
        (["shop", "--event", "E", "--trait", "t", "--off"], 2, "give one of"),
        (["shop", "--event", "E", "--type", "identify", "--off"], 2, "must be one of track, page, screen"),
        (["shop", "--trait", "t", "--type", "track", "--off"], 2, "must be one of identify, group"),
        (["shop", "--integration", "Webhooks", "--off"], 2, "must be one of"),
        (["shop", "--integration", "Webhooks", "--type", "track", "--off"], 2, "give the --event"),
        (["shop", "--trait", "t"], 2, "give --on or --off"),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_a_line_and_an_exit_code(folder, capsys, options, code, said):
    assert run(folder, *options) == code
    assert said in capsys.readouterr().err
