"""Pages: a count and an opaque cursor, which is the base64 of the decimal start offset, as clients rely on.

Source: Public API reference, "Pagination"; the Terraform provider sends MA== for the first page.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta

from mainstem.errors import InputInvalid
from mainstem.rest.wire import Unset, Wire

DEFAULT_COUNT: Final = 200


class Page(Wire, frozen=True):
    """The `pagination` input: `count` 1 to 1,000, and the cursor of a former answer."""

    count: Annotated[int, Meta(ge=1, le=1000)] = DEFAULT_COUNT
    cursor: str | None = None

    @property
    def start(self) -> int:
        """The offset that the cursor stands for."""
        return 0 if not self.cursor else _read(self.cursor)[0]

    @property
    def anchor(self) -> int | None:
        """The newest entry when the first page was read, for lists that grow at the front."""
        return None if not self.cursor else _read(self.cursor)[1]


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


def _read(text: str) -> tuple[int, int | None]:
    try:
        offset, _, anchor = base64.b64decode(text, validate=True).decode("ascii").partition("@")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        offset = anchor = ""
    if not all(each.isdigit() and len(each) <= 15 for each in (offset, anchor or "0")):
        raise InputInvalid([("pagination.cursor", '"pagination.cursor" is not a cursor of this list')])
    return int(offset), int(anchor) if anchor else None


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
