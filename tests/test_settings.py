"""Settings: read once, wrong ones named."""

from pathlib import Path

import pytest

from mainstem.errors import SettingsError
from mainstem.settings import (
    Address,
    DatabaseUrl,
    Settings,
    describe,
    flag,
    parse_address,
    read_settings,
    shown,
    variable,
)


def test_without_flags_or_variables_every_setting_has_its_default() -> None:
    assert read_settings({}, {"HOME": "/home/a", "PATH": "/bin"}) == Settings()


def test_a_variable_sets_and_a_flag_wins_over_it(tmp_path: Path) -> None:
    variables = {"MAINSTEM_WORKERS": "3", "MAINSTEM_DATA": str(tmp_path), "MAINSTEM_RATE_LIMITS": "off"}
    settings = read_settings({"workers": "2", "api": "[::1]:9000"}, variables)
    assert (settings.workers, settings.data, settings.rate_limits) == (2, tmp_path, False)
    assert settings.api == Address("::1", 9000)


def test_an_unknown_variable_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match="MAINSTEM_WORKER "):
        read_settings({}, {"MAINSTEM_WORKER": "2"})


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"workers": "many"}, "--workers"),
        ({"workers": "0"}, "--workers"),
        ({"api": "8080"}, "--api"),
        ({"api": "localhost:99999"}, "--api"),
        ({"allow_private": "10.0.0.0/33"}, "--allow-private"),
        ({"rate_limits": "maybe"}, "--rate-limits"),
        ({"tls_cert": "/nowhere/cert.pem"}, "--tls-cert and --tls-key"),
        ({"rate_limit_overrides": "createLabel"}, "--rate-limit-overrides"),
        ({"rate_limit_overrides": "createLabel=0"}, "--rate-limit-overrides"),
        ({"workers": "65"}, "--workers: 1 to 64"),
        ({"default_rate_limit": "0"}, "--default-rate-limit: 1 or more"),
        ({"max_request_bytes": "-1"}, "--max-request-bytes"),
        ({"delivery_concurrency": "0"}, "--delivery-concurrency"),
        ({"retry_hours": "nan"}, "--retry-hours"),
        ({"secret_scanning": "http://keys.example/list"}, "--secret-scanning"),
        ({"secret_scanning": "gitlab"}, "--secret-scanning"),
        ({"retry_cap_seconds": "inf"}, "--retry-cap-seconds"),
        ({"retry_base_seconds": "-0.1"}, "--retry-base-seconds"),
    ],
)
def test_a_malformed_flag_is_an_error_that_names_it(flags: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read_settings(flags, {})


def test_old_keys_are_a_list_and_go_with_a_new_one() -> None:
    both = {"MAINSTEM_SECRET_KEY": "new", "MAINSTEM_OLD_SECRET_KEYS": "old, older"}
    assert read_settings({}, both).old_secret_keys == ("old", "older")
    with pytest.raises(SettingsError, match="MAINSTEM_OLD_SECRET_KEYS goes with"):
        read_settings({}, {"MAINSTEM_OLD_SECRET_KEYS": "old"})
    assert read_settings({"secret_scanning": "http://127.0.0.1:1/keys"}, {}).secret_scanning


def test_listening_beyond_loopback_takes_tls_or_an_explicit_flag() -> None:
    with pytest.raises(SettingsError, match="--allow-plain-http"):
        read_settings({"tracking": "0.0.0.0:8090"}, {})
    assert read_settings({"tracking": "0.0.0.0:8090", "allow_plain_http": "on"}, {}).tracking.port == 8090


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("localhost:1", True), ("[::1]:1", True), ("0.0.0.0:1", False),
     ("[::]:1", False), ("example.org:1", False)],
)  # fmt: skip
def test_loopback_is_known_in_every_spelling(text: str, loopback: bool) -> None:
    address = parse_address(text)
    assert address.is_loopback is loopback
    assert str(address) == text


def test_an_owner_token_is_taken_without_the_blanks_around_it() -> None:
    assert read_settings({}, {"MAINSTEM_OWNER_TOKEN": " abc\n"}).owner_token == "abc"


@pytest.mark.parametrize("token", ["a b", "t\u00f6ken", "a\x00b", "a\tb"])
def test_an_owner_token_that_no_client_can_send_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(SettingsError, match="MAINSTEM_OWNER_TOKEN") as refused:
        read_settings({}, {"MAINSTEM_OWNER_TOKEN": token})
    assert token not in str(refused.value)


def test_overrides_of_limits_are_read() -> None:
    text = "createLabel=600, tok:createLabel=9"
    assert read_settings({"rate_limit_overrides": text}, {}).rate_limit_overrides == {
        "createLabel": 600,
        "tok:createLabel": 9,
    }


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_has_a_sentence_a_flag_and_a_variable(name: str) -> None:
    assert describe(name).endswith(".")
    assert flag(name).startswith("--")
    assert variable(name) == f"MAINSTEM_{name.upper()}"
    assert shown(getattr(Settings(), name))


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("postgresql://u:planted@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgres://u@h/db", "postgres://u@h/db"),
        ("postgresql://h/db?sslmode=require&password=planted", "postgresql://h/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db"),
        ("postgresql://u:pl/planted@h/db", "postgresql://\u2026"),
        ("postgresql://u:pl?planted@h/db", "postgresql://\u2026"),
        ("postgresql://u:pl#planted@h/db", "postgresql://\u2026"),
        ("postgresql://u:pl@planted@h/db", "postgresql://\u2026"),
        ("postgresql://h/db?password=a@planted", "postgresql://\u2026"),
    ],
)
def test_the_url_of_a_database_is_shown_without_its_password(text: str, shown_as: str) -> None:
    url = read_settings({"database": text}, {}).database
    assert url == DatabaseUrl(text)
    assert str(url) == shown(url) == shown_as
    assert "planted" not in f"{url} {url!r} {Settings(database=url)!r}"


@pytest.mark.parametrize(
    "text", ["mysql://u:planted@h/db", "planted", "postgresql://", "postgresql://u:pl anted@h/d"]
)
def test_the_url_of_another_database_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(
        SettingsError, match="MAINSTEM_DATABASE: postgresql://USER:PASSWORD@HOST:PORT/NAME"
    ) as refused:
        read_settings({}, {"MAINSTEM_DATABASE": text})
    assert "anted" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "has_password"),
    [
        ("postgresql://u:p@h/db", True),
        ("postgresql://h/db?password=p", True),
        ("postgresql://u@h:5432/db", False),
        ("postgresql://h:5432/db", False),
    ],
)
def test_a_password_in_the_url_of_a_database_is_noticed(text: str, has_password: bool) -> None:
    assert DatabaseUrl(text).has_password is has_password
