"""Find the mappings of a destination that an event goes through."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.model import trigger
from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.snapshot import DestinationConfig
from mainstem.model.trigger import Matches, TriggerError
from mainstem.pipeline.address import address
from mainstem.pipeline.step import DestinationScope, Dropped, Verdicts


def match_trigger(batch: Sequence[Event], scope: DestinationScope) -> Verdicts:
    """Make a delivery for each enabled mapping whose trigger the event fires; an event that fires none is dropped.
    Destinations without actions get every event.

    Source: product guide, "Destinations Actions": each mapping that matches sends a request of its own.
    """
    if scope.triggers is None:
        return Verdicts(list(batch))
    verdicts = Verdicts()
    for event in batch:
        fired = [subscription_id for subscription_id, matches in scope.triggers if matches(event.payload)]
        verdicts.kept += [address(event, scope, subscription_id) for subscription_id in fired]
        if not fired:
            verdicts.dropped.append(Dropped(event, Stage.FILTERED_AT_DESTINATION, "NO_MATCHING_MAPPING"))
    return verdicts


def triggers_of(destination: DestinationConfig) -> tuple[tuple[str, Matches], ...] | None:
    """The enabled mappings of a destination by id, each with its trigger, compiled; None when it has no actions."""
    if destination.subscriptions is None:
        return None
    return tuple((each.id, _compiled(each.trigger)) for each in destination.subscriptions if each.enabled)


def _compiled(text: str) -> Matches:
    try:
        return trigger.parse(text).matches
    except TriggerError:  # refused when it is written; were it there all the same, it would fire for nothing
        return trigger.never
