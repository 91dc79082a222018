"""Pages: a count and an opaque cursor, which is the base64 of the decimal start offset, as clients rely on.

Source: Public API reference, "Pagination"; the Terraform provider sends MA== for the first page.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Self

from msgspec import UNSET, Meta

from mainstem.rest.wire import Text, Unset, Wire

DEFAULT_COUNT: Final = 200
_DIGITS: Final = 15  # of an offset; far beyond every list, and within an integer of the database


class Cursor(Text):
    """A place in a list: its offset, and for lists that grow at the front the newest entry when the first page
    was read."""

    def __init__(self, offset: int, anchor: int | None = None) -> None:
        self.offset, self.anchor = offset, anchor

    @classmethod
    def read(cls, text: str) -> Self:
        """The cursor of a former answer; an empty one is the beginning."""
        try:
            offset, _, anchor = base64.b64decode(text or cursor(0), validate=True).decode("ascii").partition("@")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            offset = anchor = ""
        if not all(each.isdigit() and len(each) <= _DIGITS for each in (offset, anchor or "0")):
            raise ValueError("is not a cursor of this list")
        return cls(int(offset), int(anchor) if anchor else None)


class Page(Wire, frozen=True):
    """The `pagination` input: `count` 1 to 1,000, and the cursor of a former answer."""

    count: Annotated[int, Meta(ge=1, le=1000)] = DEFAULT_COUNT
    cursor: Cursor | None = None

    @property
    def start(self) -> int:
        """The offset that the cursor stands for."""
        return self.cursor.offset if self.cursor else 0

    @property
    def anchor(self) -> int | None:
        """The newest entry when the first page was read, for lists that grow at the front."""
        return self.cursor.anchor if self.cursor else None


class PageInput(Wire, frozen=True):
    """Query parameters of a plain list."""

    pagination: Page = Page()


class Pagination(Wire, frozen=True):
    """The `pagination` output; `next` and `previous` are absent at the ends, never null."""

    current: str
    next: str | Unset = UNSET
    previous: str | Unset = UNSET
    total_entries: int | Unset = UNSET


def cursor(offset: int, anchor: int | None = None) -> str:
    """The cursor of an offset: 0 is MA==. An anchor rides along as 0@17."""
    text = str(offset) if anchor is None else f"{offset}@{anchor}"
    return base64.b64encode(text.encode()).decode()


def pagination(page: Page, total: int, anchor: int | None = None) -> Pagination:
    """Where `page` lies in a list of `total` entries, counted up to `anchor` if there is one."""
    start = page.start
    return Pagination(
        current=cursor(start, anchor),
        next=cursor(start + page.count, anchor) if start + page.count < total else UNSET,
        previous=cursor(max(0, start - page.count), anchor) if start > 0 else UNSET,
        total_entries=total,
    )


def slice_of(items: list[Any], page: Page) -> tuple[list[Any], Pagination]:
    """A page of a list that is in memory."""
    return items[page.start : page.start + page.count], pagination(page, len(items))
