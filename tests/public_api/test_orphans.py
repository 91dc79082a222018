"""What names what: the list is complete, and what leads nowhere is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Select, func, select, update

from mainstem.public_api import orphans, workspaces
from mainstem.public_api.labels import labels
from mainstem.public_api.publish import published
from mainstem.public_api.sources.source import sources
from mainstem.rest.rows import metadata
from public_api.actions import installed
from public_api.client import START, Api
from public_api.everything import Everything


@pytest.fixture
def everything(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with installed(Path(tmp_path_factory.mktemp("packages"))):
        yield Everything(api)


def found(api: Api) -> list[orphans.Orphan]:
    with api.database.transaction(writes=False) as db:
        return list(orphans.find(db))


def test_every_column_that_ends_like_an_id_is_followed_or_has_a_reason_not_to_be() -> None:
    columns = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns}
    followed = {f"{each.column.table.name}.{each.column.name}" for each in orphans.REFERENCES}
    like_ids = {each for each in columns if each.endswith("_id")}
    assert like_ids - followed - orphans.UNCHECKED.keys() == set()
    assert orphans.UNCHECKED.keys() - like_ids == set()
    assert orphans.UNCHECKED.keys() & followed == set()


def test_a_workspace_of_everything_has_rows_behind_every_reference_and_no_orphan(everything: Everything) -> None:
    assert found(everything.api) == []
    with everything.api.database.transaction(writes=False) as db:
        unused = [str(each.column) for each in orphans.REFERENCES if db.scalar(_rows(each)) == 0]
    assert unused == []


def test_a_row_that_names_nobody_is_found_by_each_reference(everything: Everything) -> None:
    for reference in orphans.REFERENCES:
        column = reference.column
        key = next(iter(column.table.primary_key))
        with everything.api.database.transaction(writes=True) as db, db.begin_nested() as changed:
            one = db.scalar(_rows(reference).with_only_columns(func.min(key)))
            db.execute(update(column.table).where(key == one).values({column.name: "nobody"}))
            told = list(orphans.of_reference(db, reference))
            changed.rollback()
        assert [(each.table, each.column, each.names) for each in told] == [
            (column.table.name, column.name, "nobody")
        ]
        assert "names nobody, which is not there" in str(told[0])


def _rows(reference: orphans.Reference) -> Select[tuple[int]]:
    """How many rows refer."""
    query = select(func.count()).select_from(reference.column.table).where(reference.column != "")
    return query if reference.where is None else query.where(reference.where)


def test_what_belongs_to_another_workspace_is_not_there(everything: Everything) -> None:
    api = everything.api
    with api.database.transaction(writes=True) as db:
        other = workspaces.create(db, "Other", "other", "owner@localhost", START)
        db.execute(update(sources).where(sources.c.id == everything.source_id).values(workspace_id=other.id))
    assert ("destinations", everything.source_id) in {(each.table, each.names) for each in found(api)}


def test_labels_that_are_gone_are_found_on_sources_and_in_grants(everything: Everything) -> None:
    api = everything.api
    with api.database.transaction(writes=True) as db:
        db.execute(labels.delete())
    assert {(each.table, each.names) for each in found(api)} == {
        ("source_labels", "team:growth"),
        ("grants", "environment:dev"),
    }


def test_what_is_published_though_it_is_gone_is_found_and_the_other_way_round(everything: Everything) -> None:
    api = everything.api
    with api.database.transaction(writes=True) as db:
        of_source = published.c.source_id == everything.source_id
        db.execute(update(published).where(of_source).values(source_id="nobody"))
    assert {(each.table, each.names) for each in found(api)} == {
        ("published", "nobody"),
        ("sources", f"the publication {everything.source_id}"),
    }
