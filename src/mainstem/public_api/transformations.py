"""Transformations: what is changed in the events of a source, for all its destinations or for those of one type.

What a transformation does lies sealed in its row, for the key of a keyed hash is a secret. It leaves as ten bullets,
and bullets that come back mean the key that is kept. An empty list stays an empty list and does nothing; null, and an
empty text for the event name or the type of destination, mean that there is none.

Source: Public API reference, tag "Transformations" (5 operations); product guide, "Use Transformations to fix bad
data" (conflicts); that destination filters are in the list is observed. Judgements: 409 for a conflict, 422 for what
cannot be read or combined, 400 for changing a destination filter here, and that clients keep no hash keys (the
Terraform provider has no such field), so masking them makes no difference to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, structs
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from mainstem.errors import BadRequest, Conflict, InputInvalid, NotFound
from mainstem.model import transformation
from mainstem.model.snapshot import TransformationConfig
from mainstem.public_api import catalog, destinations, sources
from mainstem.public_api.destinations import destination_filters
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, given
from mainstem.vault import Vault

api = Family("Transformations", feature="Protocols")
transformations = Table(
    "transformations",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("destination_metadata_id", String, nullable=False),  # "" at source scope
    Column("name", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("condition", String, nullable=False),
    Column("parts", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
)

_MASK: Final = "\u2022" * 10
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class PropertyRename(Wire, frozen=True):
    """One renamed property."""

    old_name: str
    new_name: str


class PropertyValueTransformation(Wire, frozen=True):
    """A text that is set in up to 10 places."""

    property_paths: list[str]
    property_value: str


class FqlDefinedProperty(Wire, frozen=True):
    """A property whose value an FQL expression computes."""

    fql: str
    property_name: str


class HashPropertiesConfiguration(Wire, frozen=True):
    """Properties whose values are replaced by their hash; by a keyed one (HMAC) where there is a key."""

    algorithm: str
    paths: list[str]
    key: str | Unset | None = UNSET
    encoding: Literal["BASE16", "BASE64", "BASE64URL", "HEX"] | Unset | None = UNSET


class Parts(Wire, frozen=True, kw_only=True):
    """What a transformation does. Kept with what was sent and no more: what was not is absent."""

    drop: bool | Unset | None = UNSET
    new_event_name: str | Unset | None = UNSET
    property_renames: list[PropertyRename] | Unset | None = UNSET
    property_value_transformations: list[PropertyValueTransformation] | Unset | None = UNSET
    fql_defined_properties: list[FqlDefinedProperty] | Unset | None = UNSET
    allow_properties: list[str] | Unset | None = UNSET
    hash_properties_configuration: HashPropertiesConfiguration | Unset | None = UNSET


class Transformation(Parts, frozen=True, kw_only=True):
    """A transformation on the wire; without `destination_metadata_id` it is for all destinations."""

    id: str
    name: str
    source_id: str
    destination_metadata_id: str | Unset = UNSET
    enabled: bool
    condition: str = msgspec.field(name="if")


class CreateTransformationInput(Parts, frozen=True, kw_only=True):
    """Body of createTransformation."""

    name: Name
    source_id: str
    destination_metadata_id: str | Unset | None = UNSET
    enabled: bool
    condition: str = msgspec.field(name="if")


class UpdateTransformationInput(Parts, frozen=True, kw_only=True):
    """Body of updateTransformation. Lists and the hash configuration are replaced whole; null takes a part away."""

    name: Name | Unset = UNSET
    source_id: str | Unset = UNSET
    destination_metadata_id: str | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    condition: str | Unset = msgspec.field(default=UNSET, name="if")


class TransformationOutput(Wire, frozen=True):
    """Reply of createTransformation, getTransformation and updateTransformation."""

    transformation: Transformation


class TransformationsOutput(Wire, frozen=True):
    """Reply of listTransformations."""

    transformations: list[Transformation]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way these operations read the table."""
    mine = call.reach(Needs.SOURCE_READ, transformations.c.source_id)
    return select(transformations).where(transformations.c.workspace_id == call.workspace_id, mine)


# ---- for the data plane, and for sources


_OF_SOURCE: Final = (
    select(transformations)
    .where(transformations.c.source_id == bindparam("source_id"))
    .order_by(transformations.c.seq)
)


def of_source(db: Connection, vault: Vault, source_id: str) -> tuple[TransformationConfig, ...]:
    """The transformations of a source, of both scopes, in order of creation, as the data plane gets them."""
    found = db.execute(_OF_SOURCE, {"source_id": source_id})
    return tuple(as_config(row, _parts_of(vault, row)) for row in found)


def delete_of_source(call: Call, source_id: str) -> None:
    """Delete every transformation of a source that is being deleted. Each is in the audit trail."""
    for row in rows.having(call.db, transformations.c.source_id, source_id):
        call.record_beside("Transformation Deleted", "TRANSFORMATION", row.id, row.name)
    rows.delete(call.db, transformations.c.source_id, source_id)


# ---- rows, parts and shapes


class _Columns(msgspec.Struct, frozen=True):
    """The columns of a row that can change, beside `parts`."""

    name: str
    source_id: str
    destination_metadata_id: str
    enabled: bool
    condition: str


def _columns_of(row: Row[Any]) -> _Columns:
    return _Columns(**{name: getattr(row, name) for name in _Columns.__struct_fields__})


def _parts_of(vault: Vault, row: Row[Any]) -> Parts:
    return msgspec.json.decode(vault.open(row.parts, row.id), type=Parts)


def as_config(row: Row[Any] | _Columns, parts: Parts) -> TransformationConfig:
    """As the data plane gets it; also what is looked at for faults."""
    hashed = parts.hash_properties_configuration
    renames, values = parts.property_renames or [], parts.property_value_transformations or []
    allowed = parts.allow_properties
    return TransformationConfig(
        id=getattr(row, "id", ""),
        condition=row.condition,
        enabled=row.enabled,
        destination_metadata_id=row.destination_metadata_id,
        drop=bool(parts.drop),
        new_event_name=parts.new_event_name or "",
        property_renames=tuple((each.old_name, each.new_name) for each in renames),
        property_value_transformations=tuple((tuple(each.property_paths), each.property_value) for each in values),
        fql_defined_properties=tuple((each.fql, each.property_name) for each in parts.fql_defined_properties or []),
        allow_properties=tuple(allowed) if isinstance(allowed, list) else None,
        hash_properties=msgspec.to_builtins(hashed) if isinstance(hashed, HashPropertiesConfiguration) else None,
    )


def _shape(row: Row[Any], parts: Parts) -> Transformation:
    """As callers get it, without the key."""
    hashed = parts.hash_properties_configuration
    if isinstance(hashed, HashPropertiesConfiguration) and hashed.key:
        parts = structs.replace(parts, hash_properties_configuration=structs.replace(hashed, key=_MASK))
    return Transformation(
        id=row.id,
        name=row.name,
        source_id=row.source_id,
        destination_metadata_id=row.destination_metadata_id or UNSET,
        enabled=row.enabled,
        condition=row.condition,
        **structs.asdict(parts),
    )


def _sent(body: Parts) -> dict[str, Any]:
    """The parts that were sent; null and an empty name take one away."""
    fields = {name: getattr(body, name) for name in Parts.__struct_fields__}
    return {name: UNSET if value in (None, "") else value for name, value in fields.items() if value is not UNSET}


def _with_sent(before: Parts, body: Parts) -> Parts:
    """Raises InputInvalid for a mask in place of a key that is not kept."""
    after = structs.replace(before, **_sent(body))
    hashed, kept = after.hash_properties_configuration, before.hash_properties_configuration
    if not isinstance(hashed, HashPropertiesConfiguration):
        return after
    if hashed.key is not UNSET and (hashed.key or "").startswith(_MASK):
        if not isinstance(kept, HashPropertiesConfiguration) or not kept.key:
            field = "hashPropertiesConfiguration.key"
            raise InputInvalid([(field, f'"{field}" is masked: the key itself is needed')])
        hashed = structs.replace(hashed, key=kept.key)
    absent = {name: UNSET for name in ("key", "encoding") if getattr(hashed, name) in (None, "")}
    return structs.replace(after, hash_properties_configuration=structs.replace(hashed, **absent))


# ---- rules


def _check(call: Call, columns: _Columns, parts: Parts, own_id: str = "") -> None:
    """Raises InputInvalid with all that is wrong with a transformation, Conflict when there is another in its way."""
    config = as_config(columns, parts)
    faults: Faults = []
    try:
        sources.one(call, columns.source_id)
    except NotFound as error:
        faults.append(("sourceId", f'"sourceId" names no source: {error}'))
    metadata_id = columns.destination_metadata_id
    if metadata_id and catalog.find_destination_metadata(metadata_id) is None:
        message = f'"destinationMetadataId" names no destination of the catalog: {metadata_id}'
        faults.append(("destinationMetadataId", message))
    faults += transformation.faults(config)
    if faults:
        raise InputInvalid(faults)
    same_source = visible(call).where(transformations.c.source_id == columns.source_id)
    for row in call.db.execute(same_source.where(transformations.c.id != own_id)):
        _check_beside(config, row.name, as_config(row, _parts_of(call.vault, row)))


def _check_beside(config: TransformationConfig, name: str, other: TransformationConfig) -> None:
    """Raises Conflict when both are for the same events of the same destinations, or set the same property."""
    if transformation.subject(config.condition) != transformation.subject(other.condition):
        return
    if config.destination_metadata_id == other.destination_metadata_id:
        raise Conflict(f"The transformation '{name}' is for the same events and destinations.", field="if")
    is_nested = not config.destination_metadata_id or not other.destination_metadata_id
    if is_nested and transformation.value_paths(config) & transformation.value_paths(other):
        message = f"The transformation '{name}' sets the same property of the same events."
        raise Conflict(message, field="propertyValueTransformations")


# ---- operations


@api.operation("GET /transformations", needs=Needs.SOURCE_READ)
def list_transformations(call: Call, query: PageInput) -> TransformationsOutput:
    """List Transformations"""
    # By creation; what was created in the same millisecond, by kind and in order within it.
    own = [(row.created_at, 0, row.seq, row) for row in call.db.execute(visible(call))]
    filters = [(row.created_at, 1, row.seq, row) for row in call.db.execute(_visible_filters(call))]
    found, pagination = slice_of(sorted([*own, *filters], key=lambda each: each[:3]), query.pagination)
    shapes = [_filter_shape(row) if kind else _shape(row, _parts_of(call.vault, row)) for _, kind, _, row in found]
    return TransformationsOutput(transformations=shapes, pagination=pagination)


def _visible_filters(call: Call) -> Select[Any]:
    """Destination filters, which are transformations too, with the type of their destination."""
    filters, instances = destination_filters, destinations.destinations
    joined = select(filters, instances.c.metadata_id).join(instances, instances.c.id == filters.c.destination_id)
    return joined.where(
        filters.c.workspace_id == call.workspace_id, call.reach(Needs.SOURCE_READ, filters.c.source_id)
    )


def _filter_shape(row: Row[Any]) -> Transformation:
    """A destination filter as a transformation. Of its actions only DROP has a name here."""
    drops = any(action["type"] == "DROP" for action in msgspec.json.decode(row.actions))
    return Transformation(
        id=row.id,
        name=row.title,
        source_id=row.source_id,
        destination_metadata_id=row.metadata_id,
        enabled=row.enabled,
        condition=row.condition,
        drop=drops or UNSET,
    )


@api.operation("POST /transformations", needs=Needs.SOURCE_ADMIN, audit="Transformation Created")
def create_transformation(call: Call, body: CreateTransformationInput) -> TransformationOutput:
    """Create Transformation"""
    parts = _with_sent(Parts(), body)
    metadata_id = given(body.destination_metadata_id, None) or ""
    columns = _Columns(body.name, body.source_id, metadata_id, body.enabled, body.condition)
    _check(call, columns, parts)
    transformation_id = ksuid()
    call.db.execute(
        insert(transformations).values(
            id=transformation_id,
            workspace_id=call.workspace_id,
            parts=call.vault.seal(msgspec.json.encode(parts), transformation_id),
            created_at=call.now,
            **structs.asdict(columns),
        )
    )
    call.touch(body.source_id)
    call.record("Transformation Created", "TRANSFORMATION", transformation_id, body.name)
    return get_transformation(call, transformation_id)


@api.operation("GET /transformations/{transformationId}", needs=Needs.SOURCE_READ)
def get_transformation(call: Call, transformation_id: str) -> TransformationOutput:
    """Get Transformation"""
    filter_row = call.db.execute(_visible_filters(call).where(destination_filters.c.id == transformation_id)).first()
    if filter_row is not None:
        return TransformationOutput(transformation=_filter_shape(filter_row))
    row = _one(call, transformation_id)
    return TransformationOutput(transformation=_shape(row, _parts_of(call.vault, row)))


def _one(call: Call, transformation_id: str) -> Row[Any]:
    query = visible(call).where(transformations.c.id == transformation_id)
    return rows.one(call.db, query, rows.missing("Transformation", transformation_id))


def _one_to_change(call: Call, transformation_id: str) -> Row[Any]:
    """Raises BadRequest for a destination filter, which has operations of its own."""
    if call.db.execute(_visible_filters(call).where(destination_filters.c.id == transformation_id)).first():
        raise BadRequest("This transformation is a destination filter; it is changed and removed as such.")
    row = _one(call, transformation_id)
    call.demand(Needs.SOURCE_ADMIN, row.source_id)
    return row


@api.operation("PATCH /transformations/{transformationId}", needs=Needs.SOURCE_ADMIN, audit="Transformation Updated")
def update_transformation(
    call: Call, transformation_id: str, body: UpdateTransformationInput
) -> TransformationOutput:
    """Update Transformation"""
    row = _one_to_change(call, transformation_id)
    before, kept = _columns_of(row), _parts_of(call.vault, row)
    columns = structs.replace(before, **dict(_changed_columns(body)))
    parts = _with_sent(kept, body)
    _check(call, columns, parts, row.id)
    if (columns, parts) != (before, kept):
        sealed = call.vault.seal(msgspec.json.encode(parts), row.id)
        changed = update(transformations).where(transformations.c.id == row.id)
        call.db.execute(changed.values(parts=sealed, **structs.asdict(columns)))
        for source_id in {before.source_id, columns.source_id}:
            call.touch(source_id)
        call.record("Transformation Updated", "TRANSFORMATION", row.id, columns.name)
    return get_transformation(call, row.id)


def _changed_columns(body: UpdateTransformationInput) -> Iterator[tuple[str, Any]]:
    for name in _Columns.__struct_fields__:
        value = getattr(body, name)
        if value is not UNSET:
            yield name, value or "" if name == "destination_metadata_id" else value


@api.operation("DELETE /transformations/{transformationId}", needs=Needs.SOURCE_ADMIN, audit="Transformation Deleted")
def delete_transformation(call: Call, transformation_id: str) -> StatusOutput:
    """Delete Transformation"""
    row = _one_to_change(call, transformation_id)
    call.db.execute(delete(transformations).where(transformations.c.id == row.id))
    call.touch(row.source_id)
    call.record("Transformation Deleted", "TRANSFORMATION", row.id, row.name)
    return StatusOutput()
