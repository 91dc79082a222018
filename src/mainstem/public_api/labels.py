"""Labels: `key:value` tags that grant access to groups of resources.

Source: Public API reference, tag "Labels" (3 operations); segment-docs, "Labels".
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta
from sqlalchemy import Column, Connection, Integer, Select, String, Table, delete, insert, select

from mainstem.errors import Conflict
from mainstem.rest import rows
from mainstem.rest.grants import is_label_granted
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Labels")
labels = Table(
    "labels",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("workspace_id", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    Column("description", String),
)
source_labels = Table(
    "source_labels",
    metadata,
    Column("source_id", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)
DEFAULT_LABELS: Final = (("environment", "dev"), ("environment", "prod"))

Word = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z][A-Za-z0-9_-]*\Z")]


class Label(Wire, frozen=True):
    """A label on the wire; identity is the pair of key and value."""

    key: Word
    value: Word
    description: str | Unset | None = UNSET


class CreateLabelInput(Wire, frozen=True):
    """Body of createLabel."""

    label: Label


class LabelOutput(Wire, frozen=True):
    """Reply of createLabel."""

    label: Label


class LabelsOutput(Wire, frozen=True):
    """Reply of listLabels: the whole list, without pages."""

    labels: list[Label]


class StatusOutput(Wire, frozen=True):
    """Reply of operations that return no object."""

    status: str = "SUCCESS"


def visible(call: Call) -> Select[Any]:
    """The only way this file reads its table."""
    return select(labels).where(labels.c.workspace_id == call.workspace_id)


def label_of(row: Any) -> Label:
    """A row as it is on the wire; no description is an absent one."""
    return Label(key=row.key, value=row.value, description=UNSET if row.description is None else row.description)


def add_default_labels(db: Connection, workspace_id: str) -> None:
    """What every workspace starts with."""
    db.execute(
        insert(labels), [{"workspace_id": workspace_id, "key": key, "value": value} for key, value in DEFAULT_LABELS]
    )


@api.operation("GET /labels", needs=Needs.WORKSPACE_MEMBER)
def list_labels(call: Call) -> LabelsOutput:
    """List Labels"""
    return LabelsOutput(labels=[label_of(row) for row in call.db.execute(visible(call).order_by(labels.c.seq))])


@api.operation("POST /labels", status=201, needs=Needs.WORKSPACE_OWNER, audit="Label Created", rate=per_minute(60))
def create_label(call: Call, body: CreateLabelInput) -> LabelOutput:
    """Create Label"""
    label = body.label
    description = given(label.description, None)
    with rows.unique(f"Label {label.key}:{label.value} already exists.", field="label"):
        call.db.execute(
            insert(labels).values(
                workspace_id=call.workspace_id,
                key=label.key,
                value=label.value,
                description=description,
            )
        )
    call.record("Label Created", "LABEL", f"{label.key}:{label.value}", f"{label.key}:{label.value}")
    shown = UNSET if description is None else description
    return LabelOutput(label=Label(key=label.key, value=label.value, description=shown))


@api.operation(
    "DELETE /labels/{key}/{value}", needs=Needs.WORKSPACE_OWNER, audit="Label Deleted", rate=per_minute(60)
)
def delete_label(call: Call, key: str, value: str) -> StatusOutput:
    """Delete Label"""
    name = f"{key}:{value}"
    row = rows.one(
        call.db,
        visible(call).where(labels.c.key == key, labels.c.value == value),
        f"Label '{name}' not found.",
    )
    in_use = select(source_labels).where(source_labels.c.key == key, source_labels.c.value == value).limit(1)
    if call.db.execute(in_use).first():
        raise Conflict(f"Label {name} is in use by a source; remove it there first.")
    if is_label_granted(call.db, call.workspace_id, (key, value)):
        raise Conflict(f"Label {name} is in use by a permission; remove it there first.")
    call.db.execute(delete(labels).where(labels.c.seq == row.seq))
    call.record("Label Deleted", "LABEL", name, name)
    return StatusOutput()
