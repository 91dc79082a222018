"""Mappings as connections, with a runner that answers as told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mainstem.destinations.actions.connector import DEATHS, connect, failure_of
from mainstem.destinations.actions.runner import PROCESS_ENDED, Answer, Call, Result
from mainstem.destinations.base import Connection, Filtered, Message, Rejected, Retryable
from mainstem.model.snapshot import DestinationConfig, SubscriptionConfig

HTTP: Any = None


class Told:
    """A runner that answers each event with the status in its properties; of 0 its process ends."""

    def __init__(self, refreshed: dict[str, Any] | None = None) -> None:
        self.calls: list[Call] = []
        self.alone: list[Call] = []
        self.refreshed = refreshed

    async def call_alone(self, call: Call) -> Answer:
        self.alone.append(call)
        return await self.call(call)

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        statuses = [json.loads(each)["status"] for each in call.events]
        code = {0: PROCESS_ENDED}
        results = [
            Result(each) if 0 < each < 400 else Result(each, code.get(each, "ERROR"), "no") for each in statuses
        ]
        return Answer(results, refreshed=self.refreshed)


class Authorized:
    def __init__(self) -> None:
        self.saved: list[dict[str, Any]] = []

    def auth(self, _config: DestinationConfig) -> dict[str, Any] | None:
        return {"access_token": "old"}

    def refreshed(self, _config: DestinationConfig, tokens: dict[str, Any]) -> None:
        self.saved.append(tokens)


def mapping(id: str = "sub", *, enabled: bool = True, **fields: Any) -> SubscriptionConfig:
    return SubscriptionConfig(
        id, id, "send", 'type = "track"', enabled, {"enable_batching": True, **fields}, can_batch=True
    )


def connected(runner: Told, *mappings: SubscriptionConfig, authorized: Authorized | None = None) -> Connection:
    config = DestinationConfig("d", "meta", "D", True, {"key": "k"}, subscriptions=mappings or (mapping(),))
    return connect(config, runner, authorized or Authorized())  # type: ignore[arg-type]


def message(status: int = 200, *, through: str = "sub", padding: int = 0) -> Message:
    body = json.dumps({"status": status, "padding": "x" * padding}).encode()
    return Message(body, 0, 0, "src", "m", "track", 0, through)


async def test_a_call_has_the_action_the_mapping_the_settings_and_the_tokens() -> None:
    runner = Told()
    await connected(runner, mapping(url="u")).perform(message(), HTTP)
    [call] = runner.calls
    assert (call.metadata_id, call.action, call.settings, call.auth) == (
        "meta",
        "send",
        {"key": "k"},
        {"access_token": "old"},
    )
    assert call.mapping == {"enable_batching": True, "url": "u"}
    assert not call.is_batch


@pytest.mark.parametrize(
    ("status", "failure"), [(503, Retryable), (429, Retryable), (400, Rejected), (501, Rejected)]
)
async def test_the_status_decides_whether_it_is_tried_again(status: int, failure: type[Exception]) -> None:
    with pytest.raises(failure, match=str(status)):
        await connected(Told()).perform(message(status), HTTP)


@pytest.mark.parametrize(("result", "is_fault"), [(Result(0, "TypeError", "m"), True), (Result(400, "BAD"), False)])
def test_an_event_that_the_destinations_own_code_failed_on_is_set_aside(result: Result, is_fault: bool) -> None:
    failure = failure_of(result, 0)
    assert isinstance(failure, Rejected)
    assert (failure.reason, failure.is_fault) == ("INTERNAL" if is_fault else "400", is_fault)


def test_an_event_whose_process_ended_is_tried_again_and_in_the_end_set_aside() -> None:
    ended = Result(0, PROCESS_ENDED, "it did not survive")
    for deaths in range(DEATHS):
        again = failure_of(ended, deaths)
        assert isinstance(again, Retryable)
        assert (again.reason, again.progress) == ("ECONNRESET", deaths + 1)
    fault = failure_of(ended, DEATHS)
    assert isinstance(fault, Rejected)
    assert (fault.reason, fault.is_fault) == ("INTERNAL", True)
    other = failure_of(Result(503, "ERROR"), 1)
    assert isinstance(other, Retryable)
    assert other.progress == 1


async def test_an_event_that_ends_its_process_again_and_again_is_set_aside() -> None:
    connection = connected(Told())
    for deaths in range(DEATHS):
        with pytest.raises(Retryable) as again:
            await connection.perform(msgspec.structs.replace(message(0), progress=deaths), HTTP)
        assert again.value.progress == deaths + 1
    with pytest.raises(Rejected) as fault:
        await connection.perform(msgspec.structs.replace(message(0), progress=DEATHS), HTTP)
    assert fault.value.is_fault


async def test_members_of_a_batch_that_ended_its_process_have_each_a_count_of_their_own() -> None:
    connection = connected(Told())
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([message(0), msgspec.structs.replace(message(0), progress=1)], HTTP)
    assert [each.progress for each in ends if isinstance(each, Retryable)] == [1, 2]


async def test_an_event_that_was_in_processes_that_ended_goes_alone() -> None:
    runner = Told()
    connection = connected(runner)
    messages = [msgspec.structs.replace(message(status), progress=deaths) for status, deaths in ((200, 0), (400, 2))]
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([*messages, message(201)], HTTP)
    assert [len(each.events) for each in runner.calls] == [2, 1]
    assert [len(each.events) for each in runner.alone] == [1]
    assert [type(each) for each in ends] == [type(None), Rejected, type(None)]
    await connected(runner).perform(msgspec.structs.replace(message(), progress=2), HTTP)
    assert len(runner.alone) == 2


async def test_members_of_a_batch_have_results_of_their_own() -> None:
    connection = connected(Told())
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([message(200), message(429), message(400)], HTTP)
    assert [type(each) for each in ends] == [type(None), Retryable, Rejected]


@pytest.mark.parametrize(("fields", "sizes"), [({"batch_size": 2}, [2, 2, 1]), ({"batch_size": 0}, [5]), ({}, [5])])
async def test_a_batch_is_cut_to_the_size_of_its_mapping(fields: dict[str, Any], sizes: list[int]) -> None:
    runner = Told()
    connection = connected(runner, mapping(**fields))
    assert connection.perform_batch is not None
    await connection.perform_batch([message()] * 5, HTTP)
    assert [len(call.events) for call in runner.calls] == sizes
    assert all(call.is_batch for call in runner.calls)


async def test_a_batch_is_cut_to_the_bytes_of_its_mapping() -> None:
    runner = Told()
    connection = connected(runner, mapping(batch_bytes=1_000))
    assert connection.perform_batch is not None
    await connection.perform_batch(
        [message(padding=400), message(padding=400), message(padding=2_000), message()], HTTP
    )
    assert [len(call.events) for call in runner.calls] == [2, 1, 1]


@pytest.mark.parametrize("config", [(mapping("other"),), (mapping(enabled=False),)])
async def test_what_waits_for_a_mapping_that_is_gone_or_disabled_is_filtered(
    config: tuple[SubscriptionConfig],
) -> None:
    runner = Told()
    with pytest.raises(Filtered, match="FILTERED_AT_MAPPING"):
        await connected(runner, *config).perform(message(), HTTP)
    assert runner.calls == []


def test_only_mappings_that_ask_for_batches_and_can_are_grouped() -> None:
    alone = SubscriptionConfig("alone", "n", "send", "t", True, {"enable_batching": True})
    off = mapping("off", enable_batching=False)
    group = connected(Told(), mapping(), alone, off).group
    assert [group(each) for each in ("sub", "alone", "off")] == ["sub", None, None]


async def test_refreshed_tokens_are_kept() -> None:
    authorized = Authorized()
    await connected(Told({"accessToken": "new"}), authorized=authorized).perform(message(), HTTP)
    assert authorized.saved == [{"accessToken": "new"}]
