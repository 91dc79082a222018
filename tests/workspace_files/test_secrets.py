"""Which values of a workspace are secrets, and where their values come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import SettingsError
from mainstem.workspace_files.secrets import Hiding, name_of, read_given, variable


def hidden(values: dict[str, Any], *passwords: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings without secrets, and the secrets."""
    hiding = Hiding()
    return hiding.settings("destination/D/settings", values, passwords), hiding.found


@pytest.mark.parametrize(
    ("values", "passwords", "names"),
    [
        ({"plain": "a", "number": 1, "on": True}, (), []),
        ({"pin": "1234"}, ("pin",), ["pin"]),
        ({"pin": ""}, ("pin",), []),
        ({"anything": "\u2022" * 10 + "abcd"}, (), ["anything"]),
        ({"apiKey": "a", "sharedSecret": "b", "accessToken": "c"}, (), ["accessToken", "apiKey", "sharedSecret"]),
        ({"inner": {"password": "a", "name": "b"}}, (), ["inner/password"]),
        ({"headers": {"X": "a", "Y": ""}}, (), ["headers/X"]),
        ({"hooks": [{"headers": [{"key": "X", "value": "a"}]}]}, (), ["hooks/0/headers/0/value"]),
        ({"list": ["a"]}, ("list",), ["list/0"]),
    ],
)
def test_secrets_are_replaced_by_references(
    values: dict[str, Any], passwords: tuple[str, ...], names: list[str]
) -> None:
    shown, found = hidden(values, *passwords)
    assert sorted(found) == [f"destination/D/settings/{name}" for name in names]
    assert json.dumps(shown).count("$secret") == len(names)


def test_only_a_reference_has_a_name() -> None:
    assert name_of({"$secret": "a/b"}) == "a/b"
    assert name_of({"$secret": "a/b", "more": 1}) is None
    assert name_of({"$secret": 1}) is None
    assert name_of("a/b") is None


def test_a_file_wins_over_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"a/b": "of the file"}))
    environment = {variable("a/b"): "of the environment", variable("c/d-e"): "other"}
    given = read_given(file, environment)
    assert [given.find(name) for name in ("a/b", "c/d-e", "f")] == ["of the file", "other", None]
    assert read_given(None, environment).find("a/b") == "of the environment"


@pytest.mark.parametrize("content", ["planted {", '["planted"]'])
def test_a_file_of_secrets_that_cannot_be_read_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match="--secrets") as refused:
        read_given(file, {})
    assert "planted" not in str(refused.value)
