"""Secrets at rest: sealed with AES-256-GCM under keys derived from one 32-byte master key.

A sealed value is: format (1 byte), key id (4 bytes), nonce (12 bytes), ciphertext with tag. The row's id is
the associated data, so a value copied into another row does not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mainstem.errors import MainstemError, SettingsError

_FORMAT: Final = b"\x01"


class SealBroken(MainstemError, ValueError):
    """A sealed value was changed, moved to another row, or sealed under another key."""


class Vault:
    """Seals and opens values, and makes keyed hashes; holds the keys in memory only."""

    def __init__(self, master: bytes) -> None:
        """`master` is 32 random bytes."""
        self._cipher = AESGCM(self._derived(master, b"seal"))
        self._hash_key = self._derived(master, b"hash")
        self.key_id = hashlib.sha256(self._derived(master, b"id")).digest()[:4]

    @staticmethod
    def _derived(master: bytes, purpose: bytes) -> bytes:
        return hmac.digest(master, b"mainstem/" + purpose, "sha256")

    def seal(self, value: bytes, row: str) -> bytes:
        """Encrypt `value` for the row with this id."""
        nonce = os.urandom(12)
        return _FORMAT + self.key_id + nonce + self._cipher.encrypt(nonce, value, row.encode())

    def open(self, sealed: bytes, row: str) -> bytes:
        """Decrypt what `seal` made for the same row. Raises SealBroken."""
        if sealed[:5] != _FORMAT + self.key_id:
            raise SealBroken(f"the value of {row} was sealed under another key")
        try:
            return self._cipher.decrypt(sealed[5:17], sealed[17:], row.encode())
        except InvalidTag:
            raise SealBroken(f"the value of {row} does not open") from None

    def keyed_hash(self, value: bytes) -> bytes:
        """HMAC-SHA256 of `value`: the same for ever, and useless without the key."""
        return hmac.digest(self._hash_key, value, "sha256")


def open_vault(folder: Path, secret_key: str) -> Vault:
    """The vault of a data folder: under `secret_key` (base64) if given, else under the folder's key file,
    which the first start makes (readable by its owner alone). Raises SettingsError."""
    if secret_key:
        return Vault(_decoded("MAINSTEM_SECRET_KEY", secret_key))
    path = folder / "secret.key"
    if not path.exists():
        if any(folder.glob("*.db")):
            raise SettingsError(f"{path} is missing; what is sealed in this folder cannot be read without it")
        _write_key(path)
    return Vault(_decoded(str(path), path.read_text().strip()))


def _write_key(path: Path) -> None:
    new = path.with_suffix(f".{secrets.token_hex(4)}")
    handle = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)  # fails if another process was first; its key is the one
    except FileExistsError:
        pass
    finally:
        new.unlink()


def _decoded(where: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise SettingsError(f"{where}: base64 of 32 bytes is expected") from None
    if len(key) != 32:
        raise SettingsError(f"{where}: base64 of 32 bytes is expected")
    return key
