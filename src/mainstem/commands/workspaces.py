"""`mainstem workspace list|create|export|import|pull`: whole workspaces, at the terminal.

Exit codes: 0 when all is well, 1 when something cannot be done (nothing was, then), 2 for an import that differs from
the workspace and was not applied.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec
from sqlalchemy import Connection

from mainstem import app
from mainstem.commands.administration import OPERATOR, chosen, demand_started
from mainstem.commands.terminal import printable
from mainstem.errors import SettingsError
from mainstem.public_api import labels, workspaces
from mainstem.public_api.iam import invites
from mainstem.public_api.workspaces import Workspace
from mainstem.rest import audit, tokens
from mainstem.rest.dispatch import Dispatcher
from mainstem.rest.tokens import Access, Token
from mainstem.rest.wire import decode
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault
from mainstem.workspace_files import pulling, terraform
from mainstem.workspace_files.asking import InProcess
from mainstem.workspace_files.document import Document, Progress, parse, read_workspace, text_of
from mainstem.workspace_files.importing import Importer, KnownByFile, Outcome
from mainstem.workspace_files.kinds import Reading, Watch
from mainstem.workspace_files.secrets import Given, read_given
from mainstem.workspace_files.untold import Tables

DIFFERS: Final = 2
PULL_TOKEN: Final = "MAINSTEM_PULL_TOKEN"  # noqa: S105  # the name of a variable
_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_BAR: Final = 24


# ---- list and create


def show_all(settings: Settings) -> int:
    """Print the workspaces of the instance, oldest first."""
    demand_started(settings)
    with closing(app.open_control(settings)) as control, control.transaction(writes=False) as db:
        found = workspaces.listed(db)
    sys.stdout.write(f"{'ID':<24}{'SLUG':<32}NAME\n")
    for each in found:
        sys.stdout.write(f"{each.id:<24}{each.slug:<32}{printable(each.name)}\n")
    return 0


def create(settings: Settings, name: str, slug: str, owner: str) -> int:
    """Make a workspace with an owner, the default labels and spaces, and print the secret of its owner token. Raises
    SettingsError for a slug that is taken or malformed, and InputInvalid for what is no address."""
    wanted = slug or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not name.strip() or not _SLUG.match(wanted):
        raise SettingsError("a name, and a --slug of small letters, digits and single hyphens, are needed")
    address, secret = decode({"email": owner}, invites.Invite).email, tokens.new_secret()
    demand_started(settings)
    vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
    with closing(app.open_control(settings)) as control, control.transaction(writes=True) as db:
        if wanted in {each.slug for each in workspaces.listed(db)}:
            raise SettingsError(f"--slug: there is a workspace {wanted} already")
        made = workspaces.create(db, name.strip(), wanted, address, app.utc_now())
        _equip(db, vault, made, secret)
    sys.stdout.write(f"{secret}\n")
    sys.stderr.write(
        f"Workspace {made.slug} was made, with id {made.id}. The secret of its owner token above is shown only this "
        "once.\n"
    )
    return 0


def _equip(db: Connection, vault: Vault, made: Workspace, secret: str) -> None:
    labels.add_default_labels(db, made.id)
    now = app.utc_now()
    token = tokens.create(db, vault, made.id, "First owner token", Access.OWNER, now, secret)
    audit.record(
        db, vault, workspace_id=made.id, at=now, type="Access Token Created", actor=OPERATOR,
        resource_type="TOKEN", resource_id=token.id, resource_name=token.description,
    )  # fmt: skip


# ---- the operations, in process


class _Writer(InProcess):
    """The operations of this process, and what has none."""

    def __init__(self, opened: _Opened, learned: KnownByFile) -> None:
        super().__init__(opened.dispatcher, opened.db, opened.token, learned)
        self.untold = opened.untold


class _Opened(msgspec.Struct, frozen=True):
    """A data folder in a transaction, at one workspace."""

    db: Connection
    vault: Vault
    workspace: Workspace
    dispatcher: Dispatcher

    @property
    def token(self) -> Token:
        """Who acts."""
        return Token(OPERATOR, self.workspace.id, OPERATOR, Access.OWNER, app.utc_now(), None)

    @property
    def untold(self) -> Tables:
        """What has no operation."""
        return Tables(self.db, self.vault, self.workspace.id, OPERATOR, app.utc_now)


@contextmanager
def _opened(settings: Settings, *, writes: bool) -> Iterator[_Opened]:
    demand_started(settings)
    vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
    with closing(app.open_control(settings)) as control:
        dispatcher = app.operations(settings, control, vault)
        with control.transaction(writes=writes) as db:
            yield _Opened(db, vault, chosen(db, settings.workspace), dispatcher)


# ---- export and pull


def export(settings: Settings, format: str, out: Path | None, keys: Path | None = None) -> int:
    """Write the whole workspace as JSON to `out` or to standard output, or as Terraform to the folder `out`; and its
    write keys to the file `keys`, as `import --secrets` takes them.

    Everything is read as of one moment, while others write. Then that it was is written to the audit trail."""
    readings: list[Reading] = []
    trail: list[dict[str, Any]] = []
    with _opened(settings, writes=False) as it:
        api = InProcess(it.dispatcher, it.db, it.token, write=lambda **row: trail.append(row))
        document = read_workspace(api, untold=it.untold, seen=readings.append)
    if trail:
        with _opened(settings, writes=True) as it:
            for row in trail:
                audit.record(it.db, it.vault, **row)
    text = text_of(document) if format == "json" else terraform.text_of(document)
    _write(text, out / "main.tf" if out is not None and format == "terraform" else out)
    _write_keys(readings[0], keys)
    return 0


def _write_keys(reading: Reading, out: Path | None) -> None:
    """Write the write keys of sources by their names, for nobody else to read."""
    if out is not None:
        found = {name: value for name, value in reading.hiding.found.items() if "/writeKeys/" in name}
        _write(json.dumps(found, indent=2) + "\n", out, mode=0o600)


def _write(text: str, out: Path | None, *, mode: int = 0o666) -> None:
    """Write a whole file or leave what was there as it is."""
    if out is None:
        sys.stdout.write(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists() and not out.is_file():  # a pipe or a device
        out.write_text(text, encoding="utf-8")
        return
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    sys.stderr.write(f"{out} was written.\n")


def pull(
    settings: Settings,
    url: str,
    out: Path | None,
    keys: Path | None = None,
    environment: dict[str, str] | None = None,
) -> int:
    """Read a workspace from a server that speaks the same API, and write it as JSON, and its write keys to the file
    `keys`. Nothing is written unless everything was read. The token comes from
    MAINSTEM_PULL_TOKEN, else it is asked for. Sections that the server refuses are reported."""
    token = (os.environ if environment is None else environment).get(PULL_TOKEN) or _asked_token()
    bar = Bar(sys.stderr)
    remote = pulling.Remote(url, token, default_rate=settings.default_rate_limit, say=bar.say)
    readings: list[Reading] = []
    document = read_workspace(remote, bar, may_skip=True, seen=readings.append)
    _write(text_of(document), out)
    _write_keys(readings[0], keys)
    for section, reason in document.skipped.items():
        _say(f"{section}: skipped, {printable(reason)}")
    return 0


def _asked_token() -> str:
    if not sys.stdin.isatty():
        raise SettingsError(f"{PULL_TOKEN} is needed: a token of the other server")
    return getpass.getpass("Token of the other server: ")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class Bar(Progress):
    """A line for each section: it grows on a terminal, and comes whole elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._grows = stream, stream.isatty()

    def section(self, name: str) -> Watch:
        """See Progress."""

        def watch(got: int, total: int) -> None:
            if self._grows:
                filled = _BAR * got // max(total, got, 1)
                self._stream.write(f"\r{name:<26}[{'#' * filled:<{_BAR}}] {got}{f' of {total}' if total else ''} ")
                self._stream.flush()

        watch(0, 0)
        return watch

    def say(self, text: str) -> None:
        """A line of its own."""
        start = "\r\x1b[K" if self._grows else ""
        self._stream.write(f"{start}{printable(text)}\n")
        self._stream.flush()

    def ended(self, name: str, count: int, skipped: str) -> None:
        """See Progress."""
        start = "\r\x1b[K" if self._grows else ""
        self._stream.write(f"{start}{name:<26}{'skipped' if skipped else count}\n")
        self._stream.flush()


# ---- import


class _NotKept(Exception):
    """Takes everything back that was done in the transaction."""


def import_file(
    settings: Settings, file: Path, *, is_plan: bool, is_sure: bool, prune: bool, secrets: Path | None
) -> int:
    """Bring the workspace to what the file says: the difference is said first, then, unless `is_plan`, applied as
    one, after a question unless `is_sure`."""
    wanted, given = parse(file), read_given(secrets, os.environ)
    found = _run(settings, wanted, given, prune=prune, keep=lambda _outcome: False)
    _tell(found)
    if not found.is_possible:
        return 1
    if not found.changes:
        return 0
    if is_plan:
        return DIFFERS
    if not is_sure and not _agreed():
        return DIFFERS
    done = _run(settings, wanted, given, prune=prune, keep=lambda outcome: outcome.changes == found.changes)
    if done.changes != found.changes:
        sys.stderr.write("mainstem: the workspace was changed meanwhile; nothing was applied. Try again.\n")
        return 1
    sys.stdout.write(f"Applied: {_count(len(done.changes))}.\n")
    return 0


def _run(
    settings: Settings, wanted: Document, given: Given, *, prune: bool, keep: Callable[[Outcome], bool]
) -> Outcome:
    """Do it all in one transaction, and keep it if all went well and `keep` says so."""
    outcome: Outcome | None = None
    try:
        with _opened(settings, writes=True) as it:
            writer = _Writer(it, KnownByFile(app.learned(settings), wanted))
            readings: list[Reading] = []
            now = read_workspace(writer, untold=it.untold, seen=readings.append)
            importer = Importer(writer, it.db, wanted, now, readings[0].hiding.found, given)
            outcome = importer.run(prune=prune)
            if not outcome.is_possible or not keep(outcome):
                raise _NotKept
    except _NotKept:
        assert outcome is not None
        return outcome
    for call in writer.calls:
        it.dispatcher.committed(call)
    return outcome


def _tell(found: Outcome) -> None:
    for line in found.changes or ["Nothing to change."]:
        sys.stdout.write(f"{printable(line)}\n")
    for line in found.notes:
        sys.stdout.write(f"note: {printable(line)}\n")
    sys.stdout.flush()
    for line in found.problems:
        sys.stderr.write(f"mainstem: {printable(line)}\n")
    if found.missing:
        sys.stderr.write("mainstem: these secrets are needed, in the file of --secrets or as variables:\n")
        sys.stderr.write("".join(f"  {printable(name)}\n" for name in found.missing))
    if not found.is_possible:
        sys.stderr.write("mainstem: nothing can be applied until this is mended.\n")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise SettingsError("give --yes to apply this, or --plan to see it only")
    sys.stdout.write("Apply this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _count(number: int) -> str:
    return f"{number} change{'' if number == 1 else 's'}"
