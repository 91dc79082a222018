"""Reading another server: its rate limits, its refusals, and where a token may go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from mainstem.errors import SettingsError
from mainstem.rest.limits import Rate
from mainstem.workspace_files.asking import Refused, pages
from mainstem.workspace_files.pulling import LONGEST_WAIT_SECONDS, Pace, Remote, Unreachable


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []  # type: ignore[var-annotated]

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self) -> Pace:
        return Pace(lambda: self.now, self.sleep)


class Replies(BaseHTTPRequestHandler):
    """Answers what was put into `queue`, and keeps what was asked."""

    queue: ClassVar[list[tuple[int, dict[str, str], Any]]] = []
    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.queue.pop(0)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that gives what a test puts into Replies.queue."""
    Replies.queue.clear()
    Replies.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replies)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def remote(url: str, time: Time, said: list[str] | None = None) -> Remote:
    told: list[str] = [] if said is None else said
    return Remote(url, "planted-token", default_rate=1000, say=told.append, pace=time.pace())


def test_an_operation_is_asked_for_no_more_often_than_its_limit_allows() -> None:
    time = Time()
    pace = time.pace()
    waits = [pace.wait("a", Rate(2)) for _ in range(5)]
    assert waits == [0, 0, 60, 0, 60]
    assert pace.wait("b", Rate(2)) == 0


def test_lists_are_read_page_by_page_with_the_version_that_the_operation_has(url: str) -> None:
    Replies.queue += [
        (200, {}, {"data": {"spaces": [1, 2], "pagination": {"current": "MA==", "next": "Mg==", "totalEntries": 3}}}),
        (200, {}, {"data": {"spaces": [3], "pagination": {"current": "Mg=="}}}),
    ]
    seen: list[tuple[int, int]] = []
    watch = lambda got, total: seen.append((got, total))  # noqa: E731  # one expression
    assert list(pages(remote(url, Time()), "/spaces", "spaces", watch)) == [1, 2, 3]
    assert seen == [(2, 3), (3, 0)]
    (first, headers), (second, _) = Replies.asked
    assert first == "/spaces?pagination.count=200"
    assert second == "/spaces?pagination.count=200&pagination.cursor=Mg%3D%3D"
    assert headers["Accept"].startswith("application/vnd.segment.v1alpha+json")
    assert headers["Authorization"] == "Bearer planted-token"


def test_a_429_is_waited_out_as_long_as_the_server_says(url: str) -> None:
    Replies.queue += [(429, {"Retry-After": "7"}, {"errors": []}), (200, {}, {"data": {"labels": []}})]
    time, said = Time(), []  # type: ignore[var-annotated]
    assert remote(url, time, said).ask("GET /labels") == {"labels": []}
    assert time.slept == [7]
    assert said == ["listLabels: the server answered 429; waiting 7 seconds"]


def test_a_server_that_goes_on_refusing_is_given_up(url: str) -> None:
    Replies.queue += [(429, {"Retry-After": "9999"}, {"errors": [{"message": "Too many"}]})] * 5
    time = Time()
    with pytest.raises(Refused, match="Too many"):
        remote(url, time).ask("GET /labels")
    assert time.slept == [LONGEST_WAIT_SECONDS] * 4


def test_a_refusal_has_status_and_faults(url: str) -> None:
    errors = [{"type": "forbidden", "message": "Not in your plan.", "field": "plan"}]
    Replies.queue.append((403, {}, {"errors": errors}))
    with pytest.raises(Refused, match=r"GET /spaces: Not in your plan\.") as refused:
        remote(url, Time()).ask("GET /spaces?pagination.count=1")
    assert (refused.value.status, refused.value.faults) == (403, (("plan", "Not in your plan."),))


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, {"labels": []}), (302, b""), (418, b"")])
def test_an_answer_of_another_kind_of_server_is_said_to_be_one(url: str, status: int, body: Any) -> None:
    Replies.queue.append((status, {"Location": "http://127.0.0.1:9/"} if status == 302 else {}, body))
    with pytest.raises(Unreachable, match="no answer of this API"):
        remote(url, Time()).ask("GET /labels")
    assert len(Replies.asked) == 1


@pytest.mark.parametrize("url", ["http://api.example", "ftp://127.0.0.1", "https://u:p@api.example", "api.example"])
def test_a_token_is_not_sent_in_the_clear_or_to_what_is_no_server(url: str) -> None:
    with pytest.raises(SettingsError, match="--url"):
        remote(url, Time())


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        remote("http://127.0.0.1:9", Time()).ask("GET /labels")
