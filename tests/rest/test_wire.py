"""Faults of an input, all of them at once, in the published wording."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from mainstem.errors import InputInvalid
from mainstem.rest.wire import UNSET, Unset, Wire, decode


class Inner(Wire, frozen=True):
    role_id: str
    kind: Literal["A", "B"] = "A"


class Outer(Wire, frozen=True):
    slug: Annotated[str, Meta(min_length=1, max_length=5, pattern="^[a-z]+$")]
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
