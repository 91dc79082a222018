"""Roles granted to users, groups of users and tokens, and what they add up to.

A grant is one role on one resource; those made together, of one role, are a policy. An invited person's grants are
kept under the id that the user will have. Source: Public API reference, tags "IAM Users" and "IAM Groups".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
)

from mainstem.rest.ids import ksuid
from mainstem.rest.permissions import ALL_POWERS, KIND, Label, Needs, Powers, Reach, ResourceType, added_up
from mainstem.rest.roles import MEMBER, MINIMAL, OWNER, Role, find_role
from mainstem.rest.rows import Moment, metadata
from mainstem.rest.tokens import Access, Token

grants = Table(
    "grants",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("policy_id", String, nullable=False),
    Column("workspace_id", String, nullable=False),
    Column("subject_type", String, nullable=False),
    Column("subject_id", String, nullable=False),
    Column("role_id", String, nullable=False),
    Column("resource_type", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("labels", String, nullable=False),  # JSON: [[key, value], ...]
)
users = Table(
    "users",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("email", String, nullable=False),  # lower case, one user each in a workspace
    Column("name", String, nullable=False),
    Column("is_owner", Boolean, nullable=False, default=False),  # of before grants; nothing reads it
    Column("created_at", Moment, nullable=False),
)
user_groups = Table(
    "user_groups",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("name", String, nullable=False),
)
group_members = Table(
    "group_members",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("group_id", String, nullable=False),
    Column("member_id", String, nullable=False),  # of a user or an invite
)
invites = Table(
    "invites",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),  # the user will have it
    Column("workspace_id", String, nullable=False),
    Column("email", String, nullable=False),
    Column("token_hash", LargeBinary),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
_DELETE_OF_RESOURCE: Final = delete(grants).where(
    grants.c.resource_type == bindparam("type"), grants.c.resource_id == bindparam("id")
)
USER: Final = "user"  # an invited one too
GROUP: Final = "group"
TOKEN: Final = "token"  # noqa: S105  # the type of a subject


class Resource(msgspec.Struct, frozen=True):
    """What a role is granted on. Labels narrow a grant on the workspace alone, and must all be there."""

    id: str
    type: ResourceType
    labels: tuple[Label, ...] = ()

    @property
    def key(self) -> tuple[ResourceType, str, frozenset[Label]]:
        """What makes two of them the same: the order of labels does not matter."""
        return self.type, self.id, frozenset(self.labels)


def grant(
    db: Connection,
    workspace_id: str,
    subject: tuple[str, str],
    role: Role,
    resources: Iterable[Resource],
    policy_id: str = "",
) -> str:
    """Grant a role to a subject (type, id) on these resources, in a policy that exists or in a new one; returns the
    policy's id."""
    policy_id = policy_id or ksuid()
    for resource in resources:
        db.execute(
            insert(grants).values(
                policy_id=policy_id,
                workspace_id=workspace_id,
                subject_type=subject[0],
                subject_id=subject[1],
                role_id=role.id,
                resource_type=resource.type.value,
                resource_id=resource.id,
                labels=msgspec.json.encode(resource.labels).decode(),
            )
        )
    return policy_id


def delete_of_subject(db: Connection, id: str) -> None:
    """Take all roles from a user, a group or a token."""
    db.execute(delete(grants).where(grants.c.subject_id == id))


def delete_of_resource(db: Connection, type: ResourceType, id: str) -> None:
    """Take back what is granted on a source, space, warehouse or function, because it goes."""
    db.execute(_DELETE_OF_RESOURCE, {"type": type.value, "id": id})


def is_label_granted(db: Connection, workspace_id: str, label: Label) -> bool:
    """Whether a grant is narrowed to this label."""
    narrowed = (
        select(grants.c.labels).where(grants.c.workspace_id == workspace_id, grants.c.labels != "[]").distinct()
    )
    return any(label in _labels(text) for text in db.scalars(narrowed))


def powers_of(db: Connection, token: Token) -> Powers:
    """What a token may do: everything for an owner's; else what the grants of the token give and, when it acts for
    a user, those of the user and of the groups that the user is in."""
    if token.access is Access.OWNER:
        return ALL_POWERS
    found = _given(db, token)
    if any(role is OWNER for role, _ in found):
        return ALL_POWERS
    reaches = list(_reaches(found))
    if not found or any(role is not MINIMAL for role, _ in found):
        reaches += [(needs, Reach(everywhere=True)) for needs in MEMBER]
    return Powers(added_up(reaches))


def _given(db: Connection, token: Token) -> Sequence[tuple[Role, Resource]]:
    mine = grants.c.subject_id == token.id
    if token.user_id is not None:
        groups = select(group_members.c.group_id).where(group_members.c.member_id == token.user_id)
        mine = or_(mine, grants.c.subject_id == token.user_id, grants.c.subject_id.in_(groups))
    found = db.execute(select(grants).where(grants.c.workspace_id == token.workspace_id, mine)).all()
    roles = ((find_role(row.role_id), row) for row in found)
    return [(role, resource_of(row)) for role, row in roles if role is not None]


def resource_of(row: object) -> Resource:
    """The resource of a row."""
    kind = ResourceType(row.resource_type)  # type: ignore[attr-defined]
    return Resource(row.resource_id, kind, _labels(row.labels))  # type: ignore[attr-defined]


def _labels(text: str) -> tuple[Label, ...]:
    return msgspec.json.decode(text, type=tuple[Label, ...])


def _reaches(given: Iterable[tuple[Role, Resource]]) -> Iterator[tuple[Needs, Reach]]:
    for role, resource in given:
        for needs in role.gives:
            reach = _reach(needs, resource)
            if reach is not None:
                yield needs, reach


def _reach(needs: Needs, resource: Resource) -> Reach | None:
    """Where a power of a grant holds. A power that holds for the workspace or not at all is given on any resource
    (who administers one source may use credentials)."""
    kind = KIND.get(needs)
    if kind is None or (resource.type is ResourceType.WORKSPACE and not resource.labels):
        return Reach(everywhere=True)
    if resource.type is ResourceType.WORKSPACE:
        return Reach(labels=(frozenset(resource.labels),))
    return Reach(ids=frozenset({resource.id})) if resource.type is kind else None
