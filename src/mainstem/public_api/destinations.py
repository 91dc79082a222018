"""Destinations: instances of an integration, each fed by one source.

Settings lie sealed in their rows, for they hold secrets: the texts of password options, and the values of the
headers of webhooks. Password options are masked in every reply. Header values are masked for callers who may
only read; who may change a destination sees them, because clients that keep configuration (the Terraform
provider among them) compare what they sent with what comes back, and know masks in plain texts alone.
Source: Public API reference, tag "Destinations"; product guide, "Destinations overview" (instances per source).
Judgements: statuses of refusals other than the published "Multiple configurations …", and the header values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta
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
    insert,
    select,
)

from mainstem.errors import BadRequest, Conflict, InputInvalid, NotFound
from mainstem.model.event import EVENT_TYPES
from mainstem.model.snapshot import DestinationConfig, FilterConfig, FunctionUse, SubscriptionConfig
from mainstem.public_api import catalog, functions, integration_settings, sources, subscriptions
from mainstem.public_api.catalog import DestinationMetadata
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import rows
from mainstem.rest.ids import hex_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Page, PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import Moment, metadata
from mainstem.rest.wire import UNSET, Faults, Unset, Wire, given
from mainstem.vault import Vault

if TYPE_CHECKING:
    from mainstem.destinations.base import Destination as Connector

api = Family("Destinations")
destinations = Table(
    "destinations",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("metadata_id", String, nullable=False),
    Column("name", String),
    Column("enabled", Boolean, nullable=False),
    Column("settings", LargeBinary, nullable=False),
)
destination_filters = Table(
    "destination_filters",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("destination_id", String, nullable=False),
    Column("condition", String, nullable=False),
    Column("actions", LargeBinary, nullable=False),
    Column("title", String, nullable=False),
    Column("description", String),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

_ALL: Final = select(destinations).where(destinations.c.workspace_id == bindparam("workspace_id"))
_ONE: Final = _ALL.where(destinations.c.id == bindparam("id"))
_LIST: Final = _ALL.order_by(destinations.c.seq)
_INSTANCES: Final = _ALL.where(
    destinations.c.source_id == bindparam("source_id"), destinations.c.metadata_id == bindparam("metadata_id")
)
_LIST_OF_SOURCE: Final = _LIST.where(destinations.c.source_id == bindparam("source_id"))
_settings_in: Final = msgspec.json.Decoder(dict[str, Any])
MAX_INSTANCES: Final = 25
CONSENT: Final = "consentSettings"
"""A setting of every destination, {"categories": [ids]}, as the settings for browsers have it; the Public API has no
operation for consent (judgement). It is for the pipeline and stays out of what connectors see."""
SINGLE_INSTANCE: Final = "Multiple configurations of this destination type not supported."
WRITABLE: Final = ("name", "enabled", "settings")
READ_ONLY: Final = ("id", "source_id", "metadata_id", "metadata")
_MASK: Final = "\u2022" * 10
_TYPES: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "string": (str, "a string"),
    "password": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "number": ((int, float), "a number"),
}

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class Destination(Wire, frozen=True):
    """A destination on the wire; no name was ever invented for it."""

    id: str
    enabled: bool
    metadata: DestinationMetadata
    source_id: str
    settings: dict[str, Any]
    name: str | Unset = UNSET


class CreateDestinationInput(Wire, frozen=True):
    """Body of createDestination."""

    source_id: str
    metadata_id: str
    settings: dict[str, Any]
    enabled: bool = True
    name: Name | Unset | None = UNSET


class UpdateDestinationInput(Wire, frozen=True):
    """Body of updateDestination. `name` null clears it; the last four are READ_ONLY and change nothing."""

    name: Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    settings: dict[str, Any] | Unset = UNSET
    id: Any = UNSET
    source_id: Any = UNSET
    metadata_id: Any = UNSET
    metadata: Any = UNSET


class DestinationOutput(Wire, frozen=True):
    """Reply of createDestination, getDestination and updateDestination."""

    destination: Destination


class DestinationsOutput(Wire, frozen=True):
    """Reply of listDestinations."""

    destinations: list[Destination]
    pagination: Pagination


def visible(call: Call) -> Select[Any]:
    """The way the Public API reads the table, but for `one` and pages."""
    mine = call.reach(Needs.SOURCE_READ, destinations.c.source_id)
    return select(destinations).where(destinations.c.workspace_id == call.workspace_id, mine)


def one(call: Call, destination_id: str) -> Row[Any]:
    """The row of a destination that the caller may see, and change when the operation changes what belongs to a
    source. Raises NotFound and Forbidden."""
    query = call.narrowed(_ONE, Needs.SOURCE_READ, destinations.c.source_id)
    missing = rows.missing("Destination", destination_id)
    row = rows.one(call.db, query, missing, workspace_id=call.workspace_id, id=destination_id)
    call.demand_own(Needs.SOURCE_ADMIN, row.source_id)
    return row


def check_source(row: Row[Any], source_id: str) -> None:
    """Raises InputInvalid unless `source_id` is the source of this destination."""
    if row.source_id != source_id:
        raise InputInvalid([("sourceId", '"sourceId" must be the id of the source of the destination')])


def page_of_source(call: Call, source_id: str, page: Page) -> tuple[list[Destination], Pagination]:
    """A page of the destinations of a source, in order of creation."""
    return _page_of(call, _LIST_OF_SOURCE, page, source_id=source_id)


def _page_of(call: Call, query: Select[Any], page: Page, **more: str) -> tuple[list[Destination], Pagination]:
    query = call.narrowed(query, Needs.SOURCE_READ, destinations.c.source_id)
    found, pagination = rows.page_of(call.db, query, page, workspace_id=call.workspace_id, **more)
    return [destination_of(call, row) for row in found], pagination


def destination_of(call: Call, row: Row[Any]) -> Destination:
    """A row as the caller may see it."""
    described = _metadata(call.db, row)
    settings = _masked(call, row, described)
    return Destination(
        id=row.id,
        enabled=row.enabled,
        name=UNSET if row.name is None else row.name,
        metadata=described,
        source_id=row.source_id,
        settings=settings if call.within(Needs.SOURCE_ADMIN, [row.source_id]) else _without_header_values(settings),
    )


def _metadata(db: Connection, row: Row[Any]) -> DestinationMetadata:
    described = _find_metadata(db, row.workspace_id, row.metadata_id)
    assert described is not None, f"the catalogue lost {row.metadata_id}"
    return described


def _find_metadata(db: Connection, workspace_id: str, metadata_id: str) -> DestinationMetadata | None:
    """A type of destination: one of the catalogue, or a destination function of the workspace."""
    described = catalog.find_destination_metadata(metadata_id)
    return described or functions.find_destination_metadata(db, workspace_id, metadata_id)


def _masked(call: Call, row: Row[Any], described: DestinationMetadata) -> dict[str, Any]:
    settings = _settings(call.vault, row)
    definitions = functions.find_definitions(call.db, row.workspace_id, row.metadata_id)
    if definitions is not None:
        return functions.masked_settings(settings, definitions)
    return integration_settings.masked(settings, described.options)


def _settings(vault: Vault, row: Row[Any]) -> dict[str, Any]:
    return _settings_in.decode(vault.open(row.settings, row.id))


def _without_header_values(value: Any) -> Any:
    """`value` with each text under a key `headers` masked, whether a list of {key, value} or an object."""
    if isinstance(value, list):
        return [_without_header_values(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _headers_masked(inner) if key == "headers" else _without_header_values(inner)
        for key, inner in value.items()
    }


def _headers_masked(headers: Any) -> Any:
    if isinstance(headers, list):
        return [
            {**each, "value": _MASK if each.get("value") else each.get("value")} if isinstance(each, dict) else _MASK
            for each in headers
        ]
    return dict.fromkeys(headers, _MASK) if isinstance(headers, dict) else headers


# ---- for the data plane, and for sources


def of_source(
    db: Connection, vault: Vault, source_id: str, inserts: Mapping[str, FunctionUse]
) -> tuple[DestinationConfig, ...]:
    """The destinations of a source with their secrets and filters, in order of creation, as the data plane
    gets them; `inserts` are the insert functions by the id of their destination."""
    found = rows.having(db, destinations.c.source_id, source_id)
    if not found:
        return ()
    filters = _filters_of_source(db, source_id)
    mappings = subscriptions.of_source(db, vault, source_id)
    return tuple(
        _config(db, vault, row, tuple(filters.get(row.id, ())), inserts.get(row.id), mappings.get(row.id, ()))
        for row in found
    )


def _config(
    db: Connection,
    vault: Vault,
    row: Row[Any],
    filters: tuple[FilterConfig, ...],
    insert: FunctionUse | None,
    mappings: tuple[SubscriptionConfig, ...],
) -> DestinationConfig:
    settings = _settings(vault, row)
    own = {key: value for key, value in settings.items() if key != CONSENT}
    function = functions.destination_use(db, row, own)
    connector = _find_connector(row.metadata_id)
    return DestinationConfig(
        id=row.id,
        metadata_id=row.metadata_id,
        name=_metadata(db, row).name,
        enabled=row.enabled,
        settings=own,
        filters=filters,
        event_types=connector.methods if connector else EVENT_TYPES,
        subscriptions=None if function or connector else mappings,
        insert=insert,
        function=function,
        consent_categories=_consent_categories(settings),
    )


def _consent_categories(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the consent categories that a user must have agreed to."""
    consent = settings.get(CONSENT) or {}
    return tuple(consent.get("categories") or ())


def _filters_of_source(db: Connection, source_id: str) -> dict[str, list[FilterConfig]]:
    found: dict[str, list[FilterConfig]] = {}
    for row in rows.having(db, destination_filters.c.source_id, source_id):
        actions = msgspec.json.decode(row.actions, type=tuple[dict[str, Any], ...])
        found.setdefault(row.destination_id, []).append(FilterConfig(row.id, row.condition, actions, row.enabled))
    return found


def delete_of_source(call: Call, source_id: str) -> None:
    """Delete every destination of a source that is being deleted. Each is in the audit trail."""
    for row in rows.having(call.db, destinations.c.source_id, source_id):
        _delete(call, row)


def _delete(call: Call, row: Row[Any]) -> None:
    """Delete a destination with its filters, subscriptions and insert function instance. What goes along with
    something else is recorded too, though the reference names only the event of what was asked for."""
    filters = destination_filters
    for each in rows.having(call.db, filters.c.destination_id, row.id):
        call.record_beside("Destination Filter Deleted", "DESTINATION_FILTER", each.id, each.title)
    rows.delete(call.db, filters.c.destination_id, row.id)
    subscriptions.delete_of_destination(call, row.id)
    call.forget(row.id)
    functions.delete_inserts_at(call, row.id)
    rows.delete(call.db, destinations.c.id, row.id)
    call.record_beside("Integration Deleted", "DESTINATION", row.id, _title(call, row))


def _title(call: Call, row: Row[Any]) -> str:
    """What the audit trail calls a destination: its name, else that of its type."""
    return row.name or _metadata(call.db, row).name


# ---- rules


def _check_name(instances: Sequence[Row[Any]], name: str | None, own_id: str = "") -> None:
    """Names of one type on one source differ; any number of instances may go without."""
    if name is not None and any(each.name == name and each.id != own_id for each in instances):
        raise Conflict(f"A destination of this type named {name} is connected to the source.", field="name")


def _check_count(count: int, described: DestinationMetadata) -> None:
    features, version = described.supported_features, described.multi_instance_supported_version
    if count and not (features.get("cloudModeInstances") == "MULTIPLE" or version):
        raise BadRequest(SINGLE_INSTANCE)
    if count >= MAX_INSTANCES:
        raise BadRequest(f"A source has at most {MAX_INSTANCES} instances of one type of destination.")


def _instances(call: Call, source_id: str, metadata_id: str) -> Sequence[Row[Any]]:
    """The destinations of one type on a source that the caller may see."""
    same = {"workspace_id": call.workspace_id, "source_id": source_id, "metadata_id": metadata_id}
    return call.db.execute(_INSTANCES, same).all()


def _check_settings(call: Call, described: DestinationMetadata, settings: Mapping[str, Any]) -> None:
    """Raises InputInvalid for a value that is not of its option's type, or that the connector cannot use."""
    own = {key: value for key, value in settings.items() if key != CONSENT}
    definitions = functions.find_definitions(call.db, call.workspace_id, described.id)
    faults = _consent_faults(settings.get(CONSENT))
    if definitions is not None:
        faults += functions.setting_faults(own, definitions)
    else:
        faults = _type_faults(described, settings) + faults or _connector_faults(described.id, own)
    if faults:
        raise InputInvalid(faults)


def _type_faults(described: DestinationMetadata, settings: Mapping[str, Any]) -> Faults:
    faults: Faults = []
    for option in described.options:
        value, (wanted, noun) = settings.get(option.name), _TYPES.get(option.type, (object, ""))
        is_other = isinstance(value, bool) and wanted is not bool and wanted is not object
        if value is not None and (is_other or not isinstance(value, wanted)):
            faults.append((f"settings.{option.name}", f'"settings.{option.name}" must be {noun}'))
    return faults


def _consent_faults(consent: Any) -> Faults:
    field = f"settings.{CONSENT}"
    if consent is None:
        return []
    if not isinstance(consent, dict):
        return [(field, f'"{field}" must be of type object')]
    categories = consent.get("categories")
    if categories is None or (isinstance(categories, list) and all(isinstance(each, str) for each in categories)):
        return []
    return [(f"{field}.categories", f'"{field}.categories" must be an array of ids of categories')]


def _connector_faults(metadata_id: str, settings: Mapping[str, Any]) -> Faults:
    from mainstem.destinations.actions import catalogue  # as below

    connector, definition = _find_connector(metadata_id), catalogue.find_definition(metadata_id)
    if connector is not None:
        return connector.faults(settings)
    return catalogue.faults(definition, settings) if definition is not None else []


def _find_connector(metadata_id: str) -> Connector | None:
    """The connector of a type that is built in; None for one with actions, and for a function."""
    from mainstem.destinations import CONNECTORS  # brings an HTTP client along; idle memory stays small without

    return CONNECTORS.get(metadata_id)


def _new_parents(call: Call, body: CreateDestinationInput) -> DestinationMetadata:
    """The type of a new destination. Raises InputInvalid for what is unknown, source and type together."""
    faults: Faults = []
    try:
        sources.one(call, body.source_id)
    except NotFound as error:
        faults.append(("sourceId", f'"sourceId" names no source: {error}'))
    described = _find_metadata(call.db, call.workspace_id, body.metadata_id)
    if described is None or described.status == "UNAVAILABLE":
        faults.append(("metadataId", f'"metadataId" names no destination of the catalog: {body.metadata_id}'))
    if faults or described is None:
        raise InputInvalid(faults)
    return described


# ---- operations


@api.operation("GET /destinations", needs=Needs.SOURCE_READ)
def list_destinations(call: Call, query: PageInput) -> DestinationsOutput:
    """List Destinations"""
    found, pagination = _page_of(call, _LIST, query.pagination)
    return DestinationsOutput(destinations=found, pagination=pagination)


@api.operation("POST /destinations", needs=Needs.SOURCE_ADMIN, audit="Integration Created")
def create_destination(call: Call, body: CreateDestinationInput) -> DestinationOutput:
    """Create Destination"""
    described, name = _new_parents(call, body), given(body.name, None)
    settings = integration_settings.merged({}, body.settings, described.options)
    _check_settings(call, described, settings)
    instances = _instances(call, body.source_id, described.id)
    _check_count(len(instances), described)
    _check_name(instances, name)
    destination_id = hex_id()
    values = {
        "id": destination_id,
        "workspace_id": call.workspace_id,
        "source_id": body.source_id,
        "metadata_id": described.id,
        "name": name,
        "enabled": body.enabled,
        "settings": call.vault.seal(msgspec.json.encode(settings), destination_id),
    }
    call.db.execute(insert(destinations), values)
    call.touch(body.source_id)
    row = one(call, destination_id)
    call.record("Integration Created", "DESTINATION", destination_id, _title(call, row))
    return DestinationOutput(destination=destination_of(call, row))


@api.operation("GET /destinations/{destinationId}", needs=Needs.SOURCE_READ)
def get_destination(call: Call, destination_id: str) -> DestinationOutput:
    """Get Destination"""
    return DestinationOutput(destination=destination_of(call, one(call, destination_id)))


@api.operation("PATCH /destinations/{destinationId}", needs=Needs.SOURCE_ADMIN, audit="Integration Disabled")
def update_destination(call: Call, destination_id: str, body: UpdateDestinationInput) -> DestinationOutput:
    """Update Destination"""
    row = one(call, destination_id)
    if not _sent(body, WRITABLE) and _sent(body, READ_ONLY):
        raise BadRequest("Only read-only settings were sent; they cannot be updated.")
    changes = _changes(call, row, body)
    if changes:
        rows.change(call.db, destinations.c.id, row.id, changes)
        call.touch(row.source_id)
    after = one(call, destination_id)
    _record_changes(call, after, changes)
    return DestinationOutput(destination=destination_of(call, after))


def _changes(call: Call, row: Row[Any], body: UpdateDestinationInput) -> dict[str, Any]:
    """New values of the columns that `body` really changes."""
    changes: dict[str, Any] = {}
    if body.name is not UNSET and body.name != row.name:
        _check_name(_instances(call, row.source_id, row.metadata_id), body.name, own_id=row.id)
        changes["name"] = body.name
    if body.enabled is not UNSET and body.enabled != row.enabled:
        changes["enabled"] = body.enabled
    if body.settings is not UNSET:
        described, before = _metadata(call.db, row), _settings(call.vault, row)
        settings = integration_settings.merged(before, body.settings, described.options)
        _check_settings(call, described, settings)
        if settings != before:
            changes["settings"] = call.vault.seal(msgspec.json.encode(settings), row.id)
    return changes


def _record_changes(call: Call, row: Row[Any], changes: Mapping[str, Any]) -> None:
    """An audit event for each kind of change. The reference names only the first; where events go to from now on
    belongs into the trail all the same (judgement)."""
    title = _title(call, row)
    if changes.get("enabled") is False:
        call.record("Integration Disabled", "DESTINATION", row.id, title)
    if changes.get("enabled"):
        call.record_beside("Integration Enabled", "DESTINATION", row.id, title)
    if changes.keys() & {"name", "settings"}:
        call.record_beside("Integration Modified", "DESTINATION", row.id, title)


def _sent(body: UpdateDestinationInput, names: Sequence[str]) -> bool:
    return any(getattr(body, name) is not UNSET for name in names)


@api.operation("DELETE /destinations/{destinationId}", needs=Needs.SOURCE_ADMIN, audit="Integration Deleted")
def delete_destination(call: Call, destination_id: str) -> StatusOutput:
    """Delete Destination"""
    row = one(call, destination_id)
    _delete(call, row)
    call.touch(row.source_id)
    return StatusOutput()
