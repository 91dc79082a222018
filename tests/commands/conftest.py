"""A data folder for commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

import databases
from mainstem import app
from mainstem.public_api import workspaces
from mainstem.public_api.destinations import destinations
from mainstem.public_api.sources.source import sources
from mainstem.settings import Settings
from mainstem.vault import Vault, open_vault


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a source, "shop", that has a destination "Webhooks"."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"MAINSTEM_{name.upper()}", raising=False)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    databases.set_variables(data, monkeypatch)
    vault = open_vault(data, "")
    app.prepare(databases.settings(data), vault)
    app.open_flow(Settings(data=data)).close()
    control = databases.control(data)
    with control.transaction(writes=True) as db:
        workspace = workspaces.find_first(db)
        assert workspace is not None
        _insert(db, vault, workspace.id)
    control.close()
    return data


def _insert(db, vault: Vault, workspace_id: str) -> None:
    both = {"workspace_id": workspace_id, "enabled": True, "name": "Shop"}
    webhook = "54521fdc25e721e32a72ef04"
    db.execute(
        insert(sources).values(
            **both, id="src1", slug="shop", metadata_id="iUM16Md8P2", settings=vault.seal(b"{}", "src1")
        )
    )
    db.execute(
        insert(destinations).values(
            **both | {"name": None},
            id="dst1",
            source_id="src1",
            metadata_id=webhook,
            settings=vault.seal(b"{}", "dst1"),
        )
    )
