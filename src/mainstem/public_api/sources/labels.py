"""Labels of sources: each a label of the workspace, at most one value for each key.

Source: Public API reference, tag "Sources" (2 operations); segment-docs, "Labels". The 422 for an unknown label
and for a second value are judgements.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from mainstem.errors import InputInvalid
from mainstem.public_api import labels
from mainstem.public_api.labels import Label, LabelsOutput, source_labels
from mainstem.public_api.sources.source import labels_of, one
from mainstem.rest.operation import Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import Wire

api = Family("Sources")


class LabelsInput(Wire, frozen=True):
    """Body of addLabelsToSource and replaceLabelsInSource; a description is ignored."""

    labels: list[Label]


@api.operation("POST /sources/{sourceId}/labels", needs=Needs.SOURCE_ADMIN, audit="Source Modified")
def add_labels_to_source(call: Call, source_id: str, body: LabelsInput) -> LabelsOutput:
    """Add Labels to Source"""
    row = one(call, source_id)
    before = _values(labels_of(call, [source_id]).get(source_id, []))
    after = _checked(call, before, body.labels)
    if after != before:
        _write(call, source_id, after)
        call.record("Source Modified", "SOURCE", source_id, row.name)
    return LabelsOutput(labels=labels_of(call, [source_id]).get(source_id, []))


@api.operation("PUT /sources/{sourceId}/labels", needs=Needs.SOURCE_ADMIN)
def replace_labels_in_source(call: Call, source_id: str, body: LabelsInput) -> LabelsOutput:
    """Replace Labels in Source"""
    row = one(call, source_id)
    before = _values(labels_of(call, [source_id]).get(source_id, []))
    after = _checked(call, {}, body.labels)
    if after != before:
        _write(call, source_id, after)
        call.record_beside("Source Modified", "SOURCE", source_id, row.name)
    return LabelsOutput(labels=labels_of(call, [source_id]).get(source_id, []))


def _values(found: Sequence[Label]) -> dict[str, str]:
    return {label.key: label.value for label in found}


def _checked(call: Call, before: dict[str, str], sent: Sequence[Label]) -> dict[str, str]:
    """`before` with the labels sent. Raises InputInvalid for each that the workspace does not have, and for
    each that gives a key a second value."""
    known = {(row.key, row.value) for row in call.db.execute(select(labels.visible(call).subquery()))}
    after, faults = dict(before), []
    for index, label in enumerate(sent):
        if (label.key, label.value) not in known:
            faults.append((f"labels[{index}]", f'"labels[{index}]" is unknown: {label.key}:{label.value}'))
        elif after.setdefault(label.key, label.value) != label.value:
            taken = f"{label.key}:{after[label.key]}"
            faults.append((f"labels[{index}]", f'"labels[{index}]" is a second value beside {taken}'))
    if faults:
        raise InputInvalid(faults)
    return after


def _write(call: Call, source_id: str, values: dict[str, str]) -> None:
    call.db.execute(delete(source_labels).where(source_labels.c.source_id == source_id))
    if values:
        marks = [{"source_id": source_id, "key": key, "value": value} for key, value in values.items()]
        call.db.execute(insert(source_labels), marks)
