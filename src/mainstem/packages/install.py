"""Installs a set of packages into a folder, whole or not at all.

    FOLDER/destinations → destinations-0123456789ab   a link, changed at one stroke
    FOLDER/destinations-0123456789ab/                 named after the digest of what was to be installed
        package.json, deno.lock, node_modules/, installed.json, and what the set's last step made

Deno downloads, from the registry of .npmrc or NPM_CONFIG_REGISTRY, checks every package against the lock, and runs
no scripts of packages. An installation that was interrupted leaves nothing that counts, and the next one clears it
away. The one before the last stays until then, because processes may still run in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import msgspec

from mainstem.errors import InstallFailed

MARKER: Final = "installed.json"
_FILES: Final = ("package.json", "deno.lock")
_STAGING: Final = ".installing-"
_NEEDLESS: Final = (".map", ".d.ts", ".d.mts", ".d.cts")
_SAID_BYTES: Final = 2_000


class Step(msgspec.Struct, frozen=True):
    """What is done with a set once it is downloaded: `run` gets the folder, and may raise InstallFailed; `version`
    is any text that changes when the step does, so that what it made before counts as out of date."""

    run: Callable[[Path], None]
    version: str = ""


class Installed(msgspec.Struct, frozen=True):
    """The marker of an installed set. `digest` is that of the lock and of the last step; `packages` are the
    versions of those that were asked for by name; `size_bytes` and `files` what is left after needless files went."""

    digest: str
    packages: dict[str, str]
    files: int
    size_bytes: int


def digest_of(name: str, step: Step | None = None) -> str:
    """What an installation of this version of mainstem is known by, 64 hexadecimal digits."""
    digest = hashlib.sha256((step.version if step else "").encode())
    for file in _FILES:
        digest.update(b"\0" + (_set(name) / file).read_bytes())
    return digest.hexdigest()


def find_installed(name: str, folder: Path) -> Installed | None:
    """The marker of an installed set, of whatever version; None when it is not installed."""
    try:
        return msgspec.json.decode((folder / name / MARKER).read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError):
        return None


def is_current(name: str, folder: Path, step: Step | None = None) -> bool:
    """Whether what is installed is what this version of mainstem would install."""
    found = find_installed(name, folder)
    return found is not None and found.digest == digest_of(name, step)


def install(
    name: str, folder: Path, deno: str, environment: Mapping[str, str], *, step: Step | None = None, progress: bool
) -> Installed:
    """Install a set and return its marker; `progress`: Deno draws a bar on stderr.

    Raises InstallFailed with what Deno said: no registry, a checksum that is wrong, a full disk.
    """
    folder = folder.absolute()  # Deno runs elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _clear(name, folder)
        staging = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{name}-", dir=folder))
        try:
            marker = _fill(staging, name, deno, environment, step, progress)
            _put_in_place(staging, name, folder, marker.digest)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return marker


def _set(name: str) -> Traversable:
    return resources.files(__package__) / "sets" / name


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InstallFailed(f"another installation into {folder} is under way") from None
        yield


def _clear(name: str, folder: Path) -> None:
    """Remove what interrupted installations left, and sets that are out of use."""
    in_use = (folder / name).resolve().name
    for each in folder.iterdir():
        is_left = each.name.startswith(f"{_STAGING}{name}-")
        is_old = each.name.startswith(f"{name}-") and each.name != in_use
        if each.is_dir() and not each.is_symlink() and (is_left or is_old):
            shutil.rmtree(each)


def _fill(
    staging: Path, name: str, deno: str, environment: Mapping[str, str], step: Step | None, progress: bool
) -> Installed:
    for file in _FILES:
        (staging / file).write_bytes((_set(name) / file).read_bytes())
    cache = staging / ".cache"
    _download(staging, deno, {**environment, "DENO_DIR": str(cache)}, progress)
    shutil.rmtree(cache)  # its files are links to the same bytes
    files, size_bytes = _prune(staging / "node_modules")
    if step:
        step.run(staging)
    wanted = msgspec.json.decode((staging / "package.json").read_bytes())["dependencies"]
    marker = Installed(digest_of(name, step), wanted, files, size_bytes)
    (staging / MARKER).write_bytes(msgspec.json.encode(marker))
    return marker


def _download(staging: Path, deno: str, environment: Mapping[str, str], progress: bool) -> None:
    variables = dict(environment)
    if "npm_config_registry" in variables:  # as npm spells it; Deno knows the other
        variables.setdefault("NPM_CONFIG_REGISTRY", variables["npm_config_registry"])
    run([deno, "install", "--frozen", "--node-modules-dir=auto"], staging, variables, progress=progress)


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str], *, progress: bool = False) -> None:
    """Run a program of an installation to its end. Raises InstallFailed with what it said when it fails."""
    quiet = {} if progress else {"NO_COLOR": "1"}
    ended = subprocess.run(  # noqa: S603  # our own commands
        command,
        cwd=folder,
        env={**variables, **quiet},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if progress else subprocess.PIPE,
        check=False,
    )
    if ended.returncode:
        said = (ended.stderr or b"").decode(errors="replace").partition("Stack backtrace")[0].strip()
        raise InstallFailed(f"the installation failed: {said[-_SAID_BYTES:] or 'see above'}")


def _prune(folder: Path) -> tuple[int, int]:
    """Remove what only developers of the packages need; the number of files that are left, and their bytes."""
    files = size_bytes = 0
    for place, folders, names in os.walk(folder):
        for each in [each for each in folders if each == "__tests__"]:
            shutil.rmtree(Path(place, each))
            folders.remove(each)
        for name in names:
            path = Path(place, name)
            if name.endswith(_NEEDLESS):
                path.unlink()
            elif not path.is_symlink():
                files, size_bytes = files + 1, size_bytes + path.stat().st_size
    return files, size_bytes


def _put_in_place(staging: Path, name: str, folder: Path, digest: str) -> None:
    target = folder / f"{name}-{digest[:12]}"
    if target.exists():  # the same once more, and it may be in use
        target = folder / f"{name}-{digest[:12]}-{staging.name.rpartition('-')[2]}"
    os.sync()  # a marker that outlives a power cut must not stand beside files that did not
    staging.rename(target)
    target.chmod(0o755)
    link = folder / f"{_STAGING}link"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(folder / name)
