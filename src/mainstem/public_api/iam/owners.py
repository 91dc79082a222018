"""The last Workspace Owner: without one nobody could let anybody in again.

An owner is a user who has the role directly or by a group; invited people are none yet. No source states a
protection: 409 is a judgement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, or_, select

from mainstem.errors import Conflict
from mainstem.rest.grants import grants, group_members, users
from mainstem.rest.roles import OWNER


@contextmanager
def keeping_one(db: Connection, workspace_id: str) -> Iterator[None]:
    """Raises Conflict when the block takes the last owner away. The transaction is a writing one, of which there is
    one at a time, so that two owners cannot go beside each other."""
    had_one = _has_one(db, workspace_id)
    yield
    if had_one and not _has_one(db, workspace_id):
        raise Conflict(f"The last {OWNER.name} can be neither removed nor demoted; make another one first.")


def addresses(db: Connection, workspace_id: str) -> list[str]:
    """Where the owners of a workspace are written to."""
    return list(db.scalars(_owners(workspace_id).with_only_columns(users.c.email).order_by(users.c.seq)))


def _has_one(db: Connection, workspace_id: str) -> bool:
    return db.execute(_owners(workspace_id).limit(1)).first() is not None


def _owners(workspace_id: str) -> Select[Any]:
    owning = select(grants.c.subject_id).where(grants.c.workspace_id == workspace_id, grants.c.role_id == OWNER.id)
    by_group = select(group_members.c.member_id).where(group_members.c.group_id.in_(owning))
    return select(users.c.id).where(
        users.c.workspace_id == workspace_id, or_(users.c.id.in_(owning), users.c.id.in_(by_group))
    )
