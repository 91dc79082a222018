"""What a source has been seen to send: its schema as it is, whatever a plan says that it should be.

Source: product guide, "Source schema", for the limits; they bound what is kept, never what flows. Judgements: names
and paths of up to 255 characters and 10 levels are kept, the day of last seen in place of the moment.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

MAX_EVENTS: Final = 4_000  # of a source
MAX_FIELDS: Final = 300  # of an event: properties, nested ones included; or traits
MAX_PATH_CHARACTERS: Final = 255
MAX_LEVELS: Final = 10
KEEP_DAYS: Final = 400
"""What was not seen for so long is forgotten (judgement: 13 months, like tracked users)."""


class JsonType(enum.IntFlag):
    """The JSON types that a value was seen with; a number is an integer when it was written as one."""

    NULL = 1
    BOOLEAN = 2
    INTEGER = 4
    NUMBER = 8
    STRING = 16
    ARRAY = 32
    OBJECT = 64


class Seen(msgspec.Struct, frozen=True):
    """News of a source: an event (`path` None), or one of its properties or traits, with types that it has. A path
    is dotted, `$` standing for every item of a list ("products.$.sku"). `at_ms` is when it was received."""

    source_id: str
    event_type: str
    event_name: str
    path: str | None
    types: int
    at_ms: int


class LearnedEvent(msgspec.Struct, frozen=True):
    """An event that a source was seen to send; `last_day` is the Unix day, `fields` how many are known of it."""

    event_type: str
    event_name: str
    first_ms: int
    last_day: int
    fields: int


class LearnedField(msgspec.Struct, frozen=True):
    """A property or trait, by its path."""

    path: str
    types: JsonType
    first_ms: int
    last_day: int
