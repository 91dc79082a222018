"""Drop events whose messageId came before."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.model.event import Event
from mainstem.pipeline.step import Dropped, SourceScope, Verdicts


def deduplicate(batch: Sequence[Event], scope: SourceScope) -> Verdicts:
    """Drop an event whose messageId the workspace has had within the window, from whatever source, or earlier
    in this batch. It vanishes uncounted.

    Source: Tracking API reference, "Deduplication". Judgement: the reference's window is global; here it is
    the workspace's, so that one cannot swallow another's events.
    """
    seen = scope.already_seen([event.key for event in batch])
    verdicts = Verdicts()
    for event in batch:
        if event.key in seen:
            verdicts.dropped.append(Dropped(event, None, "duplicate"))
        else:
            seen.add(event.key)
            verdicts.kept.append(event)
    return verdicts
