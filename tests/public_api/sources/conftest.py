"""A source to work on."""

from __future__ import annotations

from typing import Any

import pytest

from public_api.client import Api

JAVASCRIPT = "IqDTy1TpoU"


@pytest.fixture
def source(api: Api) -> dict[str, Any]:
    """A JavaScript source as createSource returns it."""
    body = {"slug": "site", "enabled": True, "metadataId": JAVASCRIPT}
    created: dict[str, Any] = api.post("/sources", body).data["source"]
    return created


@pytest.fixture
def url(source: dict[str, Any]) -> str:
    """The path of that source."""
    return f"/sources/{source['id']}"
