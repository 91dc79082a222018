"""DuckDB: a warehouse that is one file, in the data folder of mainstem.

The one setting is the file's name. It lies in a folder of its workspace, so that nobody names a file of another
workspace or of the machine; a file that is not there yet is no fault, for the first sync makes it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.warehouses.base import Surroundings, Unreachable, text_of

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.duckdb", re.ASCII)
_CONFIG: Final[dict[str, Any]] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


class DuckDB(msgspec.Struct, frozen=True):
    """The driver of DuckDB."""

    slug: str = "duckdb"
    module: str = "duckdb"
    extra: str = "duckdb"

    def check(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        """See Driver."""
        path = path_of(settings, around)
        if path.is_symlink():
            raise Unreachable("the file is a link to another")
        if path.exists():
            _open(path, read_only=True)
        else:
            _try_out(path)


DUCKDB: Final = DuckDB()


def path_of(settings: Mapping[str, Any], around: Surroundings) -> Path:
    """The file of a warehouse. Raises Unreachable when the setting names none."""
    name = text_of(settings, "file")
    if not _NAME.fullmatch(name):
        raise Unreachable("the setting file is not a name of letters, digits, - and _ that ends in .duckdb")
    return around.folder / name


def _try_out(path: Path) -> None:
    """Make a database beside the one to come, and remove it."""
    trial = path.with_name(f".{secrets.token_hex(8)}.duckdb")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _open(trial, read_only=False)
    except OSError:
        raise Unreachable("its folder cannot be written to") from None
    finally:
        trial.unlink(missing_ok=True)
        trial.with_name(f"{trial.name}.wal").unlink(missing_ok=True)


def _open(path: Path, *, read_only: bool) -> None:
    import duckdb  # an extra

    try:
        with duckdb.connect(path, read_only=read_only, config=_CONFIG) as database:
            database.execute("SELECT 1").fetchall()
    except duckdb.Error as error:
        raise Unreachable(f"the file does not open: {type(error).__name__}") from None
