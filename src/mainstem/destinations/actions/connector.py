"""Destinations of Segment's open-source package as connectors: one call of the runner for each mapping.

Source: product guide, "Destinations Actions"; published behaviour of the runner.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, Protocol

from aiohttp import ClientSession

from mainstem.destinations.actions.runner import PROCESS_ENDED, Answer, Call, Result, Runner, discard
from mainstem.destinations.base import (
    Connection,
    Failure,
    Filtered,
    Message,
    Rejected,
    Retryable,
)
from mainstem.model.snapshot import DestinationConfig, SubscriptionConfig

MAX_BATCH: Final = 1_000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
DEATHS: Final = 2
"""An event that was in so many processes when they ended goes alone, so that none beside it suffers once more."""


class Authorized(Protocol):
    """The OAuth 2 side of destinations."""

    def auth(self, config: DestinationConfig) -> dict[str, Any] | None:
        """What the runner needs (`Call.auth`); None for a destination that nobody authorized."""

    def refreshed(self, config: DestinationConfig, tokens: dict[str, Any]) -> None:
        """Keep new tokens: accessToken, and refreshToken if there is a new one."""


def connect(config: DestinationConfig, runner: Runner, authorized: Authorized) -> Connection:
    """A destination with its mappings. What waits for a mapping that was disabled or deleted meanwhile is
    filtered, FILTERED_AT_MAPPING (judgement: product guide says that it is dropped)."""
    mappings = {each.id: each for each in config.subscriptions or () if each.enabled}

    def group(subscription_id: str) -> Hashable | None:
        mapping = mappings.get(subscription_id)
        return mapping.id if mapping is not None and _is_batched(mapping) else None

    async def perform(message: Message, _http: ClientSession) -> None:
        (end,) = await send([message], is_batch=False)
        if end is not None:
            raise end

    async def perform_batch(messages: Sequence[Message], _http: ClientSession) -> Sequence[Failure | None]:
        mapping = mappings.get(messages[0].subscription_id)
        if mapping is None:
            raise Filtered("FILTERED_AT_MAPPING")
        ends: dict[int, Failure | None] = {}
        suspects = [each for each in messages if each.progress >= DEATHS]
        others = [each for each in messages if each.progress < DEATHS]
        for batch in (
            *_portions(others, _batch_size(mapping), _batch_bytes(mapping)),
            *([each] for each in suspects),
        ):
            ends.update(zip(map(id, batch), await send(batch, is_batch=True), strict=True))
        return [ends[id(each)] for each in messages]

    async def send(messages: Sequence[Message], *, is_batch: bool) -> Sequence[Failure | None]:
        mapping = mappings.get(messages[0].subscription_id)
        if mapping is None:
            raise Filtered("FILTERED_AT_MAPPING")
        call = Call(
            metadata_id=config.metadata_id, action=mapping.action, mapping=mapping.mapping, settings=config.settings,
            events=[message.body for message in messages], is_batch=is_batch, auth=authorized.auth(config),
        )  # fmt: skip
        is_alone = messages[0].progress >= DEATHS
        answer = await (runner.call_alone(call) if is_alone else runner.call(call))
        _keep(answer, messages)
        if answer.refreshed is not None:
            authorized.refreshed(config, answer.refreshed)
        return _failures(answer.results, messages)

    batched = [each for each in mappings.values() if _is_batched(each)]
    if not batched:
        return Connection(perform)
    return Connection(perform, perform_batch, group, max(map(_batch_size, batched)))


def failure_of(result: Result, deaths: int) -> Failure | None:
    """What a result means for its event; None for delivered. `deaths` is in how many processes it was that ended:
    that is the progress of its delivery. When one ends that it had to itself, it is set aside."""
    if result.is_delivered:
        return None
    if result.code == PROCESS_ENDED:
        if deaths >= DEATHS:
            return Rejected("INTERNAL", result.message, is_fault=True)
        return Retryable("ECONNRESET", progress=deaths + 1)
    is_retryable, reason = discard(result)
    if is_retryable:
        return Retryable(reason, result.message, retry_after_seconds=result.retry_after_seconds, progress=deaths)
    return Rejected(reason, result.message, is_fault=reason == "INTERNAL")


def _failures(results: Sequence[Result], messages: Sequence[Message]) -> list[Failure | None]:
    """What each result means; members of a batch mostly share one."""
    failures: list[Failure | None] = []
    before: tuple[Result | None, int] = None, 0
    failure: Failure | None = None
    for result, message in zip(results, messages, strict=True):
        if result is not before[0] or message.progress != before[1]:
            before, failure = (result, message.progress), failure_of(result, message.progress)
        failures.append(failure)
    return failures


def _keep(answer: Answer, messages: Sequence[Message]) -> None:
    """A batch's exchanges belong to all of its members."""
    for message in messages:
        message.exchanges.extend(answer.exchanges)


def _is_batched(mapping: SubscriptionConfig) -> bool:
    return mapping.can_batch and mapping.mapping.get("enable_batching") is True


def _batch_size(mapping: SubscriptionConfig) -> int:
    """Zero, which some actions have as their default, is no size."""
    size = mapping.mapping.get("batch_size")
    return min(size, MAX_BATCH) if isinstance(size, int) and size > 0 else MAX_BATCH


def _batch_bytes(mapping: SubscriptionConfig) -> int:
    size = mapping.mapping.get("batch_bytes")
    return min(size, MAX_BATCH_BYTES) if isinstance(size, int) and size > 0 else MAX_BATCH_BYTES


def _portions(messages: Sequence[Message], size: int, most_bytes: int) -> Iterator[Sequence[Message]]:
    """The messages in order, cut where a portion would have too many of them or too many bytes; one that is too
    large by itself is a portion of its own."""
    portion: list[Message] = []
    held = 0
    for message in messages:
        if portion and (len(portion) >= size or held + len(message.body) > most_bytes):
            yield portion
            portion, held = [], 0
        portion.append(message)
        held += len(message.body)
    if portion:
        yield portion
