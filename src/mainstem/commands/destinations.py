"""`mainstem destinations install|list`: what is taken from npm, and what it offers.

Each function writes what it did and returns the exit code; InstallFailed says what stands in the way.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mainstem.destinations.actions import catalogue
from mainstem.packages import install as packages
from mainstem.packages.install import Step
from mainstem.sandbox import libraries
from mainstem.sandbox.deno import find_deno
from mainstem.settings import Settings

Write = Callable[[str], object]

_CATALOGUE: Final = Path(catalogue.__file__).with_name("catalogue.cjs")
_BUNDLER: Final = Path(libraries.__file__).with_name("bundle.cjs")
_MB: Final = 1024 * 1024


def steps() -> Mapping[str, Step | None]:
    """The sets that are installed, in this order, with the last step of each."""
    return {
        "destinations": Step(_write_catalogue, f"{catalogue.FORMAT} {_CATALOGUE.read_text()}"),
        "functions": Step(_bundle_libraries, f"{libraries.BUNDLED} {_BUNDLER.read_text()}"),
        "browser": None,
    }


def install(settings: Settings, write: Write) -> int:
    """Install every set that is not there as this version of mainstem wants it."""
    folder, deno = settings.packages_folder, find_deno()
    for name, step in steps().items():
        if packages.is_current(name, folder, step):
            write(f"{name}: up to date\n")
            continue
        write(f"{name}: installing …\n")
        began = time.monotonic()
        done = packages.install(name, folder, deno, os.environ, step=step, progress=sys.stderr.isatty())
        seconds = time.monotonic() - began
        versions = ", ".join(f"{each} {version}" for each, version in done.packages.items())
        write(f"{name}: {versions}; {done.size_bytes / _MB:.0f} MB in {done.files} files, {seconds:.0f} s\n")
    return 0


def list_destinations(settings: Settings, write: Write) -> int:
    """Write a line for each destination: id, slug, name; and first whether they are installed."""
    folder = settings.packages_folder
    catalogue.use(folder)
    found = catalogue.installed()
    write(f"{_state(folder, len(found))}\n\n")
    for metadata_id, known in (found or catalogue.known()).items():
        write(f"{metadata_id}  {known.slug:<40}  {known.name}\n")
    return 0


def _state(folder: Path, count: int) -> str:
    marker = packages.find_installed("destinations", folder)
    if marker is None or not count:
        return f"Not installed. {catalogue.INSTALL}"
    version = marker.packages.get("@segment/action-destinations", "?")
    text = f"{count} destinations of @segment/action-destinations {version} are installed."
    if packages.is_current("destinations", folder, steps()["destinations"]):
        return text
    return f"{text} This version of mainstem has others: run `mainstem destinations install`."


def _bundle_libraries(folder: Path) -> None:
    libraries.bundle_libraries(folder / "node_modules", folder)


def _write_catalogue(folder: Path) -> None:
    """Have the catalogue written, by a process that may read the set and write nothing else."""
    target = folder / "catalogue"
    target.mkdir()
    command = [
        find_deno(), "run", "--quiet", "--no-prompt", "--no-remote", "--no-npm", "--cached-only", "--no-config",
        "--no-lock", "--node-modules-dir=manual", f"--allow-read={folder}", f"--allow-write={target}",
        "--allow-env", "--allow-sys", str(_CATALOGUE), str(folder),
    ]  # fmt: skip
    packages.run(command, folder, {})
