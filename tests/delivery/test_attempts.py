"""Attempts at deliveries, as they are kept for the trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mainstem.delivery import attempts as noting
from mainstem.delivery.attempts import AttemptLog
from mainstem.destinations.base import Exchange
from mainstem.engines.sqlite_traces import SqliteTraces
from mainstem.model.outcome import Stage
from mainstem.model.ports import Delivery, NewDelivery, Retry
from mainstem.model.snapshot import DestinationConfig
from mainstem.model.trace import ATTEMPTED_AGAIN, Attempt, Attempts, key_of, mark
from mainstem.vault import Vault

NOW_MS = 1_800_000_000_000


class World:
    """A store on disk, one destination whose settings can change, and a log of attempts at it."""

    def __init__(self, folder: Path) -> None:
        self.traces = SqliteTraces(folder / "traces.db", Vault(bytes(32)))
        self.config = destination("planted secret")
        self.log = AttemptLog(self.traces, lambda _id: self.config, now_ms=lambda: NOW_MS)

    def blocks(self) -> list[Attempts]:
        found = [each.block for each in self.traces.after(0, 1000)]
        assert all(isinstance(each, Attempts) for each in found)
        return found  # type: ignore[return-value]

    def attempts(self) -> list[Attempt]:
        return [attempt for block in self.blocks() for attempt in block.attempts]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def destination(secret: str) -> DestinationConfig:
    return DestinationConfig("dst", "54521fdc25e721e32a72ef04", "Webhooks", True, {"sharedSecret": secret})


def delivery(message_id: str = "m1", attempts: int = 0) -> Delivery:
    new = NewDelivery("dst", 7, "src", message_id, "track", "Clicked", "1.0", NOW_MS, b"{}", "sub")
    return Delivery(1, new, attempts, 0, 0, 0, "")


def exchange(body: str = "{}") -> Exchange:
    return Exchange("POST", "http://partner.example/", {"Content-Type": "application/json"}, body, 503, {}, "busy")


def noted(world: World, exchanges: Sequence[Exchange] = (), **fields: object) -> Attempt:
    began = {"began_at_ms": NOW_MS, **fields}
    world.log.note(delivery(attempts=2), exchanges, Stage.SUCCESSFUL_DELIVERY, "successes.attempt.3", **began)
    world.log.flush()
    return world.attempts()[-1]


def test_an_attempt_is_kept_with_what_was_asked_and_answered(world: World) -> None:
    attempt = noted(world, [exchange()], began_at_ms=NOW_MS - 12)
    assert (attempt.destination_id, attempt.subscription_id, attempt.message_id) == ("dst", "sub", "m1")
    assert (attempt.number, attempt.began_at_ms, attempt.ended_at_ms) == (3, NOW_MS - 12, NOW_MS)
    assert (attempt.stage, attempt.reason) == ("successful_delivery", "successes.attempt.3")
    (kept,) = world.blocks()[0].exchanges
    assert (kept.method, kept.url, kept.status, kept.response_body) == (
        "POST",
        "http://partner.example/",
        503,
        "busy",
    )
    assert [each.id for each in world.traces.find([key_of("m1")])] == [1]


def test_an_attempt_that_is_followed_by_another_says_when(world: World) -> None:
    retry = Retry(1, 3, NOW_MS + 30_000, NOW_MS, 0, "503")
    world.log.note(delivery(attempts=2), [exchange()], "", "503", retry)
    world.log.flush()
    (attempt,) = world.attempts()
    assert (attempt.stage, attempt.reason, attempt.due_at_ms) == (ATTEMPTED_AGAIN, "503", NOW_MS + 30_000)
    assert [each.id for each in world.traces.marked(mark("dst", "503"))] == [1]


def test_a_request_of_a_batch_is_kept_once_for_all_its_members(world: World) -> None:
    shared = exchange("[1,2,3]")
    for number in range(3):
        world.log.note(delivery(f"m{number}"), [shared], Stage.SUCCESSFUL_DELIVERY, "successes.attempt.1")
    world.log.note(delivery("other"), [exchange("alone")], Stage.SUCCESSFUL_DELIVERY, "successes.attempt.1")
    world.log.flush()
    (block,) = world.blocks()
    assert [each.request_body for each in block.exchanges] == ["[1,2,3]", "alone"]
    assert [list(each.exchanges) for each in block.attempts] == [[0], [0], [0], [1]]


def test_a_planted_secret_is_not_kept(world: World) -> None:
    told = Exchange(
        "POST", "http://partner.example/?q=planted%20secret",
        {"X-Mine": "planted secret", "Authorization": "Basic abc"},
        '{"a":"planted secret"}', 400, {"Set-Cookie": "abc"}, "no planted secret here",
    )  # fmt: skip
    noted(world, [told])
    (block,) = world.blocks()
    text = str(block)
    assert "planted" not in text
    assert "abc" not in text


def test_what_is_known_beyond_the_reason_is_kept_without_secrets_and_bounded(world: World) -> None:
    assert noted(world).detail == ""
    assert noted(world, detail="Error: planted secret was refused").detail == "Error: [hidden] was refused"
    assert len(noted(world, detail="x" * 5_000).detail) == noting.MAX_DETAIL


def test_the_secret_before_a_change_of_settings_is_not_kept_either(world: World) -> None:
    noted(world, [exchange("planted secret")])
    world.config = destination("another secret")
    noted(world, [exchange("planted secret, another secret")])
    assert "planted" not in str(world.blocks())
    assert "another" not in str(world.blocks())


def test_the_end_of_a_delivery_that_was_not_tried_is_kept_without_exchanges(world: World) -> None:
    world.log.note(delivery(attempts=3), (), Stage.FAILED_DELIVERY, "MESSAGE_REJECTED")
    world.log.flush()
    (attempt,) = world.attempts()
    assert (attempt.reason, list(attempt.exchanges)) == ("MESSAGE_REJECTED", [])
    assert (attempt.number, attempt.began_at_ms) == (3, 0)


def test_nothing_noted_writes_nothing_and_much_becomes_several_blocks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log.flush()
    assert world.traces.newest() == 0
    monkeypatch.setattr(noting, "MAX_IN_BLOCK", 10)
    for number in range(25):
        world.log.note(delivery(f"m{number}"), (), Stage.FAILED_DELIVERY, "400")
    world.log.flush()
    assert [len(each.attempts) for each in world.blocks()] == [10, 10, 5]
