"""One small interface to the operations of the Public API, in this process or on another server.

What reads or writes a workspace knows operations by their route alone, so that it does not matter whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection

from mainstem.errors import ApiError, MainstemError
from mainstem.model.ports import LearnedSchemas
from mainstem.rest.dispatch import Dispatcher, Request
from mainstem.rest.operation import Call
from mainstem.rest.tokens import Token

PAGE: Final = 200
SMALL_PAGES: Final = {"/filters": 10}  # lists that give fewer at once
_HEADERS: Final = (("accept", "application/json"), ("content-type", "application/json"))


class Refused(MainstemError):
    """An operation refused. `faults` are (field or "", message); `status` is the HTTP status."""

    def __init__(self, route: str, status: int, faults: Sequence[tuple[str, str]]) -> None:
        words = "; ".join(message for _, message in faults) or f"status {status}"
        super().__init__(f"{route.partition('?')[0]}: {words}")
        self.route, self.status, self.faults = route, status, tuple(faults)


class Api(Protocol):
    """Who answers operations."""

    def ask(self, route: str, body: Any = None) -> Any:
        """The `data` that "GET /sources?pagination.count=1" answers. Raises Refused."""


class InProcess:
    """The operations of this process, within a transaction of the caller, as an owner of a workspace."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        db: Connection,
        token: Token,
        learned: LearnedSchemas | None = None,
        write: Callable[..., None] | None = None,
    ) -> None:
        """`token` selects the workspace and stands in the audit trail; `write` takes rows of the trail, where the
        transaction of the caller only reads."""
        self._dispatcher, self.db, self._token, self._learned = dispatcher, db, token, learned
        self._write = write
        self.calls: list[Call] = []

    def ask(self, route: str, body: Any = None) -> Any:
        """See Api."""
        method, _, target = route.partition(" ")
        path, _, query = target.partition("?")
        content = b"" if body is None else msgspec.json.encode(body)
        try:
            request = Request(method, path, query, _HEADERS, content)
            call, data = self._dispatcher.within(
                self.db, self._token, request, learned=self._learned, write=self._write
            )
        except ApiError as error:
            faults = [(fault.field or "", fault.message) for fault in error.faults]
            raise Refused(route, error.status, faults) from None
        self.calls.append(call)
        return data


def pages(
    api: Api, target: str, field: str, watch: Callable[[int, int], object] = lambda _got, _all: None
) -> Iterator[Any]:
    """Every entry of a list, page by page: `pages(api, "/sources", "sources")`. `watch` is told how many there are so
    far, and of how many in all (0 when the server does not say)."""
    cursor, followed, count, size = "", {""}, 0, SMALL_PAGES.get(target.partition("?")[0], PAGE)
    joint = "&" if "?" in target else "?"
    while True:
        after = f"&pagination.cursor={quote(cursor, safe='')}" if cursor else ""
        data = api.ask(f"GET {target}{joint}pagination.count={size}{after}")
        yield from data[field]
        count += len(data[field])
        where = data.get("pagination") or {}
        watch(count, where.get("totalEntries") or 0)
        following = where.get("next")
        if following is None or str(following) in followed:  # a list that goes round would never end
            return
        cursor = str(following)
        followed.add(cursor)


def find(api: Api, route: str) -> Any:
    """What a GET answers, None when the object is not there (404). Raises Refused."""
    try:
        return api.ask(route)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def segment(text: str) -> str:
    """A text as a part of a path or of a query."""
    return quote(text, safe="")
