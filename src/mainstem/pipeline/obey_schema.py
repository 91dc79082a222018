"""Leave out what is switched off in the schema of the source."""

from __future__ import annotations

from typing import Final

from mainstem.model.event import Event, counted_name
from mainstem.model.outcome import Stage
from mainstem.pipeline.step import DestinationScope, Dropped, SourceScope

_NAMED_BY: Final = {"track": "event", "page": "name", "screen": "name"}


def obey_schema(event: Event, scope: SourceScope) -> Event | Dropped:
    """Drop an event, or take out traits, that are switched off in the schema of a source without a tracking plan.

    Source: product guide, "Schema controls": event filters, identify and group trait filters.
    """
    source = scope.snapshot.sources[event.source_id]
    schema = source.schema
    if source.tracking_plan_id or not (schema.events_off or schema.traits_off):
        return event
    names_off = schema.events_off.get(event.type)
    if names_off and event.type in _NAMED_BY and event.payload.get(_NAMED_BY[event.type]) in names_off:
        return Dropped(event, Stage.FILTERED_AT_SOURCE, "event_setting")
    off, traits = schema.traits_off.get(event.type), event.payload.get("traits")
    if not off or type(traits) is not dict or traits.keys().isdisjoint(off):
        return event
    kept = {trait: value for trait, value in traits.items() if trait not in off}
    return event.with_payload({**event.payload, "traits": kept})


def obey_schema_integrations(event: Event, scope: DestinationScope) -> Event | Dropped:
    """Drop an event that the schema of its source switches off for this destination, with or without a tracking
    plan, unless its integrations object names the destination.

    Source: product guide, "Schema integration filters". Judgement: the reason, for it has none of its own.
    """
    if not scope.integrations_off:
        return event
    name = event.name or counted_name(event.type, event.payload)
    destination = scope.destination.name
    if destination not in scope.integrations_off.get(f"{event.type}/{name}", ()):
        return event
    integrations = event.payload.get("integrations")
    if isinstance(integrations, dict) and integrations.get(destination) is not None:
        return event  # true or an object: false was obeyed before
    return Dropped(event, Stage.FILTERED_AT_DESTINATION, "FILTERED_BY_INTEGRATIONS_OBJECT")
