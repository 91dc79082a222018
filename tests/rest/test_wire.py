"""Faults of an input, all of them at once, in the published wording."""

import datetime as dt
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, structs

from mainstem.errors import InputInvalid
from mainstem.rest.wire import UNSET, Text, Unset, Wire, decode


class Inner(Wire, frozen=True):
    role_id: str
    kind: Literal["A", "B"] = "A"


class Outer(Wire, frozen=True):
    slug: Annotated[str, Meta(min_length=1, max_length=5, pattern=r"^[a-z]+\Z")]
    enabled: bool
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    ratio: Annotated[float, Meta(ge=0, le=1)] | Unset = UNSET
    name: str | Unset | None = UNSET
    inner: Inner | Unset = UNSET
    many: Annotated[list[Inner], Meta(max_length=2)] | Unset = UNSET
    settings: dict[str, Any] | Unset = UNSET


def faults(value: Any, *, text: bool = False) -> list[tuple[str | None, str]]:
    with pytest.raises(InputInvalid) as caught:
        decode(value, Outer, text=text)
    return [(fault.field, fault.message) for fault in caught.value.faults]


def test_every_missing_field_is_named_in_one_answer() -> None:
    assert faults({}) == [("slug", '"slug" is required'), ("enabled", '"enabled" is required')]


@pytest.mark.parametrize(
    ("sent", "field", "rule"),
    [
        ({"slug": 1}, "slug", "must be a string"),
        ({"slug": ""}, "slug", "is not allowed to be empty"),
        ({"slug": "abcdef"}, "slug", "length must be less than or equal to 5 characters long"),
        ({"slug": "A"}, "slug", 'with value "A" fails to match the required pattern: /^[a-z]+$/'),
        ({"enabled": "yes"}, "enabled", "must be a boolean"),
        ({"enabled": None}, "enabled", "must be a boolean"),
        ({"count": 0}, "count", "must be greater than or equal to 1"),
        ({"count": 11}, "count", "must be less than or equal to 10"),
        ({"count": 1.5}, "count", "must be an integer"),
        ({"count": "x"}, "count", "must be a number"),
        ({"ratio": 2}, "ratio", "must be less than or equal to 1"),
        ({"name": 5}, "name", "must be a string"),
        ({"inner": []}, "inner", "must be of type object"),
        ({"inner": {}}, "inner.roleId", "is required"),
        ({"inner": {"roleId": "r", "kind": "C"}}, "inner.kind", "must be one of [A, B]"),
        ({"many": {}}, "many", "must be an array"),
        ({"many": [{"roleId": "r"}, {"roleId": 1}]}, "many[1].roleId", "must be a string"),
        ({"many": [{"roleId": "r"}] * 3}, "many", "must contain less than or equal to 2 items"),
        ({"settings": "x"}, "settings", "must be of type object"),
    ],
)
def test_a_fault_names_its_field_and_the_rule(sent: dict[str, Any], field: str, rule: str) -> None:
    assert faults({"slug": "a", "enabled": True} | sent) == [(field, f'"{field}" {rule}')]


def test_text_of_a_query_is_read_as_numbers_and_booleans() -> None:
    assert decode({"slug": "a", "enabled": "true", "count": "3"}, Outer, text=True).count == 3
    assert faults({"slug": "a", "enabled": "true", "count": "1.5"}, text=True) == [
        ("count", '"count" must be an integer')
    ]


def test_null_and_absent_are_told_apart() -> None:
    base = {"slug": "a", "enabled": True}
    assert decode(base, Outer).name is UNSET
    assert decode(base | {"name": None}, Outer).name is None


def test_unknown_fields_are_ignored() -> None:
    assert decode({"slug": "a", "enabled": True, "destinationId": "x"}, Outer).slug == "a"


class Odd(Text):
    """An odd number in words."""

    @classmethod
    def read(cls, text: str) -> "Odd":
        if text != "three":
            raise ValueError("must be odd")
        return cls()


class Everything(Wire, frozen=True):
    odd: Odd | None = None
    number: float | Unset = UNSET
    whole: int = 0
    moment: dt.datetime | None = None
    letters: Annotated[list[Literal["a", "b"]], Meta(min_length=1)] | Unset = UNSET
    words: tuple[str, ...] | Unset = UNSET
    outer: Outer | Unset | None = UNSET
    free: dict[str, int] | Unset = UNSET


def test_a_text_that_means_more_is_read_and_its_faults_come_with_the_others() -> None:
    assert isinstance(decode({"odd": "three"}, Everything).odd, Odd)
    with pytest.raises(InputInvalid) as caught:
        decode({"odd": "four", "whole": "x"}, Everything)
    assert [fault.message for fault in caught.value.faults] == ['"odd" must be odd', '"whole" must be a number']
    with pytest.raises(InputInvalid, match='"odd" must be a string'):
        decode({"odd": 3}, Everything)


@pytest.mark.parametrize("number", ["+3", " 3", "1_0", "\uff11", "nan", "inf", "0x1", "1e999", "9" * 5000, "", "3."])
def test_what_is_nearly_a_number_is_refused_by_name(number: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        decode({"number": number, "whole": number}, Everything, text=True)
    assert [fault.field for fault in caught.value.faults] == ["number", "whole"]


def test_a_number_beyond_every_float_is_refused_by_name() -> None:
    with pytest.raises(InputInvalid, match='"number" must be a number'):
        decode({"number": 10**400}, Everything)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert decode({"slug": "a", "enabled": True, "count": 3.0}, Outer).count == 3
    assert faults({"slug": "a", "enabled": True, "count": 1e300}) == [("count", '"count" must be a safe number')]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["three", "1", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*(field.encode_name for field in structs.fields(Everything)), "x"]), inner)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.sampled_from([field.encode_name for field in structs.fields(Everything)]), VALUES)


@given(FIELDS, st.booleans())
def test_whatever_does_not_fit_is_named_in_the_published_wording(value: dict[str, Any], text: bool) -> None:
    try:
        decode(value, Everything, text=text)
    except InputInvalid as error:
        for fault in error.faults:
            assert fault.field
            assert fault.message.startswith(f'"{fault.field}" ')
            assert "is not valid" not in fault.message, "the walk found nothing, the decoder did"
