"""When a warehouse is synced: hours of a day in a time zone, in place of the usual rhythm.

Source: Public API reference, tag "Selective Sync" (2 operations). Judgements: a schedule is needed to switch one on,
and an hour stands in it once.
"""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import delete, insert, select

from mainstem.errors import InputInvalid
from mainstem.public_api import warehouses
from mainstem.public_api.warehouses.warehouse import RESOURCE, sync_schedules
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Faults, Unset, Wire

api = Family("Selective Sync")


class SyncTime(Wire, frozen=True):
    """An hour of the day, and whether there is a sync in it; hours that are not named have none."""

    hour_of_day: Annotated[int, Meta(ge=0, le=23)]
    enabled: bool


class Schedule(Wire, frozen=True):
    """Hours in a time zone of the IANA database, such as America/Vancouver."""

    times: list[SyncTime]
    timezone: str


class AdvancedSyncSchedule(Wire, frozen=True):
    """Body of replaceAdvancedSyncScheduleForWarehouse, and reply of both operations."""

    enabled: bool
    schedule: Schedule | Unset = UNSET


@api.operation("GET /warehouses/{warehouseId}/advanced-sync-schedule", needs=Needs.WAREHOUSE_READ, rate=per_minute(2))
def get_advanced_sync_schedule_from_warehouse(call: Call, warehouse_id: str) -> AdvancedSyncSchedule:
    """Get Advanced Sync Schedule from Warehouse"""
    warehouses.one(call, warehouse_id)
    query = select(sync_schedules).where(sync_schedules.c.warehouse_id == warehouse_id)
    row = call.db.execute(query).one_or_none()
    if row is None:
        return AdvancedSyncSchedule(enabled=False)
    schedule = UNSET if row.schedule is None else msgspec.json.decode(row.schedule, type=Schedule)
    return AdvancedSyncSchedule(enabled=row.enabled, schedule=schedule)


@api.operation(
    "PUT /warehouses/{warehouseId}/advanced-sync-schedule", needs=Needs.WAREHOUSE_ADMIN, rate=per_minute(2)
)
def replace_advanced_sync_schedule_for_warehouse(
    call: Call, warehouse_id: str, body: AdvancedSyncSchedule
) -> AdvancedSyncSchedule:
    """Replace Advanced Sync Schedule for Warehouse"""
    row = warehouses.one(call, warehouse_id)
    faults = _faults(body)
    if faults:
        raise InputInvalid(faults)
    schedule = None if body.schedule is UNSET else msgspec.json.encode(body.schedule).decode()
    call.db.execute(delete(sync_schedules).where(sync_schedules.c.warehouse_id == warehouse_id))
    call.db.execute(insert(sync_schedules).values(warehouse_id=warehouse_id, enabled=body.enabled, schedule=schedule))
    call.record_beside("Storage Destination Modified", RESOURCE, warehouse_id, warehouses.title_of(call, row))
    return body


def _faults(body: AdvancedSyncSchedule) -> Faults:
    if body.schedule is UNSET:
        return [("schedule", '"schedule" is required when "enabled" is true')] if body.enabled else []
    faults: Faults = []
    hours = [each.hour_of_day for each in body.schedule.times]
    for index, hour in enumerate(hours):
        if hour in hours[:index]:
            field = f"schedule.times[{index}].hourOfDay"
            faults.append((field, f'"{field}" stands in the schedule already'))
    if body.schedule.timezone not in _timezones():
        faults.append(("schedule.timezone", '"schedule.timezone" must be a time zone of the IANA database'))
    return faults


@cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
