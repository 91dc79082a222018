from typing import Any

import pytest

from public_api.client import Api

JAVASCRIPT = "IqDTy1TpoU"


@pytest.fixture
def plan(api: Api) -> dict[str, Any]:
    """A plan as createTrackingPlan returns it."""
    created: dict[str, Any] = api.post("/tracking-plans", {"name": "Shop", "type": "LIVE"}).data["trackingPlan"]
    return created


@pytest.fixture
def url(plan: dict[str, Any]) -> str:
    """The path of that plan."""
    return f"/tracking-plans/{plan['id']}"


@pytest.fixture
def source(api: Api) -> dict[str, Any]:
    """A source without a plan."""
    body = {"slug": "site", "enabled": True, "metadataId": JAVASCRIPT}
    created: dict[str, Any] = api.post("/sources", body).data["source"]
    return created
