"""What a delete takes along, and what is refused because something still uses it.

Source: Public API reference; what goes along with a source, and each 409 but that of credentials, is a judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from mainstem.public_api import orphans
from mainstem.rest.rows import metadata
from public_api.actions import installed
from public_api.client import Api
from public_api.everything import Everything


@pytest.fixture
def all_of_it(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with installed(tmp_path_factory.mktemp("packages")):
        yield Everything(api)


def orphans_of(api: Api) -> list[str]:
    with api.database.transaction(writes=False) as db:
        return [str(each) for each in orphans.find(db)]


def rows_of(api: Api) -> dict[str, int]:
    """How many rows each table has, but for those that only grow."""
    grow = {"audit_events", "audit_head", "published", "deleted_sources"}
    with api.database.transaction(writes=False) as db:
        tables = [table for table in metadata.sorted_tables if table.name not in grow]
        return {table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def lost(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How many rows of each table are gone."""
    return {name: before[name] - after[name] for name in before if before[name] != after[name]}


Path = Callable[[Everything], str]
TAKES_ALONG: dict[str, tuple[Path, dict[str, int]]] = {
    "a source": (
        lambda of: f"/sources/{of.source_id}",
        {
            "sources": 1, "write_keys": 1, "source_labels": 1, "schema_settings": 1, "schema_controls": 1,
            "destinations": 3, "destination_filters": 1, "subscriptions": 1, "insert_function_instances": 2,
            "transformations": 1, "live_plugins": 1, "suppressions": 1, "warehouse_sources": 1, "sync_exclusions": 1,
            "grants": 2,
        },
    ),
    "a source with models": (
        lambda of: f"/sources/{of.database_id}",
        {
            "sources": 1, "write_keys": 1, "destinations": 1, "subscriptions": 1, "reverse_etl_models": 2,
            "credential_uses": 1, "warehouse_sources": 1,
        },
    ),
    "a source function's source": (
        lambda of: f"/sources/{of.hook_id}", {"sources": 1, "write_keys": 1, "warehouse_sources": 1},
    ),
    "a destination": (
        lambda of: f"/destinations/{of.webhook_id}",
        {"destinations": 1, "destination_filters": 1, "insert_function_instances": 1},
    ),
    "a destination with actions": (
        lambda of: f"/destinations/{of.mailer_id}", {"destinations": 1, "subscriptions": 1},
    ),
    "a filter": (
        lambda of: f"/destination/{of.webhook_id}/filters/{of.filter_id}", {"destination_filters": 1},
    ),
    "a subscription": (
        lambda of: f"/destinations/{of.mailer_id}/subscriptions/{of.subscription_id}", {"subscriptions": 1},
    ),
    "a tracking plan": (
        lambda of: f"/tracking-plans/{of.plan_id}",
        {"tracking_plans": 1, "tracking_plan_rules": 1, "schema_settings": 2},
    ),
    "a function that is at work nowhere": (
        lambda of: f"/functions/{of.function_id}", {"functions": 1, "function_versions": 1, "grants": 2},
    ),
    "an insert function instance": (
        lambda of: f"/insert-function-instances/{of.instance_id}", {"insert_function_instances": 1},
    ),
    "a warehouse": (
        lambda of: f"/warehouses/{of.warehouse_id}",
        {
            "warehouses": 1, "warehouse_sources": 4, "sync_schedules": 1, "sync_exclusions": 1, "credential_uses": 1,
            "grants": 2,
        },
    ),
    "a profiles warehouse": (
        lambda of: f"/spaces/{of.space_id}/profiles-warehouses/{of.profiles_warehouse_id}",
        {"profiles_warehouses": 1, "profiles_sync_exclusions": 1, "credential_uses": 1},
    ),
    "a space filter": (
        lambda of: f"/filters/{of.space_filter_id}?integrationId={of.space_id}", {"space_filters": 1},
    ),
    "a model that nothing uses": (
        lambda of: f"/reverse-etl-models/{of.unused_model_id}", {"reverse_etl_models": 1},
    ),
    "a user": (
        lambda of: f"/users?userIds.0={of.user_id}", {"users": 1, "grants": 4, "group_members": 1},
    ),
    "an invite": (
        lambda of: "/invites?emails.0=bob@x.example", {"invites": 1, "grants": 4, "group_members": 1},
    ),
    "a group": (
        lambda of: f"/groups/{of.group_id}", {"user_groups": 1, "grants": 1, "group_members": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKES_ALONG)
def test_what_goes_takes_all_along_that_belongs_to_it_and_leaves_no_orphan(all_of_it: Everything, what: str) -> None:
    api, (path, taken) = all_of_it.api, TAKES_ALONG[what]
    before = rows_of(api)
    reply = api.delete(path(all_of_it))
    assert reply.status == 200, reply.body
    assert lost(before, rows_of(api)) == taken
    assert orphans_of(api) == []


REFUSED: dict[str, tuple[Path, str]] = {
    "a label of a source": (lambda _: "/labels/team/growth", "in use by a source"),
    "a label of a permission": (lambda _: "/labels/environment/dev", "in use by a permission"),
    "a destination function": (
        lambda of: f"/functions/{of.destination_function['id']}", "in use by destination",
    ),
    "a source function": (lambda of: f"/functions/{of.source_function['id']}", "in use by source"),
    "an insert function": (
        lambda of: f"/functions/{of.insert_function['id']}", "in use by insert function instance",
    ),
    "a credential": (lambda of: f"/credentials/{of.credential_id}", "in use"),
    "a model with subscriptions": (lambda of: f"/reverse-etl-models/{of.model_id}", "in use by subscriptions"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_in_use_is_refused_and_nothing_changes(all_of_it: Everything, what: str) -> None:
    api, (path, why) = all_of_it.api, REFUSED[what]
    before = rows_of(api)
    reply = api.delete(path(all_of_it))
    assert (reply.status, why in reply.messages[0]) == (409, True), reply.body
    assert rows_of(api) == before


def test_the_last_owner_stays(api: Api) -> None:
    owner: Any = api.get("/users").data["users"][0]["id"]
    assert api.delete(f"/users?userIds.0={owner}").status == 409
    assert [each["id"] for each in api.get("/users").data["users"]] == [owner]


def test_a_space_cannot_be_deleted(all_of_it: Everything) -> None:
    assert all_of_it.api.delete(f"/spaces/{all_of_it.space_id}").status == 405


def test_everything_can_be_taken_down_and_leaves_nothing(all_of_it: Everything) -> None:
    """In an order in which nothing is in use any more."""
    api, of = all_of_it.api, all_of_it
    functions = [of.destination_function, of.source_function, of.insert_function, of.insert_source_function]
    for path in (
        *(f"/sources/{each}" for each in (of.source_id, of.other_source_id, of.database_id, of.hook_id)),
        *(f"/functions/{each['id']}" for each in functions),
        f"/functions/{of.function_id}",
        f"/warehouses/{of.warehouse_id}",
        f"/spaces/{of.space_id}/profiles-warehouses/{of.profiles_warehouse_id}",
        f"/credentials/{of.credential_id}",
        f"/tracking-plans/{of.plan_id}",
        f"/filters/{of.space_filter_id}?integrationId={of.space_id}",
        f"/groups/{of.group_id}",
        f"/users?userIds.0={of.user_id}",
        "/invites?emails.0=bob@x.example",
        "/labels/team/growth",
    ):
        reply = api.delete(path)
        assert reply.status == 200, (path, reply.body)
        assert orphans_of(api) == [], path
    left = {name: count for name, count in rows_of(api).items() if count}
    assert left.keys() == {"workspaces", "users", "grants", "tokens", "labels", "spaces", "suppressions"}
