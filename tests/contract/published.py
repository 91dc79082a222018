"""Published bodies in our own words, and how a reply differs from one.

A description is shaped like the body. An object names all of its keys; a list has one description per item, or is
`Many`. A leaf is a type (`str`, `bool`, `Number`), a pattern that the whole text matches, or a constant. What is
known to differ is said with its reason: `Added`, `Withheld`, `Otherwise`.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

Number: Final = float
"""A JSON number, whole or not."""
Anything: Final = object
"""Any JSON but null."""

ID: Final = re.compile(r"[0-9A-Za-z]{10,27}")
"""Objects carry 22 or 27 letters and digits, some 24 hexadecimal digits, types in the catalogue 10 and more."""
FUNCTION_ID: Final = re.compile(r"sfnc_[0-9A-Za-z]{22}")
INSERT_SOURCE_ID: Final = re.compile(r"ifns_[0-9a-f]{24}")
PLAN_ID: Final = re.compile(r"tp_[0-9A-Za-z]{22}")
SLUG: Final = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
CURSOR: Final = re.compile(r"[0-9A-Za-z+/]+={0,2}")


class Many(NamedTuple):
    """A list of any length, `at_least` so long, of such items."""

    item: Any
    at_least: int = 0


class Sometimes(NamedTuple):
    """A key that some published bodies have and some lack."""

    value: Any


class Added(NamedTuple):
    """A key that replies of ours have and this published body lacks; the contract declares it."""

    value: Any
    reason: str


class Withheld(NamedTuple):
    """A key that this published body has and replies of ours lack."""

    reason: str


class Otherwise(NamedTuple):
    """A value that is another one in replies of ours."""

    value: Any
    reason: str


def differences(published: Any, reply: Any, place: str = "data") -> list[str]:
    """What is not as published, a line each, beginning with its place. Empty when all is."""
    if isinstance(published, (Added, Otherwise, Sometimes)):
        return differences(published.value, reply, place)
    if isinstance(published, dict):
        return _of_object(published, reply, place)
    if isinstance(published, (list, Many)):
        return _of_list(published, reply, place)
    return [] if _is(published, reply) else [f"{place}: {reply!r} is not {_shown(published)}"]


def _of_object(published: dict[str, Any], reply: Any, place: str) -> list[str]:
    if not isinstance(reply, dict):
        return [f"{place}: {reply!r} is not an object"]
    absent = {key for key, value in published.items() if isinstance(value, Withheld)}
    needless = {key for key, value in published.items() if isinstance(value, Sometimes)}
    found = [f"{place}.{key}: is not published" for key in reply.keys() - (published.keys() - absent)]
    found += [f"{place}.{key}: is missing" for key in published.keys() - absent - needless - reply.keys()]
    for key in published.keys() & reply.keys() - absent:
        found += differences(published[key], reply[key], f"{place}.{key}")
    return sorted(found)


def _of_list(published: list[Any] | Many, reply: Any, place: str) -> list[str]:
    if not isinstance(reply, list):
        return [f"{place}: {reply!r} is not a list"]
    if isinstance(published, Many):
        if len(reply) < published.at_least:
            return [f"{place}: has {len(reply)} items, not {published.at_least} or more"]
        published = [published.item] * len(reply)
    if len(reply) != len(published):
        return [f"{place}: has {len(reply)} items, not {len(published)}"]
    pairs = enumerate(zip(published, reply, strict=True))
    return [line for index, (one, other) in pairs for line in differences(one, other, f"{place}[{index}]")]


def _is(published: Any, reply: Any) -> bool:
    if isinstance(published, re.Pattern):
        return isinstance(reply, str) and published.fullmatch(reply) is not None
    if published is Number:
        return isinstance(reply, (int, float)) and not isinstance(reply, bool)
    if published is Anything:
        return reply is not None
    if isinstance(published, type):
        return type(reply) is published
    return type(reply) is type(published) and reply == published


def _shown(published: Any) -> str:
    if isinstance(published, re.Pattern):
        return f"like {published.pattern}"
    if isinstance(published, type):
        return "a number" if published is Number else published.__name__
    return repr(published)
