"""Warehouses: where the events of sources are stored for analysis. One module for each subject, all over the rows and
the shape of `warehouse`.

Other families use what is named here, and nothing else of the package.
Source: Public API reference, tag "Warehouses" (10 operations).
"""

from __future__ import annotations

from mainstem.public_api.warehouses.warehouse import (
    Warehouse,
    connect_new_source,
    disconnect_deleted_source,
    one,
    page_of_credential,
    page_of_source,
    title_of,
    visible,
)

__all__ = [
    "Warehouse",
    "connect_new_source",
    "disconnect_deleted_source",
    "one",
    "page_of_credential",
    "page_of_source",
    "title_of",
    "visible",
]
