"""Access tokens of the Public API: made by owners, shown once, kept as a keyed hash.

A token is `mst_`, 43 characters of base62 (256 random bits) and a checksum of 6, so that scanners can tell
a real one from a typo. Source: Public API reference, "Authentication"; the form is mainstem's own.
"""

from __future__ import annotations

import datetime as dt
import enum
import hmac
import secrets
import zlib
from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, Integer, LargeBinary, String, Table, bindparam, insert, select, update

from mainstem.rest.ids import base58_id
from mainstem.rest.rows import Moment, metadata
from mainstem.vault import Vault

PREFIX: Final = "mst_"
_CHECK_LENGTH: Final = 6
LENGTH: Final = len(PREFIX) + 43 + _CHECK_LENGTH
_AT_ONCE: Final = 500  # hashes in one statement
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

tokens = Table(
    "tokens",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("workspace_id", String, nullable=False),
    Column("description", String, nullable=False),
    Column("access", String, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("user_id", String),
)


_ACTIVE: Final = select(tokens).where(tokens.c.hash == bindparam("wanted"), tokens.c.revoked_at.is_(None))


class Access(enum.StrEnum):
    """What a token may do at most."""

    OWNER = "owner"
    MEMBER = "member"


class Token(msgspec.Struct, frozen=True):
    """A token as listed; the secret itself is not kept. One with a `user_id` acts with the powers of that user."""

    id: str
    workspace_id: str
    description: str
    access: Access
    created_at: dt.datetime
    revoked_at: dt.datetime | None
    user_id: str | None = None


def new_secret() -> str:
    """A fresh secret: prefix, 256 random bits in base62, checksum."""
    body = "".join(secrets.choice(_BASE62) for _ in range(43))
    return PREFIX + body + checksum(body)


def checksum(body: str) -> str:
    """CRC-32 of the random part, as 6 digits of base62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def is_well_formed(secret: str) -> bool:
    """Whether a text has the form of a token, checksum included."""
    body, check = secret[len(PREFIX) : -_CHECK_LENGTH], secret[-_CHECK_LENGTH:]
    return len(secret) == LENGTH and secret.startswith(PREFIX) and checksum(body) == check


def create(
    db: Connection,
    vault: Vault,
    workspace_id: str,
    description: str,
    access: Access,
    now: dt.datetime,
    secret: str,
    user_id: str | None = None,
) -> Token:
    """Keep a token with this secret. The caller shows the secret once and forgets it."""
    token = Token(base58_id(), workspace_id, description, access, now, None, user_id)
    values = msgspec.structs.asdict(token) | {"access": access.value, "hash": vault.keyed_hash(secret.encode())}
    db.execute(insert(tokens).values(values))
    return token


def find_active(db: Connection, vault: Vault, secret: str) -> Token | None:
    """The token with this secret, unless it is unknown or revoked. Read afresh on every call, so a
    revocation holds at once in every process."""
    wanted = vault.keyed_hash(secret.encode())
    row = db.execute(_ACTIVE, {"wanted": wanted}).one_or_none()
    if row is None or not hmac.compare_digest(row.hash, wanted):
        return None
    return _token(row)


def find_all(db: Connection, vault: Vault, secrets: Collection[str]) -> dict[str, Token]:
    """The tokens with these secrets, revoked ones too, by secret; the unknown are left out."""
    by_hash = {vault.keyed_hash(secret.encode(errors="surrogatepass")): secret for secret in secrets}
    hashes, found = list(by_hash), {}
    for start in range(0, len(hashes), _AT_ONCE):
        for row in db.execute(select(tokens).where(tokens.c.hash.in_(hashes[start : start + _AT_ONCE]))):
            found[by_hash[row.hash]] = _token(row)
    return found


def by_hash(db: Connection) -> dict[bytes, Token]:
    """Every token, revoked ones too, by the hash of its secret."""
    return {row.hash: _token(row) for row in db.execute(select(tokens))}


def listed(db: Connection) -> list[Token]:
    """Every token, revoked ones too, oldest first."""
    return [_token(row) for row in db.execute(select(tokens).order_by(tokens.c.seq))]


def revoke(db: Connection, token_id: str, now: dt.datetime) -> Token | None:
    """Revoke an active token for good; None when there is no such active token."""
    active = (tokens.c.id == token_id) & tokens.c.revoked_at.is_(None)
    row = db.execute(select(tokens).where(active)).one_or_none()
    if row is None:
        return None
    db.execute(update(tokens).where(active).values(revoked_at=now))
    return _token(row)


def revoke_of_user(db: Connection, user_id: str, now: dt.datetime) -> list[Token]:
    """Revoke the active tokens that act for a user, for good; returns them."""
    active = (tokens.c.user_id == user_id) & tokens.c.revoked_at.is_(None)
    found = [_token(row) for row in db.execute(select(tokens).where(active).order_by(tokens.c.seq))]
    db.execute(update(tokens).where(active).values(revoked_at=now))
    return found


def _token(row: object) -> Token:
    return msgspec.convert(row, Token, from_attributes=True)
