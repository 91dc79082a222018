"""Rows: pages of a query, and what is found, changed and deleted by the value of a column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, bindparam, create_engine, insert, select

from mainstem.rest import rows
from mainstem.rest.pagination import Page, cursor
from mainstem.rest.wire import decode

things = Table(
    "things", MetaData(), Column("seq", Integer, primary_key=True), Column("owner", String), Column("name", String)
)
OF_OWNER = select(things).where(things.c.owner == bindparam("owner")).order_by(things.c.seq)
COUNT = 23


@pytest.fixture(scope="module")
def db() -> Iterator[Connection]:
    """Things of two owners, in turns."""
    with create_engine("sqlite://").connect() as connection:
        things.create(connection)
        names = [{"owner": owner, "name": f"{owner}{number}"} for number in range(COUNT) for owner in "ab"]
        connection.execute(insert(things), names)
        connection.commit()
        yield connection


@pytest.fixture
def changeable(db: Connection) -> Iterator[Connection]:
    """The same, as they were before each test."""
    with db.begin_nested() as kept:
        yield db
        kept.rollback()
    db.rollback()


def names(db: Connection, owner: str) -> list[str]:
    return [row.name for row in rows.having(db, things.c.owner, owner)]


@given(st.integers(0, COUNT + 3), st.integers(1, COUNT + 3), st.sampled_from("ab"))
def test_a_page_is_the_same_counted_from_the_front_or_the_end(
    db: Connection, start: int, count: int, owner: str
) -> None:
    page = decode({"count": count, "cursor": cursor(start)}, Page)
    found, where = rows.page_of(db, OF_OWNER, page, owner=owner)
    assert [row.name for row in found] == [f"{owner}{number}" for number in range(COUNT)][start : start + count]
    assert where.total_entries == COUNT


def test_a_query_that_is_narrowed_for_a_call_has_pages_of_its_own(db: Connection) -> None:
    for name in ("a3", "a20"):
        found, where = rows.page_of(db, OF_OWNER.where(things.c.name == name), Page(), owner="a")
        assert ([row.name for row in found], where.total_entries) == ([name], 1)
    assert rows.page_of(db, OF_OWNER, Page(), owner="a")[1].total_entries == COUNT


def test_only_the_rows_with_the_value_are_changed(changeable: Connection) -> None:
    rows.change(changeable, things.c.name, "a1", {"name": "x"})
    rows.change(changeable, things.c.owner, "b", {"owner": "c", "name": "y"})
    assert names(changeable, "a") == ["a0", "x", *(f"a{number}" for number in range(2, COUNT))]
    assert names(changeable, "b") == []
    assert names(changeable, "c") == ["y"] * COUNT


def test_only_the_rows_with_the_value_are_deleted_and_counted(changeable: Connection) -> None:
    assert rows.delete(changeable, things.c.owner, "a") == COUNT
    assert rows.delete(changeable, things.c.owner, "a") == 0
    assert (names(changeable, "a"), len(names(changeable, "b"))) == ([], COUNT)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (dt.datetime(2023, 10, 10, 16, 34, 53, 999_999, dt.UTC), "2023-10-10T16:34:53.999Z"),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01T00:00:00.000Z"),
        (dt.datetime(2024, 2, 29, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2024-02-28T23:00:00.000Z"),
    ],
)
def test_a_moment_is_printed_in_utc_to_the_millisecond(moment: dt.datetime, text: str) -> None:
    assert rows.moment_text(moment) == text
