"""Functions as types of sources and destinations: their `catalogId` stands where a `metadataId` is asked for.

Source: Public API reference, tag "Functions" (`catalogId`); the shape of such metadata is a judgement.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from mainstem.public_api import workspaces
from mainstem.public_api.catalog import NO_LOGO, DestinationMetadata, SourceMetadata
from mainstem.public_api.functions import settings
from mainstem.public_api.functions.function import ResourceType, find_by_catalog_id, settings_of, shown_name

_METHODS: Final = ("pageview", "identify", "alias", "track", "group")
_PLATFORMS: Final = ("browser", "server", "mobile")


def find_destination_metadata(db: Connection, workspace_id: str, catalog_id: str) -> DestinationMetadata | None:
    """The type of destination that a destination function is."""
    row = find_by_catalog_id(db, workspace_id, catalog_id, ResourceType.DESTINATION)
    if row is None:
        return None
    name = shown_name(row, workspaces.name_of(db, workspace_id))
    return DestinationMetadata(
        id=row.catalog_id,
        name=name,
        slug=row.id,
        description=row.description or "",
        logos={"default": row.logo_url or NO_LOGO},
        options=settings.options(settings_of(row)),
        status="PUBLIC",
        previous_names=(name,),
        categories=("Functions",),
        website="",
        components=(),
        supported_features={
            "cloudModeInstances": "MULTIPLE",
            "deviceModeInstances": "NONE",
            "replay": False,
            "browserUnbundling": False,
            "browserUnbundlingPublic": False,
        },
        supported_methods=dict.fromkeys(_METHODS, True),
        supported_platforms=dict.fromkeys(_PLATFORMS, True),
        actions=(),
        presets=(),
        contacts=(),
        partner_owned=False,
    )


def find_source_metadata(db: Connection, workspace_id: str, catalog_id: str) -> SourceMetadata | None:
    """The type of source that a source function is."""
    row = find_by_catalog_id(db, workspace_id, catalog_id, ResourceType.SOURCE)
    if row is None:
        return None
    return SourceMetadata(
        id=row.catalog_id,
        name=row.name,
        slug=row.id,
        description=row.description or "",
        logos={"default": row.logo_url or NO_LOGO},
        options=settings.options(settings_of(row)),
        categories=("Functions",),
        is_cloud_event_source=False,
        status="PUBLIC",
        partner_owned=False,
    )


def find_definitions(db: Connection, workspace_id: str, catalog_id: str) -> list[settings.Setting] | None:
    """What the settings of sources and destinations of this type must fit; None when the type is no function."""
    for resource_type in (ResourceType.DESTINATION, ResourceType.SOURCE):
        row = find_by_catalog_id(db, workspace_id, catalog_id, resource_type)
        if row is not None:
            return settings_of(row)
    return None
