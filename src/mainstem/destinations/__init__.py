"""Connectors to products, by the id of their catalogue entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mainstem.destinations import webhook
from mainstem.destinations.base import Destination

CONNECTORS: Final[Mapping[str, Destination]] = {each.metadata_id: each for each in (webhook.DESTINATION,)}
