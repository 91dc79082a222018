from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mainstem.commands import destinations
from mainstem.destinations.actions import catalogue
from mainstem.packages import install as packages
from mainstem.packages.install import Installed
from mainstem.settings import Settings
from public_api.actions import MAILER, write_catalogue

PACKAGES = Path(__file__).parents[2] / ".packages"


def listed(folder: Path) -> list[str]:
    written: list[str] = []
    try:
        assert destinations.list_destinations(Settings(packages=folder), written.append) == 0
    finally:
        catalogue.use(None)
    return "".join(written).splitlines()


def test_before_an_installation_every_destination_is_listed_with_what_to_do(tmp_path: Path) -> None:
    first, blank, *rows = listed(tmp_path)
    assert "mainstem destinations install" in first
    assert blank == ""
    assert [row.split()[0] for row in rows] == list(catalogue.known())


def test_an_installation_of_another_version_is_listed_and_said_to_be_out_of_date(tmp_path: Path) -> None:
    write_catalogue(tmp_path)
    marker = Installed("0" * 64, {"@segment/action-destinations": "3.0.0"}, 1, 1)
    (tmp_path / "destinations" / packages.MARKER).write_bytes(msgspec.json.encode(marker))
    first, _, *rows = listed(tmp_path)
    assert "3.0.0" in first
    assert "This version of mainstem has others" in first
    assert rows[0].split()[0] == MAILER


def test_what_is_up_to_date_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, step in destinations.steps().items():
        (tmp_path / name).mkdir()
        marker = Installed(packages.digest_of(name, step), {}, 1, 1)
        (tmp_path / name / packages.MARKER).write_bytes(msgspec.json.encode(marker))
    written: list[str] = []
    assert destinations.install(Settings(packages=tmp_path), written.append) == 0
    assert written == [f"{name}: up to date\n" for name in destinations.steps()]


@pytest.mark.destinations
def test_after_an_installation_the_version_is_told() -> None:
    first, _, *rows = listed(PACKAGES)
    assert first == "214 destinations of @segment/action-destinations 3.497.0 are installed."
    assert len(rows) == 214
