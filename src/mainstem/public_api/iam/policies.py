"""Policies: the roles of a user, group or token, each with what it is granted on; and what can be granted at all.

Source: Public API reference, tags "IAM Users" and "IAM Groups"; product guide, "Roles" (what a role can be granted
on, and which can be narrowed to labels). The 422 for what cannot be granted is a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, column, select, table

from mainstem.errors import InputInvalid
from mainstem.public_api.labels import labels
from mainstem.rest import grants
from mainstem.rest.grants import Resource, grant, resource_of
from mainstem.rest.ids import ksuid
from mainstem.rest.permissions import Label, ResourceType
from mainstem.rest.roles import Role, find_role
from mainstem.rest.wire import Faults

Subject = tuple[str, str]  # type and id
Content = tuple[str, frozenset[tuple[ResourceType, str, frozenset[Label]]]]
TABLES: Final = {
    ResourceType.SOURCE: "sources",
    ResourceType.SPACE: "spaces",
    ResourceType.WAREHOUSE: "warehouses",
    ResourceType.FUNCTION: "functions",
}
"""Where the resources of each type are kept, in rows with `id` and `workspace_id`."""


_OF_SUBJECTS: Final = (
    select(grants.grants)
    .where(
        grants.grants.c.workspace_id == bindparam("workspace_id"),
        grants.grants.c.subject_id.in_(bindparam("subject_ids", expanding=True)),
    )
    .order_by(grants.grants.c.seq)
)


class Policy(msgspec.Struct, frozen=True):
    """A role and what it is granted on. `id` is "" until the policy is kept."""

    role: Role
    resources: tuple[Resource, ...]
    id: str = ""

    @property
    def content(self) -> Content:
        """What makes two policies grant the same."""
        return self.role.id, frozenset(resource.key for resource in self.resources)


class Asked(msgspec.Struct, frozen=True):
    """A permission as it was sent, at the path `at`. `labels_at` is where its labels are said when they do not stand
    on each resource."""

    role_id: str
    resources: Sequence[Resource]
    at: str
    labels_at: str = ""


class Change(msgspec.Struct, frozen=True):
    """What became of the policies of a subject: made, given more resources, and taken away."""

    created: Sequence[Policy] = ()
    extended: Sequence[Policy] = ()
    deleted: Sequence[Policy] = ()


def policies_of(db: Connection, workspace_id: str, subject_ids: Sequence[str]) -> dict[str, list[Policy]]:
    """The policies of each of these subjects, in the order in which they were made; roles that this version does not
    know are left out."""
    found: dict[str, dict[str, Policy]] = {each: {} for each in subject_ids}
    for row in db.execute(_OF_SUBJECTS, {"workspace_id": workspace_id, "subject_ids": subject_ids}).all():
        role = find_role(row.role_id)
        if role is not None:
            before = found[row.subject_id].get(row.policy_id, Policy(role, (), row.policy_id))
            more = msgspec.structs.replace(before, resources=(*before.resources, resource_of(row)))
            found[row.subject_id][row.policy_id] = more
    return {subject_id: [*policies.values()] for subject_id, policies in found.items()}


def replace(db: Connection, workspace_id: str, subject: Subject, wanted: Iterable[Policy]) -> Change:
    """Give a subject these policies and no others; one that stays keeps its id."""
    before = {policy.content: policy for policy in policies_of(db, workspace_id, [subject[1]])[subject[1]]}
    after: dict[Content, Policy] = {}
    for policy in wanted:
        kept_id = before[policy.content].id if policy.content in before else ksuid()
        after.setdefault(policy.content, msgspec.structs.replace(policy, id=kept_id))
    grants.delete_of_subject(db, subject[1])
    for policy in after.values():
        grant(db, workspace_id, subject, policy.role, policy.resources, policy.id)
    return Change(
        created=[policy for content, policy in after.items() if content not in before],
        deleted=[policy for content, policy in before.items() if content not in after],
    )


def add(db: Connection, workspace_id: str, subject: Subject, wanted: Iterable[Policy]) -> Change:
    """Give a subject these policies too. What it has already is not granted twice; more resources of a role that it
    has go to that policy."""
    created: list[Policy] = []
    extended: list[Policy] = []
    for policy in wanted:
        same = [each for each in policies_of(db, workspace_id, [subject[1]])[subject[1]] if each.role is policy.role]
        has = {resource.key for each in same for resource in each.resources}
        new = tuple(each for each in policy.resources if each.key not in has)
        if new:
            policy_id = grant(db, workspace_id, subject, policy.role, new, same[0].id if same else "")
            (extended if same else created).append(Policy(policy.role, new, policy_id))
    return Change(created=created, extended=extended)


def granted(db: Connection, workspace_id: str, asked: Sequence[Asked]) -> list[Policy]:
    """The policies that are asked for. Raises InputInvalid with every fault: a role that there is not, a type that it
    is not granted on, a resource or label that the workspace does not have, labels where none can be."""
    existing = _existing(db, workspace_id, [resource for each in asked for resource in each.resources])
    query = select(labels.c.key, labels.c.value).where(labels.c.workspace_id == workspace_id)
    known = {(row.key, row.value) for row in db.execute(query)}
    faults: Faults = []
    policies = []
    for each in asked:
        role = find_role(each.role_id)
        if role is None:
            faults.append((f"{each.at}.roleId", f'"{each.at}.roleId" names no role: {each.role_id}'))
            continue
        for index, resource in enumerate(each.resources):
            at = f"{each.at}.resources[{index}]"
            faults += _resource_faults(role, resource, existing, at)
            faults += _label_faults(role, resource, known, each.labels_at or f"{at}.labels")
        policies.append(Policy(role, tuple({resource.key: resource for resource in each.resources}.values())))
    if faults:
        raise InputInvalid(list(dict.fromkeys(faults)))
    return policies


def _existing(db: Connection, workspace_id: str, resources: Iterable[Resource]) -> set[tuple[ResourceType, str]]:
    """Which of these resources the workspace has."""
    wanted: dict[ResourceType, list[str]] = {}
    for resource in resources:
        wanted.setdefault(resource.type, []).append(resource.id)
    found = {(ResourceType.WORKSPACE, workspace_id)}
    for kind, name in TABLES.items():
        if kind in wanted:
            mine = table(name, column("id"), column("workspace_id")).c
            query = select(mine.id).where(mine.workspace_id == workspace_id, mine.id.in_(wanted[kind]))
            found |= {(kind, each) for each in db.scalars(query)}
    return found


def _resource_faults(role: Role, resource: Resource, existing: set[tuple[ResourceType, str]], at: str) -> Faults:
    if resource.type not in role.on:
        fitting = ", ".join(each for each in ResourceType if each in role.on)
        return [(f"{at}.type", f'"{at}.type" must be one of [{fitting}] for the role {role.name}')]
    if (resource.type, resource.id) not in existing:
        return [(f"{at}.id", f'"{at}.id" names no {resource.type.lower()} of this workspace: {resource.id}')]
    return []


def _label_faults(role: Role, resource: Resource, known: set[Label], at: str) -> Faults:
    if not resource.labels:
        return []
    if resource.type is not ResourceType.WORKSPACE:
        return [(at, f'"{at}" can narrow only what is granted on the workspace')]
    if not role.takes_labels:
        return [(at, f'"{at}" cannot narrow the role {role.name}')]
    unknown = [(f"{at}[{index}]", label) for index, label in enumerate(resource.labels) if label not in known]
    return [(field, f'"{field}" is unknown: {key}:{value}') for field, (key, value) in unknown]
