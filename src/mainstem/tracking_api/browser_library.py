"""The browser library, Segment's own: `analytics.min.js` for a write key, and the bundles that it loads.

They come from the npm package @segment/analytics-next as `mainstem destinations install` put it into the folder of
packages. Its bytes stay as they are but for two things: the write key stands in the place that is kept for it, as on
the hosted service, and a line before it tells the library where it was loaded from. By itself it finds that out for
https alone, and would ask the hosted service for its settings when it is tried over http.

Source: the package's own code (places of its files, the write key); the line before it is a judgement.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mainstem.tracking_api.files import CHECKED_EACH_TIME, FOR_EVER, PublicFile

_SET: Final = "browser"
_FOLDER: Final = Path("node_modules", "@segment", "analytics-next", "dist", "umd")
_LIBRARY: Final = "standalone.js"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+\.js")
_HASHED_NAME: Final = re.compile(r".*\.[0-9a-f]{16,}\.js")
_CONTENT_TYPE: Final = "text/javascript; charset=utf-8"
_KEY_PLACE: Final = b"__WRITE_KEY__"
_MOST_SCRIPTS: Final = 32  # of about 140 KB, packed and not
_WHERE_FROM: Final = (
    b"(function(s){var p=s&&/^(.*)\\/analytics\\.js\\/v1\\//.exec(s.src),"
    b'a=s&&window[s.getAttribute("data-global-segment-analytics-key")||"analytics"];'
    b"if(p&&a&&!a._cdn)a._cdn=p[1]})(document.currentScript);\n"
)


class BrowserLibrary:
    """The files of the installed package. Another version is noticed at the next request; bundles of the one before
    are found as long as they lie there, for pages that had begun to load."""

    def __init__(self, packages: Path) -> None:
        self._link = packages / _SET
        self._installed: Path | None = None
        self._paths: dict[str, Path] = {}
        self._bundles: dict[str, PublicFile] = {}
        self._scripts: dict[str, PublicFile] = {}

    def find_script(self, write_key: str) -> PublicFile | None:
        """The library with this write key in it; None when the package is not installed."""
        self._look()
        script = self._scripts.get(write_key)
        library = self._read(_LIBRARY) if script is None else None
        if library is not None:
            body = _WHERE_FROM + library.replace(_KEY_PLACE, write_key.encode())
            if len(self._scripts) >= _MOST_SCRIPTS:
                self._scripts.clear()
            script = self._scripts[write_key] = PublicFile(body, _CONTENT_TYPE, CHECKED_EACH_TIME)
        return script

    def find_bundle(self, name: str) -> PublicFile | None:
        """A file of the package by its name; None for a name that it does not have."""
        self._look()
        bundle = self._bundles.get(name)
        body = self._read(name) if bundle is None else None
        if body is not None:
            cache_control = FOR_EVER if _HASHED_NAME.fullmatch(name) else CHECKED_EACH_TIME
            bundle = self._bundles[name] = PublicFile(body, _CONTENT_TYPE, cache_control)
        return bundle

    def _read(self, name: str) -> bytes | None:
        try:
            return self._paths[name].read_bytes()
        except (KeyError, FileNotFoundError):
            return None

    @property
    def is_installed(self) -> bool:
        """Whether there is a library to serve."""
        self._look()
        return _LIBRARY in self._paths

    def _look(self) -> None:
        """See whether another version lies there: an installation changes where the link leads."""
        installed = (self._link.resolve() / _FOLDER) if self._link.exists() else None
        if installed == self._installed:
            return
        self._installed = installed
        self._scripts.clear()
        before = {name: path for name, path in self._paths.items() if _HASHED_NAME.fullmatch(name) and path.exists()}
        found = sorted(installed.iterdir()) if installed and installed.is_dir() else []
        self._paths = before | {path.name: path for path in found if _NAME.fullmatch(path.name) and path.is_file()}
        self._bundles = {name: file for name, file in self._bundles.items() if name in before}
