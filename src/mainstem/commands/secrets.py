"""`mainstem secrets rotate`: a new key for all that is sealed, while a server runs.

A new key is put in front of the old one, and every process seals with it from then on. Then everything is sealed
again, in short transactions; at the end the old key is forgotten. When it is interrupted, the next call goes on.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem import app
from mainstem.commands.administration import demand_started, opened_at_each, record
from mainstem.engines import sealed_files
from mainstem.errors import FolderInUse, MainstemError, SettingsError
from mainstem.public_api import sealed
from mainstem.rest import audit
from mainstem.settings import Settings
from mainstem.vault import Vault, begin_rotation, end_rotation, has_served_with, keep_hash_key, open_vault

_ROUNDS: Final = 5  # the second one finds nothing, unless somebody writes with a key that is gone
_SHOWN: Final = 10  # values that do not open, by name


class NotResealed(MainstemError):
    """Something is still sealed under an old key, which is therefore kept."""


class Count(msgspec.Struct):
    """What became of values."""

    resealed: int = 0
    broken: list[str] = []

    def add(self, rows: int, broken: Sequence[str]) -> None:
        """Count a step."""
        self.resealed += rows
        self.broken += broken


def rotate(settings: Settings) -> int:
    """Make a new key, seal everything under it, and forget the old one; with keys from the environment the first two
    words are the operator's. Raises SettingsError, FolderInUse and NotResealed."""
    demand_started(settings)
    with _alone(settings.data):
        vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
        _check(settings, vault)
        _begin(settings, vault)
        resealed = _everything(settings, vault)
        if settings.secret_key:
            keep_hash_key(settings.data, vault)
        else:
            end_rotation(settings.data, vault)
        _record(settings)
    sys.stdout.write(f"{resealed} values are sealed under the new key. ")
    if settings.secret_key:
        sys.stdout.write("MAINSTEM_OLD_SECRET_KEYS is needed no more.\n")
    else:
        sys.stdout.write("The old key is forgotten: it opens backups alone.\n")
    return 0


def _check(settings: Settings, vault: Vault) -> None:
    with closing(app.open_control(settings)) as control, control.transaction(writes=False) as db:
        if not audit.is_kept_under(db, vault):
            raise SettingsError(f"the key of {settings.data} is not the one that it was written with")


def _begin(settings: Settings, vault: Vault) -> None:
    if not settings.secret_key:
        if not begin_rotation(settings.data, vault):
            sys.stdout.write("A rotation was interrupted; this goes on with it.\n")
        return
    if not settings.old_secret_keys:
        raise SettingsError(
            "MAINSTEM_SECRET_KEY is the only key: give a new one, and this one as MAINSTEM_OLD_SECRET_KEYS, to the "
            "server and to this command"
        )
    if not has_served_with(settings.data, vault):
        raise SettingsError("the server does not know MAINSTEM_SECRET_KEY yet: start it again with both keys")


def _everything(settings: Settings, vault: Vault) -> int:
    """Seal again until nothing is found under an old key; returns how many values were. Raises NotResealed."""
    total = 0
    for _ in range(_ROUNDS):
        count = Count()
        _control(settings, vault, count)
        for each in sealed_files.SEALED_FILES:
            for step in _considerate(sealed_files.reseal(settings.data, each, vault)):
                count.add(step.rows, step.broken)
        total += count.resealed
        if count.broken:
            named = "".join(f"\n  {name}" for name in count.broken[:_SHOWN])
            raise NotResealed(f"{len(count.broken)} values do not open, so the old key is kept:{named}")
        if not count.resealed:
            return total
    raise NotResealed("something goes on sealing with the old key, which is kept; start the server again")


def _control(settings: Settings, vault: Vault, count: Count) -> None:
    with closing(app.open_control(settings)) as control:
        for column in sealed.SEALED:
            for step in _considerate(_column(control, vault, column)):
                count.add(step.rows, step.broken)


def _column(control: Any, vault: Vault, column: sealed.Sealed) -> Iterator[sealed.Resealed]:
    after: Any = None
    while True:
        with control.transaction(writes=True) as db:
            step = sealed.reseal(db, vault, column, after)
        yield step
        if step.after is None:
            return
        after = step.after


def _considerate(steps: Iterator[Any]) -> Iterator[Any]:
    """The steps, with as long a pause after each as it took: others wait for the same lock."""
    began = time.monotonic()
    for step in steps:
        yield step
        time.sleep(time.monotonic() - began if step.rows else 0)
        began = time.monotonic()


def _record(settings: Settings) -> None:
    with opened_at_each(settings, writes=True) as folders:
        for folder in folders:
            record(folder, "Secret Key Rotated", "WORKSPACE", folder.workspace_id, "secret key")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second rotation out. Raises FolderInUse."""
    with (folder / "rotate.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"another `mainstem secrets rotate` runs on {folder}") from None
        yield
