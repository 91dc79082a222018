"""The control plane: one file per family of the reference."""

from __future__ import annotations

from typing import Final

from mainstem.public_api import audit_trail, labels, testing, workspaces
from mainstem.rest.operation import Family

FAMILIES: Final[tuple[Family, ...]] = (
    workspaces.api,
    testing.api,
    labels.api,
    audit_trail.api,
)
