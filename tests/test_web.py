"""Requests to servers that the operator named; here one on this machine, that writes what a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mainstem import web


@contextmanager
def answering(text: str) -> Iterator[str]:
    """The URL of a server that answers one request with these lines."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(text.replace("\n", "\r\n").encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def ask(url: str) -> web.Reply:
    return web.ask(url, {}, timeout_seconds=20, most_bytes=5)


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "404 Not Found", "503 Busy"])
def test_an_answer_is_told_whatever_its_status_and_a_redirect_is_not_followed(status: str) -> None:
    with answering(f"HTTP/1.1 {status}\nLocation: http://127.0.0.1:1/\nETag: e\nContent-Length: 2\n\nno") as url:
        reply = ask(url)
    assert (reply.status, reply.headers["etag"], reply.body) == (int(status[:3]), "e", b"no")


def test_a_long_answer_is_cut_off() -> None:
    with answering("HTTP/1.1 200 OK\nContent-Length: 10\n\n0123456789") as url:
        assert ask(url).body == b"01234"


@pytest.mark.parametrize(
    "text", ["", "SSH-2.0-OpenSSH\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nnonsense\n"]
)
def test_what_is_no_answer_of_http_is_an_os_error(text: str) -> None:
    with answering(text) as url, pytest.raises(OSError):  # noqa: PT011  # its text is the operating system's
        ask(url)
