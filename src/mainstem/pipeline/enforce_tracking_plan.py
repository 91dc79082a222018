"""Hold events to the tracking plan of their source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mainstem.model.enforcement import Enforcer, Judged
from mainstem.model.event import Event
from mainstem.model.outcome import Stage
from mainstem.model.snapshot import Snapshot
from mainstem.pipeline.forward import blocked_event, violation_event
from mainstem.pipeline.step import Dropped, SourceScope, Verdicts


def enforce_tracking_plan(batch: Sequence[Event], scope: SourceScope) -> Verdicts:
    """Block events, or take values out of them, as the plan and the schema controls of their source say, and
    forward what is blocked and every violation where the source wants them.

    Source: product guide, "Protocols": schema configuration, forwarding.
    """
    verdicts, snapshot = Verdicts(), scope.snapshot
    enforcers: dict[str, Enforcer | None] = {}
    for event in batch:
        if event.source_id not in enforcers:
            enforcers[event.source_id] = scope.enforcers.of(snapshot.sources[event.source_id], snapshot)
        enforcer = enforcers[event.source_id]
        judged = None if enforcer is None else enforcer.judge(event.type, event.payload)
        if enforcer is None or judged is None:
            verdicts.kept.append(event)
            continue
        verdicts.forwarded.extend(_forwarded(event, judged, enforcer, snapshot))
        if judged.reason:
            verdicts.dropped.append(Dropped(event, Stage.FILTERED_AT_SOURCE, judged.reason))
        else:
            verdicts.kept.append(event.with_payload(judged.payload))
    return verdicts


def _forwarded(event: Event, judged: Judged, enforcer: Enforcer, snapshot: Snapshot) -> Iterator[Event]:
    source, plan = enforcer.source, enforcer.plan.config
    target = snapshot.sources.get(source.schema.forwarding_blocked_events_to)
    if judged.reason and target is not None:
        yield blocked_event(event, judged.payload, target)
    target = snapshot.sources.get(source.schema.forwarding_violations_to)
    if target is not None:
        for number, violation in enumerate(judged.violations, 1):
            yield violation_event(event, number, violation, source, plan, target)
