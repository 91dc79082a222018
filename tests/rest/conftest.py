"""The transport is tested through the operations that exist."""

from public_api.conftest import api, outcomes

__all__ = ["api", "outcomes"]
