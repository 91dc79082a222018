"""How mainstem connects to PostgreSQL.

What the operator does not say in the URL is set so that a server that is gone is noticed within seconds. Errors are
told in a line that holds neither the password nor values of rows.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import Error, conninfo

from mainstem.errors import EngineUnavailable

DEFAULTS: Final = {
    "application_name": "mainstem",
    "connect_timeout": "5",  # seconds, for each address of the host
    "tcp_user_timeout": "10000",  # milliseconds that the server may leave unanswered what was sent
    "keepalives_idle": "10",  # seconds
    "keepalives_interval": "5",
    "keepalives_count": "2",
}


def parameters(url: str) -> dict[str, Any]:
    """The parameters of libpq for a URL. Raises EngineUnavailable when libpq does not understand it."""
    try:
        given = conninfo.conninfo_to_dict(url)
    except Error:  # its message may quote what it could not read, the password included
        raise EngineUnavailable("--database: PostgreSQL's library does not understand this URL") from None
    return DEFAULTS | given


def said(error: BaseException | None) -> str:
    """What a driver's error says, in one line, without the values that PostgreSQL adds as a detail."""
    diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
    return " ".join((diagnosis or str(error)).split())
