"""What a function's end means for its event, with a sandbox that answers as told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from mainstem.destinations.base import Connection, Filtered, Left, Message, Rejected, Retryable
from mainstem.destinations.functions import Functions, verdict
from mainstem.errors import SandboxUnavailable
from mainstem.model.event import CALL, Event, Received, from_record, to_record
from mainstem.model.ports import EntryKind, FunctionLogEntry
from mainstem.model.snapshot import FunctionConfig, FunctionUse
from mainstem.sandbox import Code, Ended, Invocation

USE = FunctionUse("instance", "f1", {"key": "value"})
HTTP: Any = None  # functions make their requests themselves
Answer = Callable[[Invocation], Ended]


class Told:
    """A sandbox that answers as told and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[Code, Invocation]] = []

    async def invoke(self, code: Code, invocation: Invocation) -> Ended:
        self.asked.append((code, invocation))
        return self.answer(invocation)


class World:
    def __init__(self, answer: Answer, *, batch_max: int = 0, is_deployed: bool = True) -> None:
        self.sandbox = Told(answer)
        self.log: list[FunctionLogEntry] = []
        deployed = FunctionConfig("f1", "v1", "DESTINATION", "code", batch_max) if is_deployed else None
        self.functions = Functions(self.sandbox, lambda _id: deployed, self.log.extend)  # type: ignore[arg-type]


def returns(value: Any) -> Answer:
    return lambda _invocation: Ended(how="returned", value=json.dumps(value).encode())


def throws(error: str) -> Answer:
    return lambda _invocation: Ended(how="thrown", error=error, message="no")


def message(id: str = "m1", type: str = "track", **properties: Any) -> Message:
    body = {"type": type, "messageId": id, "event": "E", "properties": properties}
    return Message(json.dumps(body).encode(), 0, 0, "src", id, type, 1_000)


class Behind:
    """A destination behind an insert function."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    async def perform(self, message: Message, _http: Any) -> None:
        self.got.append(json.loads(message.body))

    async def perform_batch(self, messages: Sequence[Message], _http: Any) -> list[None]:
        self.got += [json.loads(each.body) for each in messages]
        return [None] * len(messages)

    @property
    def connection(self) -> Connection:
        return Connection(self.perform, self.perform_batch, lambda _subscription_id: "all", 10)


@pytest.mark.parametrize(
    ("ended", "failure", "reason"),
    [
        (Ended(how="no_handler"), Filtered, "unsupported_event_type"),
        (Ended(how="thrown", error="EventNotSupported"), Filtered, "unsupported_event_type"),
        (Ended(how="thrown", error="InvalidEventPayload"), Filtered, "message_rejected"),
        (Ended(how="thrown", error="ValidationError"), Filtered, "message_rejected"),
        (Ended(how="thrown", error="DropEvent"), Filtered, "dropped"),
        (Ended(how="thrown", error="RetryError"), Retryable, "retry"),
        (Ended(how="timeout"), Retryable, "gateway_timeout"),
        (Ended(how="thrown", error="TypeError"), Filtered, "bad_request"),
        (Ended(how="killed"), Filtered, "bad_request"),
        (Ended(how="bad_code"), Filtered, "invalid_settings"),
    ],
)
def test_how_an_invocation_ends_decides_what_becomes_of_the_event(
    ended: Ended, failure: type[Filtered | Retryable], reason: str
) -> None:
    found = verdict(ended)
    assert type(found) is failure
    assert found.reason == reason


def test_what_a_function_threw_is_told_with_the_event() -> None:
    for error in ("TypeError", "RetryError", "ValidationError"):
        found = verdict(Ended(how="thrown", error=error, message="why (line 1, column 2)"))
        assert found is not None
        assert found.detail == f"{error}: why (line 1, column 2)"
    found = verdict(Ended(how="timeout", message="it took longer than 5 seconds"))
    assert found is not None
    assert found.detail == "it took longer than 5 seconds"


async def test_the_handler_of_the_type_gets_the_event_and_the_settings() -> None:
    world = World(returns(None))
    await world.functions.as_destination(USE).perform(message(type="identify"), HTTP)
    ((code, invocation),) = world.sandbox.asked
    assert (code.id, code.version) == ("f1", "v1")
    assert invocation.handler == "onIdentify"
    assert json.loads(invocation.argument)["messageId"] == "m1"
    assert json.loads(invocation.settings) == {"key": "value"}


async def test_a_function_that_is_not_deployed_is_an_invalid_setting() -> None:
    world = World(returns(None), is_deployed=False)
    with pytest.raises(Filtered, match="invalid_settings"):
        await world.functions.as_destination(USE).perform(message(), HTTP)
    assert [each.message for each in world.log] == ["the function is not deployed"]


async def test_any_other_error_is_discarded_as_bad_request_and_not_retried() -> None:
    world = World(throws("Error"))
    with pytest.raises(Filtered, match="bad_request"):
        await world.functions.as_destination(USE).perform(message(), HTTP)
    assert [(each.error, each.message_id) for each in world.log] == [("Error", "m1")]


@pytest.mark.parametrize(("how", "is_fault"), [("killed", True), ("thrown", False)])
def test_an_event_that_its_function_did_not_survive_is_set_aside(how: str, is_fault: bool) -> None:
    failure = verdict(Ended(how=how, error="TypeError", message="it used more than 128 MB"))  # type: ignore[arg-type]
    assert isinstance(failure, Filtered)
    assert (failure.reason, failure.is_fault) == ("bad_request", is_fault)


async def test_while_functions_cannot_run_events_wait() -> None:
    def answer(_invocation: Invocation) -> Ended:
        raise SandboxUnavailable("Deno does not start")

    with pytest.raises(Retryable, match="retry"):
        await World(answer).functions.as_destination(USE).perform(message(), HTTP)
    with pytest.raises(Retryable) as raised:
        await World(answer).functions.as_source(USE).perform(message(), HTTP)
    assert raised.value.reason == "RETRY_ERROR"


async def test_of_a_batch_with_statuses_200_400_500_only_the_third_is_retried() -> None:
    world = World(returns([{"status": 200}, {"status": 400, "errormessage": "no"}, {"status": 500}]))
    connection = world.functions.as_destination(USE)
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([message("a"), message("b"), message("c")], HTTP)
    assert ends[0] is None
    assert isinstance(ends[1], Filtered)
    assert isinstance(ends[2], Retryable)
    assert (ends[1].detail, ends[2].detail) == ("onBatch answered 400: no", "onBatch answered 500")


async def test_a_batch_handler_that_returns_nothing_took_all() -> None:
    world = World(lambda _invocation: Ended(how="returned", value=None))
    connection = world.functions.as_destination(USE)
    assert connection.perform_batch is not None
    assert await connection.perform_batch([message("a"), message("b")], HTTP) == [None, None]


async def test_without_a_batch_handler_each_event_goes_alone_and_nobody_asks_again() -> None:
    def answer(invocation: Invocation) -> Ended:
        return Ended(how="no_handler") if invocation.handler == "onBatch" else Ended(how="returned")

    world = World(answer)
    connection = world.functions.as_destination(USE)
    assert connection.perform_batch is not None
    for _ in range(2):
        assert await connection.perform_batch([message("a"), message("b")], HTTP) == [None, None]
    assert [each.handler for _, each in world.sandbox.asked] == ["onBatch", *["onTrack"] * 4]


async def test_events_wait_for_each_other_only_until_the_function_is_known_to_have_no_batch_handler() -> None:
    connection = World(lambda _invocation: Ended(how="no_handler")).functions.as_destination(USE)
    assert connection.perform_batch is not None
    assert connection.group("") == USE.id
    await connection.perform_batch([message("a"), message("b")], HTTP)
    assert connection.group("") is None


@pytest.mark.parametrize(("batch_max", "size"), [(0, 20), (100, 100), (1_000, 400)])
def test_a_batch_holds_twenty_events_or_what_the_function_asks_for_up_to_400(batch_max: int, size: int) -> None:
    assert World(returns(None), batch_max=batch_max).functions.as_destination(USE).max_batch == size


# ---- insert functions in front of a destination


async def test_an_insert_function_changes_what_the_destination_gets() -> None:
    behind = Behind()
    world = World(returns({"type": "track", "messageId": "m1", "event": "Other"}))
    await world.functions.in_front_of(USE, behind.connection).perform(message(), HTTP)
    assert [each["event"] for each in behind.got] == ["Other"]


async def test_an_insert_function_without_onpage_keeps_pages_from_the_destination() -> None:
    behind = Behind()
    world = World(lambda _invocation: Ended(how="no_handler"))
    with pytest.raises(Filtered, match="unsupported_event_type"):
        await world.functions.in_front_of(USE, behind.connection).perform(message(type="page"), HTTP)
    assert behind.got == []


@pytest.mark.parametrize("value", [None, "null"])
async def test_an_insert_function_that_returns_nothing_drops_the_event(value: str | None) -> None:
    behind = Behind()
    world = World(lambda _invocation: Ended(how="returned", value=value.encode() if value else None))
    with pytest.raises(Filtered, match="dropped"):
        await world.functions.in_front_of(USE, behind.connection).perform(message(), HTTP)


async def test_what_an_insert_batch_does_not_return_is_filtered_at_the_function() -> None:
    behind = Behind()
    world = World(returns([{"messageId": "a", "event": "A"}, {"messageId": "c", "event": "C"}]))
    connection = world.functions.in_front_of(USE, behind.connection)
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([message("a"), message("b"), message("c")], HTTP)
    assert [type(each) for each in ends] == [type(None), Filtered, type(None)]
    assert [each["event"] for each in behind.got] == ["A", "C"]


async def test_an_insert_batch_of_the_same_length_is_paired_by_place() -> None:
    behind = Behind()
    world = World(returns([{"event": "first"}, None, {"event": "third"}]))
    connection = world.functions.in_front_of(USE, behind.connection)
    assert connection.perform_batch is not None
    ends = await connection.perform_batch([message("a"), message("b"), message("c")], HTTP)
    assert [type(each) for each in ends] == [type(None), Filtered, type(None)]
    assert [each["event"] for each in behind.got] == ["first", "third"]


async def test_a_refusal_by_the_destination_behind_an_insert_function_stands() -> None:
    async def refused(_message: Message, _http: Any) -> None:
        raise Rejected("400")

    world = World(returns({"event": "E"}))
    with pytest.raises(Rejected):
        await world.functions.in_front_of(USE, Connection(refused)).perform(message(), HTTP)


# ---- functions at a source


def queued_event() -> Message:
    event = Event(
        source_id="src", workspace_id="ws", type="track", name="E", app_version="", message_id="m1", key=1, user="u1",
        received_at_ms=1_000, payload={"type": "track", "messageId": "m1", "event": "E", "userId": "u1"},
    )  # fmt: skip
    return Message(msgspec.json.encode(event), 0, 0, "src", "m1", "track", 1_000)


async def test_what_a_source_insert_function_returns_enters_the_pipeline_as_the_same_event() -> None:
    world = World(returns({"type": "page", "messageId": "forged", "event": "Repaired", "userId": "u2"}))
    left = await world.functions.after_source(USE).perform(queued_event(), HTTP)
    assert isinstance(left, Left)
    (entry,) = left.entries
    event = msgspec.json.decode(entry.body, type=Event)
    assert entry.kind is EntryKind.INSERTED
    assert (event.message_id, event.type, event.name, event.user) == ("m1", "track", "E", "u2")
    assert event.payload == {"type": "track", "messageId": "m1", "event": "Repaired", "userId": "u2"}


async def test_what_a_source_function_emits_enters_as_requests_with_ids_of_their_own() -> None:
    emitted = [b'{"type":"track","event":"A","userId":"u"}', b'{"type":"identify","userId":"u","messageId":"own"}']
    world = World(lambda _invocation: Ended(how="returned", emitted=emitted))
    call = Message(b'{"body":"{}","headers":{},"url":""}', 0, 0, "src", "7.0", "", 1_000)
    first = await world.functions.as_source(USE).perform(call, HTTP)
    again = await world.functions.as_source(USE).perform(call, HTTP)
    assert isinstance(first, Left)
    assert first == again  # so that deduplication catches what a retry emits again
    track, identify = (from_record(each.body) for each in first.entries)
    assert (track.kind, identify.kind) == ("track", "identify")
    assert json.loads(track.body)["messageId"].startswith("fn-")
    assert json.loads(identify.body)["messageId"] == "own"


async def test_sensitive_settings_do_not_get_into_the_log_of_a_function() -> None:
    logs = ["calling with k3y-1 and k3y-1-longer", "eu, inner, ab"]
    world = World(lambda _invocation: Ended(how="thrown", error="Error", message="k3y-1 is refused", logs=logs))
    settings = {"key": "k3y-1", "map": {"a": "inner"}, "list": ["k3y-1-longer"], "short": "ab", "region": "eu"}
    use = FunctionUse("i1", "f1", settings, ("key", "map", "list", "short", "gone"))
    await world.functions.call(use, "onTrack", b"{}", "m1")
    (entry,) = world.log
    assert entry.message == "[hidden] is refused"
    assert entry.logs == ("calling with [hidden] and [hidden]", "eu, [hidden], ab")


async def test_a_sensitive_setting_is_hidden_in_a_header_that_was_encoded_too() -> None:
    logs = [f"Basic {base64.b64encode(b'user:p4ssw0rd-1').decode()}"]
    world = World(lambda _invocation: Ended(how="returned", logs=logs))
    use = FunctionUse("i1", "f1", {"key": "p4ssw0rd-1"}, ("key",))
    await world.functions.call(use, "onTrack", b"{}", "m1")
    (entry,) = world.log
    assert entry.logs[0].startswith("Basic dXNlcj")  # "user", and the bits that follow it
    assert "[hidden]" in entry.logs[0]


async def test_objects_that_a_source_function_sets_are_named_in_its_log() -> None:
    world = World(lambda _invocation: Ended(how="returned", emitted=[b'{"type":"set","collection":"c","id":"1"}']))
    left = await world.functions.as_source(USE).perform(Message(b"{}", 0, 0, "src", "7.0"), HTTP)
    assert left == Left([])
    assert "1 objects were not kept" in world.log[0].message


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Ended(how="thrown", error="Error"), "INVOKE_ERROR"),
        (Ended(how="thrown", error="RetryError"), "RETRY_ERROR"),
        (Ended(how="timeout"), "FUNCTION_TIMEOUT"),
        (Ended(how="bad_code"), "BAD_DEPLOY"),
    ],
)
async def test_a_failed_source_function_has_the_reasons_of_ingest(ended: Ended, reason: str) -> None:
    world = World(lambda _invocation: ended)
    with pytest.raises((Filtered, Retryable)) as raised:
        await world.functions.as_source(USE).perform(Message(b"{}", 0, 0, "src", "7.0"), HTTP)
    assert raised.value.reason == reason


def test_a_call_is_a_record_like_any_other() -> None:
    received = Received(1, "src", CALL, "", "server", b"{}")
    assert from_record(to_record(received)) == received
