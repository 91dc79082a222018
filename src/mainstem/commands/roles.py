"""Roles at the terminal: as they are asked for with --role, and as they are listed.

--role "Source Admin"                              on the whole workspace
--role "Source Admin:SOURCE=ID"                    on that source; SPACE=, WAREHOUSE= and FUNCTION= likewise
--role "Source Read-only:environment=prod"         on what bears the label; several must all be there
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mainstem.commands.administration import Open
from mainstem.errors import InputInvalid, SettingsError
from mainstem.public_api.iam import policies
from mainstem.public_api.iam.policies import Asked, Policy
from mainstem.rest.grants import Resource
from mainstem.rest.permissions import Label, ResourceType
from mainstem.rest.roles import find_role_by_name

EVERYTHING: Final = "everything"


def asked_for(folder: Open, texts: Sequence[str]) -> list[Policy]:
    """What --role asks for. Raises SettingsError for what cannot be granted."""
    return [_policy(folder, text) for text in texts]


def _policy(folder: Open, text: str) -> Policy:
    named, *limits = text.split(":")
    role = find_role_by_name(named.strip())
    asked = Asked(named.strip() if role is None else role.id, _resources(folder.workspace_id, text, limits), "")
    try:
        return policies.granted(folder.db, folder.workspace_id, [asked])[0]
    except InputInvalid as error:
        words = "; ".join(each.message.partition('" ')[2] for each in error.faults)
        raise SettingsError(f"--role {text!r} {words}") from None


def _resources(workspace_id: str, text: str, limits: Iterable[str]) -> list[Resource]:
    resources: list[Resource] = []
    labels: list[Label] = []
    for limit in limits:
        key, equals, value = limit.partition("=")
        if not equals or not key or not value:
            raise SettingsError(f"--role {text!r}: ROLE, ROLE:TYPE=ID or ROLE:KEY=VALUE is expected")
        if key in ResourceType.__members__:
            resources.append(Resource(value, ResourceType(key)))
        else:
            labels.append((key, value))
    if resources and labels:
        raise SettingsError(f"--role {text!r}: labels narrow what is granted on the workspace, not single resources")
    return resources or [Resource(workspace_id, ResourceType.WORKSPACE, tuple(labels))]


def described(found: Sequence[Policy]) -> str:
    """Policies in a line, such as `Source Admin (SOURCE abc), Function Admin`."""
    return ", ".join(f"{policy.role.name}{_limits(policy)}" for policy in found) or "nothing"


def _limits(policy: Policy) -> str:
    """On what, unless it is the whole workspace."""
    if any(each.type is ResourceType.WORKSPACE and not each.labels for each in policy.resources):
        return ""
    return f" ({', '.join(map(_limit, policy.resources))})"


def _limit(resource: Resource) -> str:
    marks = " + ".join(f"{key}:{value}" for key, value in resource.labels)
    return marks or f"{resource.type} {resource.id}"
