"""Tokens of destinations as both planes keep them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.engines.sqlite_tokens import SqliteTokens
from mainstem.errors import EngineUnavailable
from mainstem.model.ports import Tokens
from mainstem.vault import Vault

VAULT = Vault(b"k" * 32)


def opened(folder: Path, vault: Vault = VAULT) -> SqliteTokens:
    return SqliteTokens(folder, vault.seal, vault.open)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteTokens]:
    made = opened(tmp_path)
    yield made
    made.close()


def test_a_destination_that_nobody_authorized_has_no_tokens(store: SqliteTokens) -> None:
    assert store.get("d") is None


def test_tokens_saved_in_one_process_are_read_in_another(tmp_path: Path, store: SqliteTokens) -> None:
    assert store.get("d") is None  # opened before the other writes
    other = opened(tmp_path)
    other.save("d", Tokens("access-1", "refresh-1"))
    other.close()
    assert store.get("d") == Tokens("access-1", "refresh-1")


def test_a_refreshed_access_token_keeps_the_refresh_token_it_came_by(store: SqliteTokens) -> None:
    store.save("d", Tokens("access-1", "refresh-1"))
    store.save("d", Tokens("access-2"))
    assert store.get("d") == Tokens("access-2", "refresh-1")
    store.save("d", Tokens("access-3", "refresh-3"))
    assert store.get("d") == Tokens("access-3", "refresh-3")


def test_tokens_of_a_destination_that_is_gone_are_forgotten(store: SqliteTokens) -> None:
    store.save("d", Tokens("access"))
    store.save("e", Tokens("other"))
    store.forget("d")
    store.forget("never there")
    assert store.get("d") is None
    assert store.get("e") == Tokens("other")


def test_no_token_lies_in_the_file_in_plain_text_and_others_may_not_read_it(
    tmp_path: Path, store: SqliteTokens
) -> None:
    store.save("d", Tokens("planted-access", "planted-refresh"))
    (file,) = tmp_path.iterdir()
    assert b"planted" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_tokens_sealed_under_another_key_are_a_failure_of_the_store(tmp_path: Path, store: SqliteTokens) -> None:
    store.save("d", Tokens("access"))
    foreign = opened(tmp_path, Vault(b"x" * 32))
    with pytest.raises(EngineUnavailable, match="unsealed"):
        foreign.get("d")
    foreign.close()
    assert store.get("d") == Tokens("access")


def test_a_file_that_is_no_database_is_a_failure_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "tokens.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(EngineUnavailable, match=r"tokens\.db cannot be read"):
        opened(tmp_path).get("d")


def test_workers_that_save_at_the_same_time_do_not_lose_each_others(tmp_path: Path) -> None:
    def work(name: str) -> None:
        mine = opened(tmp_path)
        for number in range(10):
            mine.save(f"{name}-{number}", Tokens(name))
        mine.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = opened(tmp_path)
    assert [reader.get(f"{name}-{number}") for name in "abc" for number in range(10)] == [
        Tokens(name) for name in "abc" for _ in range(10)
    ]
    reader.close()
