"""A local SMTP server that keeps what it gets."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import ClassVar


class Conversation(socketserver.StreamRequestHandler):
    """An SMTP server that takes what it is told to take."""

    server: SmtpSink

    def handle(self) -> None:
        self._say("220 sink")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            self.server.commands.append(line)
            if line.upper() == "QUIT":
                return self._say("221 bye")
            if line.upper().startswith("DATA"):
                self._data()
            elif line.upper().startswith("AUTH"):
                self._say(self.server.answer_to_auth)
            else:
                self._say("250-sink\r\n250 AUTH PLAIN" if line.upper().startswith("EHLO") else "250 fine")
        return None

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _data(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.server.received.append(message_from_bytes(b"".join(lines)))
        self._say("250 taken")
        self.server.arrived.release()


class SmtpSink(socketserver.ThreadingTCPServer):
    """Letters that came in, and every command."""

    daemon_threads = True
    allow_reuse_address = True
    answer_to_auth: ClassVar[str] = "235 welcome"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.received: list[Message] = []
        self.commands: list[str] = []
        self.arrived = threading.Semaphore(0)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextlib.contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """A running one."""
    with SmtpSink() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
