"""Who is on a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.suppression import as_part, is_suppressed, part_id, user_hash


def lists(*users: tuple[str, str]) -> dict[str, bytes]:
    """Published parts of lists with these (list, user)."""
    parts: dict[str, list[bytes]] = {}
    for list_id, user_id in users:
        hashed = user_hash(list_id, user_id)
        parts.setdefault(part_id(list_id, hashed[0]), []).append(hashed)
    return {part: as_part(hashes) for part, hashes in parts.items()}


def found(parts: dict[str, bytes], payload: dict[str, object], type: str = "track") -> bool:
    return is_suppressed(parts, "ws", "src", type, payload)


@pytest.mark.parametrize("list_id", ["ws", "src"])
def test_a_user_on_the_list_of_the_workspace_or_of_the_source_is_suppressed(list_id: str) -> None:
    assert found(lists((list_id, "u1")), {"userId": "u1", "anonymousId": "a"})
    assert not found(lists((list_id, "u1")), {"userId": "u2"})


def test_a_user_on_the_list_of_another_source_is_not() -> None:
    assert not found(lists(("other", "u1")), {"userId": "u1"})


@pytest.mark.parametrize("payload", [{}, {"anonymousId": "u1"}, {"userId": None}, {"userId": 1}, {"userId": ["u1"]}])
def test_an_event_that_names_no_user_passes(payload: dict[str, object]) -> None:
    assert not found(lists(("ws", "u1"), ("ws", "1")), payload)


def test_the_previous_id_of_an_alias_names_a_user_and_that_of_no_other_call() -> None:
    payload = {"userId": "new", "previousId": "u1"}
    assert found(lists(("ws", "u1")), payload, "alias")
    assert not found(lists(("ws", "u1")), payload, "track")


@given(st.sets(st.text(), min_size=1, max_size=60), st.text())
def test_exactly_those_on_the_list_are_found_however_long_it_is(users: set[str], another: str) -> None:
    parts = lists(*(("ws", each) for each in users))
    assert all(found(parts, {"userId": each}) for each in users)
    assert found(parts, {"userId": another}) is (another in users)
