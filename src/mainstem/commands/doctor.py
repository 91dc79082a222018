"""`mainstem doctor`: is this instance well? One line per check; exit code 1 when a check fails."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from mainstem import __version__, app
from mainstem.engines.schema import migrations
from mainstem.errors import MainstemError
from mainstem.rest import audit
from mainstem.settings import Address, Settings
from mainstem.vault import open_vault
from mainstem.warehouses import DRIVERS
from mainstem.warehouses.base import is_installed

LOW_DISK_BYTES: Final = 1024**3
LONG_QUEUE: Final = 100_000
SHOWN_ORPHANS: Final = 50


class Finding(msgspec.Struct, frozen=True):
    """What a check found: "ok", "warn" or "fail", about what, and in words."""

    state: str
    subject: str
    text: str


def run(settings: Settings, *, is_deep: bool = False) -> int:
    """Print every finding; 1 when one of them is a failure. A deep one walks all references too."""
    failed = False
    for check in (*CHECKS, *DEEP_CHECKS) if is_deep else CHECKS:
        for finding in _found(check, settings):
            sys.stdout.write(f"{finding.state:<5} {finding.subject:<13} {finding.text}\n")
            failed |= finding.state == "fail"
    return 1 if failed else 0


def _found(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except (MainstemError, OSError, sqlite3.Error) as error:
        yield Finding("fail", check.__name__, str(error))


def versions(_settings: Settings) -> Iterator[Finding]:
    """What runs here."""
    text = f"mainstem {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield Finding("ok", "versions", f"{text}, schema {migrations()[-1].number}, {platform.platform(terse=True)}")


def folder(settings: Settings) -> Iterator[Finding]:
    """The data folder can be written, belongs to nobody else, and is of this version."""
    path = settings.data
    if not path.is_dir():
        yield Finding("warn", "folder", f"{path} does not exist yet; the first `mainstem serve` makes it")
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield Finding("fail", "folder", f"{path} cannot be written by this user")
        return
    others = path.stat().st_mode & 0o077
    yield Finding("warn" if others else "ok", "folder", f"{path}" + (" is open to other users" if others else ""))


def database(settings: Settings) -> Iterator[Finding]:
    """The control database answers, and is of this version."""
    if settings.database is None and not app.is_started(settings):
        return
    with contextlib.closing(app.open_control(settings)) as control:
        if settings.database is not None:
            yield Finding("ok", "database", f"{settings.database}, {control.product()}")
        yield _schema(control.schema())


def _schema(done: int) -> Finding:
    newest = migrations()[-1].number
    if done == newest:
        return Finding("ok", "schema", f"{done}, up to date")
    if done > newest:
        return Finding("fail", "schema", f"{done} was written by a newer mainstem; this one knows {newest}")
    return Finding("warn", "schema", f"{done}; `mainstem migrate` or the next start brings it to {newest}")


def disk(settings: Settings) -> Iterator[Finding]:
    """There is room left."""
    path = settings.data
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    state = "ok" if free > LOW_DISK_BYTES else "warn"
    yield Finding(state, "disk", f"{free / 1024**3:.1f} GiB free; when it is full, events are answered 503")


def ports(settings: Settings) -> Iterator[Finding]:
    """Each server answers, or its port is free."""
    for name, address in (("Public API", settings.api), ("Tracking API", settings.tracking)):
        yield Finding("ok", name, _port(address))


def _port(address: Address) -> str:
    try:
        with socket.create_connection((address.host, address.port), timeout=1):
            return f"{address} answers"
    except OSError:
        return f"nothing listens on {address}"


def clock(settings: Settings) -> Iterator[Finding]:
    """The clock has not gone back behind what was already written."""
    now = app.utc_now()
    newest = max((each.stat().st_mtime for each in settings.data.glob("*.db*")), default=0.0)
    if newest > now.timestamp() + 60:
        written = dt.datetime.fromtimestamp(newest, dt.UTC)
        yield Finding("fail", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, but files here were written at {written:%c}")
    else:
        yield Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def audit_trail(settings: Settings) -> Iterator[Finding]:
    """The audit trail is whole."""
    if not app.is_started(settings):
        return
    with contextlib.closing(app.open_control(settings)) as control, control.transaction(writes=False) as db:
        rows, broken = audit.verify(db, open_vault(settings.data, settings.secret_key, settings.old_secret_keys))
    yield Finding("fail" if broken else "ok", "audit trail", broken or f"{rows} rows, whole")


def references(settings: Settings) -> Iterator[Finding]:
    """Every row of the control database names what is there."""
    if not app.is_started(settings):
        return
    from mainstem.public_api import orphans  # brings every family along

    with contextlib.closing(app.open_control(settings)) as control, control.transaction(writes=False) as db:
        found = list(orphans.find(db))
    for orphan in found[:SHOWN_ORPHANS]:
        yield Finding("fail", "references", str(orphan))
    if found:
        yield Finding("fail", "references", f"{len(found)} rows name what is not there")
    else:
        yield Finding("ok", "references", f"{len(orphans.REFERENCES)} kinds, all of them lead somewhere")


def queues(settings: Settings) -> Iterator[Finding]:
    """How much waits."""
    if not app.is_started(settings):
        return
    flow, log = app.open_flow(settings), app.open_event_log(settings)
    behind = log.count_after(flow.pipeline.position())
    waiting, dead = flow.depths()
    state = "warn" if behind > LONG_QUEUE or waiting > LONG_QUEUE else "ok"
    yield Finding(state, "queues", f"{behind} blocks wait for the pipeline, {waiting} deliveries for destinations")
    text = f"{dead} dead letters" + ("; see `mainstem deadletter list`" if dead else "")
    yield Finding("warn" if dead else "ok", "dead letters", text)


def past(settings: Settings) -> Iterator[Finding]:
    """How much is kept of what was processed, and whether traces are whole."""
    if not app.is_started(settings):
        return
    log, traces = (
        app.open_event_log(settings),
        app.open_traces(settings, open_vault(settings.data, settings.secret_key, settings.old_secret_keys)),
    )
    most = f"of {settings.archive_bytes / 1024**3:.1f} GiB, {settings.archive_hours:g} hours"
    yield Finding("ok", "archive", f"{log.used_bytes() / 1024**3:.2f} GiB {most}")
    gaps = sum(each.blocks for each in traces.gaps())
    text = f"{traces.used_bytes() / 1024**3:.2f} GiB {most}" + (f"; {gaps} blocks could not be kept" if gaps else "")
    yield Finding("warn" if gaps else "ok", "traces", text)


def warehouse_drivers(_settings: Settings) -> Iterator[Finding]:
    """Which types of warehouses can be connected to, and what brings the others."""
    there = [driver.slug for driver in DRIVERS.values() if is_installed(driver)]
    missing = [f"mainstem[{driver.extra}]" for driver in DRIVERS.values() if not is_installed(driver)]
    text = f"{', '.join(there) or 'none'} can be connected to"
    yield Finding("ok", "warehouses", text + (f"; install {', '.join(missing)} for more" if missing else ""))


CHECKS: Final = (versions, folder, database, disk, ports, clock, audit_trail, queues, past, warehouse_drivers)
DEEP_CHECKS: Final = (references,)
