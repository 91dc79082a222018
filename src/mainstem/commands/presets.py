"""`mainstem destinations presets DESTINATION_ID`: show the presets of a destination, or make subscriptions of them.

Exit codes: 0 when all is well, 1 when a preset could not be made as asked, 2 when the request makes no sense.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import Row, select

from mainstem import app
from mainstem.commands import administration
from mainstem.commands.administration import OPERATOR, Open
from mainstem.commands.terminal import printable
from mainstem.destinations.actions import catalogue
from mainstem.errors import MainstemError
from mainstem.public_api import publish
from mainstem.public_api.destinations import destinations
from mainstem.public_api.subscriptions import presets
from mainstem.public_api.subscriptions.lifecycle import MAX_SUBSCRIPTIONS
from mainstem.public_api.subscriptions.presets import Offered
from mainstem.public_api.subscriptions.subscription import subscriptions
from mainstem.rest import audit
from mainstem.settings import Settings


class Senseless(MainstemError):
    """What was asked for makes no sense; the message says why."""


def run(settings: Settings, destination_id: str, *, create: bool, enable: bool) -> int:
    """Show the presets of a destination; with `create`, make those that are not there, disabled unless `enable`."""
    catalogue.use(settings.packages_folder)
    try:
        if enable and not create:
            raise Senseless("--enable goes with --create")
        with administration.opened(settings, writes=create) as folder:
            destination = _destination(folder, destination_id)
            found = presets.offered(folder.db, destination)
            if not create:
                _show(found)
                return 0
            return _create(folder, destination, found, enable=enable)
    except Senseless as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 2


def _destination(folder: Open, destination_id: str) -> Row[Any]:
    mine = destinations.c.workspace_id == folder.workspace_id
    row = folder.db.execute(select(destinations).where(mine, destinations.c.id == destination_id)).one_or_none()
    if row is None:
        raise Senseless(f"there is no destination {printable(destination_id)}")
    if catalogue.find_definition(row.metadata_id) is None:
        hint = f": {catalogue.INSTALL}" if row.metadata_id in catalogue.known() else ""
        raise Senseless(f"nothing is known of presets of this type of destination{hint}")
    return row


def _show(found: list[Offered]) -> None:
    if not found:
        sys.stdout.write("This type of destination has no presets.\n")
    for each in found:
        state = "there" if each.is_there else "offered"
        sys.stdout.write(f"{state:<9}{printable(each.preset.name)} ({each.preset.action_slug})\n")
        sys.stdout.write(f"         {printable(each.preset.trigger)}\n")
        for fault in (*each.faults, *each.lacks):
            sys.stdout.write(f"         {printable(fault)}\n")


def _create(folder: Open, destination: Row[Any], found: list[Offered], *, enable: bool) -> int:
    wanted = [each for each in found if not each.is_there]
    mine = subscriptions.c.destination_id == destination.id
    count = len(folder.db.execute(select(subscriptions.c.seq).where(mine)).all())
    if count + len(wanted) > MAX_SUBSCRIPTIONS:
        raise Senseless(f"a destination has at most {MAX_SUBSCRIPTIONS} subscriptions; this one has {count}")
    is_all_well = True
    for each in wanted:
        is_all_well &= _create_one(folder, destination, each, enable=enable)
    source_id = destination.source_id
    publish.put(folder.db, folder.vault, source_id, publish.source_config(folder.db, folder.vault, source_id))
    if len(wanted) < len(found):
        sys.stdout.write(f"{len(found) - len(wanted)} were there before.\n")
    return 0 if is_all_well else 1


def _create_one(folder: Open, destination: Row[Any], offer: Offered, *, enable: bool) -> bool:
    name, faults = printable(offer.preset.name), offer.faults
    if faults:
        sys.stderr.write(f"mainstem: {name} was not made: {printable(faults[0])}\n")
        return False
    enabled = enable and not offer.lacks
    own_id = presets.create(folder.db, folder.vault, destination, offer.preset, enabled=enabled)
    audit.record(
        folder.db, folder.vault, workspace_id=folder.workspace_id, at=app.utc_now(), actor=OPERATOR,
        type="Destination Subscription Created", resource_type="DESTINATION_SUBSCRIPTION", resource_id=own_id,
        resource_name=offer.preset.name,
    )  # fmt: skip
    sys.stdout.write(f"{own_id}  {'enabled ' if enabled else 'disabled'}  {name}\n")
    if enable and offer.lacks:
        sys.stderr.write(f"mainstem: {name} was made and not enabled: {printable(offer.lacks[0])}\n")
    return enabled or not enable
