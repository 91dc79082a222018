"""PostgreSQL, through psycopg.

Settings: hostname, port (5432), database, username, password. The connection is encrypted when the server can. What
libpq would take from the account that mainstem runs under (password file, client certificate, Kerberos ticket) stays
out: the settings are a tenant's, and so may be the server.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem.warehouses.addresses import resolve
from mainstem.warehouses.base import Surroundings, Unreachable, text_of

DEFAULT_PORT: Final = 5432
_ADDRESSES_MAX: Final = 4  # of one name, each with its share of the time
_NO_FILE: Final = str(Path(os.devnull) / "none")
_OWN_ACCOUNT_STAYS_OUT: Final[Mapping[str, Any]] = {
    "passfile": _NO_FILE,
    "sslcert": _NO_FILE,
    "sslkey": _NO_FILE,
    "gssencmode": "disable",
    "sslmode": "prefer",
    "options": "",
}


class Postgres(msgspec.Struct, frozen=True):
    """The driver of PostgreSQL."""

    slug: str = "postgres"
    module: str = "psycopg"
    extra: str = "postgres"

    def check(self, settings: Mapping[str, Any], around: Surroundings) -> None:
        """See Driver."""
        host, port = text_of(settings, "hostname"), _port(settings)
        parameters = {
            "host": host,
            "port": port,
            "dbname": text_of(settings, "database"),
            "user": text_of(settings, "username"),
            # One that is made up, where there is none, keeps libpq from looking for another: the server refuses it,
            # or asks for none.
            "password": str(settings.get("password") or secrets.token_hex()),
        }
        addresses = resolve(host, port, around)[:_ADDRESSES_MAX]
        for number, address in enumerate(addresses[:-1]):
            try:
                return _connect(parameters, address, around.seconds_left / (len(addresses) - number))
            except _NobodyThere:
                continue
        return _connect(parameters, addresses[-1], around.seconds_left)


POSTGRES: Final = Postgres()


class _NobodyThere(Unreachable):
    """Nobody answered at this address, which says nothing of the next."""


def _port(settings: Mapping[str, Any]) -> int:
    text = str(settings.get("port") or DEFAULT_PORT)
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536):
        raise Unreachable("the setting port is not the number of a port")
    return int(text)


def _connect(parameters: Mapping[str, Any], address: str, seconds: float) -> None:
    import psycopg  # an extra

    there = {"hostaddr": address, "connect_timeout": max(1, int(seconds))}
    try:
        psycopg.connect(**{**parameters, **_OWN_ACCOUNT_STAYS_OUT, **there}).close()
    except psycopg.errors.ConnectionTimeout:
        raise _NobodyThere("no answer in time") from None
    except psycopg.OperationalError as error:
        if "FATAL" in str(error):  # libpq tells what the server said in no other way
            raise Unreachable("the server refuses this user, password or database") from None
        raise _NobodyThere("nobody speaks PostgreSQL there") from None
    except psycopg.Error as error:
        raise Unreachable(f"the driver failed: {type(error).__name__}") from None
