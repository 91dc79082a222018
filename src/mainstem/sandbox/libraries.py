"""The libraries that functions find as global names, each bundled to one script when it is installed.

Source: Functions documentation, "Runtime and dependencies"; which of them exist here is told in
docs/guides/functions.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

INSTALL: Final = "`mainstem packages install functions` adds those that mainstem offers"


class Script(msgspec.Struct, frozen=True, omit_defaults=True):
    """A library as bridge.js takes it. `path` is its global name, or name.member; `needs` are modules of Node that
    it requires; `builtin` is the module of Node that it is itself, if it is one."""

    path: str
    needs: Sequence[str] = ()
    script: str = ""
    builtin: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """What one function gets: scripts, and the names of documented libraries that are not here."""

    scripts: Sequence[Script]
    missing: Sequence[str]
    install: str = INSTALL


class Library(msgspec.Struct, frozen=True):
    """A documented library: its package, and the entry of the package to be bundled ("" for the package's own)."""

    package: str
    entry: str = ""


BUNDLED: Final[Mapping[str, Library]] = {
    "_": Library("lodash"),
    "moment": Library("moment-timezone"),
    "uuidv5.uuidv5": Library("uuid"),
    "jsonwebtoken": Library("jsonwebtoken"),
    "xml": Library("xml"),
    "xml2js": Library("xml2js"),
    "libphonenumberjslib.libphonenumberjs": Library("libphonenumber-js"),
    "fetchretrylib.fetchretry": Library("fetch-retry"),
}
BUILTIN: Final[Mapping[str, str]] = {"crypto": "crypto", "zlib.zlib": "zlib"}
MISSING: Final = (
    "AWS", "jsforce", "OAuth", "stripe", "twilio", "sendgrid", "google", "winstonlib", "hubspotlib", "mailchimplib",
    "nodemailjet", "skyflowlib", "https",
)  # fmt: skip


class Libraries:
    """The bundles of a folder, read when a function first uses them."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read: dict[str, Script | None] = {}

    def used_by(self, source: str) -> Loaded:
        """The libraries whose global names occur in this code."""
        scripts = [Script(path, builtin=module) for path, module in BUILTIN.items() if _occurs(path, source)]
        missing = [name for name in MISSING if _occurs(name, source)]
        for path in BUNDLED:
            if _occurs(path, source):
                script = self._one(path)
                if script is None:
                    missing.append(path.partition(".")[0])
                else:
                    scripts.append(script)
        return Loaded(scripts, missing)

    def _one(self, path: str) -> Script | None:
        if path not in self._read:
            try:
                text = (self._folder / f"{path}.js").read_text(encoding="utf-8") if self._folder else ""
            except FileNotFoundError:
                text = ""
            self._read[path] = Script(path, _needs(text), text) if text else None
        return self._read[path]


def _occurs(path: str, source: str) -> bool:
    name = path.partition(".")[0]
    return re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", source) is not None


def _needs(script: str) -> list[str]:
    return sorted(set(re.findall(r"require\(\"(?:node:)?([a-z_]+)\"\)", script)))
