"""The libraries that functions find as global names, each bundled to one script when it is installed.

Source: Functions documentation, "Runtime and dependencies"; which of them exist here is told in
docs/guides/functions.md.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mainstem.errors import InstallFailed
from mainstem.sandbox.deno import ENVIRONMENT, find_deno

INSTALL: Final = "`mainstem destinations install` brings those that mainstem offers"
_BUNDLER: Final = Path(__file__).with_name("bundle.cjs")
_SAID: Final = 2_000


class Script(msgspec.Struct, frozen=True):
    """A library as bridge.js takes it. `path` is its global name, or name.member; `needs` are modules of Node that
    it requires; `builtin` is the module of Node that it is itself, if it is one (of https, what https.js makes)."""

    path: str
    needs: Sequence[str] = ()
    script: str = ""
    builtin: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """What one function gets: scripts, and for each documented library that is not here why not."""

    scripts: Sequence[Script]
    missing: Mapping[str, str]


BUNDLED: Final[Mapping[str, str]] = {  # global name, or name.member: what is required
    "_": "lodash",
    "moment": "moment-timezone",
    "uuidv5.uuidv5": "uuidv5",
    "jsonwebtoken": "jsonwebtoken",
    "xml": "xml",
    "xml2js": "xml2js",
    "libphonenumberjslib.libphonenumberjs": "libphonenumber-js",
    "fetchretrylib.fetchretry": "fetch-retry",
    "stripe": "./stripe/cjs/stripe.cjs.worker.js",  # its build that uses fetch
}
BUILTIN: Final[Mapping[str, str]] = {"crypto": "crypto", "https": "https", "zlib.zlib": "zlib"}
_NO_FETCH: Final = "is not among the libraries of mainstem, because it makes connections of its own: use fetch"
_CONNECTING: Final = (
    "AWS", "OAuth", "google", "hubspotlib", "jsforce", "mailchimplib", "nodemailjet", "sendgrid",
    "skyflowlib", "twilio",
)  # fmt: skip
ABSENT: Final[Mapping[str, str]] = {
    **dict.fromkeys(_CONNECTING, _NO_FETCH),
    "winstonlib": "is not among the libraries of mainstem: use console",
}


def bundle_libraries(node_modules: Path, out: Path) -> None:
    """Write a script for each of BUNDLED into the folder `out`, in a process that may read `node_modules` and write
    there, and nothing else. Raises SandboxUnavailable without Deno, InstallFailed with what stands in the way."""
    out.mkdir(parents=True, exist_ok=True)
    readable, writable = node_modules.resolve(), out.resolve()
    command = [
        find_deno(), "run", "--quiet", "--no-prompt", "--no-remote", "--no-npm", "--cached-only", "--no-config",
        "--no-lock", "--no-code-cache", "--node-modules-dir=manual", f"--allow-read={readable}",
        f"--allow-write={writable}", str(_BUNDLER), str(readable), str(writable),
        msgspec.json.encode(BUNDLED).decode(),
    ]  # fmt: skip
    ended = subprocess.run(command, env=ENVIRONMENT, cwd="/", capture_output=True, check=False)  # noqa: S603  # ours
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()
        raise InstallFailed(f"the libraries of functions cannot be bundled: {said[:_SAID]}")


class Libraries:
    """The bundles of a folder, read when a function first uses them."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read: dict[str, Script] = {}

    def used_by(self, source: str) -> Loaded:
        """The libraries whose global names occur in this code."""
        scripts = [Script(path, builtin=module) for path, module in BUILTIN.items() if _occurs(path, source)]
        missing = {name: why for name, why in ABSENT.items() if _occurs(name, source)}
        for path in BUNDLED:
            if _occurs(path, source):
                script = self._one(path)
                if script is None:
                    missing[path.partition(".")[0]] = f"is not installed: {INSTALL}"
                else:
                    scripts.append(script)
        return Loaded(scripts, missing)

    def _one(self, path: str) -> Script | None:
        if path not in self._read and self._folder is not None:
            try:
                text = (self._folder / f"{path}.js").read_text(encoding="utf-8")
            except OSError:
                return None
            self._read[path] = Script(path, _needs(text), text)
        return self._read.get(path)


def _occurs(path: str, source: str) -> bool:
    name = path.partition(".")[0]
    return re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", source) is not None


def _needs(script: str) -> list[str]:
    """The modules of Node that the first line of a bundle names."""
    return [name for name in script.partition("\n")[0].removeprefix("//").split(",") if name]
