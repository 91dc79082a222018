"""A credential: its row, its shape, who uses it, and what of it is shown.

What is shown are settings that are known to be no secret; everything else is masked, since types of credentials
differ and none is described anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Integer, LargeBinary, Row, Select, String, Table, insert, select

from mainstem.errors import InputInvalid, NotFound
from mainstem.rest import rows
from mainstem.rest.operation import Call
from mainstem.rest.rows import Moment, metadata, moment_text
from mainstem.rest.wire import Faults, Wire

credentials = Table(
    "credentials",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("settings", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
credential_uses = Table(
    "credential_uses",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("consumer_id", String, nullable=False, unique=True),
    Column("credential_id", String, nullable=False),
)
SETTING: Final = "credentialId"
MASK: Final = "\u2022" * 10
_AUTHENTICATION: Final = "authentication"
_PLAIN: Final = frozenset({
    "type", "auth_type", "authType", "username", "user", "clientId", "client_id", "role", "account",
    "hostname", "host", "server", "port", "region", "location", "project", "projectId", "gc-project",
    "httpPath", "http_path", "warehouse", "database", "catalog", "schema", "name",
})  # fmt: skip
_MAY_BE_SECRET: Final = re.compile(
    "pass(word|phrase|wd)?|secret|token|(private|api|access|shared)[_-]?key|credentials?$|service_?account",
    re.IGNORECASE,
)


class Credential(Wire, frozen=True):
    """A credential on the wire; its secrets are masked for everybody."""

    id: str
    workspace_id: str
    name: str
    settings: dict[str, Any]
    created_at: str
    updated_at: str


def visible(call: Call) -> Select[Any]:
    """The only way the Public API reads the table. A credential belongs to the workspace as a whole."""
    return select(credentials).where(credentials.c.workspace_id == call.workspace_id)


def one(call: Call, credential_id: str) -> Row[Any]:
    """The row of a credential. Raises NotFound."""
    query = visible(call).where(credentials.c.id == credential_id)
    return rows.one(call.db, query, rows.missing("Credential", credential_id))


def credential_of(call: Call, row: Row[Any]) -> Credential:
    """A row as it is on the wire."""
    return Credential(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        settings=_masked(settings_of(call, row)),
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
    )


def settings_of(call: Call, row: Row[Any]) -> dict[str, Any]:
    """The settings of a credential with their secrets."""
    return msgspec.json.decode(call.vault.open(row.settings, row.id), type=dict[str, Any])


def unmasked(sent: Any, stored: Any, path: str = "settings") -> Any:
    """`sent` with the stored values in place of the masks that came back. Raises InputInvalid for a mask of what is
    not stored."""
    if isinstance(sent, dict):
        known = stored if isinstance(stored, dict) else {}
        return {key: unmasked(value, known.get(key), f"{path}.{key}") for key, value in sent.items()}
    if not _is_mask(sent):
        return sent
    if stored is None or isinstance(stored, dict):
        raise InputInvalid([(path, f'"{path}" is masked: the secret itself is needed')])
    return stored


def _is_mask(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(MASK)


def _masked(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _mask(key, value) for key, value in settings.items()}


def _mask(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _masked(value)
    if isinstance(value, list):
        return [_mask(key, each) for each in value]
    is_shown = key in _PLAIN or value is None or isinstance(value, bool) or value == ""
    return value if is_shown else MASK


# ---- for the families whose objects use credentials


def may_be_secret(name: str) -> bool:
    """Whether a setting that nobody describes has the name of a secret."""
    return name != SETTING and _MAY_BE_SECRET.search(name) is not None


def laid_over(call: Call, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` as one connects with them: those of the credential that they name lie over them, so that a change
    of the credential reaches every consumer, and no consumer takes its secrets elsewhere than it says."""
    if SETTING not in settings:
        return dict(settings)
    theirs = settings_of(call, one(call, settings[SETTING]))
    authentication = theirs.pop(_AUTHENTICATION, None)
    inner = authentication if isinstance(authentication, dict) else {}
    return {**settings, **theirs, **{key: value for key, value in inner.items() if key != "type"}}


def note_use(call: Call, consumer_id: str, settings: Mapping[str, Any], *, kind: tuple[str, ...] = ()) -> None:
    """Note which credential the settings of an object name, if any. `kind` are the names of the type that it must be
    of, in any letter case; none takes every type. Raises InputInvalid."""
    released(call, consumer_id)
    faults = use_faults(call, settings, kind)
    if faults:
        raise InputInvalid(faults)
    if SETTING in settings:
        call.db.execute(insert(credential_uses).values(consumer_id=consumer_id, credential_id=settings[SETTING]))


def released(call: Call, consumer_id: str) -> None:
    """An object uses no credential any more, or is gone."""
    rows.delete(call.db, credential_uses.c.consumer_id, consumer_id)


def use_faults(call: Call, settings: Mapping[str, Any], kind: tuple[str, ...] = ()) -> Faults:
    """What is wrong with the credential that settings name, if they name one; `kind` as in `note_use`."""
    field = f"settings.{SETTING}"
    if SETTING not in settings:
        return []
    if not isinstance(settings[SETTING], str):
        return [(field, f'"{field}" must be a string')]
    try:
        row = one(call, settings[SETTING])
    except NotFound as error:
        return [(field, f'"{field}" names no credential: {error}')]
    theirs = settings_of(call, row)["type"]
    if kind and theirs.lower() not in {each.lower() for each in kind}:
        return [(field, f'"{field}" names a credential of type {theirs}, which is for others')]
    return []
