"""Versions of functions: one for each change of the code, kept as long as the function.

Source: Public API reference, tag "Functions" (3 operations, alpha). Judgements: the newest version is listed first,
and restoring deploys nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from mainstem.public_api.functions.function import code_of, function_versions, functions, one, record
from mainstem.rest import rows
from mainstem.rest.ids import ksuid
from mainstem.rest.operation import ALPHA, Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, Unset, Wire
from mainstem.vault import Vault

api = Family("Functions", feature="Functions")


class Version(Wire, frozen=True):
    """A version on the wire. It never changes after its creation, but for when it was last deployed."""

    id: str
    author: str
    code: str
    is_deployed: bool
    created_at: str
    updated_at: str
    deployed_at: str | Unset = UNSET


class RestoreInput(Wire, frozen=True):
    """Body of restoreFunctionVersion."""

    version_id: str


class VersionOutput(Wire, frozen=True):
    """Reply of getFunctionVersion and restoreFunctionVersion."""

    version: Version


class VersionsOutput(Wire, frozen=True):
    """Reply of listFunctionVersions."""

    versions: list[Version]
    pagination: Pagination


def add_version(call: Call, function_id: str, code: str) -> str:
    """Keep code as a new version; returns its id. That it is the latest is for the caller to note."""
    version_id = ksuid()
    call.db.execute(
        insert(function_versions).values(
            id=version_id,
            function_id=function_id,
            author=call.token.id,
            code=call.vault.seal(code.encode(), version_id),
            created_at=call.now,
        )
    )
    return version_id


def _of(function: Row[Any]) -> Select[Any]:
    return select(function_versions).where(function_versions.c.function_id == function.id)


def _one(call: Call, function: Row[Any], version_id: str) -> Row[Any]:
    query = _of(function).where(function_versions.c.id == version_id)
    return rows.one(call.db, query, rows.missing("Function version", version_id))


def _version_of(vault: Vault, row: Row[Any], function: Row[Any]) -> Version:
    return Version(
        id=row.id,
        author=row.author,
        code=vault.open(row.code, row.id).decode(),
        is_deployed=row.id == function.deployed_version,
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.created_at),
        deployed_at=UNSET if row.deployed_at is None else moment_text(row.deployed_at),
    )


@api.operation("GET /functions/{functionId}/versions", needs=Needs.FUNCTION_READ, versions=ALPHA)
def list_function_versions(call: Call, function_id: str, query: PageInput) -> VersionsOutput:
    """List Function Versions"""
    function = one(call, function_id)
    newest_first = _of(function).order_by(function_versions.c.seq.desc())
    found, pagination = rows.page_of(call.db, newest_first, query.pagination)
    versions = [_version_of(call.vault, row, function) for row in found]
    return VersionsOutput(versions=versions, pagination=pagination)


@api.operation("GET /functions/{functionId}/versions/{versionId}", needs=Needs.FUNCTION_READ, versions=ALPHA)
def get_function_version(call: Call, function_id: str, version_id: str) -> VersionOutput:
    """Get Function Version"""
    function = one(call, function_id)
    return VersionOutput(version=_version_of(call.vault, _one(call, function, version_id), function))


@api.operation("POST /functions/{functionId}/versions", needs=Needs.FUNCTION_ADMIN, versions=ALPHA)
def restore_function_version(call: Call, function_id: str, body: RestoreInput) -> VersionOutput:
    """Restore Function Version"""
    function = one(call, function_id)
    old = _one(call, function, body.version_id)
    version_id = add_version(call, function.id, code_of(call.db, call.vault, old.id))
    call.db.execute(update(functions).where(functions.c.id == function.id).values(latest_version=version_id))
    record(call, "Function Version Restored", function.id, function.name)
    return VersionOutput(version=_version_of(call.vault, _one(call, function, version_id), one(call, function_id)))
