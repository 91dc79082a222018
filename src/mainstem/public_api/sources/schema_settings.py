"""Schema settings: what a source does with events that are not in its tracking plan, or break it.

What is planned can be said of every source; what to do with violations, and where to forward, of one with a tracking
plan alone. All of it acts while a plan is connected, and goes back to the defaults when it is disconnected
(docs/decisions/0011-schema-settings-need-a-plan.md).
Source: Public API reference, "Update Schema Settings in Source", its troubleshooting section included.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, structs
from sqlalchemy import Column, Connection, String, Table, bindparam, delete, insert, select, update

from mainstem.errors import BadRequest, InputInvalid
from mainstem.model.snapshot import SchemaControls
from mainstem.public_api.sources.source import one, sources, visible
from mainstem.rest.operation import Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import UNSET, AnyCase, Unset, Wire

api = Family("Sources")
schema_settings = Table(
    "schema_settings",
    metadata,
    Column("source_id", String, primary_key=True),
    Column("blocks", String, nullable=False),
    Column("forwarding_violations_to", String),
    Column("forwarding_blocked_events_to", String),
)
WITHOUT_PLAN: Final = frozenset(
    {"allow_unplanned_events", "allow_unplanned_event_properties", "allow_unplanned_traits"}
)
"""What can be set while a source has no tracking plan."""

SourceId = Annotated[str, Meta(min_length=1)]
Block = TypeVar("Block", bound=Wire)


class TrackAction(AnyCase):
    """What becomes of a track call that violates the common rule."""

    ALLOW = "ALLOW"
    BLOCK = "BLOCK"
    OMIT_PROPERTIES = "OMIT_PROPERTIES"


class TraitAction(AnyCase):
    """What becomes of an identify or group call that violates the common rule."""

    ALLOW = "ALLOW"
    BLOCK = "BLOCK"
    OMIT_TRAITS = "OMIT_TRAITS"


class TrackSettings(Wire, frozen=True):
    """Controls of track calls; everything is allowed at first."""

    allow_event_on_violations: bool = True
    allow_properties_on_violations: bool = True
    allow_unplanned_event_properties: bool = True
    allow_unplanned_events: bool = True
    common_event_on_violations: TrackAction = TrackAction.ALLOW


class TraitSettings(Wire, frozen=True):
    """Controls of identify calls, or of group calls; everything is allowed at first."""

    allow_traits_on_violations: bool = True
    allow_unplanned_traits: bool = True
    common_event_on_violations: TraitAction = TraitAction.ALLOW


class Blocks(Wire, frozen=True):
    """The settings that keep their value when a change does not name them."""

    group: TraitSettings = TraitSettings()
    identify: TraitSettings = TraitSettings()
    track: TrackSettings = TrackSettings()


class SchemaSettings(Wire, frozen=True):
    """The complete settings of a source; a forwarding field is absent while forwarding is off."""

    group: TraitSettings
    identify: TraitSettings
    track: TrackSettings
    forwarding_violations_to: str | Unset = UNSET
    forwarding_blocked_events_to: str | Unset = UNSET


class TrackSettingsInput(Wire, frozen=True):
    """What to change of the controls of track calls."""

    allow_event_on_violations: bool | Unset = UNSET
    allow_properties_on_violations: bool | Unset = UNSET
    allow_unplanned_event_properties: bool | Unset = UNSET
    allow_unplanned_events: bool | Unset = UNSET
    common_event_on_violations: TrackAction | Unset = UNSET


class TraitSettingsInput(Wire, frozen=True):
    """What to change of the controls of identify calls, or of group calls."""

    allow_traits_on_violations: bool | Unset = UNSET
    allow_unplanned_traits: bool | Unset = UNSET
    common_event_on_violations: TraitAction | Unset = UNSET


class UpdateSchemaSettingsInput(Wire, frozen=True):
    """Body of updateSchemaSettingsInSource. What is left out keeps its value, but for the two forwarding
    fields: leaving one out switches that forwarding off."""

    group: TraitSettingsInput = TraitSettingsInput()
    identify: TraitSettingsInput = TraitSettingsInput()
    track: TrackSettingsInput = TrackSettingsInput()
    forwarding_violations_to: SourceId | Unset = UNSET
    forwarding_blocked_events_to: SourceId | Unset = UNSET


class SchemaSettingsOutput(Wire, frozen=True):
    """Reply of listSchemaSettingsInSource and updateSchemaSettingsInSource."""

    source_id: str
    settings: SchemaSettings


@api.operation("GET /sources/{sourceId}/settings", needs=Needs.SOURCE_READ)
def list_schema_settings_in_source(call: Call, source_id: str) -> SchemaSettingsOutput:
    """List Schema Settings in Source"""
    one(call, source_id)
    return SchemaSettingsOutput(source_id=source_id, settings=settings_of(call.db, source_id))


@api.operation("PATCH /sources/{sourceId}/settings", needs=Needs.SOURCE_ADMIN)
def update_schema_settings_in_source(
    call: Call, source_id: str, body: UpdateSchemaSettingsInput
) -> SchemaSettingsOutput:
    """Update Schema Settings in Source"""
    row = one(call, source_id)
    if row.tracking_plan_id is None:
        _check_without_plan(body)
    _check_forwarding(call, source_id, body)
    before = settings_of(call.db, source_id)
    after = SchemaSettings(
        group=_changed(before.group, body.group),
        identify=_changed(before.identify, body.identify),
        track=_changed(before.track, body.track),
        forwarding_violations_to=body.forwarding_violations_to,
        forwarding_blocked_events_to=body.forwarding_blocked_events_to,
    )
    if after != before:
        _write(call.db, source_id, after)
        call.touch(source_id)
        call.record_beside("Source Settings Modified", "SOURCE", source_id, row.name)
    return SchemaSettingsOutput(source_id=source_id, settings=after)


_OF_SOURCE: Final = select(schema_settings).where(schema_settings.c.source_id == bindparam("source_id"))


def settings_of(db: Connection, source_id: str) -> SchemaSettings:
    """The settings of a source, the defaults when none were ever sent."""
    row = db.execute(_OF_SOURCE, {"source_id": source_id}).one_or_none()
    blocks = msgspec.json.decode(row.blocks, type=Blocks) if row else Blocks()
    return SchemaSettings(
        group=blocks.group,
        identify=blocks.identify,
        track=blocks.track,
        forwarding_violations_to=(row and row.forwarding_violations_to) or UNSET,
        forwarding_blocked_events_to=(row and row.forwarding_blocked_events_to) or UNSET,
    )


def controls_of(db: Connection, source_id: str) -> SchemaControls:
    """The settings of a source as the data plane reads them."""
    settings = settings_of(db, source_id)
    track, identify, group = settings.track, settings.identify, settings.group
    return SchemaControls(
        allow_unplanned_events=track.allow_unplanned_events,
        allow_unplanned_event_properties=track.allow_unplanned_event_properties,
        allow_event_on_violations=track.allow_event_on_violations,
        allow_properties_on_violations=track.allow_properties_on_violations,
        track_common=track.common_event_on_violations.value,
        allow_unplanned_identify_traits=identify.allow_unplanned_traits,
        allow_identify_traits_on_violations=identify.allow_traits_on_violations,
        identify_common=identify.common_event_on_violations.value,
        allow_unplanned_group_traits=group.allow_unplanned_traits,
        allow_group_traits_on_violations=group.allow_traits_on_violations,
        group_common=group.common_event_on_violations.value,
        forwarding_violations_to=settings.forwarding_violations_to or "",
        forwarding_blocked_events_to=settings.forwarding_blocked_events_to or "",
    )


def reset(db: Connection, source_id: str) -> None:
    """Go back to the defaults."""
    db.execute(delete(schema_settings).where(schema_settings.c.source_id == source_id))


def delete_of_source(call: Call, source_id: str) -> None:
    """Forget the settings of a source that goes away, and switch off what others forward to it."""
    reset(call.db, source_id)
    for column in (schema_settings.c.forwarding_violations_to, schema_settings.c.forwarding_blocked_events_to):
        for other in call.db.execute(select(schema_settings.c.source_id).where(column == source_id)).scalars().all():
            call.touch(other)
        call.db.execute(update(schema_settings).where(column == source_id).values({column: None}))


def _check_without_plan(body: UpdateSchemaSettingsInput) -> None:
    """Raises BadRequest for what only a source with a tracking plan has."""
    blocks = {"group": body.group, "identify": body.identify, "track": body.track}
    sent = [(f"{name}.", block) for name, block in blocks.items()] + [("", body)]
    refused = [
        path + field.encode_name
        for path, block in sent
        for field in structs.fields(block)
        if field.name not in {*WITHOUT_PLAN, *blocks} and getattr(block, field.name) is not UNSET
    ]
    if refused:
        names = ", ".join(f"'{name}'" for name in refused)
        message = f"Source is not connected to a tracking plan: fields {names} cannot be updated"
        raise BadRequest(message, field=refused[0])


def _changed(block: Block, sent: Wire) -> Block:
    """A complete block with the fields that were sent."""
    fields: dict[str, Any] = {key: value for key, value in structs.asdict(sent).items() if value is not UNSET}
    return structs.replace(block, **fields)


def _check_forwarding(call: Call, source_id: str, body: UpdateSchemaSettingsInput) -> None:
    targets = {
        "forwardingViolationsTo": body.forwarding_violations_to,
        "forwardingBlockedEventsTo": body.forwarding_blocked_events_to,
    }
    faults = []
    for field, target in targets.items():
        if target == source_id:
            faults.append((field, f'"{field}" must be another source'))
        elif target and call.db.execute(visible(call).where(sources.c.id == target)).first() is None:
            faults.append((field, f'"{field}" names no source of this workspace: {target}'))
    if faults:
        raise InputInvalid(faults)


def _write(db: Connection, source_id: str, settings: SchemaSettings) -> None:
    blocks = Blocks(group=settings.group, identify=settings.identify, track=settings.track)
    db.execute(delete(schema_settings).where(schema_settings.c.source_id == source_id))
    db.execute(
        insert(schema_settings).values(
            source_id=source_id,
            blocks=msgspec.json.encode(blocks).decode(),
            forwarding_violations_to=settings.forwarding_violations_to or None,
            forwarding_blocked_events_to=settings.forwarding_blocked_events_to or None,
        )
    )
