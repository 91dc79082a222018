"""From write key to event log: unknown keys, new configuration, and what happens when a store is away."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from engines.full_disk import full_disk
from mainstem.tracking_api.notices import Notice
from tracking_api.serving import (
    PATIENCE_SECONDS,
    SECOND_KEY,
    SOURCE_ID,
    TRACK,
    UNKNOWN_KEY,
    WRITE_KEY,
    Served,
    basic,
    source,
)

Serve = Callable[..., Served]


def test_an_unknown_key_is_answered_like_a_known_one_and_nothing_is_kept(serve: Serve) -> None:
    served = serve()
    answer = served.post("/v1/track", headers=basic(UNKNOWN_KEY))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert served.received() == []


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/t"])
def test_an_unknown_key_is_unauthorized_when_keys_are_strict(serve: Serve, path: str) -> None:
    served = serve(strict_write_keys=True)
    answer = served.post(path, headers=basic(UNKNOWN_KEY))
    assert answer.status_code == 401
    body = answer.json()
    assert (body["success"], body["code"], body["error"]) == (False, "unauthorized", body["message"])
    assert served.post(path).status_code == 200
    assert len(served.received()) == 1


def test_the_operator_reads_how_often_unknown_keys_came_but_no_whole_key(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    with caplog.at_level(logging.WARNING, "mainstem.tracking_api"):
        for _ in range(5):
            served.post("/v1/track", headers=basic(UNKNOWN_KEY))
    lines = [record.getMessage() for record in caplog.records if "unknown_source" in record.getMessage()]
    assert len(lines) == 1, "at once, and then once a minute"
    assert UNKNOWN_KEY[:4] in lines[0]
    assert UNKNOWN_KEY not in caplog.text


async def test_a_notice_counts_what_happens_between_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    notice = Notice("rain", every_seconds=3600)
    for drop in ("first", "second", "third"):
        notice.happened(drop)
    notice._write()  # as the timer does after an hour
    notice._write()
    notice.happened("fourth")
    assert [record.getMessage() for record in caplog.records] == [
        "rain: 1 times, the latest first",
        "rain: 2 times, the latest third",
        "rain: 1 times, the latest fourth",
    ]


def test_a_key_made_a_moment_ago_works_at_once(serve: Serve) -> None:
    served = serve()
    served.post("/v1/track", headers=basic(UNKNOWN_KEY))
    served.snapshots.publish(source("new", UNKNOWN_KEY))
    served.post("/v1/track", headers=basic(UNKNOWN_KEY))
    assert served.one_received().source_id == "new"


def test_a_key_taken_away_stops_within_a_second(serve: Serve) -> None:
    served = serve(strict_write_keys=True)
    assert served.post("/v1/track", headers=basic(SECOND_KEY)).status_code == 200
    served.snapshots.publish(source(SOURCE_ID, WRITE_KEY))
    took_effect = threading.Event()
    stop = threading.Timer(PATIENCE_SECONDS, took_effect.set)
    stop.start()
    while not took_effect.is_set():
        if served.post("/v1/track", headers=basic(SECOND_KEY)).status_code == 401:
            took_effect.set()
    stop.cancel()
    assert served.post("/v1/track", headers=basic(SECOND_KEY)).status_code == 401
    assert served.post("/v1/track", headers=basic(WRITE_KEY)).status_code == 200


def test_a_disabled_source_is_accepted_for_the_pipeline_accounts_for_it(serve: Serve) -> None:
    served = serve()
    served.snapshots.publish(source("off", UNKNOWN_KEY, enabled=False))
    assert served.post("/v1/track", headers=basic(UNKNOWN_KEY)).status_code == 200
    assert served.one_received().source_id == "off"


def test_known_keys_work_on_while_the_configuration_cannot_be_read(serve: Serve) -> None:
    served = serve()
    assert served.post("/v1/track").status_code == 200
    served.snapshots.is_broken = True
    assert served.post("/v1/track").status_code == 200
    assert served.post("/v1/track", headers=basic(UNKNOWN_KEY)).status_code == 503, "it might be a new one"
    served.snapshots.is_broken = False
    assert served.post("/v1/track", headers=basic(UNKNOWN_KEY)).status_code == 200
    assert len(served.received()) == 2


def test_nothing_is_dropped_before_the_configuration_was_read_once(serve: Serve) -> None:
    served = serve()
    served.snapshots.is_broken = True
    assert served.post("/v1/track").status_code == 503
    served.snapshots.is_broken = False
    assert served.post("/v1/track").status_code == 200


def test_a_full_disk_is_503_until_there_is_room(serve: Serve) -> None:
    served = serve()
    assert served.post("/v1/track").status_code == 200
    headers = {**basic(WRITE_KEY), "Origin": "https://shop.example"}
    with full_disk(served.database):
        answer = served.post("/v1/track", {**TRACK, "filler": "x" * 30_000}, headers=headers)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        body = answer.json()
        assert (body["success"], body["code"], body["error"]) == (False, "unavailable", body["message"])
        pixel = served.client.get("/v1/pixel/track", params={"writeKey": WRITE_KEY, "userId": "u", "event": "E"})
        assert pixel.status_code == 503, "200 means that the event is on disk, from the pixel as well"
        assert served.post("/v1/track", b"{").status_code == 400, "what is wrong with a request is still told"
    assert served.post("/v1/track").status_code == 200
    assert len(served.received()) == 2


def test_success_is_told_only_after_the_commit(serve: Serve) -> None:
    served = serve()
    served.post("/v1/track")
    holding = sqlite3.connect(served.database, isolation_level=None, check_same_thread=False)
    holding.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(served.post, "/v1/track")
        assert served.client.get("/health").status_code == 200, "others are served meanwhile"
        assert not answer.done()
        holding.execute("ROLLBACK")
        assert answer.result(PATIENCE_SECONDS).status_code == 200
    holding.close()
    assert len(served.received()) == 2


def test_every_one_of_many_calls_at_once_is_kept_once(served: Served) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: served.post("/v1/track", {"userId": str(number)}), range(200)))
    assert {answer.status_code for answer in answers} == {200}
    bodies = [received.body for received in served.received()]
    assert len(bodies) == len(set(bodies)) == 200


def test_an_unforeseen_failure_is_one_500_that_pages_can_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    monkeypatch.setattr(served.snapshots, "changes", lambda after: 1 / 0)
    answer = served.post("/v1/track", headers={**basic(WRITE_KEY), "Origin": "https://shop.example"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "ZeroDivisionError" in caplog.text
