"""Sources: where events come from. One module for each subject, all over the rows and the shape of `source`.

Other families use what is named here, and nothing else of the package.
Source: Public API reference, tag "Sources" (13 operations).
"""

from __future__ import annotations

from mainstem.public_api.sources.source import Source, ids_ever, ids_of_workspace, one, source_of, sources_of, visible

__all__ = ["Source", "ids_ever", "ids_of_workspace", "one", "source_of", "sources_of", "visible"]
