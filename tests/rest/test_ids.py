"""New ids: foretold when seeded, kept when wanted."""

from __future__ import annotations

import random

import pytest

from mainstem.rest import ids, tokens


@pytest.fixture(autouse=True)
def _random_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_source", random.SystemRandom())


def made() -> list[str]:
    return [ids.base58_id(), ids.hex_id(), ids.ksuid(), ids.write_key()]


def test_ids_have_the_forms_that_clients_know() -> None:
    assert [len(each) for each in made()] == [22, 24, 27, 32]
    assert made() != made()


def test_the_same_seed_makes_the_same_ids_and_another_makes_others() -> None:
    ids.seed("a")
    first = made()
    ids.seed("a")
    assert made() == first
    ids.seed("b")
    assert made() != first


def test_secrets_of_tokens_do_not_follow_from_the_seed() -> None:
    ids.seed("a")
    first = tokens.new_secret()
    ids.seed("a")
    assert tokens.new_secret() != first


def test_a_wanted_id_is_the_next_of_its_form_once_whatever_prefix_it_bears() -> None:
    base58, hex24, ksuid = ids.base58_id(), ids.hex_id(), ids.ksuid()
    with ids.wanted([f"sfnc_{base58}", f"cred_{ksuid}", hex24]):
        assert ids.write_key() not in {base58, hex24, ksuid}
        assert (ids.hex_id(), ids.ksuid(), ids.base58_id()) == (hex24, ksuid, base58)
        assert ids.base58_id() != base58
    assert ids.hex_id() != hex24


def test_what_is_no_id_is_never_taken_for_one() -> None:
    with ids.wanted(["short", "x" * 40, "0" * 22, ""]):
        assert ids.base58_id() != "0" * 22
        assert len(ids.ksuid()) == 27
