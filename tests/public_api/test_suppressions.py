"""Lists of suppressed users and the sources that they belong to."""

from __future__ import annotations

from sqlalchemy import select

from mainstem.model.snapshot import SUPPRESSED_PREFIX
from mainstem.public_api import publish, suppressions
from mainstem.public_api.publish import published
from public_api.client import Api


def parts(api: Api) -> dict[str, bool]:
    """What is published of lists, and whether anybody is on it."""
    with api.database.transaction(writes=False) as db:
        rows = db.execute(select(published).where(published.c.source_id.startswith(SUPPRESSED_PREFIX)))
        return {row.source_id: row.body is not None for row in rows}


def suppress(api: Api, source_id: str, *users: str) -> None:
    with api.database.transaction(writes=True) as db:
        for each in suppressions.suppress(db, api.vault, api.workspace.id, source_id, users, api.now):
            publish.put(db, api.vault, each, publish.config_of(db, api.vault, each))


def test_the_list_of_a_source_goes_with_it_and_that_of_the_workspace_stays(api: Api) -> None:
    body = {"slug": "shop", "enabled": True, "metadataId": "iUM16Md8P2"}
    source_id = api.post("/sources", body).data["source"]["id"]
    suppress(api, source_id, "u1", "u2")
    suppress(api, "", "u1")
    assert set(parts(api).values()) == {True}
    api.delete(f"/sources/{source_id}")
    assert {each for each, is_held in parts(api).items() if is_held} == {
        each for each in parts(api) if api.workspace.id in each
    }
    with api.database.transaction(writes=False) as db:
        listed = list(suppressions.suppressed(db, api.vault, api.workspace.id))
    assert [(where, user) for where, user, _ in listed] == [("", "u1")]
