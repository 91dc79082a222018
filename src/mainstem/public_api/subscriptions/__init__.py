"""Subscriptions, which the product guide calls mappings: when a destination does what, with which values.

    subscription.py   rows and shape, what the data plane gets     schedules.py   when model-based ones run
    lifecycle.py      the operations                               fields.py      a mapping against its action
    presets.py        what a destination is offered

Destinations and models use what is named here, and nothing else of the package.
Source: Public API reference, tag "Destinations" (5 operations on subscriptions).
"""

from __future__ import annotations

from mainstem.public_api.subscriptions.subscription import (
    delete_of_destination,
    delete_of_model,
    ids_of_model,
    of_source,
)

__all__ = ["delete_of_destination", "delete_of_model", "ids_of_model", "of_source"]
