"""OAuth 2 clients: how this instance is known to the providers whose destinations are authorized by it.

An operator registers mainstem with a provider and writes what the provider answered in a file (--oauth-clients):

    {"61957755c4d820be968457de": {
        "clientId": "…", "clientSecret": "…", "authorizeUrl": "https://…", "tokenUrl": "https://…",
        "scopes": ["api", "refresh_token"], "parameters": {"access_type": "offline"}, "clientAuth": "basic"}}

by the id of the destination's type. `scopes`, `parameters` (more for the authorization URL) and `clientAuth` (how the
client proves itself for tokens: "body", the default, or "basic") may be left out.
Source: RFC 6749; the file is mainstem's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from mainstem.errors import SettingsError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OAuthClient(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What a provider knows this instance by, and where it is asked."""

    client_id: str
    client_secret: str
    authorize_url: str
    token_url: str
    scopes: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    client_auth: Literal["body", "basic"] = "body"

    def __repr__(self) -> str:
        return f"OAuthClient({self.token_url})"  # never the secret

    def for_runner(self) -> dict[str, Any]:
        """What the runner of actions refreshes tokens with."""
        return {
            "clientId": self.client_id,
            "clientSecret": self.client_secret,
            "refresh_token_url": self.token_url,
        }


def read_clients(path: Path | None) -> Mapping[str, OAuthClient]:
    """The clients in a file by the id of the destination's type; none without a file. Raises SettingsError, which
    names the fault and no secret."""
    if path is None:
        return {}
    try:
        clients = msgspec.json.decode(path.read_bytes(), type=dict[str, OAuthClient])
    except OSError as error:
        raise SettingsError(f"--oauth-clients {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(f"--oauth-clients {path}: {error}") from None
    for metadata_id, client in clients.items():
        for name, url in (("authorizeUrl", client.authorize_url), ("tokenUrl", client.token_url)):
            if not _is_safe(url):
                raise SettingsError(f"--oauth-clients {path}: {name} of {metadata_id} is no https URL")
    return clients


def _is_safe(url: str) -> bool:
    """Secrets go there: TLS, or this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )
