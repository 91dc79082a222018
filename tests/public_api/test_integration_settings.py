from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from mainstem.errors import InputInvalid
from mainstem.public_api.catalog import Option
from mainstem.public_api.integration_settings import masked, merged

OPTIONS = [Option(name="apiKey", type="password", required=True), Option(name="host", type="string", required=False)]
BULLETS = "••••••••••"

words = st.text(max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words
values = words | scalars | st.lists(scalars, max_size=3) | st.dictionaries(words, scalars, max_size=3)
whole = st.dictionaries(st.sampled_from(["apiKey", "host", "other"]), values.filter(lambda value: value is not None))


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("abcdefgh", BULLETS + "efgh"),
        ("abcde", BULLETS + "bcde"),
        ("abcd", BULLETS),
        ("a", BULLETS),
        ("", ""),
        (None, None),
        (7, 7),
    ],
)
def test_a_secret_shows_bullets_and_its_last_four_characters(secret: Any, shown: Any) -> None:
    assert masked({"apiKey": secret}, OPTIONS) == {"apiKey": shown}


def test_what_is_no_password_is_shown() -> None:
    assert masked({"host": "abcdefgh", "other": "abcdefgh"}, OPTIONS) == {"host": "abcdefgh", "other": "abcdefgh"}


@pytest.mark.parametrize(
    ("stored", "sent", "after"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"a": None, "c": None}, {}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2}}),
        ({"apiKey": "abcdefgh"}, {"apiKey": BULLETS + "efgh"}, {"apiKey": "abcdefgh"}),
        ({"apiKey": "abcdefgh"}, {"apiKey": BULLETS + "0000"}, {"apiKey": "abcdefgh"}),
        ({"apiKey": "abcdefgh"}, {"apiKey": "12345678"}, {"apiKey": "12345678"}),
        ({"apiKey": "abcdefgh"}, {"apiKey": ""}, {"apiKey": ""}),
        ({"apiKey": "abcdefgh"}, {"apiKey": None}, {}),
        ({"host": "x"}, {"host": BULLETS + "efgh"}, {"host": BULLETS + "efgh"}),
    ],
)
def test_settings_merge_key_by_key(stored: dict[str, Any], sent: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged(stored, sent, OPTIONS) == after


def faults(sent: dict[str, Any]) -> list[str | None]:
    with pytest.raises(InputInvalid) as refused:
        merged({}, sent, OPTIONS)
    return [fault.field for fault in refused.value.faults]


def test_a_mask_of_a_secret_that_is_not_stored_is_refused() -> None:
    assert faults({"apiKey": BULLETS + "efgh"}) == ["settings.apiKey"]


def test_every_value_that_cannot_be_published_is_named() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert faults({"big": 2**64, "small": {"x": [-(2**63) - 1]}, "deep": deep, "fine": 1}) == [
        "settings.big",
        "settings.deep",
        "settings.small",
    ]


@given(whole)
@effort(max_examples=50)
def test_writing_back_what_was_read_changes_nothing(stored: dict[str, Any]) -> None:
    assert merged(stored, masked(stored, OPTIONS), OPTIONS) == stored


@given(whole, whole)
@effort(max_examples=50)
def test_what_was_sent_is_there_afterwards_and_the_rest_stays(stored: dict[str, Any], sent: dict[str, Any]) -> None:
    assert merged(stored, sent, OPTIONS) == {**stored, **sent}
