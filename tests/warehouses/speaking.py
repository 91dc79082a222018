"""A server that speaks as much of PostgreSQL's protocol as logging in takes."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Final, Self

_TLS_ASKED: Final = 80877103


class PostgresServer:
    """Listens on loopback. Lets in who has the password; with `says_nothing` it never answers."""

    def __init__(self, password: str, *, says_nothing: bool = False) -> None:
        self._password, self._says_nothing = password, says_nothing
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.passwords: list[str] = []
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._kept:
            each.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._kept.append(client)
            if not self._says_nothing:
                self._log_in(client)

    def _log_in(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        while struct.unpack("!i", self._untyped(stream)[:4])[0] == _TLS_ASKED:
            client.sendall(b"N")
        client.sendall(_message(b"R", struct.pack("!i", 3)))  # the password in clear text, please
        stream.read(1)
        given = self._untyped(stream).rstrip(b"\0").decode()
        self.passwords.append(given)
        if given != self._password:
            client.sendall(_message(b"E", b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"))
            client.close()
            return
        client.sendall(
            _message(b"R", struct.pack("!i", 0))
            + _message(b"S", b"server_version\x0015.0\0")
            + _message(b"S", b"client_encoding\0UTF8\0")
            + _message(b"Z", b"I")
        )
        stream.close()

    @staticmethod
    def _untyped(stream: object) -> bytes:
        read = stream.read  # type: ignore[attr-defined]
        length: int = struct.unpack("!i", read(4))[0]
        body: bytes = read(length - 4)
        return body


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
