"""Mail to people: invitations and warnings, sent in the background through one SMTP server.

A letter that cannot be sent is named in the log, by its subject, and is lost: what it tells is to be found elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from mainstem.errors import MainstemError

if TYPE_CHECKING:  # imported where a letter is sent: most processes and commands never do
    import smtplib
    from email.message import EmailMessage

log: Final = logging.getLogger("mainstem.mail")
TIMEOUT_SECONDS: Final = 20.0
MAX_WAITING: Final = 1000  # letters; the newest beyond are not sent
_PORTS: Final = {"smtp": 587, "smtps": 465}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Letter(msgspec.Struct, frozen=True):
    """A plain text for one person. The text may hold a secret, the subject never does."""

    to: str
    subject: str
    text: str


class SmtpServer(msgspec.Struct, frozen=True):
    """Where letters are handed in. `is_tls` speaks TLS from the first byte; else it begins when the server offers
    it, and a password never goes to another machine without."""

    host: str
    port: int
    is_tls: bool
    user: str = ""
    password: str = ""


class NotSent(MainstemError):
    """A letter was not taken; the message holds no secret."""


def read_server(url: str) -> SmtpServer:
    """Read smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the first byte; user and password may be
    percent-encoded or left out, ports are 587 and 465. Raises ValueError, without what was read."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in _PORTS or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("smtp://USER:PASSWORD@HOST:PORT is expected, or smtps://")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return SmtpServer(host, port or _PORTS[parts.scheme], parts.scheme == "smtps", user, password)


def deliver(server: SmtpServer, sender: str, letter: Letter) -> None:
    """Hand in a letter. Raises NotSent."""
    import smtplib
    import ssl

    try:
        with contextlib.closing(_connection(server)) as connection:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(_message(sender, letter))
            with contextlib.suppress(smtplib.SMTPException, OSError):  # the letter is taken already
                connection.quit()
    except smtplib.SMTPResponseException as error:  # what the server wrote may repeat what it was sent
        raise NotSent(f"the mail server answered {error.smtp_code} ({type(error).__name__})") from None
    except (smtplib.SMTPException, ssl.SSLError) as error:
        raise NotSent(f"the mail server cannot be used ({type(error).__name__})") from None
    except OSError as error:
        raise NotSent(f"the mail server cannot be reached: {error.strerror or type(error).__name__}") from None


def _connection(server: SmtpServer) -> smtplib.SMTP:
    import smtplib
    import ssl

    if server.is_tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    connection.ehlo_or_helo_if_needed()
    if connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
    elif server.user and server.host not in _LOOPBACK:
        connection.close()
        raise NotSent("the mail server offers no TLS, and the password is not sent without")
    return connection


def _message(sender: str, letter: Letter) -> EmailMessage:
    from email.headerregistry import Address
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    message = EmailMessage()
    message["From"], message["To"] = sender, Address(addr_spec=letter.to)
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2].rstrip(">"))
    message.set_content(letter.text, cte="quoted-printable")  # not every server takes 8 bits
    return message


class Mailer:
    """Sends letters one after the other, in a thread of its own that is started with the first one."""

    def __init__(self, server: SmtpServer, sender: str) -> None:
        """`sender` is who letters are from: `a@b.c` or `Name <a@b.c>`."""
        self._server, self._sender = server, sender
        self._waiting: queue.Queue[Letter | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def send(self, letter: Letter) -> None:
        """Send a letter soon. Never waits and never raises."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mail", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(letter)
        except queue.Full:
            log.warning("the mail %r was not sent: %d others wait", letter.subject, MAX_WAITING)

    def close(self, wait_seconds: float = TIMEOUT_SECONDS) -> None:
        """Send what waits, and stop."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=wait_seconds)
            thread.join(wait_seconds)

    def _run(self) -> None:
        while (letter := self._waiting.get()) is not None:
            try:
                deliver(self._server, self._sender, letter)
            except NotSent as error:
                log.warning("the mail %r was not sent: %s", letter.subject, error)
            except Exception as error:  # noqa: BLE001  # the thread must go on for the others; a trace would show the letter
                log.error("the mail %r was not sent: %s", letter.subject, type(error).__name__)
