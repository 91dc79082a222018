"""What belongs to a workspace and has no operation of its own: read from the tables, and written to them.

Switches in the schema of a source, what is granted to an invite that is not accepted yet, and write keys that are to
be these and no others. Everything happens in the transaction of the caller, with its audit row and its publication.
Source: Public API reference, which has operations that make a write key, but none that takes one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, delete, insert, select

from mainstem.errors import InputInvalid
from mainstem.public_api import publish
from mainstem.public_api.iam import invites, permissions, policies
from mainstem.public_api.iam.permissions import PermissionsInput
from mainstem.public_api.sources import schema_controls
from mainstem.public_api.sources.schema_controls import Switch
from mainstem.public_api.sources.source import sources, write_keys
from mainstem.rest import audit, ids
from mainstem.rest.grants import USER
from mainstem.rest.wire import decode
from mainstem.vault import Vault
from mainstem.workspace_files.asking import Refused

Object = dict[str, Any]
WRITE_KEY: Final = re.compile(r"[A-Za-z0-9]{10,64}\Z")


class Untold(Protocol):
    """Who knows what the API does not tell."""

    def switched_off(self, source_id: str) -> list[Object]:
        """What is off in the schema of a source, in an order that does not depend on when it was switched."""

    def invite(self, email: str) -> Mapping[str, Any]:
        """The `permissions` of a pending invite, as those of a user are shown."""


class Tables:
    """The tables of a workspace. `now` is asked for the time of audit rows, in which `actor` stands."""

    def __init__(
        self, db: Connection, vault: Vault, workspace_id: str, actor: str, now: Callable[[], dt.datetime]
    ) -> None:
        self._db, self._vault, self._workspace_id, self._actor, self._now = db, vault, workspace_id, actor, now

    # ---- read

    def switched_off(self, source_id: str) -> list[Object]:
        """See Untold."""
        found = [msgspec.to_builtins(each) for each in schema_controls.switched_off(self._db, source_id)]
        return sorted(found, key=lambda each: [*each.values()])

    def invite(self, email: str) -> Mapping[str, Any]:
        """See Untold."""
        row = self._pending(email)
        found = policies.policies_of(self._db, self._workspace_id, [row.id])[row.id]
        return {"permissions": [msgspec.to_builtins(permissions.shown(each)) for each in found]}

    def _pending(self, email: str) -> Any:
        row = invites.find_pending(self._db, self._vault, self._workspace_id, email, self._now())
        assert row is not None, "it is listed"
        return row

    # ---- write

    def accept(self, email: str, name: str) -> None:
        """Make an invited person a user."""
        row = self._pending(email)
        invites.accept(self._db, row, name, self._now())
        self._record("User Invite Accepted", "USER", row.id, row.email)

    def grant_to_invite(self, email: str, granted: Sequence[Object]) -> None:
        """Let a pending invite carry these permissions and no others; what accepts it stays. Raises Refused."""
        row = self._pending(email)
        try:
            asked = permissions.asked(decode({"permissions": granted}, PermissionsInput))
            wanted = policies.granted(self._db, self._workspace_id, asked)
        except InputInvalid as error:
            faults = [(fault.field or "", fault.message) for fault in error.faults]
            raise Refused("POST /invites", error.status, faults) from None
        change = policies.replace(self._db, self._workspace_id, (USER, row.id), wanted)
        for event, changed in (("Policy Created", change.created), ("Policy Deleted", change.deleted)):
            for policy in changed:
                self._record(event, "POLICY", policy.id, f"{policy.role.name} of {row.email}")

    def switch(self, source_id: str, now: Iterable[Object], wanted: Iterable[Object]) -> None:
        """Switch off in the schema of a source what is wanted, and on what else is off now. Raises Refused."""
        before, after = ([*map(_switch, each)] for each in (now, wanted))
        for switch in {*before} - {*after}:
            schema_controls.turn(self._db, source_id, switch, on=True)
        for switch in after:
            schema_controls.turn(self._db, source_id, switch, on=False)
        self._changed(source_id, "Source Settings Modified")

    def set_write_keys(self, source_id: str, wanted: Sequence[str | None]) -> None:
        """Let a source have these write keys and no others; None is a new one. Those that stay keep their place, the
        others follow. Raises Refused for what is no write key, and for what another source has."""
        for index, each in enumerate(wanted):
            if each is not None and not WRITE_KEY.match(each):
                fault = f'"writeKeys[{index}]" must be 10 to 64 letters and digits'
                raise Refused("POST /sources", InputInvalid.status, [("writeKeys", fault)])
        same = write_keys.c.source_id == source_id
        has = set(self._db.scalars(select(write_keys.c.write_key).where(same)))
        for gone in sorted(has - {*wanted}):
            self._db.execute(delete(write_keys).where(same, write_keys.c.write_key == gone))
        for each in wanted:
            if each is None or each not in has:
                self._add(source_id, each)
        self._changed(source_id, "Source Modified")

    def _add(self, source_id: str, wanted: str | None) -> None:
        key = wanted or ids.write_key()
        if self._db.execute(select(write_keys.c.seq).where(write_keys.c.write_key == key)).first():
            raise Refused("POST /sources", 409, [("writeKeys", "another source has this write key")])
        self._db.execute(insert(write_keys).values(write_key=key, source_id=source_id))

    def _changed(self, source_id: str, event: str) -> None:
        name = self._db.execute(select(sources.c.name).where(sources.c.id == source_id)).scalar_one()
        self._record(event, "SOURCE", source_id, name)
        config = publish.source_config(self._db, self._vault, source_id)
        publish.put(self._db, self._vault, source_id, config)

    def _record(self, event: str, type: str, id: str, name: str) -> None:
        audit.record(
            self._db, self._vault, workspace_id=self._workspace_id, at=self._now(), type=event, actor=self._actor,
            resource_type=type, resource_id=id, resource_name=name,
        )  # fmt: skip


def _switch(value: Object) -> Switch:
    try:
        found = msgspec.convert(value, Switch)
    except msgspec.ValidationError as error:
        raise Refused("mainstem schema", InputInvalid.status, [("off", str(error))]) from None
    if found.type not in schema_controls.TYPES[found.kind]:
        allowed = ", ".join(schema_controls.TYPES[found.kind])
        raise Refused("mainstem schema", InputInvalid.status, [("off", f'"off.type" must be one of [{allowed}]')])
    return found
