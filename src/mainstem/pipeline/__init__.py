"""What happens to an event between the log and the queue of deliveries, as tuples of steps.

FROM_SOURCE, UNDER_PLAN and AT_SOURCE run once for an event, one after the other, TO_DESTINATION once for each
enabled destination of its source. Reading them is reading the pipeline; adding a step is adding a line. `digest`
runs them over a batch of requests. An event counts as received after FROM_SOURCE, as an API call and for MTU after
UNDER_PLAN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mainstem.pipeline.address import address
from mainstem.pipeline.admit import admit
from mainstem.pipeline.apply_filters import apply_filters
from mainstem.pipeline.deduplicate import deduplicate
from mainstem.pipeline.detour import detour_to_insert_function, detour_to_source_function
from mainstem.pipeline.enforce_tracking_plan import enforce_tracking_plan
from mainstem.pipeline.match_trigger import match_trigger
from mainstem.pipeline.normalize import normalize
from mainstem.pipeline.obey_consent import obey_consent
from mainstem.pipeline.obey_integrations import obey_integrations
from mainstem.pipeline.obey_schema import obey_schema, obey_schema_integrations
from mainstem.pipeline.skip_sent_by_browser import skip_sent_by_browser
from mainstem.pipeline.skip_unsupported import skip_unsupported
from mainstem.pipeline.step import Step, Verdicts, each, spread, whole
from mainstem.pipeline.strip_metadata import strip_metadata
from mainstem.pipeline.suppress import suppress
from mainstem.pipeline.transform_at_source import transform_at_source
from mainstem.pipeline.transform_for_destination import transform_for_destination
from mainstem.pipeline.unpack import unpack
from mainstem.pipeline.validate import validate

FROM_SOURCE: Final[tuple[Step, ...]] = (
    spread(unpack),  # a request becomes its events
    each(admit),  # source enabled, batch not too long, an event at all
    each(detour_to_source_function),  # a call of a function that is a source becomes events there
    each(suppress, when=lambda scope: scope.snapshot.suppressed),  # users whose events are discarded
    each(normalize),  # ids, timestamps, context.ip
    each(validate),  # the published reasons to fail on ingest
    whole(deduplicate),  # asks the store once a batch
    each(detour_to_insert_function),  # where the source has one: its answer comes back as an entry
)

AFTER_FUNCTION: Final[tuple[Step, ...]] = (
    each(suppress, when=lambda scope: scope.snapshot.suppressed),  # the function may have named another user
    each(validate),  # what an insert function returned must still be an event
)

UNDER_PLAN: Final[tuple[Step, ...]] = (
    whole(enforce_tracking_plan),  # what a tracking plan blocks, trims, finds and forwards
    each(obey_schema),  # what is switched off where there is no plan
)

AT_SOURCE: Final[tuple[Step, ...]] = (
    each(transform_at_source),  # for all destinations
)

TO_DESTINATION: Final[tuple[Step, ...]] = (
    each(skip_sent_by_browser),  # device mode
    each(skip_unsupported),  # types the connector does not take
    each(obey_consent, when=lambda scope: scope.destination.consent_categories),  # the user's word
    each(obey_integrations),  # the event's own
    each(obey_schema_integrations, when=lambda scope: scope.integrations_off),  # the schema's, if it does not
    each(apply_filters, when=lambda scope: scope.filters),  # the destination's
    each(transform_for_destination, when=lambda scope: scope.transformations),  # for its type
    each(strip_metadata),  # what was for the steps above
    whole(match_trigger, spreads=True),  # a delivery for each mapping that it fires
    each(address),  # an event becomes a delivery
)


Note = Callable[[Step, Sequence[Any], Verdicts], object]


def run(steps: Sequence[Step], batch: Sequence[Any], scope: Any, note: Note | None = None) -> Verdicts:
    """Send a batch through the steps. Everything that goes in comes out: kept, dropped or failed. `note` is told
    what each step was given and what it made of it."""
    total = Verdicts(list(batch))
    for step in steps:
        if not step.when(scope):
            continue
        verdicts = step.apply(total.kept, scope)
        out = len(verdicts.kept) + len(verdicts.dropped) + len(verdicts.failed) + len(verdicts.detoured)
        assert step.spreads or out == len(total.kept), f"{step.name} lost an event"
        if note is not None:
            note(step, total.kept, verdicts)
        total.kept = []
        total = total.and_then(verdicts)
    return total
