"""What every family does with its rows: read one or fail with 404, read a page, insert what must be unique.

A statement with parameters that is made once costs SQLAlchemy a fifth of one that is put together for each call:
40 in place of 200 microseconds. So families make theirs beside their tables, or leave it to `having`, `change` and
`delete`.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Delete,
    Dialect,
    Integer,
    MetaData,
    Row,
    Select,
    TypeDecorator,
    Update,
    bindparam,
    func,
    sql,
)
from sqlalchemy.exc import IntegrityError

from mainstem.errors import Conflict, NotFound
from mainstem.rest.pagination import Page, Pagination, pagination

metadata = MetaData()
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Moment(TypeDecorator[dt.datetime]):
    """A time, to the millisecond: aware UTC in Python, Unix milliseconds in the row."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002  # SQLAlchemy passes it
        """Into the row."""
        return None if value is None else (value - _EPOCH) // dt.timedelta(milliseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002  # SQLAlchemy passes it
        """Out of the row."""
        return None if value is None else _EPOCH + dt.timedelta(milliseconds=value)


def moment_text(value: dt.datetime) -> str:
    """As the API prints times: 2023-10-10T16:34:53.000Z."""
    return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def one(db: Connection, query: Select[Any], missing: str, **parameters: str) -> Row[Any]:
    """The only row of `query`, with its parameters. Raises NotFound(`missing`)."""
    row = db.execute(query, parameters).one_or_none()
    if row is None:
        raise NotFound(missing)
    return row


def missing(noun: str, id: str) -> str:
    """The published wording of a 404: `Source with id 'x' not found.`"""
    return f"{noun} with id '{id}' not found."


def having(db: Connection, column: Column[Any], value: str) -> Sequence[Row[Any]]:
    """The rows with this value in a column, in order of creation."""
    return db.execute(_having(column), {"row_value": value}).all()


def change(db: Connection, column: Column[Any], value: str, changes: Mapping[str, Any]) -> None:
    """Change columns of the rows with this value in a column."""
    db.execute(_change(column), {**changes, "row_value": value})


def delete(db: Connection, column: Column[Any], value: str) -> int:
    """Delete the rows with this value in a column; returns how many there were."""
    return db.execute(_delete(column), {"row_value": value}).rowcount


@functools.cache
def _having(column: Column[Any]) -> Select[Any]:
    return sql.select(column.table).where(column == bindparam("row_value")).order_by(*column.table.primary_key)


@functools.cache
def _change(column: Column[Any]) -> Update:
    return sql.update(column.table).where(column == bindparam("row_value"))


@functools.cache
def _delete(column: Column[Any]) -> Delete:
    return sql.delete(column.table).where(column == bindparam("row_value"))


class _Paged(NamedTuple):
    """The statements that a list takes, with `page_skip` and `page_size` beside the parameters of its query;
    `backward` is None when it is not ordered by columns."""

    total: Select[Any]
    forward: Select[Any]
    backward: Select[Any] | None


def page_of(db: Connection, query: Select[Any], page: Page, **parameters: str) -> tuple[list[Row[Any]], Pagination]:
    """A page of a query that is ordered by columns, without DISTINCT or groups, and where it lies. A page in the
    second half is counted off from the end, so that the last costs what the first does."""
    statements = _paged(query)
    total = db.execute(statements.total, parameters).scalar_one()
    size = min(page.count, total - page.start)
    if size <= 0:
        return [], pagination(page, total)
    behind = total - page.start - size
    if behind < page.start and statements.backward is not None:
        last = db.execute(statements.backward, {**parameters, "page_skip": behind, "page_size": size}).all()
        return [*reversed(last)], pagination(page, total)
    found = db.execute(statements.forward, {**parameters, "page_skip": page.start, "page_size": size}).all()
    return [*found], pagination(page, total)


@functools.lru_cache(maxsize=64)  # queries that are made once stay in it, those made for one call pass through
def _paged(query: Select[Any]) -> _Paged:
    def cut(ordered: Select[Any]) -> Select[Any]:
        return ordered.offset(bindparam("page_skip", type_=Integer)).limit(bindparam("page_size", type_=Integer))

    unordered, order = query.order_by(None), query._order_by_clauses  # noqa: SLF001  # nothing public tells it
    backward = unordered.order_by(*(each.desc() for each in order))
    return _Paged(
        total=unordered.with_only_columns(func.count(), maintain_column_froms=True),
        forward=cut(query),
        backward=cut(backward) if all(isinstance(each, Column) for each in order) else None,
    )


@contextmanager
def unique(message: str, field: str) -> Iterator[None]:
    """Turns a duplicate into Conflict naming `field`."""
    try:
        yield
    except IntegrityError:
        raise Conflict(message, field=field) from None
