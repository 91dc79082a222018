"""Workspaces: the one that the token selects.

Source: Public API reference, tag "Workspaces" (1 operation).
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Column, Connection, Integer, String, Table, insert, select

from mainstem.public_api.spaces import add_default_spaces
from mainstem.rest import rows
from mainstem.rest.grants import USER, Resource, grant, users
from mainstem.rest.ids import base58_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.permissions import Needs, ResourceType
from mainstem.rest.roles import OWNER
from mainstem.rest.rows import Moment, metadata
from mainstem.rest.wire import Wire

api = Family("Workspaces")
workspaces = Table(
    "workspaces",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("slug", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("created_at", Moment, nullable=False),
)


class Workspace(Wire, frozen=True):
    """A workspace on the wire."""

    id: str
    slug: str
    name: str


class WorkspaceOutput(Wire, frozen=True):
    """Reply of getWorkspace."""

    workspace: Workspace


def create(db: Connection, name: str, slug: str, owner_email: str, now: dt.datetime) -> Workspace:
    """Make a workspace with its owner and its spaces, as the first start does."""
    workspace = Workspace(id=base58_id(), slug=slug, name=name)
    db.execute(insert(workspaces).values(id=workspace.id, slug=slug, name=name, created_at=now))
    owner = {"id": base58_id(), "workspace_id": workspace.id, "email": owner_email.lower(), "name": "Owner"}
    db.execute(insert(users).values(owner | {"created_at": now}))
    grant(db, workspace.id, (USER, owner["id"]), OWNER, [Resource(workspace.id, ResourceType.WORKSPACE)])
    add_default_spaces(db, workspace.id)
    return workspace


def find_first(db: Connection) -> Workspace | None:
    """The oldest workspace of this instance; None before the first start."""
    return next(iter(listed(db)), None)


def listed(db: Connection) -> list[Workspace]:
    """The workspaces of this instance, oldest first."""
    found = db.execute(select(workspaces).order_by(workspaces.c.seq)).all()
    return [Workspace(id=row.id, slug=row.slug, name=row.name) for row in found]


def name_of(db: Connection, workspace_id: str) -> str:
    """The name of an existing workspace."""
    return str(db.execute(select(workspaces.c.name).where(workspaces.c.id == workspace_id)).scalar_one())


@api.operation("GET /", needs=Needs.WORKSPACE_ACCESS)
def get_workspace(call: Call) -> WorkspaceOutput:
    """Get Workspace"""
    query = select(workspaces).where(workspaces.c.id == call.workspace_id)
    row = rows.one(call.db, query, rows.missing("Workspace", call.workspace_id))
    return WorkspaceOutput(workspace=Workspace(id=row.id, slug=row.slug, name=row.name))
