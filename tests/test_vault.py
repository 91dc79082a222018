"""Sealed values open for their own row and key only."""

import stat
from pathlib import Path

import pytest

from mainstem.errors import SettingsError
from mainstem.vault import SealBroken, Vault, open_vault

VAULT = Vault(b"k" * 32)


def test_a_sealed_value_opens_again_and_hides_its_content() -> None:
    sealed = VAULT.seal(b"a shared secret", "row")
    assert b"shared" not in sealed
    assert VAULT.open(sealed, "row") == b"a shared secret"
    assert VAULT.seal(b"a shared secret", "row") != sealed


def test_a_value_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(SealBroken):
        VAULT.open(VAULT.seal(b"x", "row"), "other row")


def test_a_changed_value_does_not_open() -> None:
    sealed = bytearray(VAULT.seal(b"x", "row"))
    sealed[-1] ^= 1
    with pytest.raises(SealBroken):
        VAULT.open(bytes(sealed), "row")


def test_another_key_does_not_open_and_is_told_apart() -> None:
    with pytest.raises(SealBroken, match="another key"):
        Vault(b"l" * 32).open(VAULT.seal(b"x", "row"), "row")


def test_keyed_hashes_differ_by_key() -> None:
    assert VAULT.keyed_hash(b"token") == VAULT.keyed_hash(b"token") != Vault(b"l" * 32).keyed_hash(b"token")


def test_the_first_start_makes_a_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    sealed = open_vault(tmp_path, "").seal(b"x", "row")
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert open_vault(tmp_path, "").open(sealed, "row") == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_folder_that_lost_its_key_gets_no_new_one(tmp_path: Path) -> None:
    (tmp_path / "control.db").touch()
    with pytest.raises(SettingsError, match=r"secret\.key is missing"):
        open_vault(tmp_path, "")
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize("key", ["short", "AAAA", "!" * 44])
def test_a_malformed_key_is_an_error_that_names_the_variable(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="MAINSTEM_SECRET_KEY"):
        open_vault(tmp_path, key)
