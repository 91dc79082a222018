"""Sealed values open for their own row and key only."""

import stat
from pathlib import Path

import pytest

from mainstem import vault
from mainstem.errors import SettingsError
from mainstem.vault import (
    GRACE_SECONDS,
    SealBroken,
    Vault,
    begin_rotation,
    end_rotation,
    keep_hash_key,
    open_vault,
)

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


def test_the_newest_key_seals_and_the_older_ones_open() -> None:
    both = Vault(b"l" * 32, [b"k" * 32])
    assert both.open(VAULT.seal(b"x", "row"), "row") == b"x"
    with pytest.raises(SealBroken):
        VAULT.open(both.seal(b"x", "row"), "row")
    anew = Vault(b"l" * 32).open(both.reseal(VAULT.seal(b"x", "row"), "row"), "row")
    assert anew == b"x"
    assert both.keyed_hash(b"token") == VAULT.keyed_hash(b"token"), "hashes stay those of the first key"


def test_what_is_sealed_now_is_told_from_what_is_older() -> None:
    first, beyond = VAULT.sealed_now
    assert first <= VAULT.seal(b"", "") < beyond
    older = Vault(b"l" * 32).seal(b"", "")
    assert older < first or older >= beyond


def test_a_process_seals_under_a_new_key_as_soon_as_it_is_in_the_file(tmp_path: Path) -> None:
    running = open_vault(tmp_path, "")
    before = running.key_id
    assert begin_rotation(tmp_path, running)
    assert not begin_rotation(tmp_path, running), "one that is under way goes on with its key"
    assert running.key_id != before
    sealed = running.seal(b"x", "row")
    end_rotation(tmp_path, running)
    anew = open_vault(tmp_path, "")
    assert anew.open(sealed, "row") == b"x"
    assert anew.keyed_hash(b"token") == running.keyed_hash(b"token")


def test_a_forgotten_key_opens_for_a_while_and_then_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = open_vault(tmp_path, "")
    old = running.seal(b"x", "row")
    begin_rotation(tmp_path, running)
    running.seal(b"", "")
    end_rotation(tmp_path, running)
    running.seal(b"", "")
    assert running.open(old, "row") == b"x"
    later = vault.time.monotonic() + GRACE_SECONDS + 1
    monkeypatch.setattr(vault.time, "monotonic", lambda: later)
    with pytest.raises(SealBroken):
        running.open(old, "row")


def test_a_key_file_that_cannot_be_read_leaves_a_process_with_the_keys_it_has(tmp_path: Path) -> None:
    running = open_vault(tmp_path, "")
    sealed = running.seal(b"x", "row")
    (tmp_path / "secret.key").write_text("nonsense\n")
    assert running.open(running.seal(b"y", "row"), "row") == b"y"
    (tmp_path / "secret.key").unlink()
    assert running.open(sealed, "row") == b"x"


def test_a_hash_key_of_another_folder_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for each in (one, other):
        each.mkdir()
        keep_hash_key(each, open_vault(each, ""))
    (one / "hash.key").write_text((other / "hash.key").read_text())
    with pytest.raises(SettingsError, match=r"hash\.key does not open"):
        open_vault(one, "")
