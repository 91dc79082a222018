"""Shapes on the wire, and what is wrong with an input, all of it at once.

A shape is a Struct: camelCase outside, snake_case inside; a field that may be left out is `T | Unset`.
Input that does not fit is walked a second time against the same type to gather every fault, in the wording
of the published service. Source: Public API reference, "Error Handling" and "Request Validation".
"""

from __future__ import annotations

import abc
import datetime as dt
import enum
import re
import sys
from typing import Any, Final, Self, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, inspect

from mainstem.errors import InputInvalid

__all__ = ["UNSET", "AnyCase", "Faults", "Text", "Unset", "Wire", "decode", "given"]

Unset = UnsetType
Faults = list[tuple[str, str]]
Shape = TypeVar("Shape")
Value = TypeVar("Value")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_MAX_SAFE: Final = 2.0**53 - 1  # beyond it floats skip integers
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")


class Wire(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """A shape on the wire. Subclasses restate frozen=True."""


class Text(abc.ABC):
    """A value that stands as text on the wire and means more than its letters."""

    @classmethod
    @abc.abstractmethod
    def read(cls, text: str) -> Self:
        """What `text` means. Raises ValueError with what is wrong, in words that follow the field's name."""


class AnyCase(enum.StrEnum):
    """A word that is read without regard to case, as clients and the reference's own samples need (`Block`,
    `minute`), and sent in upper case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return next((each for each in cls if isinstance(value, str) and each.value == value.upper()), None)


def given(value: Value | UnsetType, otherwise: Value) -> Value:
    """`value` when it was sent, else `otherwise`."""
    return otherwise if isinstance(value, UnsetType) else value


def decode(value: Any, shape: type[Shape], *, text: bool = False) -> Shape:
    """Turn parsed JSON (or, with `text`, parsed query parameters) into `shape`; unknown keys are ignored.
    Raises InputInvalid with one fault for each offending field."""
    try:
        return msgspec.convert(value, shape, strict=not text, dec_hook=_read)
    except msgspec.ValidationError:
        faults: Faults = []
        _walk(value, inspect.type_info(shape), "", faults, text)
    if faults:
        raise InputInvalid(faults)
    try:  # nothing is wrong but how a number is written: 3.0 is an integer too
        return msgspec.convert(_whole(value), shape, strict=not text, dec_hook=_read)
    except msgspec.ValidationError as error:
        raise InputInvalid([_unnamed(str(error))]) from None


def _whole(value: Any) -> Any:
    """The same value, with integers for floats that are whole."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    assert issubclass(kind, Text), f"{kind} cannot be read from the wire"
    return kind.read(value)


def _unnamed(message: str) -> tuple[str, str]:
    """A fault that the decoder found and the walk did not, with the place that the decoder names."""
    place = _PLACE.search(message)
    field = place.group(1) if place else ""
    return field, f'"{field or "value"}" is not valid: {_PLACE.sub("", message)}'


def _walk(value: Any, kind: inspect.Type, path: str, faults: Faults, text: bool) -> None:
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    if isinstance(kind, inspect.UnionType):
        _walk_union(value, kind, path, faults, text)
    elif isinstance(kind, inspect.StructType):
        _walk_struct(value, kind, path, faults, text)
    elif isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        _walk_list(value, kind, path, faults, text)
    elif isinstance(kind, inspect.DictType):
        _walk_dict(value, kind, path, faults, text)
    else:
        message = _scalar_fault(value, kind, text)
        if message:
            faults.append((path, f'"{path or "value"}" {message}'))


def _walk_struct(value: Any, kind: inspect.StructType, path: str, faults: Faults, text: bool) -> None:
    if not isinstance(value, dict):
        faults.append((path, f'"{path or "value"}" must be of type object'))
        return
    for field in kind.fields:
        inner = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name in value:
            _walk(value[field.encode_name], field.type, inner, faults, text)
        elif field.required:
            faults.append((inner, f'"{inner}" is required'))


def _walk_union(value: Any, kind: inspect.UnionType, path: str, faults: Faults, text: bool) -> None:
    if value is None and any(isinstance(each, inspect.NoneType) for each in kind.types):
        return
    choices = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    attempts: list[Faults] = []
    for choice in choices:
        attempt: Faults = []
        _walk(value, choice, path, attempt, text)
        if not attempt:
            return
        attempts.append(attempt)
    if attempts:
        faults.extend(attempts[0])


def _walk_list(
    value: Any, kind: inspect.ListType | inspect.VarTupleType, path: str, faults: Faults, text: bool
) -> None:
    if not isinstance(value, list):
        faults.append((path, f'"{path or "value"}" must be an array'))
        return
    if kind.max_length is not None and len(value) > kind.max_length:
        faults.append((path, f'"{path}" must contain less than or equal to {kind.max_length} items'))
    if kind.min_length is not None and len(value) < kind.min_length:
        faults.append((path, f'"{path}" must contain at least {kind.min_length} items'))
    for index, item in enumerate(value):
        _walk(item, kind.item_type, f"{path}[{index}]", faults, text)


def _walk_dict(value: Any, kind: inspect.DictType, path: str, faults: Faults, text: bool) -> None:
    if not isinstance(value, dict):
        faults.append((path, f'"{path or "value"}" must be of type object'))
        return
    for key, item in value.items():
        _walk(item, kind.value_type, f"{path}.{key}", faults, text)


def _scalar_fault(value: Any, kind: inspect.Type, text: bool) -> str | None:
    if isinstance(kind, inspect.StrType):
        return _string_fault(value, kind)
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return _number_fault(value, kind, text)
    if isinstance(kind, inspect.BoolType):
        fits = isinstance(value, bool) or (text and str(value).lower() in {"true", "false", "0", "1"})
        return None if fits else "must be a boolean"
    if isinstance(kind, inspect.LiteralType):
        return None if value in kind.values else _one_of(kind.values)
    if isinstance(kind, inspect.EnumType):
        return None if _names_member(value, kind.cls) else _one_of(each.value for each in kind.cls)
    if isinstance(kind, inspect.DateTimeType):
        return None if _is_moment(value) else "must be in ISO 8601 date format"
    if isinstance(kind, inspect.CustomType):
        return _text_fault(value, kind.cls)
    return None


def _text_fault(value: Any, kind: type[Any]) -> str | None:
    try:
        _read(kind, value)
    except ValueError as error:
        return str(error)
    return None


def _is_moment(value: Any) -> bool:
    try:
        msgspec.convert(value, dt.datetime)
    except msgspec.ValidationError:
        return False
    return True


def _names_member(value: Any, members: type[enum.Enum]) -> bool:
    """Whether `value` is, or is read as, a member: an Enum may define `_missing_`."""
    try:
        members(value)
    except ValueError:
        return False
    return True


def _one_of(values: Any) -> str:
    return f"must be one of [{', '.join(str(each) for each in values)}]"


def _string_fault(value: Any, kind: inspect.StrType) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    if kind.min_length and not value:
        return "is not allowed to be empty"
    if kind.min_length and len(value) < kind.min_length:
        return f"length must be at least {kind.min_length} characters long"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"length must be less than or equal to {kind.max_length} characters long"
    if kind.pattern and not re.search(kind.pattern, value):
        pattern = kind.pattern.replace(r"\Z", "$")  # as clients write it: their `$` takes no line break
        return f'with value "{value}" fails to match the required pattern: /{pattern}/'
    return None


def _number_fault(value: Any, kind: inspect.IntType | inspect.FloatType, text: bool) -> str | None:
    number = _number(value, text)
    if number is None:
        return "must be a number"
    if isinstance(kind, inspect.IntType) and number != int(number):
        return "must be an integer"
    if isinstance(kind, inspect.IntType) and isinstance(value, float) and abs(value) > _MAX_SAFE:
        return "must be a safe number"
    if kind.ge is not None and number < kind.ge:
        return f"must be greater than or equal to {kind.ge:g}"
    if kind.le is not None and number > kind.le:
        return f"must be less than or equal to {kind.le:g}"
    return None


def _number(value: Any, text: bool) -> float | None:
    if text and isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= sys.float_info.max else None  # not so for NaN, either
