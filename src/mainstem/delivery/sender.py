"""One attempt: the connector of a destination is called with what waits, and tells what came of each delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import ClientSession

from mainstem.delivery.outbound import Outbound
from mainstem.destinations.base import Connection, Filtered, Left, Message, Rejected, Retryable
from mainstem.destinations.connecting import Connectors
from mainstem.model.ports import Delivery, NewDeadLetter
from mainstem.model.snapshot import LiveSnapshot

log = logging.getLogger(__name__)

DROPPED: Final = "MESSAGE_REJECTED"

End = Retryable | Rejected | Filtered | Left | NewDeadLetter | None
"""What came of an attempt; None: delivered."""


class Sender:
    """Calls connectors. What one of them fails with, expected or not, is an End."""

    def __init__(
        self,
        connectors: Connectors,
        snapshot: LiveSnapshot,
        now_ms: Callable[[], int],
        *,
        keeps_messages: bool,
    ) -> None:
        """With `keeps_messages` what was sent is kept until `take_sent` is asked for it."""
        self._connectors = connectors
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._keeps_messages = keeps_messages
        self._sent: dict[int, Message] = {}  # by the delivery's id

    def connected(self, outbound: Outbound) -> Connection | Rejected:
        """The connection for the present settings, made once for them."""
        config = outbound.config
        if config is None:  # switched off since the attempt was decided
            return Rejected(DROPPED)
        if outbound.connection is None:
            try:
                outbound.connected(self._connectors.connect(config))
            except Rejected as rejected:
                log.warning("destination %s: %s", outbound.id, rejected)
                outbound.connected(rejected)
        assert outbound.connection is not None
        return outbound.connection

    async def perform(self, outbound: Outbound, deliveries: Sequence[Delivery], http: ClientSession) -> Sequence[End]:
        """Send these together, and tell what came of each. One without a batch goes alone."""
        messages = self._messages(deliveries)
        if self._keeps_messages:
            self._sent.update(zip((delivery.id for delivery in deliveries), messages, strict=True))
        try:
            connection = self.connected(outbound)
            if isinstance(connection, Rejected):
                return [connection] * len(deliveries)
            if connection.perform_batch is None or connection.group(messages[0].subscription_id) is None:
                return [await connection.perform(messages[0], http)]
            ends: Sequence[End] = await connection.perform_batch(messages, http)
        except (Retryable, Rejected, Filtered) as failure:
            ends = [failure] * len(deliveries)
        except Exception as error:  # noqa: BLE001 - whatever a connector fails with, the event is set aside
            ends = [self._dead_letter(each, error) for each in deliveries]
        # One of a batch may be at fault: each is tried alone, so that only that one is set aside.
        if sum(is_fault(end) for end in ends if end is not None) < 2:
            return ends
        return [
            (await self.perform(outbound, [each], http))[0] if is_fault(end) else end
            for each, end in zip(deliveries, ends, strict=True)
        ]

    def take_sent(self, delivery: Delivery) -> Message | None:
        """What was sent last of a delivery, once; None when it was not tried."""
        return self._sent.pop(delivery.id, None)

    def _messages(self, deliveries: Sequence[Delivery]) -> list[Message]:
        now_ms = self._now_ms()
        return [
            Message(
                new.body, delivery.progress, now_ms, new.source_id, new.message_id, new.event_type,
                new.received_at_ms, new.subscription_id,
            )
            for delivery in deliveries
            for new in (delivery.new,)
        ]  # fmt: skip

    def letter(self, delivery: Delivery, fault: str) -> NewDeadLetter:
        """What is set aside of a delivery that a fault of its own keeps from being sent."""
        new = delivery.new
        config = self._snapshot.current.destinations.get(new.destination_id)
        where = self._connectors.name(config) if config is not None else "deliver"
        return NewDeadLetter(
            self._now_ms(), new.source_id, new.destination_id, new.message_id, where, fault, new.body
        )

    def _dead_letter(self, delivery: Delivery, error: Exception) -> NewDeadLetter:
        """Names the kind of error and its place, not its text, which may hold what is secret."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else ""
        fault = f"{type(error).__name__}{place}"
        log.error("destination %s: %s", delivery.new.destination_id, fault)
        return self.letter(delivery, fault)


def is_fault(end: End) -> bool:
    """True when the event broke what was to send it, rather than being refused: it is set aside."""
    return isinstance(end, NewDeadLetter) or (isinstance(end, Rejected | Filtered) and end.is_fault)
