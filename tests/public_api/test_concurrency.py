"""Two processes' worth of Public API on one database: nothing is lost, nothing is doubled, no call fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import databases
from mainstem import public_api
from mainstem.model.snapshot import LiveSnapshot
from mainstem.rest import audit, tokens
from mainstem.settings import Settings
from public_api.client import Api, NoOutcomes, Reply

JAVASCRIPT = "IqDTy1TpoU"
THREADS = 4  # of each instance
ROUNDS = 8


@pytest.fixture
def both(api: Api) -> Iterator[tuple[Api, Api]]:
    """An instance, and a second one on the same folder, as another process would have it."""
    other = object.__new__(Api)
    other.__dict__ |= api.__dict__
    other.database = databases.control(api.folder)
    other.dispatcher = public_api.build(
        Settings(rate_limits=False), other.database, api.vault, NoOutcomes(), lambda: api.now
    )
    yield api, other
    other.database.close()


def at_once(both: tuple[Api, Api], act: Callable[[Api, int], list[Reply]]) -> list[Reply]:
    """Run `act` in every thread of both instances at the same moment; each has a number of its own."""
    barrier = threading.Barrier(2 * THREADS)

    def run(number: int) -> list[Reply]:
        barrier.wait()
        return act(both[number % 2], number)

    with ThreadPoolExecutor(2 * THREADS) as threads:
        return [reply for replies in threads.map(run, range(2 * THREADS)) for reply in replies]


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def create_source(api: Api, slug: str) -> Reply:
    return api.post("/sources", {"slug": slug, "enabled": True, "metadataId": JAVASCRIPT})


def test_what_must_be_unique_is_made_once(both: tuple[Api, Api]) -> None:
    def act(api: Api, _: int) -> list[Reply]:
        labels = [api.post("/labels", {"label": {"key": "n", "value": f"v{each}"}}) for each in range(ROUNDS)]
        return [*labels, *(create_source(api, f"s{each}") for each in range(ROUNDS))]

    assert statuses(at_once(both, act)) == {201: 2 * ROUNDS, 409: 2 * ROUNDS * (2 * THREADS - 1)}
    assert len(both[0].get("/sources").data["sources"]) == ROUNDS
    assert len(both[1].get("/labels").data["labels"]) == ROUNDS + 2


def test_no_update_is_lost_and_the_data_plane_sees_the_last_state(both: tuple[Api, Api]) -> None:
    source = create_source(both[0], "shop").data["source"]
    path = f"/sources/{source['id']}"

    def act(api: Api, number: int) -> list[Reply]:
        patches = [api.patch(path, {"settings": {f"k{number}-{each}": each}}) for each in range(ROUNDS)]
        return [*patches, api.post(f"{path}/writekey"), api.post(f"{path}/writekey")]

    assert statuses(at_once(both, act)) == {200: 2 * THREADS * (ROUNDS + 2)}
    shown = both[1].get(path).data["source"]
    added = {key: value for key, value in shown["settings"].items() if key.startswith("k")}
    assert added == {f"k{number}-{each}": each for number in range(2 * THREADS) for each in range(ROUNDS)}
    assert len(set(shown["writeKeys"])) == len(shown["writeKeys"]) == 1 + 4 * THREADS
    live = LiveSnapshot(databases.snapshot_store(both[0].folder, both[0].vault.open))
    published = live.refresh().sources[source["id"]]
    assert sorted(published.write_keys) == sorted(shown["writeKeys"])
    assert added.items() <= published.settings.items()


def test_the_audit_trail_is_whole_with_one_event_for_every_change(both: tuple[Api, Api]) -> None:
    def act(api: Api, number: int) -> list[Reply]:
        replies = []
        for each in range(ROUNDS):
            body = {"label": {"key": f"k{number}", "value": f"v{each}"}}
            replies += [api.post("/labels", body), api.delete(f"/labels/k{number}/v{each}")]
            replies.append(api.delete("/labels/environment/nothing"))
        return replies

    changes = 2 * THREADS * ROUNDS
    assert statuses(at_once(both, act)) == {201: changes, 200: changes, 404: changes}
    with both[0].database.transaction(writes=False) as db:
        assert audit.verify(db, both[0].vault) == (2 * changes, None)
    events = both[1].get("/audit-events?pagination.count=1000").data["events"]
    assert Counter(event["type"] for event in events) == {"Label Created": changes, "Label Deleted": changes}
    assert len({event["id"] for event in events}) == 2 * changes


def test_deletes_at_the_same_time_find_it_once(both: tuple[Api, Api]) -> None:
    ids = [create_source(both[0], f"s{each}").data["source"]["id"] for each in range(ROUNDS)]
    replies = at_once(both, lambda api, _: [api.delete(f"/sources/{each}") for each in ids])
    assert statuses(replies) == {200: ROUNDS, 404: ROUNDS * (2 * THREADS - 1)}


def test_pages_stay_readable_while_others_write(both: tuple[Api, Api]) -> None:
    def act(api: Api, number: int) -> list[Reply]:
        if number % 2:
            return [create_source(api, f"s{number}-{each}") for each in range(ROUNDS)]
        return [api.get("/sources?pagination.count=3") for _ in range(3 * ROUNDS)]

    assert statuses(at_once(both, act)) == {201: THREADS * ROUNDS, 200: 3 * THREADS * ROUNDS}


def test_a_revocation_by_one_process_is_seen_by_the_other_at_once(both: tuple[Api, Api]) -> None:
    assert both[1].get("/", token=both[1].member).status == 200
    with both[0].database.transaction(writes=True) as db:
        member = next(token for token in tokens.listed(db) if token.access == "member")
        tokens.revoke(db, member.id, both[0].now)
    assert both[1].get("/", token=both[1].member).status == 401


def test_two_first_starts_at_once_make_one_schema(tmp_path: Path) -> None:
    controls = [databases.empty_control(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda control: control.migrate(), controls))
    assert sorted(map(bool, taken)) == [False, False, False, True]
