"""Secrets at rest: sealed with AES-256-GCM under keys derived from 32-byte master keys.

A sealed value is: format (1 byte), key id (4 bytes), nonce (12 bytes), ciphertext with tag. The row's id is
the associated data, so a value copied into another row does not open.

Master keys come from `secret.key` in the data folder, one a line in base64, or from the environment. The first one
seals, the others only open what was sealed before: `mainstem secrets rotate` puts a new one in front, seals
everything again, and takes the others away. Running processes look at the file whenever they seal, which costs a
`stat`, and when they meet a key that they do not know; so all of them use a new key at once.

Keyed hashes (of tokens, and of the audit trail) cannot be made again, since what was hashed is not kept. Their key
is derived from the first master key there was; the first rotation writes it to `hash.key`, sealed under the newest
master key, and it stays the same for ever.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mainstem.errors import MainstemError, SettingsError

KEY_FILE: Final = "secret.key"
HASH_KEY_FILE: Final = "hash.key"
SERVING_FILE: Final = "serving.keys"
GRACE_SECONDS: Final = 60.0  # a forgotten key still opens what was read from the disk before it was forgotten
_FORMAT: Final = b"\x01"
_PREFIX_BYTES: Final = 5
_HASH_KEY_ROW: Final = "hash key"
_READS: Final = 5  # of two files that change one after the other

log: Final = logging.getLogger("mainstem.vault")


class SealBroken(MainstemError, ValueError):
    """A sealed value was changed, moved to another row, or sealed under another key."""


class KeyFile:
    """The master keys of a data folder, one a line: the first seals."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KEY_FILE

    def stamp(self) -> tuple[int, int, int]:
        """What differs after every write; raises OSError."""
        seen = self.path.stat()
        return seen.st_ino, seen.st_mtime_ns, seen.st_size

    def read(self) -> list[bytes]:
        """The keys. Raises SettingsError and OSError."""
        return [_decoded(str(self.path), line) for line in self.path.read_text().split()] or [
            _decoded(str(self.path), "")
        ]

    def write(self, masters: Sequence[bytes]) -> None:
        """Replace them all, at once and durably."""
        _replace(self.path, "".join(f"{base64.b64encode(master).decode()}\n" for master in masters))


class Vault:
    """Seals and opens values, and makes keyed hashes; holds the keys in memory only. Safe to call from several
    threads."""

    def __init__(
        self, master: bytes, old: Sequence[bytes] = (), *, hash_key: bytes | None = None, file: KeyFile | None = None
    ) -> None:
        """`master` is 32 random bytes and seals; `old` ones open. `hash_key` is by default that of the oldest, which
        stands last. `file` is looked at for newer keys."""
        self._file, self._stamp = file, (0, 0, 0)  # so that it is read anew before the first value is sealed
        self._hash_key = hash_key or _derived([master, *old][-1], b"hash")
        self._ciphers: dict[bytes, AESGCM] = {}
        self._forgotten: dict[bytes, float] = {}  # when keys that are gone from the file cease to open
        self._lock = threading.Lock()
        self._take([master, *old])

    @property
    def key_id(self) -> bytes:
        """The id, 4 bytes, of the key that seals."""
        self._notice_new_keys()
        return self._sealing[0]

    @property
    def key_ids(self) -> frozenset[bytes]:
        """The ids of the keys that open."""
        return frozenset(self._ciphers)

    @property
    def sealed_now(self) -> tuple[bytes, bytes]:
        """What sealing makes lies between these two: the first is within, the second beyond."""
        first = _FORMAT + self.key_id
        return first, (int.from_bytes(first) + 1).to_bytes(_PREFIX_BYTES)

    def seal(self, value: bytes, row: str) -> bytes:
        """Encrypt `value` for the row with this id, under the newest key. Called in the transaction that keeps it,
        so that a rotation, which waits for transactions, finds every value under an older key."""
        self._notice_new_keys()
        key_id, cipher = self._sealing
        nonce = os.urandom(12)
        return _FORMAT + key_id + nonce + cipher.encrypt(nonce, value, row.encode())

    def open(self, sealed: bytes, row: str) -> bytes:
        """Decrypt what `seal` made for the same row. Raises SealBroken."""
        cipher = self._cipher_of(sealed)
        if cipher is None:
            raise SealBroken(f"the value of {row} was sealed under another key")
        try:
            return cipher.decrypt(sealed[5:17], sealed[17:], row.encode())
        except InvalidTag:
            raise SealBroken(f"the value of {row} does not open") from None

    def reseal(self, sealed: bytes, row: str) -> bytes:
        """The same value under the newest key. Raises SealBroken."""
        return self.seal(self.open(sealed, row), row)

    def keyed_hash(self, value: bytes) -> bytes:
        """HMAC-SHA256 of `value`: the same for ever, whatever keys come and go, and useless without them."""
        return hmac.digest(self._hash_key, value, "sha256")

    def sealed_hash_key(self) -> bytes:
        """The key of the hashes, sealed."""
        return self.seal(self._hash_key, _HASH_KEY_ROW)

    def _cipher_of(self, sealed: bytes) -> AESGCM | None:
        if sealed[:1] != _FORMAT:
            return None
        key_id = sealed[1:_PREFIX_BYTES]
        if key_id not in self._ciphers:
            self._notice_new_keys()
        if key_id in self._forgotten and self._forgotten[key_id] < time.monotonic():
            return None
        return self._ciphers.get(key_id)

    def _notice_new_keys(self) -> None:
        if self._file is None:
            return
        try:
            if self._file.stamp() == self._stamp:
                return
            with self._lock:
                stamp = self._file.stamp()
                self._take(self._file.read())
                self._stamp = stamp  # last: who sees it must find the keys in use
        except (OSError, SettingsError) as error:
            log.warning("the keys in use stay in use: %s", error)

    def _take(self, masters: Sequence[bytes]) -> None:
        """Use these keys; those in use before go on opening for a while."""
        until = time.monotonic() + GRACE_SECONDS
        known = {_id(master): AESGCM(_derived(master, b"seal")) for master in masters}
        gone = {each: self._forgotten.get(each, until) for each in self._ciphers if each not in known}
        self._ciphers, self._forgotten = {**self._ciphers, **known}, gone
        newest = _id(masters[0])
        self._sealing = newest, known[newest]


def open_vault(folder: Path, secret_key: str, old_secret_keys: Sequence[str] = ()) -> Vault:
    """The vault of a data folder: under `secret_key` (base64) if given, else under the folder's key file, which the
    first start makes (readable by its owner alone). `old_secret_keys` open what was sealed before `secret_key`, the
    oldest last. Raises SettingsError."""
    if secret_key:
        masters = [_decoded("MAINSTEM_SECRET_KEY", secret_key)]
        masters += [_decoded("MAINSTEM_OLD_SECRET_KEYS", each) for each in old_secret_keys]
        return _with_hash_key(folder, masters, None)
    file = KeyFile(folder)
    if not file.path.exists():
        if any(folder.glob("*.db")) or (folder / HASH_KEY_FILE).exists():
            raise SettingsError(f"{file.path} is missing; what is sealed in this folder cannot be read without it")
        _write_first_key(file.path)
    for _ in range(_READS - 1):
        try:
            return _with_hash_key(folder, file.read(), file)
        except SettingsError:
            continue  # a rotation replaced one file after the other was read
    return _with_hash_key(folder, file.read(), file)


def begin_rotation(folder: Path, vault: Vault) -> bool:
    """Put a new key in front of those in the key file of `vault`; running processes seal with it from now on. False
    when a rotation is under way, which then goes on with the key that it made."""
    file = KeyFile(folder)
    masters = file.read()
    if len(masters) > 1:
        return False
    keep_hash_key(folder, vault)
    file.write([secrets.token_bytes(32), *masters])
    return True


def keep_hash_key(folder: Path, vault: Vault) -> None:
    """Write the key of the hashes under the newest master key."""
    _replace(folder / HASH_KEY_FILE, base64.b64encode(vault.sealed_hash_key()).decode() + "\n")


def note_serving(folder: Path, vault: Vault) -> None:
    """Write down which keys the processes of a server know that have them from the environment, by their ids."""
    _replace(folder / SERVING_FILE, "".join(f"{each.hex()}\n" for each in sorted(vault.key_ids)))


def has_served_with(folder: Path, vault: Vault) -> bool:
    """Whether the last server that was started knew the newest key, and so opens what is sealed under it."""
    path = folder / SERVING_FILE
    return path.exists() and vault.key_id.hex() in path.read_text().split()


def end_rotation(folder: Path, vault: Vault) -> None:
    """Forget every key in the file but the newest. Nothing else may be sealed under them any more."""
    keep_hash_key(folder, vault)
    file = KeyFile(folder)
    file.write(file.read()[:1])


def _with_hash_key(folder: Path, masters: Sequence[bytes], file: KeyFile | None) -> Vault:
    vault, path = Vault(masters[0], masters[1:], file=file), folder / HASH_KEY_FILE
    if not path.exists():
        return vault
    try:
        hash_key = vault.open(base64.b64decode(path.read_text()), _HASH_KEY_ROW)
    except ValueError:
        raise SettingsError(f"{path} does not open under this key, and no token is known without it") from None
    return Vault(masters[0], masters[1:], hash_key=hash_key, file=file)


def _derived(master: bytes, purpose: bytes) -> bytes:
    return hmac.digest(master, b"mainstem/" + purpose, "sha256")


def _id(master: bytes) -> bytes:
    return hashlib.sha256(_derived(master, b"id")).digest()[:4]


def _write_first_key(path: Path) -> None:
    new = _written_beside(path, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    try:
        os.link(new, path)  # fails if another process was first; its key is the one
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _replace(path: Path, text: str) -> None:
    _written_beside(path, text).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _written_beside(path: Path, text: str) -> Path:
    new = path.with_suffix(f".{secrets.token_hex(4)}")
    handle = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new


def _decoded(where: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise SettingsError(f"{where}: base64 of 32 bytes is expected") from None
    if len(key) != 32:
        raise SettingsError(f"{where}: base64 of 32 bytes is expected")
    return key
