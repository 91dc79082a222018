"""The public keys that sign reports of leaked tokens: a published list, fetched when it is needed, or a file.

Both have GitHub's form: {"public_keys": [{"key_identifier": "…", "key": "-----BEGIN PUBLIC KEY-----…"}]}, with keys
of ECDSA on the curve P-256. Source: GitHub's documentation, "Secret scanning partner program".
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import msgspec

from mainstem import web
from mainstem.errors import MainstemError, SettingsError

if TYPE_CHECKING:  # imported where a report comes in: most instances never get one
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

log: Final = logging.getLogger("mainstem.public_api")
GITHUB: Final = "https://api.github.com/meta/public_keys/secret_scanning"
FETCH_SECONDS: Final = 5.0
FRESH_SECONDS: Final = 3600.0  # after which the list is asked for again, by its ETag
STALE_SECONDS: Final = 24 * 3600.0  # after which a list that could not be fetched again is believed no more
REFETCH_SECONDS: Final = 30.0  # between two fetches for the sake of ids that are not on the list
_WAITING: Final = 2  # calls that may wait for a fetch; the others of the API's threads stay free
_LIST_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 1000


class KeysUnavailable(MainstemError):
    """The list of keys cannot be fetched now."""


class NoKeys(MainstemError, ValueError):
    """This is no list of keys."""


class _Key(msgspec.Struct):
    key_identifier: str
    key: str


class _Keys(msgspec.Struct):
    public_keys: list[_Key]


Keys = Mapping[str, "EllipticCurvePublicKey"]


class ScannerKeys(Protocol):
    """Where the key of a report is looked up."""

    def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """The key with this id. Raises KeysUnavailable."""


class Fetched(msgspec.Struct, frozen=True):
    """An answer of who publishes the list: `text` is None when it is still the one with the ETag that was sent."""

    text: bytes | None
    etag: str = ""


Fetch = Callable[[str, str], Fetched]
"""Fetch a URL unless it has this ETag. Raises OSError."""


def fetch(url: str, etag: str) -> Fetched:
    """See Fetch."""
    headers = {"Accept": "application/json", "User-Agent": "mainstem"} | ({"If-None-Match": etag} if etag else {})
    reply = web.ask(url, headers, timeout_seconds=FETCH_SECONDS, most_bytes=_LIST_BYTES)
    if reply.status == 304 and etag:
        return Fetched(None, etag)
    if not 200 <= reply.status < 300:
        raise OSError(f"status {reply.status}")
    return Fetched(reply.body, reply.headers.get("etag", ""))


class PublishedKeys:
    """The keys of a published list, kept in memory. Safe to call from several threads."""

    def __init__(self, url: str, *, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds since whenever."""
        self._url, self._fetch, self._clock = url, fetch, clock
        self._keys: Keys = {}
        self._etag = ""
        self._confirmed_at = self._tried_at = float("-inf")
        self._lock, self._places = threading.Lock(), threading.BoundedSemaphore(_WAITING)

    def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """See ScannerKeys. The list is fetched for an id that is not on it, though not at every call."""
        if not self._is_due(key_id):
            return self._known(key_id)
        if not self._places.acquire(blocking=False):
            return self._known(key_id) or self._not_now()
        try:
            with self._lock:
                if self._is_due(key_id):
                    self._refresh()
        finally:
            self._places.release()
        return self._known(key_id)

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        is_settled = key_id in self._keys and now - self._confirmed_at < FRESH_SECONDS
        return not is_settled and now - self._tried_at >= REFETCH_SECONDS

    def _known(self, key_id: str) -> EllipticCurvePublicKey | None:
        if self._clock() - self._confirmed_at >= STALE_SECONDS:
            self._not_now()
        return self._keys.get(key_id)

    def _not_now(self) -> NoReturn:
        raise KeysUnavailable("the keys that sign reports of leaked tokens cannot be fetched")

    def _refresh(self) -> None:
        now = self._clock()
        try:
            answer = self._fetch(self._url, self._etag)
            if answer.text is not None:
                self._keys, self._etag = read_keys(answer.text), answer.etag
        except (OSError, NoKeys) as error:
            reason = getattr(error, "reason", error)
            log.warning("the keys that sign reports of leaked tokens were not fetched: %s", reason)
        else:
            self._confirmed_at = now
        self._tried_at = now  # last: until then others wait


class PinnedKeys:
    """The keys of a file, and no others."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """See ScannerKeys."""
        return self._keys.get(key_id)


class EitherKeys:
    """Keys of a file, or else of a list."""

    def __init__(self, first: ScannerKeys, second: ScannerKeys) -> None:
        self._first, self._second = first, second

    def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """See ScannerKeys."""
        return self._first.find(key_id) or self._second.find(key_id)


def open_keys(scanning: str, pinned: Path | None) -> ScannerKeys | None:
    """The keys of the settings --secret-scanning and --secret-scanning-keys; None when neither is given. Raises
    SettingsError."""
    from_file = None if pinned is None else PinnedKeys(read_pinned(pinned))
    if not scanning:
        return from_file
    published = PublishedKeys(GITHUB if scanning == "github" else scanning)
    return published if from_file is None else EitherKeys(from_file, published)


def read_pinned(path: Path) -> Keys:
    """The keys of a file. Raises SettingsError."""
    try:
        keys = read_keys(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"--secret-scanning-keys {path}: {error.strerror}") from None
    except NoKeys as error:
        raise SettingsError(f"--secret-scanning-keys {path}: {error}") from None
    if not keys:
        raise SettingsError(f"--secret-scanning-keys {path}: there is no ECDSA key on the curve P-256 in it")
    return keys


def read_keys(text: bytes) -> Keys:
    """The keys of a list, those of another kind left out. Raises NoKeys."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        listed = msgspec.json.decode(text, type=_Keys).public_keys[:_MOST_KEYS]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoKeys(f"no list of keys: {error}") from None
    keys = {}
    for each in listed:
        try:
            key = load_pem_public_key(each.key.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            keys[each.key_identifier] = key
        else:
            log.warning("the key %r is not used: it is not of ECDSA on the curve P-256", each.key_identifier[:100])
    return keys


def is_signed(key: EllipticCurvePublicKey, signature: str, body: bytes) -> bool:
    """Whether `signature`, base64 of an ASN.1 DER signature with SHA-256, is one of these bytes as they came."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(base64.b64decode(signature, validate=True), body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
