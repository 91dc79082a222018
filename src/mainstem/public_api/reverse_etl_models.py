"""Models of Reverse ETL: queries whose rows a source sends, each kept to the letter.

Source: Public API reference, tag "Reverse ETL" (5 of 9 operations); product guide, "Reverse ETL system" (65,535
characters of a query, 191 of the name of its identifying column). The query is text for its database, which alone can
say whether it runs. Judgements: 422 for a source that is no database; 409 for deleting a model that a subscription
uses; a source that goes takes its models along, and the subscriptions that use them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta
from sqlalchemy import Boolean, Column, Integer, Row, Select, String, Table, delete, insert, select, update

from mainstem.errors import Conflict, InputInvalid, NotFound
from mainstem.public_api import catalog, sources, subscriptions
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import metadata
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Reverse ETL")
models = Table(
    "reverse_etl_models",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("query", String, nullable=False),
    Column("query_identifier_column", String, nullable=False),
)
_SHOWN: Final = 3  # subscriptions in a refusal

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=65_535)]
Query = Annotated[str, Meta(min_length=1, max_length=65_535)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=191)]


class Model(Wire, frozen=True):
    """A model on the wire; its texts come back as they were sent."""

    id: str
    source_id: str
    name: str
    description: str
    enabled: bool
    query: str
    query_identifier_column: str


class CreateModelInput(Wire, frozen=True):
    """Body of createReverseEtlModel."""

    source_id: str
    name: Name
    description: Description
    enabled: bool
    query: Query
    query_identifier_column: ColumnName


class UpdateModelInput(Wire, frozen=True):
    """Body of updateReverseEtlModel; a model stays with its source."""

    name: Name | Unset = UNSET
    description: Description | Unset = UNSET
    enabled: bool | Unset = UNSET
    query: Query | Unset = UNSET
    query_identifier_column: ColumnName | Unset = UNSET


class ModelOutput(Wire, frozen=True):
    """Reply of createReverseEtlModel, getReverseEtlModel and updateReverseEtlModel."""

    reverse_etl_model: Model


class ModelsOutput(Wire, frozen=True):
    """Reply of listReverseEtlModels."""

    models: list[Model]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The only way the Public API reads the table."""
    mine = call.reach(Needs.SOURCE_READ, models.c.source_id)
    return select(models).where(models.c.workspace_id == call.workspace_id, mine)


def one(call: Call, model_id: str) -> Row[Any]:
    """The row of a model that the caller may see, and change when the operation changes sources. Raises NotFound and
    Forbidden."""
    row = rows.one(call.db, visible(call).where(models.c.id == model_id), rows.missing("Model", model_id))
    call.demand_own(Needs.SOURCE_ADMIN, row.source_id)
    return row


def delete_of_source(call: Call, source_id: str) -> None:
    """Delete the models of a source that is being deleted, and the subscriptions that use them. Each is in the audit
    trail."""
    for row in rows.having(call.db, models.c.source_id, source_id):
        subscriptions.delete_of_model(call, row.id)
        call.record_beside("Model Deleted", "REVERSE_ETL_MODEL", row.id, row.name)
    rows.delete(call.db, models.c.source_id, source_id)


def _model_of(row: Row[Any]) -> Model:
    return Model(
        id=row.id,
        source_id=row.source_id,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
        query=row.query,
        query_identifier_column=row.query_identifier_column,
    )


def _check_source(call: Call, source_id: str) -> None:
    """Raises InputInvalid unless this is a source whose rows can be queried."""
    try:
        source = sources.one(call, source_id)
    except NotFound as error:
        raise InputInvalid([("sourceId", f'"sourceId" names no source: {error}')]) from None
    if not catalog.is_warehouse_source(source.metadata_id):
        raise InputInvalid([("sourceId", '"sourceId" must be the id of a source that is a database (Reverse ETL)')])


# ---- operations


@api.operation("GET /reverse-etl-models", needs=Needs.SOURCE_READ, versions=ALPHA)
def list_reverse_etl_models(call: Call, query: PageInput) -> ModelsOutput:
    """List Reverse ETL Models"""
    found, pagination = rows.page_of(call.db, visible(call).order_by(models.c.seq), query.pagination)
    return ModelsOutput(models=[_model_of(row) for row in found], pagination=pagination)


@api.operation(
    "POST /reverse-etl-models", status=201, needs=Needs.SOURCE_ADMIN, versions=ALPHA, audit="Model Created"
)
def create_reverse_etl_model(call: Call, body: CreateModelInput) -> ModelOutput:
    """Create Reverse ETL Model"""
    _check_source(call, body.source_id)
    model_id = base58_id()
    call.db.execute(
        insert(models).values(
            id=model_id,
            workspace_id=call.workspace_id,
            source_id=body.source_id,
            name=body.name,
            description=body.description,
            enabled=body.enabled,
            query=body.query,
            query_identifier_column=body.query_identifier_column,
        )
    )
    call.record("Model Created", "REVERSE_ETL_MODEL", model_id, body.name)
    return ModelOutput(reverse_etl_model=_model_of(one(call, model_id)))


@api.operation("GET /reverse-etl-models/{modelId}", needs=Needs.SOURCE_READ, versions=ALPHA)
def get_reverse_etl_model(call: Call, model_id: str) -> ModelOutput:
    """Get Reverse ETL Model"""
    return ModelOutput(reverse_etl_model=_model_of(one(call, model_id)))


@api.operation(
    "PATCH /reverse-etl-models/{modelId}",
    needs=Needs.SOURCE_ADMIN,
    versions=ALPHA,
    audit=("Model Settings Saved", "Model State Change Toggled"),
)
def update_reverse_etl_model(call: Call, model_id: str, body: UpdateModelInput) -> ModelOutput:
    """Update Reverse ETL Model"""
    row = one(call, model_id)
    changes = _changes(row, body)
    if changes:
        call.db.execute(update(models).where(models.c.id == row.id).values(changes))
    name = changes.get("name", row.name)
    if changes.keys() - {"enabled"}:
        call.record("Model Settings Saved", "REVERSE_ETL_MODEL", row.id, name)
    if "enabled" in changes:
        call.record("Model State Change Toggled", "REVERSE_ETL_MODEL", row.id, name)
    return ModelOutput(reverse_etl_model=_model_of(one(call, model_id)))


def _changes(row: Row[Any], body: UpdateModelInput) -> dict[str, Any]:
    """The columns that `body` really changes."""
    wanted = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in wanted.items() if value not in (UNSET, getattr(row, name))}


@api.operation(
    "DELETE /reverse-etl-models/{modelId}", needs=Needs.SOURCE_ADMIN, versions=ALPHA, audit="Model Deleted"
)
def delete_reverse_etl_model(call: Call, model_id: str) -> StatusOutput:
    """Delete Reverse ETL Model"""
    row = one(call, model_id)
    using = subscriptions.ids_of_model(call.db, row.id)
    if using:
        more = f" and {len(using) - _SHOWN} more" if len(using) > _SHOWN else ""
        named = ", ".join(using[:_SHOWN]) + more
        raise Conflict(f"The model is in use by subscriptions ({named}); remove them or their model first.")
    call.db.execute(delete(models).where(models.c.id == row.id))
    call.record("Model Deleted", "REVERSE_ETL_MODEL", row.id, row.name)
    return StatusOutput()
