"""`mainstem token scan`: finds live access tokens in files and in the history of git repositories.

A token is known by its form, its checksum, and by being one of this instance: what is reported is one. Files are read
as bytes, a block at a time; text in UTF-16 is read too. What is not read is named. Secrets are never written out.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

import msgspec

from mainstem import app
from mainstem.commands.administration import OPERATOR, opened_at_each
from mainstem.commands.terminal import printable
from mainstem.errors import SettingsError
from mainstem.public_api.secret_scanning import expose
from mainstem.rest import tokens
from mainstem.rest.tokens import LENGTH, Token
from mainstem.settings import Settings
from mainstem.vault import Vault

_BLOCK_BYTES: Final = 1024 * 1024
_OVERLAP_BYTES: Final = 2 * LENGTH  # a token that lies across two blocks, in UTF-16 too
_MOST_PLACES: Final = 10  # of one token
_NARROW: Final = re.compile(b"mst_(?=([0-9A-Za-z]{%d}))" % (LENGTH - 4))  # the next may begin in its middle
_WIDE: Final = re.compile(rb"m\x00s\x00t\x00_(?=((?:\x00[0-9A-Za-z]){%d}))" % (LENGTH - 4))  # UTF-16, either order
_PACKED: Final = (b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh", b"7z\xbc\xaf\x27\x1c")
_GIT: Final = (
    "git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "core.quotePath=false",
)  # fmt: skip


class Found(msgspec.Struct):
    """A token, and the first places where it is."""

    token: Token
    places: list[str]
    more: int = 0


class Search:
    """What was found and what could not be read."""

    def __init__(self, vault: Vault, known: dict[bytes, Token]) -> None:
        """`known` are the tokens of this instance by the hash of their secret."""
        self._vault, self._known = vault, known
        self.found: dict[str, Found] = {}
        self.files = self.objects = self.links = self.special = self.strangers = 0
        self.unread: list[str] = []
        self.packed: list[str] = []

    def look(self, blocks: Iterable[bytes], place: Callable[[int], str]) -> None:
        """Look for tokens; `place` names where the line with this number is."""
        for line, secret in secrets_in(blocks):
            token = self._known.get(self._vault.keyed_hash(secret.encode()))
            if token is None:
                self.strangers += 1
                continue
            found = self.found.setdefault(token.id, Found(token, []))
            if len(found.places) >= _MOST_PLACES:
                found.more += 1
                continue
            where = place(line)
            if where not in found.places:
                found.places.append(where)

    @property
    def live(self) -> list[Found]:
        """The tokens that can be used."""
        return [each for each in self.found.values() if each.token.revoked_at is None]


def secrets_in(blocks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The tokens in a text that comes in blocks, each with the number of its line, from 1."""
    kept, line = b"", 1
    for block in blocks:
        text = kept + block
        matches = [*_NARROW.finditer(text), *(_WIDE.finditer(text) if b"\0" in text else ())]
        for match in sorted(matches, key=re.Match.start):
            secret = (match[0] + match[1]).replace(b"\0", b"").decode()
            if match.end(1) > len(kept) and tokens.is_well_formed(secret):
                yield line + text.count(b"\n", 0, match.start()), secret
        line += text.count(b"\n", 0, max(0, len(text) - _OVERLAP_BYTES))
        kept = text[-_OVERLAP_BYTES:]


def run(settings: Settings, paths: Sequence[Path], *, revoke: bool, ask: Callable[[str], bool] | None = None) -> int:
    """Search, tell, and revoke what is live if it is to be, or if whoever is asked agrees. Exit code 1 when live
    tokens were found, else 2 when something could not be read. Raises SettingsError."""
    absent = [each for each in paths if not each.exists()]
    if absent:
        raise SettingsError(f"there is no {absent[0]}")
    with opened_at_each(settings, writes=False) as (folder, *_):
        search = Search(folder.vault, tokens.by_hash(folder.db))
    for path in paths:
        _search(search, path)
    _tell(search)
    live = search.live
    if live and (revoke or (ask is not None and ask(f"Revoke {_count(len(live), 'token')}?"))):
        _revoke(settings, live)
    return 1 if live else 2 if search.unread else 0


def asked(question: str) -> bool:
    """Ask whoever sits at the terminal; nobody there agrees to nothing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _search(search: Search, path: Path) -> None:
    if not path.is_dir():
        _file(search, path)
        return
    waiting, read_by_git = [path], set[Path]()
    while waiting:
        folder = waiting.pop()
        objects = _objects_of(folder)
        if objects is not None and objects not in read_by_git and _history(search, folder):
            read_by_git.add(objects)
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            search.unread.append(f"{folder}: {error.strerror}")
            continue
        for entry in entries:
            each = Path(entry.path)
            if entry.is_symlink():
                search.links += 1
            elif entry.is_file():
                _file(search, each)
            elif not entry.is_dir():
                search.special += 1
            elif each not in read_by_git:
                waiting.append(each)


def _file(search: Search, path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            search.special += 1
            return
        with path.open("rb") as file:
            if file.read(8).startswith(_PACKED):
                search.packed.append(str(path))
            file.seek(0)
            search.look(iter(lambda: file.read(_BLOCK_BYTES), b""), lambda line: f"{path}:{line}")
    except OSError as error:
        search.unread.append(f"{path}: {error.strerror}")
        return
    search.files += 1


# ---- git


def _objects_of(folder: Path) -> Path | None:
    """Where the objects of a repository are, when the folder is one; those of a linked work tree are elsewhere."""
    if (folder / ".git").exists():
        return folder / ".git" / "objects"
    is_bare = (folder / "HEAD").is_file() and (folder / "refs").is_dir() and (folder / "objects").is_dir()
    return folder / "objects" if is_bare else None


def _history(search: Search, repository: Path) -> bool:
    """Look into every object of a repository, whichever branch it is on, or on none; False when git cannot."""
    command = [*_GIT, "-C", str(repository), "cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered"]
    try:
        with subprocess.Popen(  # noqa: S603  # our own words, and a path after -C
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        ) as git:
            assert git.stdout is not None
            _objects(search, repository, git.stdout)
        is_read = git.returncode == 0
    except FileNotFoundError:
        search.unread.append(f"{repository}: its history, as git is not installed")
        return False
    if not is_read:
        search.unread.append(f"{repository}: its history, as `git cat-file` fails on it")
    return is_read


def _objects(search: Search, repository: Path, stream: IO[bytes]) -> None:
    """What `git cat-file --batch` writes: ID TYPE SIZE, and then so many bytes."""
    while header := stream.readline():
        name, kind, size = header.decode().split()
        search.look(_bytes(stream, int(size)), partial(_place, repository, name, kind))
        stream.read(1)
        search.objects += 1


def _bytes(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        block = stream.read(min(size, _BLOCK_BYTES))
        if not block:
            return
        size -= len(block)
        yield block


def _place(repository: Path, name: str, kind: str, line: int) -> str:
    """Where an object is: a file of the commit that brought it, or the object itself."""
    if kind != "blob":
        return f"{repository}: {kind} {name[:12]}"
    command = [*_GIT, "-C", str(repository), "log", "--all", "--reflog", "--no-ext-diff", "--no-textconv", "-m"]
    command += ["--format=%x00%H", "--name-only", f"--find-object={name}"]
    done = subprocess.run(  # noqa: S603  # our own words, and a path after -C
        command, stdin=subprocess.DEVNULL, capture_output=True, env=_environment(), check=False
    )
    commits = [each.split("\n") for each in done.stdout.decode(errors="replace").split("\0") if each.strip()]
    if not commits:
        return f"{repository}: blob {name[:12]}, of no commit"
    commit, *files = (each for each in commits[-1] if each)  # the oldest
    return f"{repository}: commit {commit[:12]}, {files[0] if files else name[:12]}:{line}"


def _environment() -> dict[str, str]:
    """For git: as the operator's, without another repository in it, asking nobody and fetching nothing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAINSTEM_"))}
    return own | {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


# ---- what comes of it


def _tell(search: Search) -> None:
    live = search.live
    for each in live:
        sys.stdout.write(f"{each.token.id}  {printable(each.token.description)}\n")
        sys.stdout.writelines(f"    {printable(place)}\n" for place in each.places)
        if each.more:
            sys.stdout.write(f"    and in {_count(each.more, 'more place')}\n")
    if not live:
        sys.stdout.write("No live token was found.\n")
    read = f"{_count(search.files, 'file')} and {_count(search.objects, 'git object')} were read"
    passed = f"{_count(search.links, 'link')} and {_count(search.special, 'special file')} were passed over"
    sys.stderr.write(f"mainstem: {read}; {passed}\n")
    revoked = len(search.found) - len(live)
    if revoked:
        sys.stderr.write(f"mainstem: {_count(revoked, 'token')} of these places no longer work\n")
    if search.strangers:
        sys.stderr.write(f"mainstem: {_count(search.strangers, 'token')} there are of no use here\n")
    for each_packed in search.packed:
        sys.stderr.write(f"mainstem: not unpacked: {printable(each_packed)}\n")
    for each_unread in search.unread:
        sys.stderr.write(f"mainstem: not read: {printable(each_unread)}\n")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _revoke(settings: Settings, live: Sequence[Found]) -> None:
    now = app.utc_now()
    with opened_at_each(settings, writes=True) as (folder, *_):
        revoked = [each for each in live if expose(folder.db, folder.vault, each.token, now, OPERATOR)]
    sys.stdout.writelines(f"Token {each.token.id} is revoked.\n" for each in revoked)
