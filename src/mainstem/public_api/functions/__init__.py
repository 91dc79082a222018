"""Functions: code of the customer's own that is a source, a destination, or something between the two.

    function.py      rows and shape         settings.py     what a function asks for
    functions.py, versions.py, instances.py   the operations
    offered.py       as types of sources and destinations
    publication.py   for the data plane     uses.py         where a function is at work

Sources and destinations use what is named here, and nothing else of the package.
Source: Public API reference, tag "Functions" (14 operations).
"""

from __future__ import annotations

from mainstem.public_api.functions.function import delete_inserts_at, deploy_first_version
from mainstem.public_api.functions.offered import find_definitions, find_destination_metadata, find_source_metadata
from mainstem.public_api.functions.publication import config_of, destination_use, inserts_of_source, source_use
from mainstem.public_api.functions.settings import faults as setting_faults
from mainstem.public_api.functions.settings import masked as masked_settings

__all__ = [
    "config_of",
    "delete_inserts_at",
    "deploy_first_version",
    "destination_use",
    "find_definitions",
    "find_destination_metadata",
    "find_source_metadata",
    "inserts_of_source",
    "masked_settings",
    "setting_faults",
    "source_use",
]
