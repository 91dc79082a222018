"""Users' functions as connectors: destinations of their own, insert functions, and functions at a source.

What a handler throws decides what follows; see `verdict`. A destination without a function, or one that is not
deployed, filters everything as `invalid_settings`.
Source: Functions documentation, "Errors and error handling", "Batch handlers", "Source functions"; delivery
overview's discard reasons of functions. Judgements are marked.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import ClientSession

from mainstem.destinations.base import (
    Connection,
    Failure,
    Filtered,
    Left,
    Message,
    Perform,
    PerformBatch,
    Rejected,
    Retryable,
)
from mainstem.destinations.hiding import Hiding
from mainstem.errors import SandboxUnavailable
from mainstem.model.event import EVENT_TYPES, Event, Received, to_record
from mainstem.model.ports import EntryKind, FunctionLogEntry, NewEntry
from mainstem.model.snapshot import FunctionConfig, FunctionUse
from mainstem.sandbox import Code, Ended, Invocation, Sandbox

DEFAULT_BATCH: Final = 20
MAX_BATCH: Final = 400
_THROWN: Final = {
    "EventNotSupported": "unsupported_event_type",
    "InvalidEventPayload": "message_rejected",
    "ValidationError": "message_rejected",
    "DropEvent": "dropped",
}
_AT_SOURCE: Final = {
    "unsupported_event_type": "INVOKE_ERROR",
    "message_rejected": "bad_request",
    "dropped": "INVOKE_ERROR",
    "bad_request": "INVOKE_ERROR",
    "invalid_settings": "BAD_DEPLOY",
    "retry": "RETRY_ERROR",
    "gateway_timeout": "FUNCTION_TIMEOUT",
}
_write: Final = msgspec.json.Encoder().encode
_read: Final = msgspec.json.Decoder().decode
_read_event: Final = msgspec.json.Decoder(Event).decode

Result = TypeVar("Result")
Keep = Callable[[Sequence[FunctionLogEntry]], None]


class Functions:
    """Calls functions. `find` returns the deployed version of a function, `keep` takes what an invocation left in
    the function's log."""

    def __init__(self, sandbox: Sandbox, find: Callable[[str], FunctionConfig | None], keep: Keep) -> None:
        self._sandbox = sandbox
        self._find = find
        self._keep = keep
        self._without_batch: set[tuple[str, str]] = set()

    async def _call_batch(self, use: FunctionUse, messages: Sequence[Message]) -> Ended:
        """Call onBatch, unless this version is known to have none."""
        version = self._version(use)
        if version in self._without_batch:
            return Ended(how="no_handler")
        ended = await self.call(use, "onBatch", _array(messages), messages[0].message_id)
        if ended.how == "no_handler":
            self._without_batch.add(version)
        return ended

    def _version(self, use: FunctionUse) -> tuple[str, str]:
        function = self._find(use.function_id)
        return use.function_id, function.version if function is not None else ""

    async def call(self, use: FunctionUse, handler: str, argument: bytes, message_id: str) -> Ended:
        """Call a handler and log it. A function that is not deployed ends as bad_code. Raises Retryable while
        functions cannot run."""
        function = self._find(use.function_id)
        if function is None:
            ended = Ended(how="bad_code", message="the function is not deployed")
        else:
            # Its kind is one of the four that the sandbox knows: no other can be used anywhere.
            code = Code(function.id, function.version, function.kind, function.code)  # type: ignore[arg-type]
            try:
                ended = await self._sandbox.invoke(code, Invocation(handler, argument, _write(use.settings)))
            except SandboxUnavailable as error:  # the event has no part in that
                raise Retryable("retry") from error
        if ended.logs or ended.how not in ("returned", "no_handler"):
            self._log(use, function, handler, message_id, ended)
        return ended

    def _log(
        self, use: FunctionUse, function: FunctionConfig | None, handler: str, message_id: str, ended: Ended
    ) -> None:
        version = function.version if function is not None else ""
        message, *logs = _without_secrets([ended.message, *ended.logs], use)
        entry = FunctionLogEntry(
            time.time_ns() // 1_000_000, use.function_id, version, use.id, message_id, handler, ended.how,
            ended.error, message, tuple(logs), ended.milliseconds,
        )  # fmt: skip
        self._keep([entry])

    def batch_max(self, use: FunctionUse) -> int:
        """How many events its batch handler takes at once: 20, or up to 400 where the function says so."""
        function = self._find(use.function_id)
        return min(function.batch_max, MAX_BATCH) or DEFAULT_BATCH if function is not None else 1

    # ---- what functions can be

    def as_destination(self, use: FunctionUse) -> Connection:
        """A destination function: each event to the handler of its type, or several to onBatch."""

        async def perform(message: Message, _http: ClientSession) -> None:
            ended = await self.call(use, _handler(message), message.body, message.message_id)
            failure = verdict(ended)
            if failure is not None:
                raise failure

        async def perform_batch(messages: Sequence[Message], http: ClientSession) -> Sequence[Failure | None]:
            ended = await self._call_batch(use, messages)
            if ended.how == "no_handler":
                return await one_by_one(perform, messages, http)
            failure = verdict(ended)
            if failure is not None:
                raise failure
            return _statuses(ended.value, len(messages))

        return self._batched(use, perform, perform_batch)

    def in_front_of(self, use: FunctionUse, inner: Connection) -> Connection:
        """An insert function: what it returns goes on to the destination behind it, and what it does not return
        goes no further. It is called again when the delivery is tried again."""

        async def perform(message: Message, http: ClientSession) -> Left | None:
            return await inner.perform(await self._inserted(use, message), http)

        if inner.perform_batch is None:
            return Connection(perform)
        behind = inner.perform_batch

        async def perform_batch(messages: Sequence[Message], http: ClientSession) -> Sequence[Failure | None]:
            ends: list[Failure | None] = [None] * len(messages)
            passed: list[tuple[int, Message]] = []
            for place, each in enumerate(await self._inserted_batch(use, messages)):
                if isinstance(each, Message):
                    passed.append((place, each))
                else:
                    ends[place] = each
            if passed:
                behind_ends = await behind([each for _, each in passed], http)
                for (place, _), end in zip(passed, behind_ends, strict=True):
                    ends[place] = end
            return ends

        return Connection(perform, perform_batch, inner.group, inner.max_batch)

    def after_source(self, use: FunctionUse) -> Connection:
        """The insert function of a source: the Event, with the payload that it returned, enters the pipeline."""

        async def perform(message: Message, _http: ClientSession) -> Left:
            event = _read_event(message.body)
            inner = msgspec.structs.replace(message, body=_write(event.payload), event_type=event.type)
            returned = await self._inserted(use, inner)
            payload = {**_read(returned.body), "type": event.type, "messageId": event.message_id}
            user = payload.get("userId") or payload.get("anonymousId")
            changed = msgspec.structs.replace(
                event, payload=payload, user=user if isinstance(user, str) else event.user
            )
            return Left([NewEntry(EntryKind.INSERTED, "", _write(changed))])

        return Connection(perform)

    def as_source(self, use: FunctionUse) -> Connection:
        """A source function: what it emits enters the pipeline as if it had been sent."""

        async def perform(message: Message, _http: ClientSession) -> Left:
            try:
                ended = await self.call(use, "onRequest", message.body, message.message_id)
                failure = verdict(ended)
                if failure is not None:
                    raise failure
            except (Retryable, Filtered) as failure:
                failure.reason = _AT_SOURCE.get(failure.reason, failure.reason)
                raise
            entries = [_emitted(message, place, each) for place, each in enumerate(ended.emitted)]
            if None in entries:
                note = f"Segment.set: {entries.count(None)} objects were not kept, for only warehouses take objects"
                told = msgspec.structs.replace(ended, message=note)
                self._log(use, self._find(use.function_id), "onRequest", message.message_id, told)
            return Left([each for each in entries if each is not None])

        return Connection(perform)

    # ---- parts of them

    def _batched(self, use: FunctionUse, perform: Perform, perform_batch: PerformBatch) -> Connection:
        def group(_subscription_id: str) -> str | None:
            """Known to have no onBatch, its events go alone: together, the slowest would hold up the others' next."""
            return None if self._version(use) in self._without_batch else use.id

        return Connection(perform, perform_batch, group, self.batch_max(use))

    async def _inserted(self, use: FunctionUse, message: Message) -> Message:
        """The message as an insert function's handler returned it. Raises what became of it otherwise."""
        ended = await self.call(use, _handler(message), message.body, message.message_id)
        failure = verdict(ended)
        if failure is not None:
            raise failure
        return _returned(message, ended.value)

    async def _inserted_batch(self, use: FunctionUse, messages: Sequence[Message]) -> list[Message | Failure]:
        ended = await self._call_batch(use, messages)
        if ended.how == "no_handler":
            return list(await asyncio.gather(*(_or_failure(self._inserted(use, each)) for each in messages)))
        failure = verdict(ended)
        if failure is not None:
            raise failure
        return _paired(messages, ended.value)


def verdict(ended: Ended) -> Retryable | Filtered | None:
    """What the end of an invocation means for its event.

    | returned                                      | it goes on                                        |
    | no handler, EventNotSupported                 | filtered, unsupported_event_type                  |
    | InvalidEventPayload, ValidationError          | filtered, message_rejected                        |
    | DropEvent                                     | filtered, dropped                                 |
    | RetryError                                    | tried again; in the end filtered, retry           |
    | longer than five seconds                      | tried again; in the end filtered, gateway_timeout |
    | any other throw                               | filtered, bad_request                             |
    | too much memory, an exit                      | filtered, bad_request; set aside as a dead letter |
    | code that does not load, or is not deployed   | filtered, invalid_settings                        |
    """
    if ended.how == "returned":
        return None
    if ended.how == "no_handler":
        return Filtered("unsupported_event_type", ended.message)
    if ended.how == "timeout":
        return Retryable("gateway_timeout", ended.message)
    told = f"{ended.error}: {ended.message}" if ended.error else ended.message
    if ended.how == "bad_code":
        return Filtered("invalid_settings", told)
    if ended.how == "thrown" and ended.error == "RetryError":
        return Retryable("retry", told)
    if ended.how == "thrown":
        return Filtered(_THROWN.get(ended.error, "bad_request"), told)
    return Filtered("bad_request", ended.message, is_fault=True)


async def one_by_one(perform: Perform, messages: Sequence[Message], http: ClientSession) -> Sequence[Failure | None]:
    """What each message comes to alone. They are of different users, so no order is lost by going beside each
    other."""
    ends = await asyncio.gather(*(_or_failure(perform(message, http)) for message in messages))
    return [None if isinstance(end, Left) else end for end in ends]


async def _or_failure(work: Awaitable[Result]) -> Result | Failure:
    try:
        return await work
    except (Retryable, Rejected, Filtered) as failure:
        return failure


def _handler(message: Message) -> str:
    return f"on{message.event_type[:1].upper()}{message.event_type[1:]}"


def _array(messages: Sequence[Message]) -> bytes:
    return b"[" + b",".join(message.body for message in messages) + b"]"


def _returned(message: Message, value: bytes | None) -> Message:
    """Nothing returned is a dropped event; what is no object cannot go on. (Judgements.)"""
    if value is None or value == b"null":
        raise Filtered("dropped")
    if not value.startswith(b"{"):
        raise Filtered("message_rejected", "an insert function must return the event")
    return msgspec.structs.replace(message, body=value)


def _paired(messages: Sequence[Message], value: bytes | None) -> list[Message | Failure]:
    """Returned events stand in the order they came in; when there are fewer, their messageIds tell which are
    missing, and those were filtered. (The latter is a judgement: by place alone it cannot be known.)"""
    returned = _read(value) if value is not None else []
    if not isinstance(returned, list):
        raise Filtered("message_rejected", "onBatch must return an array of events")
    if len(returned) == len(messages):
        return [_or_dropped(message, each) for message, each in zip(messages, returned, strict=True)]
    by_id = {each.get("messageId"): each for each in returned if isinstance(each, dict)}
    return [_or_dropped(message, by_id.get(message.message_id)) for message in messages]


def _or_dropped(message: Message, returned: Any) -> Message | Failure:
    if returned is None:
        return Filtered("dropped")
    if not isinstance(returned, dict):
        return Filtered("message_rejected")
    return msgspec.structs.replace(message, body=_write(returned))


def _statuses(value: bytes | None, count: int) -> list[Failure | None]:
    """A batch handler may return a status for each event: 2xx is done, 429 and 5xx are tried again one by one,
    what else is refused. Returning nothing means that all are done."""
    statuses = _read(value) if value is not None else None
    if not isinstance(statuses, list):
        return [None] * count
    ends = [_of_status(each) for each in statuses[:count]]
    return ends + [None] * (count - len(ends))


def _of_status(answer: Any) -> Failure | None:
    status = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(status, int) or 200 <= status < 300:
        return None
    told = f"onBatch answered {status}: {str(answer.get('errormessage') or '')[:1000]}".rstrip(": ")
    return Retryable("retry", told) if status == 429 or status >= 500 else Filtered("bad_request", told)


def _without_secrets(texts: list[str], use: FunctionUse) -> list[str]:
    """`texts` without the values of sensitive settings, however they are written."""
    hiding = Hiding(value for name in use.sensitive for value in _texts(use.settings.get(name)))
    return [hiding.of(text) for text in texts]


def _texts(value: Any) -> list[str]:
    """The texts in the value of a setting, which is one, a list of them, or an object of them."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, str)]


def _emitted(message: Message, place: int, call: bytes) -> NewEntry | None:
    """The entry of an emitted call, None for Segment.set. Its messageId follows from the request and the place, so
    that a request that is tried again does not emit twice."""
    payload = _read(call)
    type_ = payload.pop("type", None)
    if type_ not in EVENT_TYPES:
        return None
    if not payload.get("messageId"):
        place_id = f"{message.message_id}.{place}.{message.received_at_ms}"
        payload["messageId"] = "fn-" + hashlib.blake2b(place_id.encode(), digest_size=16).hexdigest()
    received = Received(message.received_at_ms, message.source_id, type_, "", "server", _write(payload))
    return NewEntry(EntryKind.REQUEST, "", to_record(received))
