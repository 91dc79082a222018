"""The control plane: one file per family of the reference."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mainstem.errors import EngineUnavailable, Forbidden, SettingsError
from mainstem.mail import Letter
from mainstem.model.ports import LearnedSchemas, OAuthTokens, OutcomeStore
from mainstem.public_api import (
    api_calls,
    audit_trail,
    catalog,
    delivery_metrics,
    delivery_overview,
    destination_filters,
    destinations,
    events,
    labels,
    live_plugins,
    monthly_tracked_users,
    profiles_selective_syncs,
    profiles_warehouses,
    reverse_etl_models,
    space_filters,
    spaces,
    testing,
    transformations,
    workspaces,
)
from mainstem.public_api.credentials import lifecycle as lifecycle_of_credentials
from mainstem.public_api.functions import functions as lifecycle_of_functions
from mainstem.public_api.functions import instances as insert_function_instances
from mainstem.public_api.functions import versions as versions_of_functions
from mainstem.public_api.iam import groups, invites, members, roles, users
from mainstem.public_api.publish import publish_touched
from mainstem.public_api.selective_sync import overrides, reports, schedules
from mainstem.public_api.sources import connections, lifecycle, schema_settings, write_keys
from mainstem.public_api.sources import labels as labels_of_sources
from mainstem.public_api.subscriptions import lifecycle as lifecycle_of_subscriptions
from mainstem.public_api.tracking_plans import plans, rules
from mainstem.public_api.tracking_plans import sources as sources_of_plans
from mainstem.public_api.warehouses import connections as connections_of_warehouses
from mainstem.public_api.warehouses import lifecycle as lifecycle_of_warehouses
from mainstem.public_api.warehouses import reachability
from mainstem.rest.dispatch import Database, Dispatcher
from mainstem.rest.ids import base58_id
from mainstem.rest.limits import Limiter, Windows
from mainstem.rest.operation import Call, Family
from mainstem.settings import Settings
from mainstem.vault import Vault
from mainstem.warehouses.door import Door

log: Final = logging.getLogger("mainstem.public_api")
FAMILIES: Final[tuple[Family, ...]] = (
    workspaces.api,
    testing.api,
    catalog.api,
    lifecycle.api,
    write_keys.api,
    labels_of_sources.api,
    schema_settings.api,
    connections.api,
    live_plugins.api,
    destinations.api,
    delivery_metrics.api,
    lifecycle_of_subscriptions.api,
    destination_filters.api,
    reverse_etl_models.api,
    transformations.api,
    plans.api,
    rules.api,
    sources_of_plans.api,
    lifecycle_of_functions.api,
    versions_of_functions.api,
    insert_function_instances.api,
    lifecycle_of_warehouses.api,
    connections_of_warehouses.api,
    reachability.api,
    schedules.api,
    overrides.api,
    reports.api,
    lifecycle_of_credentials.api,
    labels.api,
    spaces.api,
    space_filters.api,
    profiles_warehouses.api,
    profiles_selective_syncs.api,
    users.api,
    invites.api,
    groups.api,
    members.api,
    roles.api,
    audit_trail.api,
    delivery_overview.api,
    events.api,
    api_calls.api,
    monthly_tracked_users.api,
)


def check_overrides(settings: Settings) -> None:
    """Raises SettingsError for a raised limit that would apply to nothing."""
    known = {operation.id for family in FAMILIES for operation in family.operations}
    for name in settings.rate_limit_overrides:
        _, colon, operation = name.rpartition(":")
        if operation not in known and (colon or len(name) != len(base58_id())):
            raise SettingsError(f"--rate-limit-overrides: there is no operation {operation}")


def check_features(settings: Settings) -> None:
    """Raises SettingsError for a feature to switch off that there is not."""
    known = sorted({family.feature for family in FAMILIES if family.feature})
    for name in settings.features_off:
        if name not in known:
            raise SettingsError(f"--features-off: there is no feature {name}; there are {', '.join(known)}")


def _without(features: Sequence[str]) -> list[Family]:
    """The families, where those of these features refuse every call. That the status is 403 is a judgement."""
    return [_refusing(family) if family.feature in features else family for family in FAMILIES]


def _refusing(family: Family) -> Family:
    def refuse(call: Call, *_arguments: object) -> None:
        raise Forbidden(f"This workspace does not have the feature {call.operation.feature}.")

    refusing = Family(family.name, feature=family.feature)
    refusing.operations = [
        msgspec.structs.replace(operation, handler=refuse, prepare=None) for operation in family.operations
    ]
    return refusing


def build(
    settings: Settings,
    database: Database,
    vault: Vault,
    outcomes: OutcomeStore,
    clock: Callable[[], dt.datetime],
    tokens: OAuthTokens | None = None,
    learned: LearnedSchemas | None = None,
    send: Callable[[Letter], None] | None = None,
    *,
    windows: Windows | None = None,
) -> Dispatcher:
    """The Public API without HTTP; `tokens` of destinations that are deleted are forgotten, and `send` takes letters
    to people without waiting. `windows` count requests for several processes."""

    def forget(call: Call) -> None:
        for destination_id in sorted(call.forgotten):
            try:
                if tokens is not None:
                    tokens.forget(destination_id)
            except EngineUnavailable as error:  # they lie sealed, and nothing asks for them any more
                log.warning("tokens of the deleted destination %s remain: %s", destination_id, error)

    def after_commit(call: Call) -> None:
        forget(call)
        if send is not None:
            for letter in call.letters:
                send(letter)

    limiter = Limiter(
        settings.default_rate_limit, settings.rate_limit_overrides, enforced=settings.rate_limits, windows=windows
    )
    return Dispatcher(
        _without(settings.features_off),
        database=database,
        vault=vault,
        limiter=limiter,
        outcomes=outcomes,
        clock=clock,
        before_commit=publish_touched,
        after_commit=after_commit,
        tracking_url=tracking_url(settings),
        warehouses=Door(settings.data / "warehouses", settings.allow_private),
        learned=learned,
    )


def tracking_url(settings: Settings) -> str:
    """Where others reach the Tracking API, as far as the settings tell; "" when its port is chosen at the start."""
    url = settings.public_tracking_url.rstrip("/")
    if url:
        return url if "://" in url else f"https://{url}"
    return f"{'https' if settings.tls_cert else 'http'}://{settings.tracking}" if settings.tracking.port else ""
