"""Catalog: the types of sources, destinations and warehouses that work here.

The entries are data files beside this module, read once. An entry that was released never leaves them, so the
metadata of an existing source or destination is always found, and is the same bytes in every reply. Beside the
destinations that are built in stand Segment's open-source ones, whose entries come from the installed package; as
long as it is not installed they are UNAVAILABLE, and say what to do.
Source: Public API reference, tag "Catalog" (6 operations).
"""
# ruff: noqa: ARG001  # the catalogue is the same for every caller, but for functions

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from mainstem.errors import NotFound
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination, slice_of
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import missing
from mainstem.rest.wire import UNSET, Unset, Wire

if TYPE_CHECKING:
    from mainstem.destinations.actions.catalogue import Known

api = Family("Catalog")
NO_LOGO: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/%3E"
INSTALL: Final = "Run `mainstem destinations install` to make it available."
_DATA: Final = "catalog_data"
_WAREHOUSE: Final = "Warehouse"  # the published category of sources that are databases
Entry = TypeVar("Entry")


class Option(Wire, frozen=True):
    """One setting of an integration. `type` is string, boolean, select, password, array, map, mixed, …;
    the value of a password is a secret. `default_value` is any JSON."""

    name: str
    type: str
    required: bool
    label: str | Unset = UNSET
    description: str | Unset = UNSET
    default_value: Any = UNSET


class SourceMetadata(Wire, frozen=True):
    """A type of source on the wire."""

    id: str
    name: str
    slug: str
    description: str
    logos: dict[str, str]
    options: tuple[Option, ...]
    categories: tuple[str, ...]
    is_cloud_event_source: bool
    status: str
    partner_owned: bool | Unset = UNSET


class DestinationMetadata(Wire, frozen=True):
    """A type of destination on the wire."""

    id: str
    name: str
    slug: str
    description: str
    logos: dict[str, str]
    options: tuple[Option, ...]
    status: str
    previous_names: tuple[str, ...]
    categories: tuple[str, ...]
    website: str
    components: tuple[dict[str, str], ...]
    supported_features: dict[str, str | bool]
    supported_methods: dict[str, bool]
    supported_platforms: dict[str, bool]
    actions: tuple[dict[str, Any], ...]
    presets: tuple[dict[str, Any], ...]
    contacts: tuple[dict[str, str | bool], ...]
    partner_owned: bool | Unset = UNSET
    supported_regions: tuple[str, ...] | Unset = UNSET
    region_endpoints: tuple[str, ...] | Unset = UNSET
    multi_instance_supported_version: str | Unset = UNSET


class WarehouseMetadata(Wire, frozen=True):
    """A type of warehouse on the wire."""

    id: str
    name: str
    slug: str
    description: str
    logos: dict[str, str]
    options: tuple[Option, ...]


class SourceEntry(Wire, frozen=True):
    """An entry of sources.json. `platform` is "web", "mobile" or "server"; `client_side` says whether the
    library runs on the device of the person whose events it sends."""

    platform: str
    client_side: bool
    metadata: SourceMetadata


class DestinationEntry(Wire, frozen=True):
    """An entry of destinations.json."""

    metadata: DestinationMetadata


class WarehouseEntry(Wire, frozen=True):
    """An entry of warehouses.json."""

    metadata: WarehouseMetadata


class SourcesCatalogOutput(Wire, frozen=True):
    """Reply of getSourcesCatalog."""

    sources_catalog: list[SourceMetadata]
    pagination: Pagination


class SourceMetadataOutput(Wire, frozen=True):
    """Reply of getSourceMetadata."""

    source_metadata: SourceMetadata


class DestinationsCatalogOutput(Wire, frozen=True):
    """Reply of getDestinationsCatalog."""

    destinations_catalog: list[DestinationMetadata]
    pagination: Pagination


class DestinationMetadataOutput(Wire, frozen=True):
    """Reply of getDestinationMetadata."""

    destination_metadata: DestinationMetadata


class WarehousesCatalogOutput(Wire, frozen=True):
    """Reply of getWarehousesCatalog."""

    warehouses_catalog: list[WarehouseMetadata]
    pagination: Pagination


class WarehouseMetadataOutput(Wire, frozen=True):
    """Reply of getWarehouseMetadata."""

    warehouse_metadata: WarehouseMetadata


def find_source_metadata(id: str) -> SourceMetadata | None:
    """The type of source with this id."""
    entry = _sources().get(id)
    return entry.metadata if entry else None


def is_warehouse_source(id: str) -> bool:
    """Whether sources of this type are databases whose rows models read (Reverse ETL)."""
    described = find_source_metadata(id)
    return described is not None and _WAREHOUSE in described.categories


def find_destination_metadata(id: str) -> DestinationMetadata | None:
    """The type of destination with this id."""
    return _destinations().get(id) or _find_open_source(id)


def find_warehouse_metadata(id: str) -> WarehouseMetadata | None:
    """The type of warehouse with this id."""
    return _warehouses().get(id)


def source_platform(id: str) -> str:
    """Where events come from: "web", "mobile" or "server", for the type of an existing source; what is not in the
    catalogue is a source function, which runs on a server."""
    entry = _sources().get(id)
    return entry.platform if entry else "server"


@cache
def _sources() -> dict[str, SourceEntry]:
    return {entry.metadata.id: entry for entry in _entries("sources", SourceEntry)}


@cache
def _destinations() -> dict[str, DestinationMetadata]:
    return {entry.metadata.id: entry.metadata for entry in _entries("destinations", DestinationEntry)}


@cache
def _warehouses() -> dict[str, WarehouseMetadata]:
    return {entry.metadata.id: entry.metadata for entry in _entries("warehouses", WarehouseEntry)}


def _find_open_source(id: str) -> DestinationMetadata | None:
    from mainstem.destinations.actions import catalogue  # with an HTTP client; idle memory stays small without

    entry = catalogue.find_entry(id)
    if entry is not None:
        return msgspec.json.decode(entry.metadata, type=DestinationMetadata)
    known = catalogue.known().get(id)
    return _unavailable(id, known) if known else None


def _unavailable(id: str, known: Known) -> DestinationMetadata:
    """A destination whose package is not installed. Its secrets stay options, so that those of destinations that
    were made before are masked as ever."""
    return DestinationMetadata(
        id=id,
        name=known.name,
        slug=known.slug,
        description=f"One of Segment's open-source destinations, which are not installed here. {INSTALL}",
        logos={"default": NO_LOGO},
        options=tuple(Option(name=each, type="password", required=False) for each in known.secrets),
        status="UNAVAILABLE",
        previous_names=(known.name,),
        categories=(),
        website=f"https://segment.com/docs/connections/destinations/catalog/{known.slug}/",
        components=(),
        supported_features={"cloudModeInstances": "MULTIPLE", "deviceModeInstances": "NONE"},
        supported_methods={},
        supported_platforms={},
        actions=(),
        presets=(),
        contacts=(),
    )


def _entries(name: str, shape: type[Entry]) -> list[Entry]:
    text = (resources.files(__package__) / _DATA / f"{name}.json").read_bytes()
    return msgspec.json.decode(text, type=list[shape])  # type: ignore[valid-type]  # a list of the given shape


def _found(entry: Entry | None, noun: str, id: str) -> Entry:
    if entry is None:
        raise NotFound(missing(noun, id))
    return entry


@api.operation("GET /catalog/sources", needs=Needs.WORKSPACE_MEMBER)
def get_sources_catalog(call: Call, query: PageInput) -> SourcesCatalogOutput:
    """Get Sources Catalog"""
    items, pagination = slice_of([entry.metadata for entry in _sources().values()], query.pagination)
    return SourcesCatalogOutput(sources_catalog=items, pagination=pagination)


@api.operation("GET /catalog/sources/{sourceMetadataId}", needs=Needs.WORKSPACE_MEMBER)
def get_source_metadata(call: Call, source_metadata_id: str) -> SourceMetadataOutput:
    """Get Source Metadata"""
    from mainstem.public_api import functions  # which are described in the shapes of this module

    entry = find_source_metadata(source_metadata_id)
    entry = entry or functions.find_source_metadata(call.db, call.workspace_id, source_metadata_id)
    return SourceMetadataOutput(source_metadata=_found(entry, "Source metadata", source_metadata_id))


@api.operation("GET /catalog/destinations", needs=Needs.WORKSPACE_MEMBER)
def get_destinations_catalog(call: Call, query: PageInput) -> DestinationsCatalogOutput:
    """Get Destinations Catalog"""
    from mainstem.destinations.actions import catalogue  # with an HTTP client; idle memory stays small without

    ids, pagination = slice_of([*_destinations(), *catalogue.known()], query.pagination)
    entries = [entry for each in ids if (entry := find_destination_metadata(each))]
    return DestinationsCatalogOutput(destinations_catalog=entries, pagination=pagination)


@api.operation("GET /catalog/destinations/{destinationMetadataId}", needs=Needs.WORKSPACE_MEMBER)
def get_destination_metadata(call: Call, destination_metadata_id: str) -> DestinationMetadataOutput:
    """Get Destination Metadata"""
    from mainstem.public_api import functions  # which are described in the shapes of this module

    entry = find_destination_metadata(destination_metadata_id)
    entry = entry or functions.find_destination_metadata(call.db, call.workspace_id, destination_metadata_id)
    return DestinationMetadataOutput(
        destination_metadata=_found(entry, "Destination metadata", destination_metadata_id)
    )


@api.operation("GET /catalog/warehouses", needs=Needs.WORKSPACE_MEMBER)
def get_warehouses_catalog(call: Call, query: PageInput) -> WarehousesCatalogOutput:
    """Get Warehouses Catalog"""
    items, pagination = slice_of(list(_warehouses().values()), query.pagination)
    return WarehousesCatalogOutput(warehouses_catalog=items, pagination=pagination)


@api.operation("GET /catalog/warehouses/{warehouseMetadataId}", needs=Needs.WORKSPACE_MEMBER)
def get_warehouse_metadata(call: Call, warehouse_metadata_id: str) -> WarehouseMetadataOutput:
    """Get Warehouse Metadata"""
    entry = _warehouses().get(warehouse_metadata_id)
    return WarehouseMetadataOutput(warehouse_metadata=_found(entry, "Warehouse metadata", warehouse_metadata_id))
