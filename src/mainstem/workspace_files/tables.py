"""Every table of the control database, and what becomes of it in the file of a workspace.

A table that is new is put into one of the three lists. Tests hold them to the schema, and the guide to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WRITTEN: Final[Mapping[str, tuple[str, ...]]] = {
    "labels": ("labels",),
    "credentials": ("credentials",),
    "functions": ("functions",),
    "function_versions": ("functions",),  # the newest, and the one that runs
    "tracking_plans": ("trackingPlans",),
    "tracking_plan_rules": ("trackingPlans",),
    "sources": ("sources", "trackingPlanConnections"),
    "source_labels": ("sources",),
    "write_keys": ("sources",),
    "schema_settings": ("schemaSettings",),
    "schema_controls": ("schemaControls",),
    "live_plugins": ("livePlugins",),
    "warehouses": ("warehouses",),
    "warehouse_sources": ("warehouseConnections",),
    "sync_schedules": ("warehouseSchedules",),
    "sync_exclusions": ("selectiveSyncs",),
    "reverse_etl_models": ("reverseEtlModels",),
    "destinations": ("destinations",),
    "destination_filters": ("destinationFilters",),
    "subscriptions": ("subscriptions",),
    "insert_function_instances": ("insertFunctionInstances",),
    "transformations": ("transformations",),
    "spaces": ("spaces",),
    "space_filters": ("spaceFilters",),
    "profiles_warehouses": ("profilesWarehouses",),
    "profiles_sync_exclusions": ("profilesSelectiveSyncs",),
    "users": ("users",),
    "invites": ("invites",),
    "user_groups": ("groups",),
    "group_members": ("groups",),
    "grants": ("users", "invites", "groups"),  # those of tokens stay with the tokens
}
"""The sections of the file that hold what is in a table."""

DERIVED: Final[Mapping[str, str]] = {
    "credential_uses": "made from the settings that name a credential",
    "published": "made from all the others, for the data plane",
}

LEFT_OUT: Final[Mapping[str, str]] = {
    "workspaces": "id, slug and name stand at the head of the file, for reading; an import changes none of them",
    "tokens": "access tokens are kept as keyed hashes, and belong to one server",
    "audit_events": "the trail tells what was done here, and is chained with a key of this server",
    "audit_head": "the end of that chain",
    "deleted_sources": "what usage is counted over, not what is configured",
    "suppressions": "ids of people, who want less of themselves in files; `mainstem suppress` moves the lists",
}
