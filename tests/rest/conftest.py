"""The transport is tested through the operations that exist."""

from public_api.conftest import api

__all__ = ["api"]
