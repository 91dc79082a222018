"""The file that says by which OAuth clients destinations are authorized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainstem.destinations.oauth import read_clients
from mainstem.errors import SettingsError

CLIENT = {
    "clientId": "mainstem",
    "clientSecret": "planted-secret",
    "authorizeUrl": "https://provider.example/authorize",
    "tokenUrl": "https://provider.example/token",
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "clients.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_there_are_none_without_a_file() -> None:
    assert read_clients(None) == {}


def test_clients_are_read_by_the_type_of_destination(tmp_path: Path) -> None:
    more = {"scopes": ["a", "b"], "parameters": {"access_type": "offline"}, "clientAuth": "basic"}
    clients = read_clients(written(tmp_path, {"m1": CLIENT, "m2": CLIENT | more}))
    assert clients["m1"].for_runner() == {
        "clientId": "mainstem",
        "clientSecret": "planted-secret",
        "refresh_token_url": "https://provider.example/token",
    }
    assert (clients["m1"].scopes, clients["m1"].client_auth) == ((), "body")
    assert (clients["m2"].scopes, clients["m2"].client_auth) == (("a", "b"), "basic")
    assert "planted" not in repr(clients["m1"])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"m": {}},
        {"m": CLIENT | {"clientSecret": 5}},
        {"m": CLIENT | {"secret": "planted-secret"}},
        {"m": CLIENT | {"clientAuth": "header"}},
        {"m": CLIENT | {"tokenUrl": "http://provider.example/token"}},
        {"m": CLIENT | {"authorizeUrl": "javascript:alert(1)"}},
        {"m": CLIENT | {"tokenUrl": "https://"}},
        {"m": CLIENT | {"tokenUrl": "https://[::1"}},
    ],
)
def test_what_is_wrong_with_it_is_said_without_a_secret(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SettingsError, match="--oauth-clients") as refused:
        read_clients(written(tmp_path, content))
    assert "planted" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        read_clients(tmp_path / "nowhere")


def test_a_provider_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    local = {"authorizeUrl": "http://localhost:9/a", "tokenUrl": "http://127.0.0.1:9/t"}
    assert read_clients(written(tmp_path, {"m": CLIENT | local}))["m"].token_url == "http://127.0.0.1:9/t"
