"""No secret is kept: neither as it is, nor as anything on the way writes it."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.delivery.redact import HIDDEN, MAX_BODY_CHARACTERS, MAX_HEADERS, Redactor, secrets_of
from mainstem.destinations.base import Exchange
from mainstem.model.snapshot import DestinationConfig, FunctionUse

SECRET = 'pa/ss "wörd"+?%&='


def destination(settings: dict[str, object]) -> DestinationConfig:
    return DestinationConfig("dst", "54521fdc25e721e32a72ef04", "Webhooks", True, settings)


def exchange(**fields: object) -> Exchange:
    blank = Exchange("POST", "https://partner.example/", {}, "", 200, {}, "")
    values = {name: getattr(blank, name) for name in blank.__struct_fields__}
    return Exchange(**{**values, **fields})


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("/", "\\/"),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower().replace("wörd", "wörd"),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f":{SECRET}".encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(f"someone:{SECRET}:more".encode()).decode(),
    ],
)
@pytest.mark.parametrize("place", ["{}", "before {} after", '{{"a":"{}"}}', "a=1&b={}&c=2"])
def test_a_secret_is_hidden_however_it_is_written(written: str, place: str) -> None:
    cleaned = Redactor([SECRET]).text(place.format(written))
    assert HIDDEN in cleaned
    core = written.strip('"')
    for length in range(8, len(core) + 1, 4):
        assert core[4:length] not in cleaned or len(core[4:length]) < 6


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40), st.text(), st.text())
def test_whatever_stands_around_it_a_secret_is_not_in_what_remains(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(HIDDEN, "\0")


@given(st.binary(max_size=12), st.binary(min_size=9, max_size=40), st.binary(max_size=12))
def test_base64_of_more_than_the_secret_hides_all_of_it_that_can_be_told(
    before: bytes, secret: bytes, after: bytes
) -> None:
    text = secret.hex()  # any text of hex digits
    encoded = base64.b64encode(before + text.encode() + after).decode()
    assert HIDDEN in Redactor([text]).text(encoded)


def test_a_secret_that_was_cut_at_the_end_of_a_body_is_hidden_too() -> None:
    body = ("x" * 5_000)[: MAX_BODY_CHARACTERS - 10] + "verysecretvalue"[:10]
    cleaned = Redactor(["verysecretvalue"]).text(body)
    assert cleaned.endswith("x" + HIDDEN[:MAX_BODY_CHARACTERS])
    assert "verys" not in cleaned


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key", "X-Auth-Token",
     "api_key", "X-Access-Key", "X-Secret"],
)  # fmt: skip
def test_headers_with_a_telling_name_are_hidden_whatever_they_hold(name: str) -> None:
    cleaned = Redactor([]).of(exchange(request_headers={name: "abc"}, response_headers={name: "def"}))
    assert (cleaned.request_headers, cleaned.response_headers) == ({name: HIDDEN}, {name: HIDDEN})


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("https://u:p@partner.example/x", f"https://{HIDDEN}@partner.example/x"),
        ("https://partner.example/x?api_key=abc&a=1", f"https://partner.example/x?api_key={HIDDEN}&a=1"),
        ("https://partner.example/x?a=1&key=abc#f", f"https://partner.example/x?a=1&key={HIDDEN}#f"),
        ("https://partner.example/plain?a=1", "https://partner.example/plain?a=1"),
        ("https://partner.example/hooks/longsecret/x", f"https://partner.example/hooks/{HIDDEN}/x"),
    ],
)
def test_urls_lose_credentials_and_telling_parameters(url: str, cleaned: str) -> None:
    assert Redactor(["longsecret"]).url(url) == cleaned


def test_a_short_secret_is_hidden_where_it_is_all_of_a_header() -> None:
    cleaned = Redactor(["abc"]).of(exchange(request_headers={"X-Journey": "abc"}, request_body="abcdef"))
    assert (cleaned.request_headers, cleaned.request_body) == ({"X-Journey": HIDDEN}, "abcdef")


def test_what_is_kept_is_bounded() -> None:
    cleaned = Redactor(["something"]).of(
        exchange(
            url="https://a/" + "u" * 10_000,
            request_headers={f"h{number}": "v" * 10_000 for number in range(100)},
            request_body="b" * 10_000,
            response_body="c" * 10_000,
        )
    )
    assert len(cleaned.url) + len(cleaned.request_body) + len(cleaned.response_body) <= 10 * 1024
    assert len(cleaned.request_headers) == MAX_HEADERS
    assert max(map(len, cleaned.request_headers.values())) <= 512


def test_what_is_sensitive_of_functions_at_work_at_a_destination_is_secret() -> None:
    config = msgspec.structs.replace(
        destination({}),
        insert=FunctionUse(
            "i", "ifnd_1", {"pepper": "planted", "map": {"a": ["deep"]}, "region": "eu"}, ("pepper", "map")
        ),
        function=FunctionUse("d", "dfn_1", {"salt": "sown", "apiKey": "told by its name"}, ("salt",)),
    )
    assert secrets_of(config) == {"planted", "deep", "sown", "told by its name"}


def test_secrets_of_a_webhook_are_its_shared_secret_header_values_and_credentials() -> None:
    settings: dict[str, object] = {
        "sharedSecret": "one",
        "hooks": [
            {"hook": "https://user:t%77o@partner.example/", "headers": [{"key": "X-Mine", "value": "three"}]},
            {"hook": "https://partner.example/", "headers": {"X-Other": "four"}},
        ],
        "globalHook": "https://plain.example/",
        "apiKey": "five",
        "region": "eu",
    }
    found = secrets_of(destination(settings))
    assert found >= {"one", "two", "t%77o", "user:t%77o", "three", "four", "five"}
    assert not found & {"eu", "X-Mine", "https://plain.example/", "https://partner.example/"}
